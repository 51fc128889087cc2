//! Whether io_uring does here what this crate uses it for, found by doing it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::counters::Counters;
use crate::inbox::{Inbox, Lane};
use crate::notice::UringError;
use crate::settings::MemoryBounds;
use crate::sys::intake::{Framing, IntakeTerms};
use crate::sys::uring::ring::{Level, Refused};
use crate::sys::uring::{Failure, Uring};
use crate::waker::Waker;

/// How long the probe waits for what should be there at once.
const PATIENCE: Duration = Duration::from_secs(2);

const STEP: &str = "a multishot receive into provided buffers";

/// Receives datagrams by the same means as a link does, over a pair of local sockets, which needs
/// no network; the level that works.
pub(super) fn probe() -> Result<Level, UringError> {
    match receive_some(Level::Deferred) {
        // A kernel that does not know a flag says so.
        Err(Failure::Refused(refused)) if refused.errno == libc::EINVAL => {
            receive_some(Level::Cooperative)?;
            Ok(Level::Cooperative)
        }
        result => Ok(result.map(|()| Level::Deferred)?),
    }
}

fn receive_some(level: Level) -> Result<(), Failure> {
    const DATAGRAMS: [&[u8]; 3] = [b"some", b"few", b"words"];
    let socket_error = Refused::at("a pair of sockets");
    let (here, there) = UnixDatagram::pair().map_err(&socket_error)?;
    // Only what any datagram socket does is done with it.
    let here = Socket::from(OwnedFd::from(here));
    let waker = Waker::new().map_err(Refused::at("a file for waking"))?;
    let terms = IntakeTerms {
        lane: Lane::Data,
        framing: Framing::Udp,
        own: None,
        datagram_bytes_max: 64,
        bounds: MemoryBounds::default(),
    };
    let mut uring = Uring::open(level, (here, terms), None, waker)?;
    let (mut inbox, mut counters) = (Inbox::new(), Counters::default());
    let deadline = Instant::now() + PATIENCE;
    for datagram in DATAGRAMS {
        there.send(datagram).map_err(&socket_error)?;
        let frame = loop {
            uring.receive(&mut inbox, &mut counters)?;
            if let Some(frame) = inbox.data() {
                break frame;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::Misbehaves { step: STEP });
            }
            uring.wait(Some(left))?;
        };
        if frame.bytes != datagram {
            return Err(Failure::Misbehaves { step: STEP });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn every_level_that_the_kernel_has_works() {
        for level in [Level::Deferred, Level::Cooperative] {
            match receive_some(level) {
                Ok(()) => {}
                Err(Failure::Refused(refused)) => {
                    // Not `eprintln!`, which the test harness swallows.
                    let _ = writeln!(std::io::stderr(), "{level:?} skipped: {refused:?}");
                }
                Err(failure) => panic!("{level:?}: {failure:?}"),
            }
        }
    }
}
