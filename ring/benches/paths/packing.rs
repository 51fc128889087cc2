//! Messages through the backlog into packets.

use std::hint::black_box;

use roundel_ring::arena::Arena;
use roundel_ring::backlog::Backlog;
use roundel_ring::id::NodeId;
use roundel_ring::packing::Packer;
use roundel_ring::params::Params;
use roundel_ring::service::Service;

use super::{BODY_BYTES, fill, payload};

/// In one iteration.
pub(super) const MESSAGES: u64 = 1_000;

/// Each message is accepted alone; numbering packs or cuts them.
pub(super) fn one_by_one(bytes: usize) -> impl FnMut(u64) {
    let (params, payload) = (Params::default(), payload(bytes));
    let (mut backlog, mut arena) = (Backlog::new(&Params::default()), Arena::default());
    move |iterations| {
        for _ in 0..iterations {
            fill(&mut backlog, &params, MESSAGES, &payload);
            drain(&mut backlog, &mut arena);
        }
    }
}

/// Messages are packed before they are accepted; numbering copies nothing.
pub(super) fn packed(bytes: usize) -> impl FnMut(u64) {
    let (params, payload) = (Params::default(), payload(bytes));
    let (mut backlog, mut arena) = (Backlog::new(&Params::default()), Arena::default());
    let mut packer = Packer::new(BODY_BYTES, true);
    move |iterations| {
        for _ in 0..iterations {
            for _ in 0..MESSAGES {
                while !packer.push(black_box(&payload)) {
                    accept(&mut backlog, &params, &mut packer);
                }
            }
            accept(&mut backlog, &params, &mut packer);
            drain(&mut backlog, &mut arena);
        }
    }
}

fn accept(backlog: &mut Backlog, params: &Params, packer: &mut Packer) {
    if let Some(packed) = packer.take() {
        let accepted = backlog.accept(params, Service::Agreed, packed.into());
        debug_assert!(accepted.is_ok(), "a path keeps within the backlog's bounds");
    }
}

fn drain(backlog: &mut Backlog, arena: &mut Arena) {
    while let Some(packet) = backlog.next_packet(NodeId(1), BODY_BYTES, arena) {
        black_box(packet);
    }
}
