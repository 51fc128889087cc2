//! Ends a wait from another thread.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;

/// Ends the wait of the link it belongs to, from any thread.
///
/// A wake that comes before the wait ends the next wait at once: none is lost.
#[derive(Clone, Debug)]
pub struct Waker(Arc<EventFd>);

impl Waker {
    /// A waker that belongs to no link, for a thread that waits for nothing else.
    ///
    /// # Errors
    ///
    /// When the process cannot have another file.
    pub fn new() -> std::io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self(Arc::new(EventFd::from_flags(flags)?)))
    }

    /// Ends the current wait, or the next one.
    pub fn wake(&self) {
        // The one error there can be is that 2^64 - 2 wakes wait already.
        let _ = self.0.write(1);
    }

    /// Blocks until this waker fires or `timeout` is over, and forgets that it fired; `None` is no
    /// timeout. May end early.
    pub fn wait(&self, timeout: Option<Duration>) {
        wait_for(&mut [PollFd::new(self.as_fd(), PollFlags::POLLIN)], timeout);
        self.clear();
    }

    /// Forgets wakes; whether there was one.
    pub fn clear(&self) -> bool {
        // Fails when there was none.
        self.0.read().is_ok()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether a wait has found this one ready, or broken.
pub(crate) fn is_ready(fd: &PollFd<'_>) -> bool {
    fd.any().unwrap_or(true)
}

/// Blocks until one of `fds` is ready or `timeout` is over; may end early.
pub(crate) fn wait_for(fds: &mut [PollFd<'_>], timeout: Option<Duration>) {
    // The one error that a correct call can meet is a signal, which ends the wait.
    let _ = ppoll(fds, timeout.map(TimeSpec::from_duration), None);
}
