//! Monotonic time as the core sees it: a number that came in by argument.

use std::time::Duration;

/// A point on the member's own monotonic clock, in nanoseconds from an arbitrary origin.
/// Points of two members are never compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Time {
    ns: u64,
}

impl Time {
    /// The origin of the clock.
    pub const ZERO: Self = Self { ns: 0 };

    /// The point `ns` nanoseconds after the origin.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self { ns }
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.ns
    }

    /// Time passed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.ns.saturating_sub(earlier.ns))
    }
}

impl std::hash::Hash for Time {
    /// As a signed number, which nothing else in a member is: a hasher that compares what members
    /// are at different times knows points in time by it, and counts them from now.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_i64(self.ns.cast_signed());
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let span_ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self { ns: self.ns.saturating_add(span_ns) }
    }
}
