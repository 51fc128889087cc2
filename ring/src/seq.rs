//! Places in the order of a ring.

use std::fmt;

/// Number of a packet on a ring, from 1. 64 bits, so it never wraps; zero is "before the first".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first packet.
    pub const ZERO: Self = Self(0);

    /// The next place. Saturates: a sequence number near the edge of its type can only come
    /// from a forged frame, and every frame is bounded against the window before it counts.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place `packets` further on.
    #[must_use]
    pub const fn plus(self, packets: u64) -> Self {
        Self(self.0.saturating_add(packets))
    }

    /// Packets from `earlier` (exclusive) to here (inclusive); zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Place of a *message* in the order of a ring, as histories write it: packets carry many
/// messages, so it is the packet's seq and the message's index in the packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ordinal(pub u64);

impl Ordinal {
    /// Bits for the index of a message within its packet.
    pub const INDEX_BITS: u32 = 16;

    /// Ordinal of message `index` in packet `seq`.
    #[must_use]
    pub const fn new(seq: Seq, index: u16) -> Self {
        Self((seq.0 << Self::INDEX_BITS) | index as u64)
    }
}
