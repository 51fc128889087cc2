//! How one thread tells another that there is something to do, for the price of a load when the
//! other is awake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use roundel_transport::Waker;

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
        fence(Ordering::SeqCst);
        // The load keeps the line shared while nobody sleeps.
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.waker.wake();
        }
    }

    /// The sleeper is about to look at its queues for the last time.
    pub(crate) fn prepare_sleep(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The sleeper is awake.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}

/// The bells of a member, each at the thread it is named after.
#[derive(Clone, Debug)]
pub(crate) struct Bells {
    /// For commands and directives.
    pub(crate) worker: Doorbell,
    /// For reports, disk answers and leaves.
    pub(crate) control: Doorbell,
    /// For deliveries.
    pub(crate) application: Doorbell,
    /// At publishers, for room.
    pub(crate) room: Doorbell,
}
