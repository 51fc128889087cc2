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
        let provided = Self { base: base.ok_or_else(failed)?.cast(), entries, tail: 0 };
        let address = provided.base.as_ptr() as u64;
        // SAFETY: the mapping has that many entries and is page-aligned; the owner keeps this
        // value until the ring is closed, or leaks it.
        unsafe { ring.register_buffers(address, entries, group) }?;
        Ok(provided)
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
