//! Where a thread hands over or waits, so that tests can stall it there. Nothing in other builds.

/// A moment of a hand-over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum At {
    /// Before something is put where another thread looks.
    Push,
    /// Before something is taken from there.
    Pop,
    /// Between a push and the look whether the other sleeps.
    Ring,
    /// Between that look and the wake.
    Wake,
    /// Before and after a thread says that it will sleep, and before it does.
    Sleep,
    /// After a sleep, before the thread says so.
    Awake,
}

/// Stalls the calling thread if a test wants it to.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn stall(_at: At) {}

/// What a thread that is started takes over from the one that starts it.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn heir(_thread: &'static str) -> impl FnOnce() + Send + 'static {
    || {}
}

#[cfg(test)]
pub(crate) use seeded::{Plan, begin, heir, stall};

#[cfg(test)]
#[path = "tests/seeded.rs"]
mod seeded;
