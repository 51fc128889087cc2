//! An input read as a sequence of small choices. Total: past its end every choice is zero.

/// What is left of an input.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else { return 0 };
        self.rest = rest;
        *first
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub(crate) fn u64(&mut self) -> u64 {
        (0..4).fold(0, |number, _| number << 16 | u64::from(self.u16()))
    }

    /// An index below `len`, which must not be zero.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let choice = if len <= 256 { usize::from(self.byte()) } else { usize::from(self.u16()) };
        choice % len
    }

    /// At most so many of the next bytes.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(most.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// `number`, a little beside it, or at an edge of its type.
    pub(crate) fn near(&mut self, number: u64) -> u64 {
        match self.byte() % 16 {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => u64::MAX - 1,
            4 => 1 << 37,
            5 => (1 << 37) - 1,
            6 => 1 << 32,
            7 => u64::from(u32::MAX),
            8 => number.wrapping_add(1),
            9 => number.wrapping_sub(1),
            10 => number.wrapping_add(self.byte().into()),
            11 => number.wrapping_sub(self.byte().into()),
            12 => number.wrapping_add(self.u16().into()),
            13 => number ^ 1 << (self.byte() % 64),
            14 => self.u64(),
            _ => number,
        }
    }
}

/// Bytes from a seed, for runs that no fuzzer drives (splitmix64).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// An input of so many bytes.
    pub(crate) fn fill(&mut self, into: &mut Vec<u8>, bytes: usize) {
        into.clear();
        while into.len() < bytes {
            into.extend_from_slice(&self.next().to_le_bytes());
        }
        into.truncate(bytes);
    }
}
