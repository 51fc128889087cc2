//! The few words that a member's threads and its application share besides the queues.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crossbeam::utils::CachePadded;
use roundel_ring::counters::DataCounters;
use roundel_ring::wire::{MTU_MIN_BYTES, body_bytes_max};

use crate::commands::Commands;
use crate::ending::Ending;
use crate::rotation::RotationPage;

/// Shared by the worker, control and all handles of the application.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) commands: Commands,
    /// What a packet of the running ring holds: the size that is worth packing to.
    pub(crate) body_bytes: AtomicUsize,
    /// Packets that the others may send this member in a rotation; 0 until the worker has said.
    pub(crate) receive_packets: AtomicU32,
    pub(crate) ending: Ending,
    pub(crate) counters: CounterPage,
    pub(crate) rotations: RotationPage,
}

impl Shared {
    pub(crate) fn new(queue_entries: usize) -> Self {
        Self {
            commands: Commands::new(queue_entries),
            // Until the worker says: what fits every ring.
            body_bytes: AtomicUsize::new(body_bytes_max(MTU_MIN_BYTES)),
            receive_packets: AtomicU32::new(0),
            ending: Ending::default(),
            counters: CounterPage::default(),
            rotations: RotationPage::default(),
        }
    }
}

const COUNTERS: usize = DataCounters::NAMES.len();

/// What the counter page says of the link besides what the data half counts: what the kernel
/// dropped, and what the link did.
pub(crate) const LINK_NAMES: [&str; 13] = [
    "kernel_drops_data",
    "kernel_drops_token",
    "link_received_frames",
    "link_received_datagrams",
    "link_copied_datagrams",
    "link_stalls",
    "link_receive_errors",
    "link_sent_frames",
    "link_sent_datagrams",
    "link_dropped_frames",
    "link_send_retries",
    "link_segmenting_refused",
    "link_system_calls",
];

/// The counters, written by the worker alone, word by word.
#[derive(Debug)]
pub(crate) struct CounterPage {
    words: CachePadded<[AtomicU64; COUNTERS]>,
    link: CachePadded<[AtomicU64; LINK_NAMES.len()]>,
}

impl Default for CounterPage {
    fn default() -> Self {
        Self {
            words: CachePadded::new([const { AtomicU64::new(0) }; COUNTERS]),
            link: CachePadded::new([const { AtomicU64::new(0) }; LINK_NAMES.len()]),
        }
    }
}

impl CounterPage {
    pub(crate) fn publish(&self, counters: &DataCounters, link: &[u64; LINK_NAMES.len()]) {
        for (word, value) in self.words.iter().zip(counters.values()) {
            word.store(value, Ordering::Relaxed);
        }
        for (word, value) in self.link.iter().zip(link) {
            word.store(*value, Ordering::Relaxed);
        }
    }

    /// By name, in a fixed order.
    pub(crate) fn read(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let names = DataCounters::NAMES.iter().chain(&LINK_NAMES).copied();
        let words = self.words.iter().chain(self.link.iter());
        names.zip(words.map(|word| word.load(Ordering::Relaxed)))
    }
}
