//! What a worker does when a cycle found nothing to do.

use std::time::{Duration, Instant};

/// How a thread without work waits for some.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum IdleStrategy {
    /// Polls with a yield for a while after the last traffic, then sleeps until something
    /// happens: low latency under load, no CPU when idle, fair with few cores. Where yields take
    /// long, because others compute, and with a real-time priority it sleeps at once.
    #[default]
    Auto,
    /// Polls without pause: the lowest latency, a whole core for each thread.
    Spin,
    /// Polls with a yield: leaves the core to others that want it.
    Backoff,
    /// Sleeps at once: the least CPU, a wake-up of latency at each hop.
    Park,
}

/// How long `Auto` polls after the last traffic. A wake-up across cores costs some 30 µs, a held
/// token comes again within milliseconds.
const POLL_AFTER_TRAFFIC: Duration = Duration::from_micros(300);

/// What to do in this idle round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IdleStep {
    Spin,
    Yield,
    Sleep,
}

/// A rest of the ring, in which nobody has anything to send, is polled through where rests usually
/// are shorter than this: a sleep costs the wake-up.
const REST_SHORT: Duration = Duration::from_micros(100);

/// Rests count as no longer, so that a pause is soon forgotten.
const REST_COUNTED_MAX: Duration = Duration::from_millis(1);

/// A yield that takes longer gave the processor to a thread that computes: some take it for their
/// whole slice, 3 ms by default.
const YIELD_MAX: Duration = Duration::from_millis(1);

/// How long `Auto` does not yield after one that took longer: twice as long each time that the
/// next yields are no shorter.
const CROWDED_MIN: Duration = Duration::from_millis(5);
const CROWDED_MAX: Duration = Duration::from_millis(160);

/// A sleep is no shorter while others compute here: one that is over at once leaves them nothing, and
/// counts against this thread as if it had computed, too.
const CROWDED_SLEEP_MIN: Duration = Duration::from_micros(50);

/// A strategy at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    strategy: IdleStrategy,
    crowded: Option<Crowded>,
    /// When the ring came to rest.
    resting_since: Option<Instant>,
    usual_rest: Duration,
}

/// Others compute on this thread's processor.
#[derive(Clone, Copy, Debug)]
struct Crowded {
    until: Instant,
    /// How long that was.
    span: Duration,
}

impl Idle {
    /// A thread with a real-time priority that polls leaves nothing to all others: a yield is for
    /// its like alone. So `Auto` sleeps there.
    pub(crate) fn new(strategy: IdleStrategy, is_realtime: bool) -> Self {
        let sleeps = is_realtime && strategy == IdleStrategy::Auto;
        Self {
            strategy: if sleeps { IdleStrategy::Park } else { strategy },
            crowded: None,
            resting_since: None,
            usual_rest: REST_COUNTED_MAX,
        }
    }

    /// The step at `now` when there was work at `worked_at` last; `at_rest` when the ring has
    /// nothing to do, so that its passing token is no traffic to poll for.
    pub(crate) fn step(&mut self, worked_at: Instant, now: Instant, at_rest: bool) -> IdleStep {
        let rested = self.note_rest(now, at_rest);
        match self.strategy {
            IdleStrategy::Spin => IdleStep::Spin,
            IdleStrategy::Backoff => IdleStep::Yield,
            IdleStrategy::Park => IdleStep::Sleep,
            IdleStrategy::Auto => {
                let soon = now.saturating_duration_since(worked_at) < POLL_AFTER_TRAFFIC;
                let over_soon = self.usual_rest < REST_SHORT && rested < 2 * REST_SHORT;
                if soon && (!at_rest || over_soon) && !self.is_crowded(now) {
                    IdleStep::Yield
                } else {
                    IdleStep::Sleep
                }
            }
        }
    }

    fn is_crowded(&self, now: Instant) -> bool {
        self.crowded.is_some_and(|crowded| now < crowded.until)
    }

    /// How long a sleep at `now` lasts that is to last for `wanted`, if nothing ends it. None at all
    /// where something is due.
    pub(crate) fn sleep(&self, now: Instant, wanted: Duration) -> Duration {
        if self.is_crowded(now) && !wanted.is_zero() {
            wanted.max(CROWDED_SLEEP_MIN)
        } else {
            wanted
        }
    }

    /// How long the ring has rested by now.
    fn note_rest(&mut self, now: Instant, at_rest: bool) -> Duration {
        if at_rest {
            let since = *self.resting_since.get_or_insert(now);
            return now.saturating_duration_since(since);
        }
        if let Some(since) = self.resting_since.take() {
            let rest = now.saturating_duration_since(since).min(REST_COUNTED_MAX);
            self.usual_rest = (self.usual_rest * 7 + rest) / 8;
        }
        Duration::ZERO
    }

