//! What arrived in a slot, on its way to the inbox; the same for both ways to the kernel.

use std::net::SocketAddrV4;
use std::ops::Range;

use crate::counters::Counters;
use crate::frame::Frame;
use crate::inbox::{Inbox, Lane};
use crate::settings::MemoryBounds;
use crate::sys::slots::{HandedOut, Slots};

/// A socket's slots, and where its datagrams go.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) slots: Slots,
    lane: Lane,
    /// Datagrams from here are this link's own.
    own: Option<SocketAddrV4>,
}

/// A datagram that fills a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Arrived {
    pub(super) position: usize,
    /// Where in the slot it lies.
    pub(super) payload: Range<usize>,
    pub(super) from: Option<SocketAddrV4>,
    /// The size of its frames, when it is a super-packet.
    pub(super) segment_bytes: Option<usize>,
    /// Whether there was more of it than the slot takes.
    pub(super) is_truncated: bool,
}

/// How an [`Intake`] is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeTerms {
    pub(crate) lane: Lane,
    pub(crate) own: Option<SocketAddrV4>,
    /// The longest datagram, a super-packet where the kernel may hand one over.
    pub(crate) datagram_bytes_max: usize,
    pub(crate) bounds: MemoryBounds,
}

impl Intake {
    /// An intake of `positions` slots, each with `header_bytes` besides the datagram.
    pub(super) fn new(terms: IntakeTerms, positions: usize, header_bytes: usize) -> Self {
        let slot_bytes = terms.datagram_bytes_max + header_bytes;
        Self {
            slots: Slots::new(positions, slot_bytes, terms.bounds),
            lane: terms.lane,
            own: terms.own,
        }
    }

    /// Takes in what fills a slot, which is free again then.
    pub(super) fn accept(&mut self, arrived: Arrived, inbox: &mut Inbox, counters: &mut Counters) {
        let Some(from) = arrived.from.filter(|_| !arrived.is_truncated) else {
            counters.truncated_datagrams += 1;
            return self.slots.discard(arrived.position);
        };
        if self.own == Some(from) {
            counters.own_datagrams += 1;
            return self.slots.discard(arrived.position);
        }
        counters.received_datagrams += 1;
        counters.received_bytes += arrived.payload.len() as u64;
        let lane = self.lane;
        let handed_out = self.slots.hand_out(
            arrived.position,
            arrived.payload,
            arrived.segment_bytes,
            |bytes| {
                counters.received_frames += 1;
                inbox.push(lane, Frame { bytes, from });
            },
        );
        if handed_out == HandedOut::Copied {
            counters.copied_datagrams += 1;
        }
    }
}
