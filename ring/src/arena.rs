//! The memory that own packets are packed into.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

const CHUNK_BYTES: usize = 64 << 10;

/// Spent chunks that are waited for at most: 64 MiB, a large window of long packets.
const CHUNKS_MAX: usize = 1024;

/// Chunks that packets are packed into side by side. A chunk is used again once every packet in
/// it was dropped, so a steady stream of packets allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    current: BytesMut,
    /// Chunks with packets still alive, oldest first.
    spent: VecDeque<BytesMut>,
}

impl Arena {
    /// Makes sure the next packet of `bytes` fits the current chunk.
    pub fn reserve(&mut self, bytes: usize) {
        if self.current.capacity() - self.current.len() >= bytes {
            return;
        }
        let size = CHUNK_BYTES.max(bytes);
        let next = self.reclaim(size).unwrap_or_else(|| BytesMut::with_capacity(size));
        let full = std::mem::replace(&mut self.current, next);
        if full.capacity() > 0 {
            self.spent.push_back(full);
        }
    }

    /// A spent chunk that nobody uses any more.
    ///
    /// Packets are dropped about in their order, so what outlives a younger chunk is kept by
    /// somebody for long: it is left to them.
    fn reclaim(&mut self, size: usize) -> Option<BytesMut> {
        let free = self.spent.iter_mut().position(|chunk| chunk.try_reclaim(size));
        let forgotten = free.unwrap_or((self.spent.len() + 1).saturating_sub(CHUNKS_MAX));
        self.spent.drain(..forgotten);
        free.and_then(|_| self.spent.pop_front())
    }

    /// Appends to the packet being built.
    pub fn put(&mut self, bytes: &[u8]) {
        self.current.extend_from_slice(bytes);
    }

    /// Appends so many zeroes to the packet being built.
    pub fn pad(&mut self, bytes: usize) {
        self.current.resize(self.current.len() + bytes, 0);
    }

    /// Length of the packet being built.
    #[must_use]
    pub fn len(&self) -> usize {
        self.current.len()
    }

    /// Nothing was put since the last [`Arena::finish`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.current.is_empty()
    }

    /// Ends the packet being built.
    #[must_use]
    pub fn finish(&mut self) -> Bytes {
        self.current.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_used_again_once_their_packets_are_dropped() {
        let mut arena = Arena::default();
        let mut alive = VecDeque::new();
        let mut chunks = std::collections::BTreeSet::new();
        for i in 0..20_000_u32 {
            arena.reserve(1_400);
            arena.put(&i.to_le_bytes());
            arena.put(&[7; 1_300]);
            let packet = arena.finish();
            chunks.insert(packet.as_ptr() as usize >> 16);
            alive.push_back((i, packet));
            if alive.len() > 500 {
                let (number, packet) = alive.pop_front().unwrap();
                assert_eq!(packet[..4], number.to_le_bytes());
            }
        }
        assert!(arena.spent.len() < 20, "{} chunks for 500 live packets", arena.spent.len());
    }

    #[test]
    fn a_packet_that_is_kept_keeps_its_own_chunk_only() {
        let mut arena = Arena::default();
        let mut kept = Vec::new();
        for i in 0..100_000 {
            arena.reserve(1_400);
            arena.put(&[7; 1_300]);
            let packet = arena.finish();
            if i % 1_000 == 0 {
                kept.push(packet);
            }
        }
        assert_eq!(kept.len(), 100);
        assert!(arena.spent.len() < 3, "{} chunks", arena.spent.len());
    }

    #[test]
    fn what_is_kept_for_ever_is_forgotten_at_last() {
        let mut arena = Arena::default();
        let mut kept = Vec::new();
        for _ in 0..2 * CHUNKS_MAX {
            arena.reserve(CHUNK_BYTES);
            arena.put(&[7]);
            kept.push(arena.finish());
        }
        assert_eq!(arena.spent.len(), CHUNKS_MAX);
    }
}
