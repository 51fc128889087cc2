//! The core's paths, each a function that prepares its state and yields its work: so many
//! iterations. `core.rs` measures their time, `instructions.rs` counts their instructions.

mod codec;
mod delivery;
mod members;
mod packing;
mod rotation;
mod window;

use bytes::Bytes;
use roundel_ring::arena::Arena;
use roundel_ring::backlog::Backlog;
use roundel_ring::id::{Epoch, NodeId, RingId};
use roundel_ring::packet::{Content, Packet};
use roundel_ring::params::Params;
use roundel_ring::service::Service;
use roundel_ring::wire::{ClusterTag, body_bytes_max};

const MTU_BYTES: usize = 1_500;
const BODY_BYTES: usize = body_bytes_max(MTU_BYTES);
const RING: RingId = RingId::new(Epoch(9), NodeId(1));

/// A path through the core.
#[allow(dead_code, reason = "each bench has a field of its own")]
pub(crate) struct Path {
    pub(crate) group: &'static str,
    /// Unique in its group.
    pub(crate) name: &'static str,
    /// Frames, packets or messages that one iteration handles.
    pub(crate) elements: u64,
    /// Iterations that are counted: some million instructions.
    pub(crate) iterations: u64,
    /// Prepares the state; what it yields does so many iterations on it.
    pub(crate) prepare: fn() -> Box<dyn FnMut(u64)>,
}

/// Every path.
pub(crate) const ALL: [Path; 19] = [
    Path {
        group: "wire",
        name: "data head emit",
        elements: 1,
        iterations: 50_000,
        prepare: || Box::new(codec::data_head_emit()),
    },
    Path {
        group: "wire",
        name: "data parse, 64 B messages",
        elements: 1,
        iterations: 20_000,
        prepare: || Box::new(codec::data_parse()),
    },
    Path {
        group: "wire",
        name: "token emit, 3 members, 4 requests",
        elements: 1,
        iterations: 50_000,
        prepare: || Box::new(codec::token_emit()),
    },
    Path {
        group: "wire",
        name: "token parse, 3 members, 4 requests",
        elements: 1,
        iterations: 50_000,
        prepare: || Box::new(codec::token_parse()),
    },
    Path {
        group: "window",
        name: "insert and release in order",
        elements: window::PACKETS,
        iterations: 500,
        prepare: || Box::new(window::in_order()),
    },
    Path {
        group: "window",
        name: "insert and release backwards",
        elements: window::PACKETS,
        iterations: 500,
        prepare: || Box::new(window::backwards()),
    },
    Path {
        group: "packing",
        name: "64 B messages",
        elements: packing::MESSAGES,
        iterations: 100,
        prepare: || Box::new(packing::one_by_one(64)),
    },
    Path {
        group: "packing",
        name: "1350 B messages",
        elements: packing::MESSAGES,
        iterations: 100,
        prepare: || Box::new(packing::one_by_one(1_350)),
    },
    Path {
        group: "packing",
        name: "8192 B messages",
        elements: packing::MESSAGES,
        iterations: 20,
        prepare: || Box::new(packing::one_by_one(8_192)),
    },
    Path {
        group: "packing",
        name: "64 B messages, packed where published",
        elements: packing::MESSAGES,
        iterations: 100,
        prepare: || Box::new(packing::packed(64)),
    },
    Path {
        group: "packing",
        name: "1350 B messages, packed where published",
        elements: packing::MESSAGES,
        iterations: 100,
        prepare: || Box::new(packing::packed(1_350)),
    },
    Path {
        group: "rotation of 3 members",
        name: "1 messages of 64 B each",
        elements: 3,
        iterations: 1_000,
        prepare: || Box::new(rotation::one_by_one(1)),
    },
    Path {
        group: "rotation of 3 members",
        name: "100 messages of 64 B each",
        elements: 3 * 100,
        iterations: 100,
        prepare: || Box::new(rotation::one_by_one(100)),
    },
    Path {
        group: "rotation of 3 members",
        name: "1000 messages of 64 B each",
        elements: 3 * 1_000,
        iterations: 20,
        prepare: || Box::new(rotation::one_by_one(1_000)),
    },
    Path {
        group: "rotation of 3 members",
        name: "1000 messages of 64 B each, packed where published",
        elements: 3 * 1_000,
        iterations: 50,
        prepare: || Box::new(rotation::packed(1_000)),
    },
    Path {
        group: "rotation of 3 members",
        name: "20 messages of 1350 B each, 1 frame in 11 lost",
        elements: 3 * 20,
        iterations: 200,
        prepare: || Box::new(rotation::under_loss(20, 1_350, 11)),
    },
    Path {
        group: "delivery",
        name: "a packet of 64 B messages",
        elements: delivery::MESSAGES,
        iterations: 10_000,
        prepare: || Box::new(delivery::packed()),
    },
    Path {
        group: "delivery",
        name: "a packet of 64 B messages, each kept",
        elements: delivery::MESSAGES,
        iterations: 5_000,
        prepare: || Box::new(delivery::kept()),
    },
    Path {
        group: "delivery",
        name: "a message of 8192 B from fragments",
        elements: 1,
        iterations: 5_000,
        prepare: || Box::new(delivery::fragments()),
    },
];

fn cluster() -> ClusterTag {
    ClusterTag::of("bench")
}

fn payload(bytes: usize) -> Bytes {
    Bytes::from(vec![7; bytes])
}

/// Appends so many messages to a backlog, which has room for them.
fn fill(backlog: &mut Backlog, params: &Params, messages: u64, payload: &Bytes) {
    for _ in 0..messages {
        let accepted = backlog.accept(params, Service::Agreed, payload.clone().into());
        debug_assert!(accepted.is_ok(), "a path keeps within the backlog's bounds");
    }
}

/// The packets that so many messages of `bytes` make, the first ones full.
fn packets(messages: u64, bytes: usize) -> Vec<Packet> {
    let (mut backlog, mut arena) = (Backlog::new(&Params::default()), Arena::default());
    fill(&mut backlog, &Params::default(), messages, &payload(bytes));
    std::iter::from_fn(|| backlog.next_packet(NodeId(1), BODY_BYTES, &mut arena))
        .map(|numbered| numbered.packet)
        .collect()
}

/// A full packet of 64-byte messages.
fn full_packet() -> Packet {
    let packet = packets(delivery::MESSAGES + 1, 64).swap_remove(0);
    let count = u16::try_from(delivery::MESSAGES).unwrap_or(u16::MAX);
    assert_eq!(packet.content, Content::Messages { count }, "full with so many messages");
    packet
}
