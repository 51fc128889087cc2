//! What came of rounds of faults.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Plan;
use super::log::Effect;
use crate::figures::{Spread, rounded};
use crate::result::Validity;

/// Names of the faults of a round, in their order.
pub(crate) const FAULTS: [&str; 4] = ["crash", "rejoin", "partition", "merge"];

/// All rounds together, in the order in which they are printed.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Outcome {
    pub(crate) hosts: u16,
    pub(crate) rate: u32,
    pub(crate) rounds: usize,
    /// A member is killed: what the others see.
    crash: Figures,
    /// It is started again.
    rejoin: Figures,
    /// The network parts: what both sides see.
    partition: Figures,
    /// It heals.
    merge: Figures,
    #[serde(flatten)]
    pub(crate) validity: Validity,
}

/// Of one kind of fault.
#[derive(Serialize, Deserialize, Clone, Copy, Default, Debug)]
pub(crate) struct Figures {
    /// The longest time without a delivery at the member that fared worst, over all rounds.
    pub(crate) gap_ms: Spread,
    /// From the fault to the configuration that it leads to, at the last member.
    pub(crate) agreed_ms: Spread,
}

impl Outcome {
    /// That of rounds, each with the effects of [`FAULTS`].
    pub(crate) fn of(plan: Plan, rounds: &[[Effect; 4]], validity: Validity) -> Self {
        let figures = |kind: usize| {
            let effects = || rounds.iter().map(move |round| round[kind]);
            Figures {
                gap_ms: spread(effects().map(|effect| effect.gap)),
                agreed_ms: spread(effects().map(|effect| effect.agreed)),
            }
        };
        Self {
            hosts: plan.hosts,
            rate: plan.rate,
            rounds: rounds.len(),
            crash: figures(0),
            rejoin: figures(1),
            partition: figures(2),
            merge: figures(3),
            validity,
        }
    }

    /// Of each of [`FAULTS`].
    pub(crate) const fn figures(&self) -> [Figures; 4] {
        [self.crash, self.rejoin, self.partition, self.merge]
    }

    /// Writes it for people.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { hosts, rate, rounds, .. } = self;
        writeln!(out, "{hosts} members, each {rate} messages a second, {rounds} rounds")?;
        for (name, Figures { gap_ms, agreed_ms }) in FAULTS.into_iter().zip(self.figures()) {
            writeln!(
                out,
                "  {name:<10} no delivery for {} ms ({} to {}), agreed after {} ms ({} to {})",
                gap_ms.median,
                gap_ms.min,
                gap_ms.max,
                agreed_ms.median,
                agreed_ms.min,
                agreed_ms.max
            )?;
        }
        Ok(())
    }
}

fn spread(spans: impl Iterator<Item = Duration>) -> Spread {
    let Spread { median, min, max } = Spread::of(spans.map(|span| span.as_secs_f64() * 1e3));
    Spread { median: rounded(median, 10.0), min: rounded(min, 10.0), max: rounded(max, 10.0) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Rounds in which each fault was worse than the one before it.
    pub(crate) fn outcome(rounds: u64) -> Outcome {
        let effect = |round: u64, fault: u64| Effect {
            gap: Duration::from_millis(round * 10 + fault),
            agreed: Duration::from_millis(round * 100 + fault),
        };
        let rounds = (1..=rounds).map(|round| [0, 1, 2, 3].map(|fault| effect(round, fault)));
        let rounds: Vec<_> = rounds.collect();
        Outcome::of(Plan { hosts: 3, rate: 1000, rounds: 3 }, &rounds, Validity::of(None))
    }

    #[test]
    fn figures_are_of_all_rounds() {
        let outcome = outcome(3);
        let Figures { gap_ms, agreed_ms } = outcome.figures()[1];
        assert_eq!(gap_ms, Spread { median: 21.0, min: 11.0, max: 31.0 });
        assert_eq!(agreed_ms, Spread { median: 201.0, min: 101.0, max: 301.0 });
        let mut text = Vec::new();
        outcome.write_text(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("rejoin     no delivery for 21 ms (11 to 31)"), "{text}");
    }
}
