//! Data: one packet of messages, or one fragment of a message, at one place of a ring.
//!
//! The head is written by whoever transmits; the body never changes. A recovered packet is the
//! old packet under the new ring's slot number, so both are this frame.

use bytes::{Buf, BufMut, Bytes};

use super::header::{ClusterTag, HEADER_BYTES, Header, Kind};
use super::{Malformed, fields};
use crate::id::{NodeId, RingId};
use crate::packet::{Content, Fragment, Packet, Waits};
use crate::seq::Seq;
use crate::service::{Channel, Class, Service};

/// Length of everything in front of the body: header, ring (12), seq (8), hop (8), originator (4),
/// first message (8), service, channel and flag (1), content (1), count (2), waits (2 + 2).
pub const HEAD_BYTES: usize = HEADER_BYTES + 12 + 8 + 8 + 4 + 8 + 1 + 1 + 2 + 4;

const POST_TOKEN: u8 = 0x80;
/// Below the channel's four bits.
const SERVICE_MASK: u8 = 0x07;

/// A data frame without its body.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Data {
    /// Who transmitted it; differs from the originator on a retransmission.
    pub transmitter: NodeId,
    /// The ring it travels on.
    pub ring: RingId,
    /// Its place on that ring.
    pub seq: Seq,
    /// Hop of the token visit in which it was transmitted: a sign that the token came that far.
    pub hop: u64,
    /// Transmitted after the token of its visit left.
    pub post_token: bool,
    /// The packet itself.
    pub packet: Packet,
}

impl Data {
    /// Reads a whole data frame; the body is a slice of `frame`, not a copy.
    ///
    /// # Errors
    /// The reason when it is not a well-formed data frame of this cluster.
    pub fn parse(frame: &Bytes, cluster: ClusterTag) -> Result<Self, Malformed> {
        let mut from = &frame[..];
        let header = Header::parse(&mut from, cluster)?;
        if header.kind != Kind::Data {
            return Err(Malformed::Kind);
        }
        if from.len() < HEAD_BYTES - HEADER_BYTES {
            return Err(Malformed::Truncated);
        }
        let ring = fields::ring(&mut from)?;
        let seq = fields::seq(&mut from)?;
        let hop = from.get_u64_le();
        let originator = fields::node(&mut from)?;
        let first_message = from.get_u64_le();
        let flags = from.get_u8();
        let content = content(from.get_u8(), from.get_u16_le())?;
        let waits = Waits { sender: from.get_u16_le(), past: from.get_u16_le() };
        let class = class(flags & !POST_TOKEN)?;
        if seq == Seq::ZERO || first_message == 0 {
            return Err(Malformed::Range);
        }
        let body = frame.slice(HEAD_BYTES..);
        let packet = Packet { originator, first_message, class, waits, content, body };
        packet.validate()?;
        let post_token = flags & POST_TOKEN != 0;
        Ok(Self { transmitter: header.sender, ring, seq, hop, post_token, packet })
    }

    /// Appends everything in front of the body to `out`.
    pub fn emit_head(&self, cluster: ClusterTag, out: &mut Vec<u8>) {
        Header { kind: Kind::Data, sender: self.transmitter }.emit(cluster, out);
        fields::put_ring(out, self.ring);
        out.put_u64_le(self.seq.0);
        out.put_u64_le(self.hop);
        out.put_u32_le(self.packet.originator.0);
        out.put_u64_le(self.packet.first_message);
        let post_token = if self.post_token { POST_TOKEN } else { 0 };
        out.put_u8(class_code(self.packet.class) | post_token);
        let (code, count) = match self.packet.content {
            Content::Messages { count } => (0, count),
            Content::Fragment(Fragment::First) => (1, 0),
            Content::Fragment(Fragment::Middle) => (2, 0),
            Content::Fragment(Fragment::Last { padding }) => (3, padding),
            Content::Fragment(Fragment::Only) => (4, 0),
        };
        out.put_u8(code);
        out.put_u16_le(count);
        out.put_u16_le(self.packet.waits.sender);
        out.put_u16_le(self.packet.waits.past);
    }
}

const fn service_code(service: Service) -> u8 {
    match service {
        Service::Reliable => 0,
        Service::Fifo => 1,
        Service::Causal => 2,
        Service::Agreed => 3,
        Service::Safe => 4,
    }
}

pub(super) const fn class_code(class: Class) -> u8 {
    service_code(class.service) | class.channel.number() << SERVICE_MASK.count_ones()
}

pub(super) fn class(code: u8) -> Result<Class, Malformed> {
    let of_code = |service: &Service| service_code(*service) == code & SERVICE_MASK;
    let service = Service::ALL.into_iter().find(of_code).ok_or(Malformed::Range)?;
    let channel = Channel::new(code >> SERVICE_MASK.count_ones()).ok_or(Malformed::Range)?;
    Ok(Class { service, channel })
}

const fn content(code: u8, count: u16) -> Result<Content, Malformed> {
    match (code, count) {
        (0, 1..) => Ok(Content::Messages { count }),
        (1, 0) => Ok(Content::Fragment(Fragment::First)),
        (2, 0) => Ok(Content::Fragment(Fragment::Middle)),
        (3, padding) => Ok(Content::Fragment(Fragment::Last { padding })),
        (4, 0) => Ok(Content::Fragment(Fragment::Only)),
        _ => Err(Malformed::Range),
    }
}
