//! The token: order, promises and requests of a ring (Totem), one aru per member.
//!
//! Per member it carries the aru and the ceiling, each written by its owner alone, as distances
//! from the token's seq, so that the least aru *is* what everybody holds.

use bytes::BufMut;

use super::header::{ClusterTag, HEADER_BYTES, Header, Kind};
use super::{MEMBERS_MAX, MTU_MIN_BYTES, Malformed, fields, frame_bytes_max};
use crate::id::{NodeId, RingId};
use crate::seq::Seq;

/// Length of everything in front of the members: header, ring (12), hop (8), seq (8), fcc (4),
/// backlog (4), number of members (1), number of requests (1).
pub const HEAD_BYTES: usize = HEADER_BYTES + 12 + 8 + 8 + 4 + 4 + 1 + 1;
/// Per member: distance of its aru below the token's seq (4), of its ceiling above its aru (4).
const MEMBER_BYTES: usize = 4 + 4;
const REQUEST_BYTES: usize = 8 + 2 + 1 + 1;

/// Ranges on the token at most, whatever the number of members.
pub const REQUESTS_MAX: usize = 64;

/// Ranges that fit the token of a ring of `members`.
#[must_use]
pub const fn requests_max(members: usize) -> usize {
    let room = frame_bytes_max(MTU_MIN_BYTES) - HEAD_BYTES - members * MEMBER_BYTES;
    let fitting = room / REQUEST_BYTES;
    if fitting < REQUESTS_MAX { fitting } else { REQUESTS_MAX }
}

/// What a member promises and allows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Promise {
    /// It holds everything up to here and will deliver it unless it fails. Never falls.
    pub aru: Seq,
    /// It will store nothing beyond here. Never falls.
    pub ceiling: Seq,
}

/// Packets somebody misses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Request {
    /// First missing seq.
    pub first: Seq,
    /// How many in a row, at least one.
    pub count: u16,
    /// Place of the requester in ring order.
    pub by: u8,
    /// Holders that shall pass it on before one answers: turns the holder, so that a one-way link
    /// between one holder and the requester does not last for ever.
    pub skip: u8,
    /// Somebody who passed it on holds the whole range.
    pub held: bool,
}

impl Request {
    /// The last missing seq.
    #[must_use]
    pub fn last(&self) -> Seq {
        Seq(self.first.0 + u64::from(self.count) - 1)
    }
}

/// The token.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Token {
    /// Who forwarded it.
    pub sender: NodeId,
    /// Its ring.
    pub ring: RingId,
    /// Visits so far: the representative's first is 0. Grows by one at each hop.
    pub hop: u64,
    /// Last number given.
    pub seq: Seq,
    /// Flow control count: packets multicast in the last rotation.
    pub fcc: u32,
    /// Packets waiting at all members.
    pub backlog: u32,
    /// One per member, in ring order.
    pub promises: Vec<Promise>,
    /// Oldest first.
    pub requests: Vec<Request>,
}

const _: () = assert!(requests_max(MEMBERS_MAX) >= 8, "the largest ring can still ask for repair");

impl Token {
    /// A token with room for the largest ring, so that parsing into it never allocates.
    #[must_use]
    pub fn with_capacity() -> Self {
        Self {
            promises: Vec::with_capacity(MEMBERS_MAX),
            requests: Vec::with_capacity(REQUESTS_MAX),
            ..Self::default()
        }
    }

