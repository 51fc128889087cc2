//! What two worlds must have in common to go on alike: a hash that counts time from now.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::time::Time;

/// Hashes what a cluster is at some time, so that the same thing a second later is the same.
///
/// Points in time come in as signed numbers ([`Time`]'s own hash) and count from now. Everything
/// else is hashed as it is.
#[derive(Debug)]
pub(super) struct StateHasher {
    inner: DefaultHasher,
    now: Time,
}

/// Longer ago than anything a member remembers the length of.
const FORGOTTEN_NS: i64 = 600_000_000_000;

impl StateHasher {
    pub(super) fn new(now: Time) -> Self {
        Self { inner: DefaultHasher::new(), now }
    }
}

impl Hasher for StateHasher {
    fn finish(&self) -> u64 {
        self.inner.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }

    fn write_i64(&mut self, at_ns: i64) {
        let from_now = at_ns.saturating_sub(self.now.as_ns().cast_signed());
        self.inner.write_i64(from_now.max(-FORGOTTEN_NS));
    }
}

/// The hash of `next` put behind what `before` stands for.
pub(super) fn chain(before: u64, next: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    before.hash(&mut hasher);
    next.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hash(now: Time, what: &impl Hash) -> u64 {
        let mut hasher = StateHasher::new(now);
        what.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn only_time_counts_from_now() {
        let (early, later) = (Time::from_ns(1_000), Time::from_ns(5_000));
        let ahead = |now: Time| now + Duration::from_nanos(7);
        assert_eq!(hash(early, &ahead(early)), hash(later, &ahead(later)));
        assert_ne!(hash(early, &ahead(early)), hash(early, &early));
        assert_ne!(hash(early, &7_u64), hash(early, &8_u64));
        assert_eq!(hash(early, &7_u64), hash(later, &7_u64));
    }
}
