//! Memory for received datagrams, bounded and used again.
//!
//! A *chunk* takes several datagrams side by side, and frames are handed out as slices of it. It
//! is used again when the last of its slices is dropped, wherever that happens. When all chunks
//! are held, datagrams are copied, up to a second bound.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

/// Held chunks looked at for one that is free again. Frames are released about in the order they
/// came, so the oldest are nearly always free first; those that are not go to the back.
const CHUNKS_LOOKED_AT: usize = 8;

/// Chunks and copies, bounded.
#[derive(Debug)]
pub(crate) struct Pool {
    chunk_bytes: usize,
    chunks_max: usize,
    /// How many there are, wherever they are.
    chunks: usize,
    /// Found before it was needed, so that it is sure to be there.
    spare: Option<BytesMut>,
    /// Full, and perhaps still held by slices, oldest first.
    lent: VecDeque<BytesMut>,
    copies_bytes_max: usize,
    copies_bytes: Arc<AtomicUsize>,
}

impl Pool {
    /// A pool of at most `chunks_max` chunks of `chunk_bytes` each.
    pub(crate) fn new(chunk_bytes: usize, chunks_max: usize, copies_bytes_max: usize) -> Self {
        Self {
            chunk_bytes,
            chunks_max,
            chunks: 0,
            spare: None,
            lent: VecDeque::with_capacity(chunks_max),
            copies_bytes_max,
            copies_bytes: Arc::default(),
        }
    }

    /// Whether [`Pool::take`] will give a chunk.
    pub(crate) fn has_chunk(&mut self) -> bool {
        if self.spare.is_none() {
            self.spare = self.reclaim().or_else(|| self.allocate());
        }
        self.spare.is_some()
    }

    /// An empty chunk that nobody else holds.
    pub(crate) fn take(&mut self) -> Option<BytesMut> {
        self.has_chunk();
        self.spare.take()
    }

    /// Takes back what is left of a chunk whose slices may still be held.
    pub(crate) fn retire(&mut self, chunk: BytesMut) {
        self.lent.push_back(chunk);
    }

    /// Whether copies may be made.
    pub(crate) fn may_copy(&self) -> bool {
        self.copies_bytes.load(Ordering::Relaxed) < self.copies_bytes_max
    }

    /// A copy in memory of its own, counted until it is dropped.
    pub(crate) fn copy(&self, data: &[u8]) -> Bytes {
        self.copies_bytes.fetch_add(data.len(), Ordering::Relaxed);
        Bytes::from_owner(Copied { data: data.into(), live_bytes: Arc::clone(&self.copies_bytes) })
    }

    fn reclaim(&mut self) -> Option<BytesMut> {
        for _ in 0..self.lent.len().min(CHUNKS_LOOKED_AT) {
            let mut chunk = self.lent.pop_front()?;
            if chunk.try_reclaim(self.chunk_bytes) {
                return Some(chunk);
            }
            self.lent.push_back(chunk);
        }
        None
    }

    fn allocate(&mut self) -> Option<BytesMut> {
        if self.chunks == self.chunks_max {
            return None;
        }
        self.chunks += 1;
        Some(BytesMut::with_capacity(self.chunk_bytes))
    }
}

/// A copied datagram.
struct Copied {
    data: Box<[u8]>,
    live_bytes: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Copied {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.live_bytes.fetch_sub(self.data.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_bounded_and_come_back_when_their_slices_are_gone() {
        let mut pool = Pool::new(100, 2, 0);
        let mut one = pool.take().unwrap();
        let two = pool.take().unwrap();
        assert!(!pool.has_chunk() && pool.take().is_none());

        let at = one.as_ptr();
        one.extend_from_slice(b"held");
        let slice = one.split().freeze();
        pool.retire(one);
        assert!(!pool.has_chunk(), "a slice is held");
        assert_eq!(&slice[..], b"held");
        drop(slice);
        let one = pool.take().unwrap();
        assert_eq!((one.as_ptr(), one.capacity()), (at, 100), "the same memory, whole");
        drop((one, two));
    }

    #[test]
    fn a_chunk_that_is_held_for_long_does_not_hide_the_others() {
        let mut pool = Pool::new(10, 2 * CHUNKS_LOOKED_AT, 0);
        let mut held = Vec::new();
        let chunks: Vec<BytesMut> = std::iter::from_fn(|| pool.take()).collect();
        for (index, mut chunk) in chunks.into_iter().enumerate() {
            chunk.extend_from_slice(b"x");
            let slice = chunk.split().freeze();
            if index < CHUNKS_LOOKED_AT {
                held.push(slice);
            }
            pool.retire(chunk);
        }
        assert!(!pool.has_chunk(), "those looked at first are held");
        assert!(pool.has_chunk(), "the next look reaches the free ones");
        drop(held);
    }

    #[test]
    fn copies_are_counted_until_dropped() {
        let pool = Pool::new(10, 0, 6);
        let copy = pool.copy(b"four");
        assert!(pool.may_copy());
        let slice = pool.copy(b"two").slice(1..);
        assert!(!pool.may_copy());
        drop(copy);
        assert!(pool.may_copy());
        assert_eq!(&slice[..], b"wo");
    }
}
