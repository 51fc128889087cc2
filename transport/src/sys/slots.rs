//! Where the kernel writes what it receives: slots at the end of chunks.
//!
//! Each *position* has a chunk, and the chunk's first free bytes are the position's slot, long
//! enough for the longest datagram. What arrives is cut off and handed out, and the next slot
//! begins behind it, so that datagrams lie side by side however long they are.

use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use crate::pool::Pool;
use crate::settings::MemoryBounds;

/// Longest datagrams that one chunk takes. More would let one held frame keep more memory; with
/// fewer, more of a chunk is left unused behind the last datagram.
const SLOTS_PER_CHUNK: usize = 4;

/// Chunks and the slots in them.
#[derive(Debug)]
pub(super) struct Slots {
    pool: Pool,
    chunks: Vec<BytesMut>,
    slot_bytes: usize,
}

/// How a datagram was handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HandedOut {
    /// As slices of the chunk it was received into.
    Shared,
    /// As slices of a copy.
    Copied,
}

impl Slots {
    /// `positions` slots of `slot_bytes` each.
    pub(super) fn new(positions: usize, slot_bytes: usize, bounds: MemoryBounds) -> Self {
        let chunk_bytes = slot_bytes * SLOTS_PER_CHUNK;
        let chunks_max = positions + bounds.buffers_bytes / chunk_bytes;
        let mut pool = Pool::new(chunk_bytes, chunks_max, bounds.copies_bytes);
        Self { chunks: (0..positions).filter_map(|_| pool.take()).collect(), pool, slot_bytes }
    }

    pub(super) fn positions(&self) -> usize {
        self.chunks.len()
    }

    /// Whether whatever is received at a position can be handed out: in its chunk with a slot
    /// left behind it, or with another chunk to go on with, or as a copy.
    pub(super) fn is_open(&mut self, position: usize) -> bool {
        let left = self.chunks[position].capacity();
        left >= 2 * self.slot_bytes || self.pool.has_chunk() || self.pool.may_copy()
    }

    /// The slot of a position. Nobody else has it.
    pub(super) fn slot(&mut self, position: usize) -> &mut [MaybeUninit<u8>] {
        &mut self.chunks[position].spare_capacity_mut()[..self.slot_bytes]
    }

    /// What the kernel wrote into the slot of a position.
    ///
    /// # Safety
    ///
    /// At least `written` bytes from the slot's start on have been written, and nobody writes
    /// into it any more.
    pub(super) unsafe fn filled(&mut self, position: usize, written: usize) -> &[u8] {
        let chunk = &mut self.chunks[position];
        let written = written.min(self.slot_bytes);
        // SAFETY: the chunk is empty between receptions and its capacity is at least a slot, so
        // `written` is within the capacity; the caller has promised that so many bytes are
        // initialised.
        unsafe { chunk.set_len(written) };
        chunk
    }

    /// What filled the slot of a position and is neither handed out nor given up yet.
    pub(super) fn contents(&self, position: usize) -> &[u8] {
        &self.chunks[position]
    }

    /// Hands out the `payload` part of what filled a position's slot, in frames of
    /// `segment_bytes`, and moves the slot behind it.
    pub(super) fn hand_out(
        &mut self,
        position: usize,
        payload: Range<usize>,
        segment_bytes: Option<usize>,
        mut to: impl FnMut(Bytes),
    ) -> HandedOut {
        let chunk = &mut self.chunks[position];
        let goes_on = chunk.capacity() - chunk.len() >= self.slot_bytes;
        if !goes_on && !self.pool.has_chunk() {
            // The last slot is kept, since there is no other to receive into.
            let copy = self.pool.copy(&chunk[payload]);
            chunk.clear();
            segments(copy, segment_bytes, to);
            return HandedOut::Copied;
        }
        let mut datagram = chunk.split().freeze();
        datagram.truncate(payload.end);
        datagram.advance(payload.start);
        if !goes_on && let Some(next) = self.pool.take() {
            self.pool.retire(std::mem::replace(chunk, next));
        }
        segments(datagram, segment_bytes, &mut to);
        HandedOut::Shared
    }

