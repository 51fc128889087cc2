//! What hand-overs between threads are made of, in one place: the model tests compile the same
//! sources over others, whose every order of steps is tried (`tests/model`).

use std::time::Duration;

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Arc, OnceLock};

pub(crate) use crossbeam::queue::ArrayQueue;
pub(crate) use crossbeam::utils::{Backoff, CachePadded};
pub(crate) use roundel_transport::Waker;

/// Long enough for a thread that was interrupted in a few instructions to go on.
const PAUSE: Duration = Duration::from_micros(50);

/// Leaves the processor to whoever is in the middle of something, whatever the priorities.
pub(crate) fn pause() {
    std::thread::sleep(PAUSE);
}
