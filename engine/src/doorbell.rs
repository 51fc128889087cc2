//! How one thread tells another that there is something to do, for the price of a load when the
//! other is awake.

use std::time::Duration;

use crate::stall::{At, stall};
use crate::sync::{Arc, AtomicBool, Ordering, Waker, fence};

/// A bell at a thread that sleeps on a file descriptor.
///
/// The sleeper says that it will sleep, looks once more at its queues, and sleeps; the ringer
/// puts something into a queue and rings. The fences make one of the two see the other: either
/// the sleeper finds what was put there, or the ringer finds it asleep and wakes it.
#[derive(Clone, Debug)]
pub(crate) struct Doorbell {
    asleep: Arc<AtomicBool>,
    waker: Waker,
}

impl Doorbell {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { asleep: Arc::new(AtomicBool::new(false)), waker }
    }

    /// After something was put into one of the sleeper's queues.
    pub(crate) fn ring(&self) {
        stall(At::Ring);
        fence(Ordering::SeqCst);
        // The load keeps the line shared while nobody sleeps.
        if self.asleep.load(Ordering::Relaxed) && self.wakes() {
            stall(At::Wake);
            self.waker.wake();
        }
    }

    /// Of several that ring for one sleep, one wakes.
    fn wakes(&self) -> bool {
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        self.asleep.compare_exchange(true, false, success, failure).is_ok()
    }

    /// The sleeper is about to look at its queues for the last time.
    pub(crate) fn prepare_sleep(&self) {
        stall(At::Sleep);
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        stall(At::Sleep);
    }

    /// The sleeper is awake.
    pub(crate) fn awake(&self) {
        stall(At::Awake);
        self.asleep.store(false, Ordering::Relaxed);
    }
}

/// A bell and the descriptor that a thread without a link sleeps on.
#[derive(Clone, Debug)]
pub(crate) struct Bed {
    bell: Doorbell,
    waker: Waker,
}

impl Bed {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { bell: Doorbell::new(waker.clone()), waker }
    }

    /// What others ring.
    pub(crate) fn bell(&self) -> Doorbell {
        self.bell.clone()
    }

    pub(crate) const fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Sleeps until a ring, at most `timeout`, unless `has_news` finds something.
    pub(crate) fn sleep(&self, timeout: Duration, has_news: impl FnOnce() -> bool) {
        self.bell.prepare_sleep();
        if !has_news() {
            self.wait(timeout);
        }
        self.bell.awake();
    }

    /// Makes the descriptor tell of the next ring; false when `has_news` finds something already.
    pub(crate) fn arm(&self, has_news: impl FnOnce() -> bool) -> bool {
        // First, or the ring for what the look misses could be forgotten.
        self.waker.clear();
        self.bell.prepare_sleep();
        !has_news()
    }

    /// The first half of a sleep: the caller looks once more and then waits.
    pub(crate) fn prepare_sleep(&self) {
        self.bell.prepare_sleep();
    }

    /// The second half: until a ring, at most `timeout`.
    pub(crate) fn wait(&self, timeout: Duration) {
        stall(At::Sleep);
        self.waker.wait(Some(timeout));
    }
}

/// The bells of a member, each at the thread it is named after.
#[derive(Clone, Debug)]
pub(crate) struct Bells {
    /// For commands and directives.
    pub(crate) worker: Doorbell,
    /// For reports, disk answers and leaves.
    pub(crate) control: Doorbell,
    /// For deliveries, and the end.
    pub(crate) application: Doorbell,
    /// At publishers, for room.
    pub(crate) room: Doorbell,
}

impl Bells {
    /// The member ends: nobody sleeps on.
    pub(crate) fn ring_all(&self) {
        for bell in [&self.worker, &self.control, &self.application, &self.room] {
            bell.ring();
        }
    }
}
