//! The two queues to the kernel.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{CompletionQueue, IoUring, squeue};

/// Submissions at once: the datagrams of a cycle, with room for starting receives again.
const SUBMISSIONS: u32 = 256;

/// Completions that wait at most: every receive slot, every submission, and plenty.
const COMPLETIONS: u32 = 4096;

/// A step of making a ring that the kernel refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    pub(super) step: &'static str,
    pub(super) errno: i32,
}

impl Refused {
    /// Names the step that an error is from.
    pub(super) fn at(step: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self { step, errno: error.raw_os_error().unwrap_or(libc::EIO) }
    }
}

/// What a ring is asked for; each level works on older kernels than the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    /// Linux 6.1: the kernel's share of the work is done by the one thread that uses the ring,
    /// when it asks for it.
    Deferred,
    /// Linux 6.0: it is done by that thread whenever it enters the kernel.
    Cooperative,
}

/// A ring. Belongs to the thread that enables it.
pub(super) struct Ring {
    io: IoUring,
    level: Level,
    is_enabled: bool,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = self.level;
        f.debug_struct("Ring").field("level", &level).finish()
    }
}

impl Ring {
    /// A ring of a level.
    pub(super) fn open(level: Level) -> Result<Self, Refused> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(COMPLETIONS).setup_submit_all().setup_taskrun_flag();
        match level {
            Level::Deferred => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_r_disabled()
            }
            Level::Cooperative => builder.setup_coop_taskrun(),
        };
        let io = builder.build(SUBMISSIONS).map_err(Refused::at("io_uring_setup"))?;
        Ok(Self { io, level, is_enabled: level == Level::Cooperative })
    }

    /// Makes the calling thread the one that uses the ring, the first time.
    pub(super) fn enable(&mut self) -> io::Result<()> {
        if !self.is_enabled {
            self.io.submitter().register_enable_rings()?;
            self.is_enabled = true;
        }
        Ok(())
    }

    /// Registers a ring of provided buffers.
    ///
    /// # Safety
    ///
    /// At `address` are `entries` entries, page-aligned, and stay there until the ring is closed.
    pub(super) unsafe fn register_buffers(
        &self,
        address: u64,
        entries: u16,
        group: u16,
    ) -> Result<(), Refused> {
        let submitter = self.io.submitter();
        // SAFETY: the caller's promise is the one asked for.
        let result = unsafe { submitter.register_buf_ring_with_flags(address, entries, group, 0) };
        result.map_err(Refused::at("a ring of provided buffers"))
    }

    /// Queues a submission; false when there is no room.
    ///
    /// # Safety
    ///
    /// What the entry points to stays where it is and as it is until its last completion was
    /// seen.
    pub(super) unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the caller's promise is the one asked for.
        unsafe { self.io.submission().push(entry) }.is_ok()
    }

    /// Submissions that the kernel has not taken yet.
    pub(super) fn queued(&mut self) -> usize {
        self.io.submission().len()
    }

    /// Whether the kernel has something to take or to do for this ring.
    pub(super) fn has_work(&mut self) -> bool {
        let submissions = self.io.submission();
        !submissions.is_empty() || submissions.taskrun() || submissions.cq_overflow()
    }

    /// Submits what is queued, has pending work done, and waits until `want` completions are
    /// there or `timeout` is over.
    pub(super) fn enter(&mut self, want: usize, timeout: Option<Duration>) -> io::Result<()> {
        let submitter = self.io.submitter();
        let result = match timeout {
            None => submitter.submit_and_wait(want),
            Some(timeout) => {
                let timespec = Timespec::from(timeout);
                submitter.submit_with_args(want, &SubmitArgs::new().timespec(&timespec))
            }
        };
        match result.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) => Ok(()),
            // The timeout; a signal; no room for completions until some were read; no memory for
            // a moment. In each of them, what is queued stays queued.
            Err((Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN), _)) => Ok(()),
            Err((_, error)) => Err(error),
        }
    }

    pub(super) fn completions(&mut self) -> CompletionQueue<'_> {
        self.io.completion()
    }

    pub(super) fn has_completions(&mut self) -> bool {
        !self.io.completion().is_empty()
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring keeps its descriptor open as long as it lives, and the borrow ends
        // before it.
        unsafe { BorrowedFd::borrow_raw(self.io.as_raw_fd()) }
    }
}
