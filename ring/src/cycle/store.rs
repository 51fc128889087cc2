//! The way of primary records to the disk: one write at a time, tried until it succeeds.

use std::time::Duration;

use bytes::Bytes;

use crate::time::Time;

/// A write that was asked for by the worker, on the control side.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Store {
    pending: Option<Pending>,
    /// Between a failed write and the next try.
    pause: Duration,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Pending {
    number: u64,
    record: Bytes,
    at: At,
}

/// Where a write is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum At {
    /// To be given to the disk then.
    Control(Time),
    Disk,
}

impl Store {
    pub(super) const fn new(pause: Duration) -> Self {
        Self { pending: None, pause }
    }

    /// The worker asks for a write. It asks for the next one only when it has heard of this one.
    pub(super) fn handle_store(&mut self, now: Time, number: u64, record: Bytes) {
        self.pending = Some(Pending { number, record, at: At::Control(now) });
    }

    /// The disk's answer; yields what the worker is to be told.
    pub(super) fn handle_stored(&mut self, now: Time, durable: bool) -> Option<u64> {
        let pending = self.pending.as_mut().filter(|pending| pending.at == At::Disk)?;
        if durable {
            return self.pending.take().map(|pending| pending.number);
        }
        pending.at = At::Control(now + self.pause);
        None
    }

    /// What is to be written now.
    pub(super) fn poll_write(&mut self, now: Time) -> Option<Bytes> {
        let due = |pending: &&mut Pending| matches!(pending.at, At::Control(at) if at <= now);
        let pending = self.pending.as_mut().filter(due)?;
        pending.at = At::Disk;
        Some(pending.record.clone())
    }

    /// When [`Store::poll_write`] has the next write.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match self.pending.as_ref()?.at {
            At::Control(at) => Some(at),
            At::Disk => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_is_tried_again_after_a_pause() {
        let at = |ms: u64| Time::from_ns(ms * 1_000_000);
        let mut store = Store::new(Duration::from_millis(40));
        store.handle_store(at(0), 1, Bytes::from_static(b"one"));
        assert_eq!(store.poll_write(at(0)), Some(Bytes::from_static(b"one")));
        assert_eq!(store.poll_write(at(0)), None, "one write at a time");
        assert_eq!(store.handle_stored(at(5), false), None);
        assert_eq!((store.poll_write(at(44)), store.poll_timeout()), (None, Some(at(45))));
        assert_eq!(store.poll_write(at(45)), Some(Bytes::from_static(b"one")));
        assert_eq!(store.handle_stored(at(50), true), Some(1));
        assert_eq!(store.handle_stored(at(50), true), None, "a spurious answer is harmless");
    }
}
