//! Free: a packet that left without the token, under its sender's own number.
//!
//! Fresh, or recovered on a new ring as a packet that nobody gave a place on the old one.

use bytes::{BufMut, Bytes};

use super::data::{self, HEAD_BYTES as DATA_HEAD_BYTES};
use super::header::{ClusterTag, HEADER_BYTES, Header, Kind};
use super::{Malformed, body_bytes_max, fields};
use crate::free::{After, FreePacket};
use crate::id::{NodeId, RingId};
use crate::packet::{Content, Packet, Waits};
use crate::seq::Seq;

/// Length of everything in front of the body: header, ring (12), slot (8), number (8), after (1 +
/// 8), originator (4), first message (8), service and channel (1), count (2).
pub const HEAD_BYTES: usize = HEADER_BYTES + 12 + 8 + 8 + 1 + 8 + 4 + 8 + 1 + 2;

/// Longest body of a token-free packet: the frame is as long as a data frame at most.
#[must_use]
pub const fn free_body_bytes_max(mtu_bytes: usize) -> usize {
    body_bytes_max(mtu_bytes) + DATA_HEAD_BYTES - HEAD_BYTES
}

/// A free frame without its body.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Free {
    /// Who transmitted it; differs from the originator when it is recovered.
    pub transmitter: NodeId,
    /// The ring it travels on.
    pub ring: RingId,
    /// The slot of that ring for which it is recovered; zero for a fresh one.
    pub slot: Seq,
    /// Its number among the token-free packets of its originator on the ring it was sent on.
    pub number: u64,
    /// The packet, and what it waits for.
    pub free: FreePacket,
}

impl Free {
    /// Reads a whole free frame; the body is a slice of `frame`, not a copy.
    ///
    /// # Errors
    /// The reason when it is not a well-formed free frame of this cluster.
    pub fn parse(frame: &Bytes, cluster: ClusterTag) -> Result<Self, Malformed> {
        let mut from = &frame[..];
        let header = Header::parse(&mut from, cluster)?;
        if header.kind != Kind::Free {
            return Err(Malformed::Kind);
        }
        let ring = fields::ring(&mut from)?;
        let slot = fields::seq(&mut from)?;
        let number = fields::free_number(&mut from)?;
        let after = after(&mut from, number)?;
        let originator = fields::node(&mut from)?;
        let first_message = fields::u64(&mut from)?;
        let class = data::class(fields::u8(&mut from)?)?;
        let count = fields::u16(&mut from)?;
        if !class.service.is_token_free() || first_message == 0 || count == 0 {
            return Err(Malformed::Range);
        }
        let body = frame.slice(HEAD_BYTES..);
        let (content, waits) = (Content::Messages { count }, Waits::default());
        let packet = Packet { originator, first_message, class, waits, content, body };
        packet.validate()?;
        if after != After::Nothing && !packet.keeps_order() {
            return Err(Malformed::Range);
        }
        let free = FreePacket { packet, after };
        Ok(Self { transmitter: header.sender, ring, slot, number, free })
    }

    /// Appends everything in front of the body to `out`.
    pub fn emit_head(&self, cluster: ClusterTag, out: &mut Vec<u8>) {
        let FreePacket { packet, after } = &self.free;
        Header { kind: Kind::Free, sender: self.transmitter }.emit(cluster, out);
        fields::put_ring(out, self.ring);
        out.put_u64_le(self.slot.0);
        out.put_u64_le(self.number);
        let (code, value) = match after {
            After::Nothing => (0, 0),
            After::Place(seq) => (1, seq.0),
            After::Number(number) => (2, *number),
        };
        out.put_u8(code);
        out.put_u64_le(value);
        out.put_u32_le(packet.originator.0);
        out.put_u64_le(packet.first_message);
        out.put_u8(data::class_code(packet.class));
        let Content::Messages { count } = packet.content else {
            debug_assert!(false, "no fragment leaves without the token");
            return;
        };
        out.put_u16_le(count);
    }
}

fn after(from: &mut &[u8], number: u64) -> Result<After, Malformed> {
    let code = fields::u8(from)?;
    match code {
        0 if fields::u64(from)? == 0 => Ok(After::Nothing),
        1 => match fields::seq(from)? {
            Seq::ZERO => Err(Malformed::Range),
            seq => Ok(After::Place(seq)),
        },
        2 => match fields::free_number(from)? {
            before if before < number => Ok(After::Number(before)),
            _ => Err(Malformed::Range),
        },
        _ => Err(Malformed::Range),
    }
}