    /// Gives up what filled a position's slot.
    pub(super) fn discard(&mut self, position: usize) {
        self.chunks[position].clear();
    }
}

fn segments(mut datagram: Bytes, segment_bytes: Option<usize>, mut to: impl FnMut(Bytes)) {
    if let Some(bytes) = segment_bytes {
        while datagram.len() > bytes {
            to(datagram.split_to(bytes));
        }
    }
    if !datagram.is_empty() {
        to(datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: usize = 8;

    fn slots(chunks_besides: usize, copies_bytes: usize) -> Slots {
        let bounds =
            MemoryBounds { buffers_bytes: chunks_besides * SLOT * SLOTS_PER_CHUNK, copies_bytes };
        Slots::new(1, SLOT, bounds)
    }

    /// Receives `data` as the kernel would.
    fn receive(slots: &mut Slots, data: &[u8], segment: Option<usize>) -> (Vec<Bytes>, HandedOut) {
        assert!(slots.is_open(0));
        for (to, from) in slots.slot(0).iter_mut().zip(data) {
            to.write(*from);
        }
        // SAFETY: that many bytes were written above, by this thread.
        let filled = unsafe { slots.filled(0, data.len()) };
        assert_eq!(filled, data);
        let mut out = Vec::new();
        let how = slots.hand_out(0, 0..data.len(), segment, |frame| out.push(frame));
        (out, how)
    }

    #[test]
    fn datagrams_lie_side_by_side() {
        let mut slots = slots(0, 0);
        let (one, _) = receive(&mut slots, b"one", None);
        let (two, _) = receive(&mut slots, b"two", None);
        assert_eq!(two[0].as_ptr() as usize, one[0].as_ptr() as usize + 3);
        assert_eq!((&one[0][..], &two[0][..]), (&b"one"[..], &b"two"[..]));
    }

    #[test]
    fn a_super_packet_is_cut_into_its_frames() {
        let mut slots = slots(0, 0);
        let (frames, how) = receive(&mut slots, b"aabbc", Some(2));
        assert_eq!(frames, [&b"aa"[..], b"bb", b"c"]);
        assert_eq!(how, HandedOut::Shared);
        let (frames, _) = receive(&mut slots, b"aabb", Some(2));
        assert_eq!(frames, [&b"aa"[..], b"bb"]);
    }

    #[test]
    fn a_header_before_the_payload_is_left_out() {
        let mut slots = slots(0, 0);
        for (to, from) in slots.slot(0).iter_mut().zip(b"hdrdata") {
            to.write(*from);
        }
        // SAFETY: seven bytes were written above, by this thread.
        unsafe { slots.filled(0, 7) };
        let mut out = Vec::new();
        slots.hand_out(0, 3..7, None, |frame| out.push(frame));
        assert_eq!(out, [&b"data"[..]]);
    }

    #[test]
    fn when_all_is_held_frames_are_copied_and_then_nothing_is_received() {
        let mut slots = slots(1, 2 * SLOT);
        let mut held = Vec::new();
        let mut copied = 0;
        while slots.is_open(0) {
            let value = u8::try_from(held.len()).unwrap();
            let (frames, how) = receive(&mut slots, &[value; SLOT], None);
            held.extend(frames);
            copied += usize::from(how == HandedOut::Copied);
        }
        assert_eq!((held.len(), copied), (2 * SLOTS_PER_CHUNK - 1 + 2, 2));
        for (value, frame) in held.iter().enumerate() {
            assert!(frame.iter().all(|byte| usize::from(*byte) == value), "kept while held");
        }
        drop(held);
        assert!(slots.is_open(0));
        let mut shared = 0;
        for _ in 0..100 {
            shared += usize::from(receive(&mut slots, b"again", None).1 == HandedOut::Shared);
        }
        assert_eq!(shared, 100, "chunks are used again");
    }
}
