//! How slow this member's surroundings are just now, so that timeouts stretch on a busy host
//! instead of taking the slow for dead.

use std::time::Duration;

use crate::time::Time;

/// The slowest thing counts for at least this long, and at most twice as long.
const WINDOW: Duration = Duration::from_secs(4);

/// Nothing counts for longer.
#[cfg(feature = "sim")]
pub(crate) const REMEMBERED: Duration = WINDOW.saturating_mul(2);

/// A timeout is this many times the slowest thing seen of late, if that is longer.
const FACTOR: u32 = 4;

/// A timeout stretches at most this many times.
pub(crate) const STRETCH_MAX: u32 = 6;

/// The slowest round trip, or own delay, of the last few seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Pace {
    since: Time,
    current: Duration,
    previous: Duration,
}

impl Pace {
    /// Notes how long something took that is quick on a quiet host: a rotation of the token, or how
    /// late this member's own timer was.
    pub fn note(&mut self, now: Time, took: Duration) {
        self.roll(now);
        self.current = self.current.max(took);
    }

    /// Notes how late this member's own timer was, unless no stretch of `timeout` would cover that:
    /// then it stood still, the others have gone on without it, and patience brings nobody back.
    pub fn note_own(&mut self, now: Time, late: Duration, timeout: Duration) {
        if late <= timeout * STRETCH_MAX {
            self.note(now, late);
        }
    }

    /// `timeout`, stretched for the time being.
    #[must_use]
    pub fn stretch(&self, timeout: Duration) -> Duration {
        let slowest = self.current.max(self.previous);
        (slowest * FACTOR).clamp(timeout, timeout * STRETCH_MAX)
    }

    fn roll(&mut self, now: Time) {
        let age = now.since(self.since);
        if age >= WINDOW {
            let recent = age < 2 * WINDOW;
            self.previous = if recent { self.current } else { Duration::ZERO };
            self.current = Duration::ZERO;
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_time_stretches_timeouts_and_is_forgotten() {
        let timeout = Duration::from_millis(80);
        let mut pace = Pace::default();
        let at = |ms| Time::ZERO + Duration::from_millis(ms);
        pace.note(at(10_000), Duration::from_millis(2));
        assert_eq!(pace.stretch(timeout), timeout, "a quiet host");
        pace.note(at(10_100), Duration::from_millis(50));
        assert_eq!(pace.stretch(timeout), Duration::from_millis(200));
        pace.note(at(10_200), Duration::from_secs(60));
        assert_eq!(pace.stretch(timeout), timeout * STRETCH_MAX, "bounded");
        pace.note_own(at(14_500), Duration::from_millis(1), timeout);
        assert_eq!(pace.stretch(timeout), timeout * STRETCH_MAX, "not forgotten at once");
        pace.note(at(19_000), Duration::from_millis(1));
        assert_eq!(pace.stretch(timeout), timeout);
        pace.note_own(at(19_100), timeout * STRETCH_MAX + Duration::from_millis(1), timeout);
        assert_eq!(pace.stretch(timeout), timeout, "it stood still");
        pace.note_own(at(19_200), timeout, timeout);
        assert_eq!(pace.stretch(timeout), timeout * FACTOR, "it is slow");
    }
}