    /// Reads a token frame into `self`, reusing its memory. After an error the content of `self`
    /// is meaningless.
    ///
    /// # Errors
    /// The reason when it is not a well-formed token of this cluster.
    pub fn parse_into(&mut self, frame: &[u8], cluster: ClusterTag) -> Result<(), Malformed> {
        let mut from = frame;
        let header = Header::parse(&mut from, cluster)?;
        if header.kind != Kind::Token {
            return Err(Malformed::Kind);
        }
        self.sender = header.sender;
        self.ring = fields::ring(&mut from)?;
        self.hop = fields::u64(&mut from)?;
        self.seq = fields::seq(&mut from)?;
        self.fcc = fields::u32(&mut from)?;
        self.backlog = fields::u32(&mut from)?;
        let members = fields::count(&mut from)?;
        let requests = usize::from(fields::u8(&mut from)?);
        if members < 2 || requests > requests_max(members) {
            return Err(Malformed::Count);
        }
        self.promises.clear();
        for _ in 0..members {
            self.promises.push(promise(&mut from, self.seq)?);
        }
        self.requests.clear();
        for _ in 0..requests {
            self.requests.push(request(&mut from, self.seq, members)?);
        }
        fields::end(from)
    }

    /// Appends the frame to `out`.
    pub fn emit(&self, cluster: ClusterTag, out: &mut Vec<u8>) {
        Header { kind: Kind::Token, sender: self.sender }.emit(cluster, out);
        fields::put_ring(out, self.ring);
        out.put_u64_le(self.hop);
        out.put_u64_le(self.seq.0);
        out.put_u32_le(self.fcc);
        out.put_u32_le(self.backlog);
        fields::put_count(out, self.promises.len());
        fields::put_count(out, self.requests.len());
        for promise in &self.promises {
            out.put_u32_le(distance(self.seq, promise.aru));
            out.put_u32_le(distance(promise.ceiling, promise.aru));
        }
        for request in &self.requests {
            out.put_u64_le(request.first.0);
            out.put_u16_le(request.count);
            out.put_u8(request.by);
            out.put_u8(request.skip << 1 | u8::from(request.held));
        }
    }

    /// What everybody holds: the least aru.
    #[must_use]
    pub fn least_aru(&self) -> Seq {
        self.promises.iter().map(|promise| promise.aru).min().unwrap_or_default()
    }

    /// What the member at index `me` leaves to those that the token visits between it and the
    /// owner of each ceiling: one number for each.
    #[must_use]
    pub fn shared_ceiling(&self, me: usize) -> Seq {
        let members = self.promises.len();
        let left = |(owner, promise): (usize, &Promise)| {
            let between = (owner + 2 * members - me - 1) % members;
            Seq(promise.ceiling.0.saturating_sub(between as u64))
        };
        self.promises.iter().enumerate().map(left).min().unwrap_or_default()
    }

    /// What nobody may exceed: the least ceiling.
    #[must_use]
    pub fn least_ceiling(&self) -> Seq {
        self.promises.iter().map(|promise| promise.ceiling).min().unwrap_or_default()
    }
}

/// Windows are far smaller than 32 bits, so neither distance is ever cut.
fn distance(from: Seq, to: Seq) -> u32 {
    u32::try_from(from.since(to)).unwrap_or(u32::MAX)
}

fn promise(from: &mut &[u8], seq: Seq) -> Result<Promise, Malformed> {
    let behind = u64::from(fields::u32(from)?);
    let room = u64::from(fields::u32(from)?);
    let aru = Seq(seq.0.checked_sub(behind).ok_or(Malformed::Range)?);
    let ceiling = aru.plus(room);
    // Nobody numbers a packet that somebody cannot store.
    if ceiling < seq { Err(Malformed::Range) } else { Ok(Promise { aru, ceiling }) }
}

fn request(from: &mut &[u8], seq: Seq, members: usize) -> Result<Request, Malformed> {
    let first = fields::seq(from)?;
    let count = fields::u16(from)?;
    let by = fields::u8(from)?;
    let skip_held = fields::u8(from)?;
    let request = Request { first, count, by, skip: skip_held >> 1, held: skip_held & 1 != 0 };
    let in_range = first > Seq::ZERO && count > 0 && request.last() <= seq;
    if in_range && usize::from(by) < members { Ok(request) } else { Err(Malformed::Range) }
}
