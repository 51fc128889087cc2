//! What arrived in a slot, on its way to the inbox; the same for both ways to the kernel.

use std::net::SocketAddrV4;
use std::ops::Range;

use socket2::Socket;

use crate::counters::Counters;
use crate::frame::Frame;
use crate::inbox::{Inbox, Lane};
use crate::raw::{self, Parsed};
use crate::settings::MemoryBounds;
use crate::sys::slots::{HandedOut, Slots};

/// A socket's slots, and where its datagrams go.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) slots: Slots,
    lane: Lane,
    framing: Framing,
    datagram_bytes_max: usize,
    /// Datagrams from here are this link's own.
    own: Option<SocketAddrV4>,
}

/// What stands before the frames of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    /// Nothing that the kernel leaves there.
    Udp,
    /// An IP header and one of [`raw`]; frames that do not go to `group` are not this link's.
    Raw { group: SocketAddrV4 },
}

impl Framing {
    /// Bytes of it at most.
    const fn bytes_max(self) -> usize {
        match self {
            Self::Udp => 0,
            Self::Raw { .. } => raw::IP_HEADER_BYTES_MAX + raw::HEADER_BYTES,
        }
    }
}

/// A datagram that fills a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Arrived {
    pub(super) position: usize,
    /// Where in the slot it lies.
    pub(super) payload: Range<usize>,
    pub(super) from: SocketAddrV4,
    /// The size of its frames, when it is a super-packet.
    pub(super) segment_bytes: Option<usize>,
    /// Whether there was more of it than the slot takes.
    pub(super) is_truncated: bool,
}

/// How an [`Intake`] is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeTerms {
    pub(crate) lane: Lane,
    pub(crate) framing: Framing,
    pub(crate) own: Option<SocketAddrV4>,
    /// The longest datagram, a super-packet where the kernel may hand one over.
    pub(crate) datagram_bytes_max: usize,
    pub(crate) bounds: MemoryBounds,
}

/// A socket and how it receives.
pub(crate) type SocketTerms = (Socket, IntakeTerms);

impl IntakeTerms {
    /// Bytes of a slot for the longest datagram behind `header_bytes`.
    pub(super) const fn slot_bytes(&self, header_bytes: usize) -> usize {
        header_bytes + self.framing.bytes_max() + self.datagram_bytes_max
    }
}

impl Intake {
    /// An intake of `positions` slots, each with `header_bytes` besides the datagram.
    pub(super) fn new(terms: IntakeTerms, positions: usize, header_bytes: usize) -> Self {
        let slot_bytes = terms.slot_bytes(header_bytes);
        Self {
            slots: Slots::new(positions, slot_bytes, terms.bounds),
            lane: terms.lane,
            framing: terms.framing,
            datagram_bytes_max: terms.datagram_bytes_max,
            own: terms.own,
        }
    }

    /// Takes in what fills a slot, which is free again then.
    pub(super) fn accept(&mut self, arrived: &Arrived, inbox: &mut Inbox, counters: &mut Counters) {
        let (frames, from) = match self.frames(arrived) {
            Ok(found) => found,
            Err(why) => {
                match why {
                    GivenUp::Truncated => counters.truncated_datagrams += 1,
                    GivenUp::Own => counters.own_datagrams += 1,
                    GivenUp::Foreign => counters.foreign_datagrams += 1,
                    GivenUp::Damaged => counters.damaged_datagrams += 1,
                }
                return self.slots.discard(arrived.position);
            }
        };
        counters.received_datagrams += 1;
        counters.received_bytes += frames.len() as u64;
        let lane = self.lane;
        let handed_out =
            self.slots.hand_out(arrived.position, frames, arrived.segment_bytes, |bytes| {
                counters.received_frames += 1;
                inbox.push(lane, Frame { bytes, from });
            });
        if handed_out == HandedOut::Copied {
            counters.copied_datagrams += 1;
        }
    }

    /// Where in the slot the frames lie, and who sent them.
    fn frames(&self, arrived: &Arrived) -> Result<(Range<usize>, SocketAddrV4), GivenUp> {
        let (mut frames, mut from) = (arrived.payload.clone(), arrived.from);
        if let Framing::Raw { group } = self.framing {
            let datagram = &self.slots.contents(arrived.position)[frames.clone()];
            if !raw::is_for(datagram, *group.ip()) {
                return Err(GivenUp::Foreign);
            }
            if arrived.is_truncated {
                return Err(GivenUp::Truncated);
            }
            match raw::parse(datagram, group.port()) {
                Parsed::Frame { frame_at, from_port } => {
                    frames.start += frame_at;
                    from.set_port(from_port);
                }
                Parsed::Foreign => return Err(GivenUp::Foreign),
                Parsed::Damaged => return Err(GivenUp::Damaged),
            }
        }
        // A slot of a raw socket has room for the longest IP header, which is hardly ever there.
        if arrived.is_truncated || frames.len() > self.datagram_bytes_max {
            return Err(GivenUp::Truncated);
        }
        if self.own == Some(from) {
            return Err(GivenUp::Own);
        }
        Ok((frames, from))
    }
}

/// Why a datagram is not taken in.
enum GivenUp {
    /// There was more of it than any frame may have.
    Truncated,
    /// This link sent it.
    Own,
    /// It goes elsewhere.
    Foreign,
    /// It is not as it was sent.
    Damaged,
}
