//! The few words that a member's threads and its application share besides the queues.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crossbeam::atomic::AtomicCell;
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use roundel_ring::counters::DataCounters;
use roundel_ring::id::Epoch;
use roundel_ring::packing::Messages;
use roundel_ring::service::Service;
use roundel_ring::wire::{MTU_MIN_BYTES, body_bytes_max};

use crate::rotation::RotationPage;

/// Why a member ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndReason {
    /// It was asked to leave, and left.
    #[error("the member has left")]
    Left,
    /// A member with its id and a later start is alive.
    #[error(
        "another member with this id was started later (epoch {by}) and stays; \
         fix: give each member its own --id"
    )]
    Superseded {
        /// The other's start epoch.
        by: Epoch,
    },
    /// Its application did not read for longer than the policy allows.
    #[error(
        "the application did not read its events for too long and was evicted; \
         fix: read faster, or let the ring wait with --slow-consumer hold"
    )]
    Evicted,
    /// Its trace cannot be written.
    #[error("the trace file cannot be written; fix: give it room, or run without --trace")]
    TraceFailed,
    /// One of its threads ended by a panic: a defect of this program.
    #[error("a thread of the member ended by a panic; please report it with its message")]
    Panicked,
}

/// Shared by the worker, control and all handles of the application.
#[derive(Debug)]
pub(crate) struct Shared {
    /// From the application to the worker.
    pub(crate) published: ArrayQueue<(Service, Messages)>,
    /// Bytes of messages in `published`.
    pub(crate) published_bytes: CachePadded<AtomicUsize>,
    /// What a packet of the running ring holds: the size that is worth packing to.
    pub(crate) body_bytes: AtomicUsize,
    /// Packets that the others may send this member in a rotation; 0 until the worker has said.
    pub(crate) receive_packets: AtomicU32,
    /// Nothing more is accepted.
    pub(crate) closed: AtomicBool,
    /// The worker is to leave behind the last of `published`.
    pub(crate) leave: AtomicBool,
    /// The application no longer waits for anything: end soon.
    pub(crate) abandoned: AtomicBool,
    /// Every accepted message is delivered and held by all.
    pub(crate) drained: AtomicBool,
    /// The leave is announced, or there is nothing to announce: the worker ends.
    pub(crate) stop: AtomicBool,
    /// Why it ended, once it has.
    pub(crate) ended: AtomicCell<Option<EndReason>>,
    /// Messages accepted and not delivered when it ended.
    pub(crate) undelivered: AtomicU64,
    pub(crate) counters: CounterPage,
    pub(crate) rotations: RotationPage,
}

impl Shared {
    pub(crate) fn new(queue_entries: usize) -> Self {
        Self {
            published: ArrayQueue::new(queue_entries),
            published_bytes: CachePadded::new(AtomicUsize::new(0)),
            // Until the worker says: what fits every ring.
            body_bytes: AtomicUsize::new(body_bytes_max(MTU_MIN_BYTES)),
            receive_packets: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            leave: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            ended: AtomicCell::new(None),
            undelivered: AtomicU64::new(0),
            counters: CounterPage::default(),
            rotations: RotationPage::default(),
        }
    }

    /// Notes why the member cannot go on; control announces the leave, so that the others go on at
    /// once.
    pub(crate) fn give_up(&self, reason: EndReason) {
        let _ = self.ended.compare_exchange(None, Some(reason));
        self.closed.store(true, Ordering::Release);
        self.abandoned.store(true, Ordering::Release);
    }

    /// Notes why the member ends; the first reason stays.
    pub(crate) fn end(&self, reason: EndReason) {
        let _ = self.ended.compare_exchange(None, Some(reason));
        self.closed.store(true, Ordering::Release);
        self.stop.store(true, Ordering::Release);
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
