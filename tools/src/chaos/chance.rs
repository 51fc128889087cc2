//! Randomness of a run: everything from one seed.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A seeded generator; the same seed gives the same numbers on every host and build.
#[derive(Clone, Debug)]
pub(super) struct Chance(Xoshiro256PlusPlus);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number in `low..=high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high.max(low))
    }

    /// The same of a smaller type.
    pub(super) fn number(&mut self, low: u32, high: u32) -> u32 {
        self.0.random_range(low..=high.max(low))
    }

    /// An index below `length`, which is not zero.
    pub(super) fn index(&mut self, length: usize) -> usize {
        self.0.random_range(0..length.max(1))
    }

    /// True in so many of a hundred times.
    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.number(0, 99) < percent
    }

    /// Milliseconds in `low..=high`.
    pub(super) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// Puts a list into a random order.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let other = self.index(last + 1);
            list.swap(last, other);
        }
    }

    /// Random bytes.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_bounds_are_kept() {
        let draw = |seed| {
            let mut chance = Chance::new(seed);
            let mut list: Vec<u32> = (0..9).collect();
            chance.shuffle(&mut list);
            let numbers: Vec<u64> = (0..50).map(|_| chance.between(3, 7)).collect();
            assert!(numbers.iter().all(|number| (3..=7).contains(number)));
            list.sort_unstable();
            assert_eq!(list, (0..9).collect::<Vec<_>>());
            (numbers, chance.index(1), chance.percent(0), chance.percent(100))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1).0, draw(2).0);
        assert_eq!((draw(1).1, draw(1).2, draw(1).3), (0, false, true));
    }
}
