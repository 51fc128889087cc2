//! What many runs came to, all together.

use std::collections::BTreeMap;
use std::time::Duration;

use roundel_ring::sim::Outcome;
use roundel_ring::trace::ContentHash;
use serde::{Deserialize, Serialize};

/// An outcome without its histories.
pub(super) struct Summarised {
    digest: u64,
    simulated: Duration,
    merged_after: Option<Duration>,
    invariants: u64,
    violations: u64,
    faults: Vec<(&'static str, u64)>,
    clauses: Vec<(&'static str, u64)>,
    /// The clause and what happened.
    pub(super) failure: Option<(String, String)>,
}

impl From<Outcome> for Summarised {
    fn from(outcome: Outcome) -> Self {
        let judged = outcome.verdict.judgements().iter();
        Self {
            digest: outcome.digest(),
            simulated: outcome.simulated,
            merged_after: outcome.merged_after,
            invariants: outcome.invariants_judged,
            violations: outcome.verdict.violation_count(),
            faults: outcome.stats.entries().collect(),
            clauses: judged.map(|it| (it.clause.name(), it.instances)).collect(),
            failure: outcome.failure.map(|failure| (failure.clause, failure.detail)),
        }
    }
}

/// Sums over runs; whole, so that they can be put aside and gone on with.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(super) struct Totals {
    pub(super) seeds: u64,
    pub(super) failures: u64,
    pub(super) violations: u64,
    pub(super) simulated_ns: u64,
    /// Chained over the digests of all runs, in order.
    pub(super) digest: u64,
    pub(super) invariants: u64,
    /// How many merges took so many milliseconds.
    merges: BTreeMap<u64, u64>,
    pub(super) faults: BTreeMap<String, u64>,
    pub(super) clauses: BTreeMap<String, u64>,
}

impl Totals {
    /// Adds a run.
    pub(super) fn add(&mut self, run: &Summarised) {
        self.seeds += 1;
        self.failures += u64::from(run.failure.is_some());
        self.violations += run.violations;
        self.simulated_ns += u64::try_from(run.simulated.as_nanos()).unwrap_or(u64::MAX);
        let mut hash = ContentHash::default();
        hash.update(&self.digest.to_le_bytes());
        hash.update(&run.digest.to_le_bytes());
        self.digest = hash.finish();
        self.invariants += run.invariants;
        if let Some(span) = run.merged_after {
            let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            *self.merges.entry(ms).or_default() += 1;
        }
        for (sums, of_run) in [(&mut self.faults, &run.faults), (&mut self.clauses, &run.clauses)] {
            for (name, count) in of_run {
                *sums.entry((*name).to_owned()).or_default() += count;
            }
        }
    }

    /// Adds a run that did not come to its end.
    pub(super) const fn add_broken(&mut self) {
        self.seeds += 1;
        self.failures += 1;
    }

    /// What this part of a hundred of all merges took at most, in milliseconds.
    pub(super) fn merge_ms(&self, percent: u64) -> u64 {
        let all: u64 = self.merges.values().sum();
        let mut rank = all.saturating_sub(1) * percent / 100;
        for (ms, count) in &self.merges {
            if rank < *count {
                return *ms;
            }
            rank -= count;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_a_sorted_list() {
        let mut totals = Totals::default();
        assert_eq!((totals.merge_ms(50), totals.merge_ms(100)), (0, 0));
        totals.merges = [(5, 3), (7, 1), (100, 1)].into();
        assert_eq!((totals.merge_ms(0), totals.merge_ms(50)), (5, 5));
        assert_eq!((totals.merge_ms(75), totals.merge_ms(100)), (7, 100));
    }
}
