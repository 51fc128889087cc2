//! What a worker does when a cycle found nothing to do.

use std::time::{Duration, Instant};

/// How a thread without work waits for some.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum IdleStrategy {
    /// Polls with a yield for a while after the last traffic, then sleeps until something
    /// happens: low latency under load, no CPU when idle, fair with few cores.
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

impl IdleStrategy {
    /// The step at `now` when there was work at `worked_at` last; `at_rest` when the ring has
    /// nothing to do, so that its passing token is no traffic to poll for.
    pub(crate) fn step(self, worked_at: Instant, now: Instant, at_rest: bool) -> IdleStep {
        match self {
            Self::Spin => IdleStep::Spin,
            Self::Backoff => IdleStep::Yield,
            Self::Park => IdleStep::Sleep,
            Self::Auto => {
                let soon = now.saturating_duration_since(worked_at) < POLL_AFTER_TRAFFIC;
                if soon && !at_rest { IdleStep::Yield } else { IdleStep::Sleep }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_polls_after_traffic_and_then_sleeps() {
        let worked_at = Instant::now();
        let soon = worked_at + POLL_AFTER_TRAFFIC / 2;
        assert_eq!(IdleStrategy::Auto.step(worked_at, soon, false), IdleStep::Yield);
        assert_eq!(IdleStrategy::Auto.step(worked_at, soon, true), IdleStep::Sleep);
        let later = worked_at + POLL_AFTER_TRAFFIC * 2;
        assert_eq!(IdleStrategy::Auto.step(worked_at, later, false), IdleStep::Sleep);
    }
}
