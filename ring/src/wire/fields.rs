//! Total readers and writers of the fields that several frames share.

use std::net::Ipv4Addr;

use bytes::{Buf, BufMut};

use super::{MEMBERS_MAX, Malformed};
use crate::id::{Epoch, NodeId, RingId};
use crate::roster::{Endpoint, Member};
use crate::seq::Seq;

pub(super) fn u8(from: &mut &[u8]) -> Result<u8, Malformed> {
    from.try_get_u8().map_err(|_| Malformed::Truncated)
}

pub(super) fn u16(from: &mut &[u8]) -> Result<u16, Malformed> {
    from.try_get_u16_le().map_err(|_| Malformed::Truncated)
}

pub(super) fn u32(from: &mut &[u8]) -> Result<u32, Malformed> {
    from.try_get_u32_le().map_err(|_| Malformed::Truncated)
}

pub(super) fn u64(from: &mut &[u8]) -> Result<u64, Malformed> {
    from.try_get_u64_le().map_err(|_| Malformed::Truncated)
}

pub(super) fn u128(from: &mut &[u8]) -> Result<u128, Malformed> {
    from.try_get_u128_le().map_err(|_| Malformed::Truncated)
}

pub(super) fn node(from: &mut &[u8]) -> Result<NodeId, Malformed> {
    u32(from).map(NodeId)
}

pub(super) fn epoch(from: &mut &[u8]) -> Result<Epoch, Malformed> {
    let epoch = u64(from).map(Epoch)?;
    if epoch >= Epoch::END { Err(Malformed::Range) } else { Ok(epoch) }
}

/// A seq of a ring. Bounded so that the ordinal of every message in it (16 bits for the index,
/// 53 in all) can be written into a history exactly, and no sum of a seq and a window overflows.
pub(super) fn seq(from: &mut &[u8]) -> Result<Seq, Malformed> {
    let seq = u64(from)?;
    if seq >= 1 << 37 { Err(Malformed::Range) } else { Ok(Seq(seq)) }
}

/// A number of token-free packets: they become packets of the ring, so there are no more of them.
pub(super) fn free_number(from: &mut &[u8]) -> Result<u64, Malformed> {
    match seq(from)? {
        Seq::ZERO => Err(Malformed::Range),
        Seq(number) => Ok(number),
    }
}

pub(super) fn ring(from: &mut &[u8]) -> Result<RingId, Malformed> {
    Ok(RingId { epoch: epoch(from)?, representative: node(from)? })
}

pub(super) fn put_ring(out: &mut Vec<u8>, ring: RingId) {
    out.put_u64_le(ring.epoch.0);
    out.put_u32_le(ring.representative.0);
}

pub(super) fn endpoint(from: &mut &[u8]) -> Result<Endpoint, Malformed> {
    Ok(Endpoint {
        address: Ipv4Addr::from_bits(u32(from)?),
        token_port: u16(from)?,
        control_port: u16(from)?,
    })
}

pub(super) fn put_endpoint(out: &mut Vec<u8>, endpoint: Endpoint) {
    out.put_u32_le(endpoint.address.to_bits());
    out.put_u16_le(endpoint.token_port);
    out.put_u16_le(endpoint.control_port);
}

pub(super) fn member(from: &mut &[u8]) -> Result<Member, Malformed> {
    Ok(Member { id: node(from)?, incarnation: epoch(from)?, endpoint: endpoint(from)? })
}

pub(super) fn put_member(out: &mut Vec<u8>, member: &Member) {
    out.put_u32_le(member.id.0);
    out.put_u64_le(member.incarnation.0);
    put_endpoint(out, member.endpoint);
}

/// How many of something follow: at most [`MEMBERS_MAX`].
pub(super) fn count(from: &mut &[u8]) -> Result<usize, Malformed> {
    let count = usize::from(u8(from)?);
    if count > MEMBERS_MAX { Err(Malformed::Count) } else { Ok(count) }
}

/// Writes a length that its owner keeps within [`MEMBERS_MAX`].
pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    debug_assert!(count <= MEMBERS_MAX, "a set beyond its bound");
    out.put_u8(u8::try_from(count).unwrap_or(u8::MAX));
}

/// A set of members, strictly ascending.
pub(super) fn node_set(from: &mut &[u8]) -> Result<Vec<NodeId>, Malformed> {
    let count = count(from)?;
    if from.len() < count * 4 {
        return Err(Malformed::Truncated);
    }
    let mut nodes = Vec::with_capacity(count);
    for _ in 0..count {
        let next = node(from)?;
        if nodes.last().is_some_and(|last| *last >= next) {
            return Err(Malformed::Order);
        }
        nodes.push(next);
    }
    Ok(nodes)
}

pub(super) fn put_node_set(out: &mut Vec<u8>, nodes: &[NodeId]) {
    put_count(out, nodes.len());
    for node in nodes {
        out.put_u32_le(node.0);
    }
}

pub(super) fn end(from: &[u8]) -> Result<(), Malformed> {
    if from.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
}
