//! What `src/sync.rs` gives the members, over loom: no stronger than the real ones, so that an
//! order which is missing in the sources cannot hide behind theirs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) use crossbeam::utils::CachePadded;
pub(crate) use loom::sync::Arc;
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};

/// An eventfd. No time-out ever comes, so a wake that is lost is a deadlock, which loom finds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waker(Arc<EventFd>);

#[derive(Debug, Default)]
struct EventFd {
    fired: loom::sync::Mutex<bool>,
    changed: loom::sync::Condvar,
}

impl Waker {
    pub(crate) fn wake(&self) {
        *self.0.fired.lock().unwrap() = true;
        self.0.changed.notify_all();
    }

    pub(crate) fn wait(&self, _timeout: Option<Duration>) {
        let mut fired = self.0.fired.lock().unwrap();
        while !std::mem::take(&mut *fired) {
            fired = self.0.changed.wait(fired).unwrap();
        }
    }

    pub(crate) fn clear(&self) -> bool {
        std::mem::take(&mut *self.0.fired.lock().unwrap())
    }
}

/// A value that loom takes for plain memory: it must not order anything. Only what the atomics
/// beside it let through is ever looked at, so nobody waits for the lock.
#[derive(Debug, Default)]
struct Plain<T>(Mutex<T>);

impl<T> Plain<T> {
    fn with<R>(&self, what: impl FnOnce(&mut T) -> R) -> R {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// crossbeam's queue of many producers, here with one consumer, and without the fences with which
/// it looks whether it is full or empty.
#[derive(Debug)]
pub(crate) struct ArrayQueue<T> {
    slots: Box<[Slot<T>]>,
    head: AtomicUsize,
    tail: AtomicUsize,
}

#[derive(Debug)]
struct Slot<T> {
    /// `2 * position` when free for it, one more when filled.
    stamp: AtomicUsize,
    value: Plain<Option<T>>,
}

impl<T> ArrayQueue<T> {
    pub(crate) fn new(entries: usize) -> Self {
        let slot = |at| Slot { stamp: AtomicUsize::new(2 * at), value: Plain(Mutex::new(None)) };
        Self {
            slots: (0..entries).map(slot).collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        }
    }

    pub(crate) fn push(&self, value: T) -> Result<(), T> {
        loop {
            let tail = self.tail.load(Ordering::Relaxed);
            let slot = &self.slots[tail % self.slots.len()];
            let stamp = slot.stamp.load(Ordering::Acquire);
            let is_free = stamp == 2 * tail;
            if is_free && self.advance(tail) {
                slot.value.with(|it| *it = Some(value));
                slot.stamp.store(2 * tail + 1, Ordering::Release);
                return Ok(());
            }
            if stamp < 2 * tail && self.head.load(Ordering::Relaxed) + self.slots.len() == tail {
                return Err(value);
            }
            loom::thread::yield_now();
        }
    }

    fn advance(&self, tail: usize) -> bool {
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        self.tail.compare_exchange(tail, tail + 1, success, failure).is_ok()
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let head = self.head.load(Ordering::Relaxed);
        let slot = &self.slots[head % self.slots.len()];
        while slot.stamp.load(Ordering::Acquire) != 2 * head + 1 {
            if self.tail.load(Ordering::Relaxed) == head {
                return None;
            }
            // Somebody is in the middle of a push.
            loom::thread::yield_now();
        }
        let value = slot.value.with(Option::take);
        self.head.store(head + 1, Ordering::Relaxed);
        slot.stamp.store(2 * (head + self.slots.len()), Ordering::Release);
        value
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tail.load(Ordering::Acquire) == self.head.load(Ordering::Acquire)
    }
}

/// std's cell, where the value is there as soon as it is set: nobody runs between two steps of
/// loom's.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    is_set: AtomicBool,
    value: std::sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    pub(crate) fn new() -> Self {
        Self { is_set: AtomicBool::new(false), value: std::sync::OnceLock::new() }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        match self.is_set.compare_exchange(false, true, success, failure) {
            Ok(_) => self.value.set(value),
            Err(_) => Err(value),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
    }
}

/// Polls end at once: what follows them is what is of interest.
#[derive(Debug, Default)]
pub(crate) struct Backoff;

impl Backoff {
    pub(crate) fn is_completed(&self) -> bool {
        true
    }

    pub(crate) fn snooze(&self) {}
}

pub(crate) fn pause() {
    loom::thread::yield_now();
}
