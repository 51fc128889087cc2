//! How long the token takes around the ring: a histogram that the worker writes and anybody reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use roundel_ring::counters::DataCounters;

/// Buckets of one power of two are 2^4, so that a bucket is 6 % wide.
const STEPS_BITS: u32 = 4;
const STEPS: usize = 1 << STEPS_BITS;

/// Longest time told apart: 2^40 ns are 18 minutes.
const BITS_MAX: u32 = 40;

const BUCKETS: usize = (BITS_MAX - STEPS_BITS + 1) as usize * STEPS;

/// The bucket of a time.
fn bucket_of(ns: u64) -> usize {
    let ns = ns.min((1 << BITS_MAX) - 1);
    let power = (ns | 1).ilog2();
    let Some(shift) = power.checked_sub(STEPS_BITS) else {
        return usize::try_from(ns).unwrap_or(0);
    };
    let step = usize::try_from(ns >> shift).unwrap_or(0) - STEPS;
    (shift as usize + 1) * STEPS + step
}

/// The longest time of a bucket, in nanoseconds.
const fn longest_of(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let shift = bucket / STEPS - 1;
    ((STEPS + bucket % STEPS + 1) as u64) << shift
}

/// The histogram that a worker writes.
#[derive(Debug)]
pub(crate) struct RotationPage {
    counts: Box<[AtomicU64]>,
}

impl Default for RotationPage {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl RotationPage {
    /// Counts one rotation. The worker alone calls it.
    fn record(&self, span: Duration) {
        let ns = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(bucket_of(ns)) {
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Rotations {
        Rotations { counts: self.counts.iter().map(|c| c.load(Ordering::Relaxed)).collect() }
    }
}

/// Sees the tokens come, by their counter.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct TokenWatch {
    tokens: u64,
    installed: u64,
    came_at: Option<Instant>,
}

impl TokenWatch {
    /// After a cycle that began at `now`.
    pub(crate) fn see(&mut self, counters: &DataCounters, now: Instant, page: &RotationPage) {
        if counters.installed != self.installed {
            // Between two rings no token went round.
            self.installed = counters.installed;
            self.came_at = None;
        }
        if counters.tokens == self.tokens {
            return;
        }
        self.tokens = counters.tokens;
        if let Some(before) = self.came_at.replace(now) {
            page.record(now.saturating_duration_since(before));
        }
    }
}

/// How often the token took how long around the ring, from one visit to the next. A token that
/// is held because the ring is idle counts with the time it was held.
///
/// Times are exact to 6 %.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Rotations {
    counts: Vec<u64>,
}

impl Rotations {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The time that `percent` of them did not exceed, 0 to 100; `None` when there were none.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let all = self.count();
        let mut below = 0;
        let share = percent / 100.0;
        let found = self.counts.iter().position(|count| {
            below += count;
            below > 0 && below as f64 >= share * all as f64
        });
        found.map(|bucket| Duration::from_nanos(longest_of(bucket)))
    }

    /// Those that came after `earlier` was read of the same member.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        let counts = self.counts.iter().zip(before).map(|(now, then)| now.saturating_sub(then));
        Self { counts: counts.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_six_percent_wide_and_holds_its_times() {
        let mut last = 0;
        for ns in (0..2_000).chain((10..40).flat_map(|bits| [1 << bits, (1 << bits) + 12_345])) {
            let longest = longest_of(bucket_of(ns));
            assert!(longest >= ns && longest <= ns + ns / 16 + 1, "{ns}: {longest}");
            last = last.max(bucket_of(ns));
        }
        assert!(last < BUCKETS && bucket_of(u64::MAX) == BUCKETS - 1);
    }

    #[test]
    fn percentiles_and_differences() {
        let page = RotationPage::default();
        assert_eq!(page.read().percentile(50.0), None);
        for us in 1..=100 {
            page.record(Duration::from_micros(us));
        }
        let first = page.read();
        let near = |at: Option<Duration>, us: u64| {
            let ns = u64::try_from(at.unwrap().as_nanos()).unwrap();
            assert!((us * 1_000..us * 1_070).contains(&ns), "{ns} is not near {us} us");
        };
        near(first.percentile(50.0), 50);
        near(first.percentile(100.0), 100);
        page.record(Duration::from_micros(500));
        let later = page.read().since(&first);
        assert_eq!(later.count(), 1);
        near(later.percentile(50.0), 500);
    }

    #[test]
    fn no_rotation_spans_two_rings() {
        let (page, mut watch) = (RotationPage::default(), TokenWatch::default());
        let start = Instant::now();
        let mut counters = DataCounters::default();
        for (tokens, installed, us) in [(1, 1, 0), (2, 1, 10), (2, 1, 15), (3, 2, 900), (4, 2, 920)]
        {
            (counters.tokens, counters.installed) = (tokens, installed);
            watch.see(&counters, start + Duration::from_micros(us), &page);
        }
        let seen = page.read();
        assert_eq!(seen.count(), 2);
        assert!(seen.percentile(100.0).unwrap() < Duration::from_micros(30));
    }
}
