//! Buffers that the kernel chooses from when something arrives.

use std::mem::{MaybeUninit, size_of};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use libc::c_void;

use crate::sys::uring::ring::{Refused, Ring};

/// A ring of provided buffers, shared with the kernel: it takes entries at the head, they are put
/// in at the tail.
#[derive(Debug)]
pub(super) struct Provided {
    /// Page-aligned, `entries` long.
    base: NonNull<BufRingEntry>,
    entries: u16,
    tail: u16,
}

// SAFETY: the memory belongs to this value alone and to no thread; the kernel reads it wherever
// it runs.
unsafe impl Send for Provided {}

impl Provided {
    /// A ring of `entries`, a power of two, registered as `group`.
    pub(super) fn new(ring: &Ring, entries: u16, group: u16) -> Result<Self, Refused> {
        let provided = Self::map(entries)?;
        let address = provided.base.as_ptr() as u64;
        // SAFETY: the mapping has that many entries and is page-aligned; the owner keeps this
        // value until the ring is closed, or leaks it.
        unsafe { ring.register_buffers(address, entries, group) }?;
        Ok(provided)
    }

    /// Memory for a ring that the kernel does not know yet.
    fn map(entries: u16) -> Result<Self, Refused> {
        let bytes = usize::from(entries) * size_of::<BufRingEntry>();
        // SAFETY: a new anonymous mapping touches no memory there is.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let failed = || Refused::at("memory")(std::io::Error::last_os_error());
        let base = NonNull::new(base).filter(|base| base.as_ptr() != libc::MAP_FAILED);
        Ok(Self { base: base.ok_or_else(failed)?.cast(), entries, tail: 0 })
    }

    /// Lets the kernel write what arrives into `slot`; its completion names `id`.
    ///
    /// # Safety
    ///
    /// The slot stays allocated and is used for nothing else until a completion has named `id`,
    /// or the ring is closed and no receive was in flight. At most `entries` are given at a time.
    pub(super) unsafe fn give(&mut self, id: u16, slot: &mut [MaybeUninit<u8>]) {
        let index = usize::from(self.tail & (self.entries - 1));
        // SAFETY: the index is below `entries`, so the entry is in the mapping, which is zeroed
        // and so initialised. Entries from the head to the tail are the kernel's; this one is
        // behind the tail, since at most `entries` are given at a time. The setters leave alone
        // the last two bytes, which in the first entry are the tail that the kernel reads.
        let entry = unsafe { &mut *self.base.as_ptr().add(index) };
        entry.set_addr(slot.as_mut_ptr() as u64);
        entry.set_len(slot.len() as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `base` is the first entry of the ring, initialised, in a live mapping.
        let tail = unsafe { BufRingEntry::tail(self.base.as_ptr()) };
        // SAFETY: the tail is two aligned bytes in the mapping; this side writes it here alone,
        // and the kernel only reads it, so an atomic is a valid view of it.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // The kernel reads the entry after it has read the tail.
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Provided {
    fn drop(&mut self) {
        let bytes = usize::from(self.entries) * size_of::<BufRingEntry>();
        // SAFETY: the mapping was made by `new` with this length, and nothing in this process
        // refers to it any more. The kernel has pages of its own hold on it while it is
        // registered.
        unsafe { libc::munmap(self.base.as_ptr().cast::<c_void>(), bytes) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use bytes::Bytes;

    use super::*;
    use crate::settings::MemoryBounds;
    use crate::sys::slots::Slots;

    const ENTRIES: u16 = 4;
    const SLOT_BYTES: usize = 16;

    /// The kernel's side of a ring, as a thread that the thread sanitizer sees: entries are read
    /// behind the tail alone, and a slot is written between its entry and its completion.
    struct Kernel {
        base: NonNull<BufRingEntry>,
        head: u16,
    }

    // SAFETY: the mapping outlives the thread that has this, which is joined before.
    unsafe impl Send for Kernel {}

    impl Kernel {
        /// Fills the next slot with `value`; which it was.
        fn receive(&mut self, value: u8) -> u16 {
            // SAFETY: as in `give`: the tail is two aligned bytes in the mapping, and this side
            // only reads it.
            let tail =
                unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.base.as_ptr()).cast_mut()) };
            while tail.load(Ordering::Acquire) == self.head {
                thread::yield_now();
            }
            let index = usize::from(self.head & (ENTRIES - 1));
            self.head = self.head.wrapping_add(1);
            // SAFETY: the index is in the mapping, and the entry is before the tail, so that the
            // other side does not touch it. Only its own fields are read.
            let (address, bytes, id) = unsafe {
                let entry = &*self.base.as_ptr().add(index);
                (entry.addr(), entry.len(), entry.bid())
            };
            for at in 0..bytes as usize {
                // SAFETY: the slot was given with so many bytes, and is nobody else's until its
                // completion.
                unsafe { (address as *mut u8).add(at).write(value) };
            }
            id
        }
    }

    /// A slot crosses to the kernel, back, to a thread of the application, and is used again when
    /// that one has dropped it: no two of them have it at once.
    #[test]
    fn a_slot_belongs_to_one_at_a_time() {
        const DATAGRAMS: usize = 2_000;
        let positions = usize::from(ENTRIES);
        let bounds = MemoryBounds { buffers_bytes: 8 * SLOT_BYTES, copies_bytes: 8 * SLOT_BYTES };
        let mut slots = Slots::new(positions, SLOT_BYTES, bounds);
        let mut provided = Provided::map(ENTRIES).unwrap();
        let mut kernel = Kernel { base: provided.base, head: 0 };
        let (completions, completed) = mpsc::channel();
        let (frames, to_read) = mpsc::sync_channel::<Bytes>(16);
        thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..DATAGRAMS {
                    let value = number as u8;
                    completions.send((kernel.receive(value), value)).unwrap();
                }
            });
            let reader = scope.spawn(move || {
                let mut read = 0;
                for frame in to_read {
                    assert!(frame.iter().all(|byte| usize::from(*byte) == read % 256), "{read}");
                    read += 1;
                }
                read
            });
            let mut withheld: Vec<u16> = (0..ENTRIES).collect();
            for _ in 0..DATAGRAMS {
                // What cannot be handed out is not received, as in `Receiver::replenish`.
                while !withheld.is_empty() {
                    withheld.retain(|position| {
                        let at = usize::from(*position);
                        let is_open = slots.is_open(at);
                        if is_open {
                            // SAFETY: the slot is kept by `slots`, which outlives the thread that
                            // writes into it, and is not touched before its completion.
                            unsafe { provided.give(*position, slots.slot(at)) };
                        }
                        !is_open
                    });
                    thread::yield_now();
                }
                let (position, value) = completed.recv().unwrap();
                let at = usize::from(position);
                // SAFETY: the completion says that the whole slot was written.
                let filled = unsafe { slots.filled(at, SLOT_BYTES) };
                assert_eq!(filled, [value; SLOT_BYTES]);
                slots.hand_out(at, 0..SLOT_BYTES, None, |frame| frames.send(frame).unwrap());
                withheld.push(position);
            }
            drop(frames);
            assert_eq!(reader.join().unwrap(), DATAGRAMS);
        });
    }
}