    /// Lets other threads have the processor at `now`.
    pub(crate) fn yield_now(&mut self, now: Instant) {
        std::thread::yield_now();
        let after = Instant::now();
        self.yielded(after, after.saturating_duration_since(now));
    }

    /// A yield ended at `now` that took so long.
    ///
    /// Who yields to a thread that computes comes back after that one's slice, and Linux since
    /// 6.18 lets it pay for its own slice as well; who sleeps comes back as soon as it is woken.
    fn yielded(&mut self, now: Instant, took: Duration) {
        if took <= YIELD_MAX {
            return;
        }
        let again = self.crowded.filter(|crowded| now < crowded.until + crowded.span);
        let span = again.map_or(CROWDED_MIN, |crowded| CROWDED_MAX.min(2 * crowded.span));
        self.crowded = Some(Crowded { until: now + span, span });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_polls_after_traffic_and_then_sleeps() {
        let mut idle = Idle::new(IdleStrategy::Auto, false);
        let worked_at = Instant::now();
        let soon = worked_at + POLL_AFTER_TRAFFIC / 2;
        assert_eq!(idle.step(worked_at, soon, false), IdleStep::Yield);
        assert_eq!(idle.step(worked_at, soon, true), IdleStep::Sleep);
        let later = worked_at + POLL_AFTER_TRAFFIC * 2;
        assert_eq!(idle.step(worked_at, later, false), IdleStep::Sleep);
    }

    #[test]
    fn short_rests_of_the_ring_are_polled_through() {
        let mut idle = Idle::new(IdleStrategy::Auto, false);
        let mut now = Instant::now();
        // A rest of so long, and the step in its beginning.
        let mut rest = |micros| {
            let step = idle.step(now, now, true);
            now += Duration::from_micros(micros);
            idle.step(now, now, false);
            step
        };
        assert_eq!(rest(30), IdleStep::Sleep, "not known to be short yet");
        let steps: Vec<_> = (0..30).map(|_| rest(30)).collect();
        assert_eq!(steps.last(), Some(&IdleStep::Yield));
        rest(50_000);
        assert_eq!(rest(30), IdleStep::Sleep, "a pause");
        let steps: Vec<_> = (0..30).map(|_| rest(30)).collect();
        assert_eq!(steps.last(), Some(&IdleStep::Yield));
        assert_eq!(idle.step(now, now, true), IdleStep::Yield);
        let later = now + 2 * REST_SHORT;
        assert_eq!(idle.step(later, later, true), IdleStep::Sleep, "longer than usual");
    }

    #[test]
    fn auto_never_polls_with_a_real_time_priority() {
        let now = Instant::now();
        let step = |strategy| Idle::new(strategy, true).step(now, now, false);
        assert_eq!(step(IdleStrategy::Auto), IdleStep::Sleep);
        assert_eq!(step(IdleStrategy::Backoff), IdleStep::Yield);
    }

    #[test]
    fn auto_sleeps_for_a_while_where_others_compute() {
        let mut idle = Idle::new(IdleStrategy::Auto, false);
        let now = Instant::now();
        idle.yielded(now, YIELD_MAX);
        assert_eq!(idle.step(now, now, false), IdleStep::Yield);
        idle.yielded(now, 2 * YIELD_MAX);
        assert_eq!(idle.step(now, now, false), IdleStep::Sleep);
        let later = now + CROWDED_MIN;
        assert_eq!(idle.step(later, later, false), IdleStep::Yield);
    }

    #[test]
    fn sleeps_leave_others_a_turn_where_they_compute() {
        let mut idle = Idle::new(IdleStrategy::Auto, false);
        let now = Instant::now();
        let (short, long) = (Duration::from_micros(4), Duration::from_millis(2));
        assert_eq!(idle.sleep(now, short), short);
        idle.yielded(now, 2 * YIELD_MAX);
        assert_eq!([short, long].map(|span| idle.sleep(now, span)), [CROWDED_SLEEP_MIN, long]);
        assert_eq!(idle.sleep(now, Duration::ZERO), Duration::ZERO, "something is due");
        assert_eq!(idle.sleep(now + CROWDED_MIN, short), short);
    }

    #[test]
    fn the_longer_they_compute_the_longer_auto_sleeps() {
        let mut idle = Idle::new(IdleStrategy::Auto, false);
        let mut now = Instant::now();
        for span in [5, 10, 20, 40, 80, 160, 160].map(Duration::from_millis) {
            idle.yielded(now, 2 * YIELD_MAX);
            let last = now + span - Duration::from_millis(1);
            assert_eq!(idle.step(last, last, false), IdleStep::Sleep);
            now += span;
            assert_eq!(idle.step(now, now, false), IdleStep::Yield);
        }
        now += CROWDED_MAX;
        idle.yielded(now, 2 * YIELD_MAX);
        now += CROWDED_MIN;
        assert_eq!(idle.step(now, now, false), IdleStep::Yield, "quiet in between");
    }
}
