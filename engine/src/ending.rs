//! How a member ends: who says so, why, and when its last event is there to read.

use roundel_ring::id::Epoch;

use crate::doorbell::Bells;
use crate::stall::{At, stall};
use crate::sync::{AtomicBool, AtomicU64, OnceLock, Ordering};

/// Why a member ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndReason {
    /// It was asked to leave, and left.
    #[error("the member has left")]
    Left,
    /// A member with its id and a later start is alive.
    #[error(
        "another member with this id was started later (epoch {by}) and stays; \
         fix: give each member its own --id"
    )]
    Superseded {
        /// The other's start epoch.
        by: Epoch,
    },
    /// Its application did not read for longer than the policy allows.
    #[error(
        "the application did not read its events for too long and was evicted; \
         fix: read faster, or let the ring wait with --slow-consumer hold"
    )]
    Evicted,
    /// Its trace cannot be written.
    #[error("the trace file cannot be written; fix: give it room, or run without --trace")]
    TraceFailed,
    /// One of its threads ended by a panic: a defect of this program.
    #[error("a thread of the member ended by a panic; please report it with its message")]
    Panicked,
}

/// The steps of a member's end, each taken once and never back.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Nothing more is accepted.
    closed: AtomicBool,
    /// The application no longer waits for anything: end soon.
    abandoned: AtomicBool,
    /// The leave is announced, or there is nothing to announce: the threads end.
    stop: AtomicBool,
    /// The worker's thread has written its last event.
    worker_ended: AtomicBool,
    /// Why it ended, once it has.
    reason: OnceLock<EndReason>,
    /// Messages accepted and not delivered when it ended.
    undelivered: AtomicU64,
}

impl Default for Ending {
    fn default() -> Self {
        Self {
            closed: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            worker_ended: AtomicBool::new(false),
            reason: OnceLock::new(),
            undelivered: AtomicU64::new(0),
        }
    }
}

impl Ending {
    /// Accepts nothing more; whether this was the first to say so.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// Nothing more is accepted.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Nobody waits for anything: control announces the leave.
    pub(crate) fn abandon(&self) {
        self.closed.store(true, Ordering::Release);
        stall(At::Push);
        self.abandoned.store(true, Ordering::Release);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Notes why the member cannot go on; control announces the leave, so that the others go on at
    /// once.
    pub(crate) fn give_up(&self, reason: EndReason) {
        let _ = self.reason.set(reason);
        self.abandon();
    }

    /// Notes why the member ends; the first reason stays.
    pub(crate) fn end(&self, reason: EndReason) {
        let _ = self.reason.set(reason);
        self.closed.store(true, Ordering::Release);
        stall(At::Push);
        self.stop.store(true, Ordering::Release);
    }

    /// The threads are to end.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Why it ended, or will; the application knows it when [`Ending::has_worker_ended`].
    pub(crate) fn reason(&self) -> Option<EndReason> {
        self.reason.get().copied()
    }

    /// So many accepted messages were not delivered. Before [`Ending::end_thread`].
    pub(crate) fn note_undelivered(&self, messages: u64) {
        self.undelivered.store(messages, Ordering::Relaxed);
    }

    /// What the worker noted; final when [`Ending::has_worker_ended`].
    pub(crate) fn undelivered(&self) -> u64 {
        self.undelivered.load(Ordering::Relaxed)
    }

    /// The last that one of the member's threads does.
    pub(crate) fn end_thread(&self, is_worker: bool, bells: &Bells) {
        stall(At::Push);
        if is_worker {
            self.worker_ended.store(true, Ordering::Release);
        }
        // Behind that, or who waits for the end alone would look before it and sleep on.
        bells.ring_all();
    }

    /// Whoever looks at the stream after this was true sees all that there ever is.
    pub(crate) fn has_worker_ended(&self) -> bool {
        self.worker_ended.load(Ordering::Acquire)
    }
}
