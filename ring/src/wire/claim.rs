//! Claim: the token's holder gives places to packets that it sent without the token.
//!
//! Who holds them needs no more than that; who misses one misses it and those behind it on the ring.

use bytes::BufMut;

use super::header::{ClusterTag, Header, Kind};
use super::{Malformed, fields};
use crate::free::FREE_PACKETS_MAX;
use crate::id::{NodeId, RingId};
use crate::seq::Seq;

/// A claim: packets `first_number`, … of its sender have the places `first_seq`, ….
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Claim {
    /// Who sent the packets, and holds the token.
    pub sender: NodeId,
    /// On which ring.
    pub ring: RingId,
    /// Place of the first.
    pub first_seq: Seq,
    /// Hop of the token visit, as data frames carry it.
    pub hop: u64,
    /// Token-free number of the first, from 1.
    pub first_number: u64,
    /// How many, from 1 to [`FREE_PACKETS_MAX`].
    pub count: u8,
    /// Of each: what it waits for of its sender, as its packet says it from now on
    /// ([`crate::packet::Waits::sender`]).
    pub waits: [u16; FREE_PACKETS_MAX as usize],
}

impl Claim {
    /// Reads a claim.
    ///
    /// # Errors
    /// The reason when it is not a well-formed claim of this cluster.
    pub fn parse(frame: &[u8], cluster: ClusterTag) -> Result<Self, Malformed> {
        let mut from = frame;
        let header = Header::parse(&mut from, cluster)?;
        if header.kind != Kind::Claim {
            return Err(Malformed::Kind);
        }
        let ring = fields::ring(&mut from)?;
        let first_seq = fields::seq(&mut from)?;
        let hop = fields::u64(&mut from)?;
        let first_number = fields::free_number(&mut from)?;
        let count = fields::u8(&mut from)?;
        if !(1..=FREE_PACKETS_MAX).contains(&count.into()) {
            return Err(Malformed::Count);
        }
        let mut waits = [0; FREE_PACKETS_MAX as usize];
        for one in &mut waits[..count.into()] {
            *one = fields::u16(&mut from)?;
        }
        fields::end(from)?;
        if first_seq == Seq::ZERO {
            return Err(Malformed::Range);
        }
        Ok(Self { sender: header.sender, ring, first_seq, hop, first_number, count, waits })
    }

    /// Appends the frame to `out`.
    pub fn emit(&self, cluster: ClusterTag, out: &mut Vec<u8>) {
        Header { kind: Kind::Claim, sender: self.sender }.emit(cluster, out);
        fields::put_ring(out, self.ring);
        out.put_u64_le(self.first_seq.0);
        out.put_u64_le(self.hop);
        out.put_u64_le(self.first_number);
        out.put_u8(self.count);
        for waits in &self.waits[..self.count.into()] {
            out.put_u16_le(*waits);
        }
    }

    /// Each packet's place, number and wait, ascending.
    pub fn packets(&self) -> impl Iterator<Item = (Seq, u64, u16)> + '_ {
        let each = (0..u64::from(self.count)).zip(&self.waits);
        each.map(|(index, waits)| (self.first_seq.plus(index), self.first_number + index, *waits))
    }

    /// The last place.
    #[must_use]
    pub fn last_seq(&self) -> Seq {
        Seq(self.first_seq.0 + u64::from(self.count) - 1)
    }
}
