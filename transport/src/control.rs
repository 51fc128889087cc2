//! The link of the thread that decides membership.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags};

use crate::counters::ControlCounters;
use crate::frame::{Destination, Frame};
use crate::impair::{Faults, Impairment};
use crate::inbox::Lane;
use crate::memory::ControlPort;
use crate::outbox::Group;
use crate::sockets::Pair;
use crate::waker::{Waker, wait_for};

/// Room for the longest datagram.
const BUFFER_BYTES: usize = 65_536;

/// Frames taken from the sockets at once at most, where faults delay them.
const BATCH: usize = 256;

/// Errors read over at once at most.
const ERRORS_MAX: u32 = 64;

#[derive(Debug)]
enum Port {
    Sockets { group: Option<UdpSocket>, own: UdpSocket },
    Memory(ControlPort),
}

/// Control frames of a member, for one thread. Plain sockets: control is rare, and IP may
/// fragment it.
#[derive(Debug)]
pub struct ControlLink {
    port: Port,
    group: Group,
    own: SocketAddrV4,
    waker: Waker,
    buffer: Box<[u8]>,
    impairment: Option<Box<Impairment>>,
    counters: ControlCounters,
}

impl ControlLink {
    pub(crate) fn over_sockets(pair: Pair) -> io::Result<Self> {
        let group = pair.to_group();
        let port = Port::Sockets { group: pair.group.map(Into::into), own: pair.own.into() };
        Ok(Self::new(port, group, pair.own_address, Waker::new()?))
    }

    pub(crate) fn in_memory(port: ControlPort, own: SocketAddrV4, waker: Waker) -> Self {
        Self::new(Port::Memory(port), Group::Peers(Vec::new()), own, waker)
    }

    fn new(port: Port, group: Group, own: SocketAddrV4, waker: Waker) -> Self {
        Self {
            port,
            group,
            own,
            waker,
            buffer: vec![0; BUFFER_BYTES].into(),
            impairment: None,
            counters: ControlCounters::default(),
        }
    }

    /// Fills `frame` with the next received frame; who sent it, or `None` when there is none.
    pub fn receive(&mut self, now: Instant, frame: &mut Vec<u8>) -> Option<SocketAddrV4> {
        if self.impairment.is_none() {
            return self.receive_unimpaired(frame);
        }
        for _ in 0..BATCH {
            let Some(from) = self.receive_unimpaired(frame) else {
                break;
            };
            if let Some(impairment) = &mut self.impairment {
                let bytes = Bytes::copy_from_slice(frame);
                impairment.push(now, Lane::Data, Frame { bytes, from });
            }
        }
        let (_, next) = self.impairment.as_mut()?.pop(now)?;
        frame.clear();
        frame.extend_from_slice(&next.bytes);
        Some(next.from)
    }

    /// Sends a frame. One that the kernel refuses is given up and counted: the protocol repeats
    /// itself.
    pub fn send(&mut self, to: Destination, frame: &[u8]) {
        let counters = &mut self.counters;
        let own = match &self.port {
            Port::Memory(port) => return port.send(to, frame, counters),
            Port::Sockets { own, .. } => own,
        };
        let mut send_to = |address: SocketAddrV4| match own.send_to(frame, address) {
            Ok(_) => counters.sent_frames += 1,
            Err(error) => {
                counters.dropped_frames += 1;
                counters.last_send_errno = error.raw_os_error().unwrap_or(0);
            }
        };
        match (to, &self.group) {
            (Destination::Member(address), _) => send_to(address),
            (Destination::Group, Group::Multicast { address, .. }) => send_to(*address),
            (Destination::Group, Group::Peers(peers)) => peers.iter().for_each(|to| send_to(*to)),
        }
    }

    /// Blocks until there is something to receive, a [`Waker`] fires, or `timeout` is over;
    /// `None` is no timeout. May end early.
    pub fn wait(&mut self, timeout: Option<Duration>) {
        let due = self.next_at().map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = match (timeout, due) {
            (Some(timeout), Some(due)) => Some(timeout.min(due)),
            (timeout, due) => timeout.or(due),
        };
        if let Port::Memory(port) = &self.port
            && port.is_waiting()
        {
            return;
        }
        let mut fds: Vec<PollFd<'_>> =
            self.fds().into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        wait_for(&mut fds, timeout);
        self.waker.clear();
    }

    /// When a frame comes that faults delay: no file tells of it.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.impairment.as_ref()?.next_at()
    }

    /// Ends waits of this link, from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Sets who [`Destination::Group`] is in unicast mode: the control addresses of all members,
    /// the own one left out whether it is given or not. Without effect in multicast mode.
    pub fn set_peers(&mut self, peers: &[SocketAddrV4]) {
        if let Group::Peers(known) = &mut self.group {
            known.clear();
            known.extend(peers.iter().filter(|peer| **peer != self.own));
        }
    }

    /// The address of the own socket: where control frames for this member go, and what its
    /// frames are from.
    #[must_use]
    pub fn own_address(&self) -> SocketAddrV4 {
        self.own
    }

    /// What this link has done.
    #[must_use]
    pub fn counters(&self) -> ControlCounters {
        self.counters
    }

    /// What becomes readable when [`receive`](Self::receive) has something to do, or the link's
    /// waker has fired.
    #[must_use]
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let sockets = match &self.port {
            Port::Sockets { group, own } => [group.as_ref(), Some(own)],
            Port::Memory(_) => [None, None],
        };
        let sockets = sockets.into_iter().flatten().map(AsFd::as_fd);
        sockets.chain([self.waker.as_fd()]).collect()
    }

    /// Puts faults between the network and this link, from a seed.
    pub fn impair(&mut self, seed: u64, usual: Faults) {
        self.impairment = Some(Box::new(Impairment::new(seed, self.own, usual)));
    }

    /// The faults, to change or look at; `None` when there never were any.
    pub fn impairment(&mut self) -> Option<&mut Impairment> {
        self.impairment.as_deref_mut()
    }

    fn receive_unimpaired(&mut self, frame: &mut Vec<u8>) -> Option<SocketAddrV4> {
        let (group, own) = match &self.port {
            Port::Sockets { group, own } => (group, own),
            Port::Memory(port) => {
                let received = port.receive()?;
                self.counters.received_frames += 1;
                frame.clear();
                frame.extend_from_slice(&received.bytes);
                return Some(received.from);
            }
        };
        let mut errors = 0;
        let sockets = group.iter().map(|socket| (socket, true));
        for (socket, is_group) in sockets.chain([(own, false)]) {
            loop {
                let (bytes, from) = match socket.recv_from(&mut self.buffer) {
                    Ok((bytes, SocketAddr::V4(from))) => (bytes, from),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Ok((_, SocketAddr::V6(_))) | Err(_) => {
                        // It tells of something sent earlier, and is over once it is told; what
                        // came behind it is read now, since no file tells of it again.
                        self.counters.receive_errors += 1;
                        errors += 1;
                        if errors > ERRORS_MAX {
                            break;
                        }
                        continue;
                    }
                };
                if is_group && from == self.own {
                    self.counters.own_datagrams += 1;
                    continue;
                }
                self.counters.received_frames += 1;
                frame.clear();
                frame.extend_from_slice(&self.buffer[..bytes]);
                return Some(from);
            }
        }
        None
    }
}
