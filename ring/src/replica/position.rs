//! Places in the replicated log, and digests by which two members know that theirs are one.

use super::reader::{Reader, put_ring};
use crate::id::RingId;

/// How far somebody's log goes, and which log it is.
///
/// Ordered by lineage first: a later decision saw everything that earlier ones let be applied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(super) struct Position {
    /// The regular configuration of the last decision this log went through; zero before the first.
    pub(super) lineage: RingId,
    /// Entries in the log.
    pub(super) index: u64,
    /// Digest of all of them: two logs of one length and chain are the same log.
    pub(super) chain: u64,
}

impl Position {
    /// The position after one more entry, written as `bytes`.
    #[must_use]
    pub(super) fn then(self, bytes: &[u8]) -> Self {
        let chain = digest(self.chain, bytes);
        Self { index: self.index.saturating_add(1), chain, ..self }
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_ring(out, self.lineage);
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.chain.to_le_bytes());
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { lineage: from.ring()?, index: from.u64()?, chain: from.u64()? })
    }
}

/// The place in the ordered stream at which a checkpoint was made: all that have it made it from the
/// same state, so it is one, whoever sends it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(super) struct Instant {
    /// The regular configuration.
    pub(super) ring: RingId,
    /// Entries in the log there.
    pub(super) index: u64,
}

impl Instant {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_ring(out, self.ring);
        out.extend_from_slice(&self.index.to_le_bytes());
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self { ring: from.ring()?, index: from.u64()? })
    }
}

/// Odd, with its bits well spread: the first digits of pi behind the point, as 64 bits.
const FACTOR: u64 = 0x243f_6a88_85a3_08d3;

/// A digest of `bytes` on top of `seed`. Against accidents, not against forgers: members are trusted.
///
/// Each step is a bijection of the word and of the state, so texts that differ in one word differ.
#[must_use]
pub(super) fn digest(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut state = step(seed, bytes.len() as u64);
    for word in words {
        state = step(state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    step(step(state, u64::from_le_bytes(last)), FACTOR)
}

const fn step(state: u64, word: u64) -> u64 {
    let mixed = (state.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_differ_by_a_bit_a_zero_and_the_order() {
        let texts: [&[u8]; 7] =
            [b"", b"\0", b"\0\0", b"abcdefgh", b"abcdefgi", b"habcdefg", b"abc"];
        let mut all: Vec<u64> = texts.iter().map(|text| digest(0, text)).collect();
        all.push(digest(1, b"abc"));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), texts.len() + 1);
    }
}
