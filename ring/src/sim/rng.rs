//! Randomness of a run: everything from one seed.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A seeded generator. The same seed gives the same numbers on every host and build.
#[derive(Clone, Debug)]
pub(super) struct Random(Xoshiro256PlusPlus);

/// What a generator of its own is for, so that one part's use of randomness does not shift
/// another's: a schedule from which a fault is taken stays what it was besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stream {
    /// What a schedule is drawn from.
    Schedule,
    /// The faults of a schedule.
    Faults,
    /// Buffers, and what fills them.
    Buffers,
    /// What is asked of the healed cluster.
    Demands,
    /// Who is slow while shares are judged.
    Shares,
    /// What comes from other clusters.
    Strangers,
    /// Who may be the primary component.
    Primacy,
    /// When things happen at the host of this id.
    Host(u32),
    /// What the application of the host of this id publishes.
    Application(u32),
    /// What the application of a layer at the host of this id does of its own accord.
    Layer(u32),
    /// Room in the receive buffer of the host of this id.
    Buffer(u32),
    /// What the link from the first host to the second does.
    Link(u32, u32),
}

impl Stream {
    /// A number of its own.
    const fn number(self) -> u64 {
        let (kind, a, b): (u64, u32, u32) = match self {
            Self::Schedule => (1, 0, 0),
            Self::Faults => (2, 0, 0),
            Self::Buffers => (3, 0, 0),
            Self::Demands => (4, 0, 0),
            Self::Shares => (5, 0, 0),
            Self::Strangers => (6, 0, 0),
            Self::Primacy => (11, 0, 0),
            Self::Host(id) => (7, id, 0),
            Self::Application(id) => (8, id, 0),
            Self::Buffer(id) => (9, id, 0),
            Self::Link(from, to) => (10, from, to),
            Self::Layer(id) => (11, id, 0),
        };
        (kind << 48) ^ ((a as u64) << 24) ^ b as u64
    }
}

impl Random {
    /// The generator of one part of the run that `seed` decides.
    pub(super) fn new(seed: u64, stream: Stream) -> Self {
        // An odd factor keeps the numbers apart, and the generator's own start mixes them.
        let apart = stream.number().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(Xoshiro256PlusPlus::seed_from_u64(seed ^ apart))
    }

    /// A number in `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high.max(low))
    }

    /// An index below `len`, which must not be zero.
    #[expect(clippy::cast_possible_truncation, reason = "an index comes out as it went in")]
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.between(0, len as u64 - 1) as usize
    }

    /// One of these, of which there must be some.
    pub(super) fn one_of<T: Copy, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.index(N)]
    }

    /// True once in about `1 / probability` times.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.0.random_bool(probability.min(1.0))
    }

    pub(super) fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_nanos(self.between(ns(low), ns(high)))
    }

    /// A number of milliseconds in `low..=high`.
    pub(super) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// A number of microseconds in `low..=high`.
    pub(super) fn micros(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_micros(self.between(low, high))
    }
}

fn ns(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
