//! Reading bytes of others: total, every length checked before use.

use crate::id::{Epoch, NodeId, RingId};

/// What is left to read. Every method yields `None` when it is too short, and then what is left is
/// not to be used.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// `Some` when nothing is left.
    #[must_use]
    pub fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// Bytes behind their length (four bytes).
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    /// A member's id.
    pub fn node(&mut self) -> Option<NodeId> {
        self.u32().map(NodeId)
    }

    /// A ring id.
    pub fn ring(&mut self) -> Option<RingId> {
        let epoch = Epoch(self.u64()?);
        Some(RingId::new(epoch, self.node()?))
    }
}

/// Appends what [`Reader::bytes`] reads. Longer than 4 GiB is cut, and then does not read back; all
/// that is written here is bounded far below.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Appends what [`Reader::ring`] reads.
pub(super) fn put_ring(out: &mut Vec<u8>, ring: RingId) {
    out.extend_from_slice(&ring.epoch.0.to_le_bytes());
    out.extend_from_slice(&ring.representative.0.to_le_bytes());
}
