//! What a member would find on this host, without becoming one.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel_transport::{DataLink, Destination, Interface, IoInUse, Mode, Notice, OpenError, open};

use crate::builder::{Builder, JoinError};

/// How long a datagram may take to this very host.
const ECHO_PATIENCE: Duration = Duration::from_secs(1);

/// What opening a member's sockets showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Where a member would send and receive.
    pub interface: Interface,
    /// Its way to the kernel.
    pub io: IoInUse,
    /// What works, though not as wished.
    pub shortcomings: Vec<Shortcoming>,
    /// The processor that its worker would be pinned to.
    pub worker_cpu: Option<usize>,
    /// Whether a multicast came back to this host; `None` in unicast mode, where none is sent.
    pub hears_multicast: Option<bool>,
}

/// Something that works, though not as wished.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shortcoming {
    /// What it is about.
    pub subject: Subject,
    /// What is so.
    pub cause: String,
    /// What follows from it.
    pub consequence: String,
    /// What to do about it.
    pub fix: String,
}

/// What a shortcoming is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Subject {
    /// io_uring.
    Uring,
    /// The kernel's buffer of received data.
    ReceiveBuffer,
    /// Datagrams of several frames.
    SuperPackets,
    /// Something else.
    Other,
}

impl Builder {
    /// Opens the sockets that [`Builder::join`] would, on ports of their own, sends a multicast to
    /// itself, and closes them. Running members are not disturbed.
    ///
    /// # Errors
    /// What does not work, with cause and fix.
    pub fn probe(&self) -> Result<Probe, JoinError> {
        self.placement.check()?;
        let interface = Interface::choose(&self.interface)?;
        let mut settings = self.settings(&interface);
        settings.port = free_port(&interface)?;
        settings.unicast_port = Some(0);
        settings.multicast_loop = true;
        let opened = open(&settings)?;
        let shortcomings = opened.notices.iter().map(Shortcoming::from).collect();
        let mut link = opened.data;
        let is_multicast = matches!(settings.mode, Mode::Multicast { .. });
        let hears_multicast = is_multicast.then(|| echoes(&mut link));
        let (io, worker_cpu) = (link.io(), self.placement.worker_cpu());
        Ok(Probe { interface, io, shortcomings, worker_cpu, hears_multicast })
    }

    /// The directory below which [`Builder::join`] would keep the member's epoch.
    ///
    /// # Errors
    /// When none is given and the environment names none.
    pub fn state_directory(&self) -> Result<PathBuf, JoinError> {
        self.state_root()
    }
}

/// A port that nobody has; the next ones are taken on the group's address alone.
fn free_port(interface: &Interface) -> Result<u16, JoinError> {
    let bound = UdpSocket::bind((interface.address, 0)).and_then(|socket| socket.local_addr());
    let address = std::net::SocketAddrV4::new(interface.address, 0);
    let bound = bound.map_err(|error| OpenError::Bind { address, error })?;
    Ok(bound.port().min(u16::MAX - 2))
}

/// Whether a multicast comes back to its sender; the link drops and counts it.
fn echoes(link: &mut DataLink) -> bool {
    let since = Instant::now();
    link.send(Destination::Group, b"roundel doctor", Bytes::new());
    link.flush();
    while link.counters().own_datagrams == 0 {
        if since.elapsed() > ECHO_PATIENCE {
            return false;
        }
        link.wait(Some(Duration::from_millis(20)));
        link.receive(Instant::now());
    }
    true
}

impl From<&Notice> for Shortcoming {
    fn from(notice: &Notice) -> Self {
        let subject = match notice {
            Notice::NoUring(_) => Subject::Uring,
            Notice::ReceiveBufferClipped { .. } => Subject::ReceiveBuffer,
            Notice::NoGro { .. } => Subject::SuperPackets,
            _ => Subject::Other,
        };
        // Every notice is one line of three parts.
        let text = notice.to_string();
        let (rest, fix) = text.rsplit_once("; fix: ").unwrap_or((&text, ""));
        let (cause, consequence) = rest.rsplit_once("; ").unwrap_or((rest, ""));
        Self {
            subject,
            cause: cause.to_owned(),
            consequence: consequence.to_owned(),
            fix: fix.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Node;
    use roundel_transport::{UringError, Wanted};

    #[test]
    fn loopback_hears_itself() {
        let lo = Wanted::Address([127, 0, 0, 1].into());
        let probe = Node::builder("probe").interface(lo.clone()).probe().unwrap();
        assert_eq!(probe.hears_multicast, Some(true), "{probe:?}");
        assert!(probe.interface.loopback);
        let peer = "127.0.0.2:7401".parse().unwrap();
        let unicast = Node::builder("probe").interface(lo).unicast(vec![peer]).probe().unwrap();
        assert_eq!(unicast.hears_multicast, None);
    }

    #[test]
    fn every_notice_has_a_cause_a_consequence_and_a_fix() {
        for notice in [
            Notice::NoUring(UringError::Missing),
            Notice::NoUring(UringError::Memory { locked_bytes_max: Some(1) }),
            Notice::ReceiveBufferClipped { wanted_bytes: 2, got_bytes: 1 },
            Notice::NoGro { errno: 92 },
        ] {
            let Shortcoming { cause, consequence, fix, .. } = Shortcoming::from(&notice);
            assert!(!cause.is_empty() && !consequence.is_empty() && !fix.is_empty(), "{notice}");
            assert!(!fix.contains("; "), "{notice}");
        }
    }
}
