//! The one clock of a member: monotonic, from the moment it was made.

use std::time::Instant;

use roundel_ring::time::Time;

/// Turns the system's monotonic clock into the core's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    /// Now, in both forms, from one reading.
    pub(crate) fn now(self) -> (Instant, Time) {
        let now = Instant::now();
        (now, self.time(now))
    }

    fn time(self, at: Instant) -> Time {
        let span = at.saturating_duration_since(self.origin);
        Time::from_ns(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    }
}
