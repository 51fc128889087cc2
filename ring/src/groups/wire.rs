//! What groups write on their channel.
//!
//! Numbers are little-endian; `name` is a length byte and as much text; `varint` has 7 bits a byte,
//! lowest first. Every payload begins with the version and a kind:
//!
//! ```text
//! join     1 1  number:u32 endpoint:name group:name
//! leave    1 2  number:u32 group:name
//! gone     1 3  number:u32 crashed:u8
//! away     1 6
//! message  1 4  endpoint:name targets:u8 target… payload
//!               target: 0 group:name | 1 node:u32 endpoint:name
//! chunk    1 5  ring:u64,u32 index:u32 last:u8 [in chunk 0: members:u8 (node:u32 life:u64)…] record…
//!               record: 1 place:u8 number:varint endpoint:name
//!                     | 2 group:name members:varint endpoint:varint…
//! ```
//!
//! Reading is total and allocates nothing: what comes out borrows the payload, wholly checked.

use bytes::{Buf, BufMut, Bytes};

use super::name::{NameError, PrivateName, check_endpoint, check_group};
use super::{Refusal, Target};
use crate::id::{Epoch, Incarnation, NodeId, RingId};
use crate::wire::MEMBERS_MAX;

/// First byte of every payload. A member refuses what it does not know.
pub(super) const VERSION: u8 = 1;

/// Targets of one message, at most: their number is a byte.
pub const TARGETS_MAX: usize = 255;

/// A member of a part: 4 bytes of id, 8 of incarnation.
const PART_MEMBER_BYTES: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Kind {
    Join = 1,
    Leave,
    Gone,
    Message,
    Chunk,
    Away,
}

const GROUP: u8 = 0;
const PRIVATE: u8 = 1;
const ENDPOINT_RECORD: u8 = 1;
const GROUP_RECORD: u8 = 2;

/// A payload, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content<'a> {
    /// The sender's endpoint `number`, so called, joins.
    Join { number: u32, endpoint: &'a str, group: &'a str },
    /// The sender's endpoint `number` leaves.
    Leave { number: u32, group: &'a str },
    /// The sender's endpoint `number` is no more; its client died rather than said so.
    Gone { number: u32, crashed: bool },
    /// The sender leaves: all its endpoints are no more.
    Away,
    /// To groups and endpoints.
    Message(Envelope<'a>),
    /// Of the table of the sender's part.
    Chunk(Chunk<'a>),
}

/// Around an application's payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Envelope<'a> {
    /// The sending endpoint.
    pub(super) from: &'a str,
    targets: &'a [u8],
    /// What it sends: the end of the message, this long.
    pub(super) payload_bytes: usize,
}

/// Whom a message is for, borrowed from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TargetRef<'a> {
    /// The members of a group, and whose filter it passes.
    Group(&'a str),
    /// The endpoint of this name at this node.
    Private(&'a str, NodeId),
}

/// A piece of a part's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Chunk<'a> {
    /// The configuration for which the table is told.
    pub(super) ring: RingId,
    /// Its number, from 0.
    pub(super) index: u32,
    /// Nothing follows.
    pub(super) last: bool,
    members: &'a [u8],
    records: &'a [u8],
}

/// A line of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Record<'a> {
    /// The next endpoint: of the part's member at `place`.
    Endpoint { place: u8, number: u32, name: &'a str },
    /// Members of a group, or some of them, by their places among the endpoints.
    Group { name: &'a str, members: Places<'a> },
}

/// Places of endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Places<'a>(&'a [u8]);

/// Reads a payload.
pub(super) fn parse(payload: &[u8]) -> Result<Content<'_>, Refusal> {
    let from = &mut &*payload;
    let version = u8(from)?;
    if version != VERSION {
        return Err(Refusal::Version);
    }
    let kind = u8(from)?;
    let content = match kind {
        kind if kind == Kind::Join as u8 => {
            let (number, endpoint) = (u32(from)?, endpoint(from)?);
            Content::Join { number, endpoint, group: group(from)? }
        }
        kind if kind == Kind::Leave as u8 => {
            Content::Leave { number: u32(from)?, group: group(from)? }
        }
        kind if kind == Kind::Gone as u8 => {
            Content::Gone { number: u32(from)?, crashed: flag(from)? }
        }
        kind if kind == Kind::Away as u8 => Content::Away,
        kind if kind == Kind::Message as u8 => return envelope(from).map(Content::Message),
        kind if kind == Kind::Chunk as u8 => return chunk(from).map(Content::Chunk),
        _ => return Err(Refusal::Kind),
    };
    if from.is_empty() { Ok(content) } else { Err(Refusal::Form) }
}

fn envelope<'a>(from: &mut &'a [u8]) -> Result<Envelope<'a>, Refusal> {
    let endpoint = endpoint(from)?;
    let count = u8(from)?;
    if count == 0 {
        return Err(Refusal::Form);
    }
    let all = *from;
    for _ in 0..count {
        target(from)?;
    }
    let targets = &all[..all.len() - from.len()];
    Ok(Envelope { from: endpoint, targets, payload_bytes: from.len() })
}

fn target<'a>(from: &mut &'a [u8]) -> Result<TargetRef<'a>, Refusal> {
    match u8(from)? {
        GROUP => group(from).map(TargetRef::Group),
        PRIVATE => {
            let node = NodeId(u32(from)?);
            Ok(TargetRef::Private(endpoint(from)?, node))
        }
        _ => Err(Refusal::Form),
    }
}

fn chunk<'a>(from: &mut &'a [u8]) -> Result<Chunk<'a>, Refusal> {
    let ring = RingId { epoch: epoch(from)?, representative: NodeId(u32(from)?) };
    let (index, last) = (u32(from)?, flag(from)?);
    let mut members: &[u8] = &[];
    if index == 0 {
        let count = usize::from(u8(from)?);
        if count == 0 || count > MEMBERS_MAX {
            return Err(Refusal::Form);
        }
        members = take(from, count * PART_MEMBER_BYTES)?;
    }
    let chunk = Chunk { ring, index, last, members, records: from };
    if !chunk.members().is_sorted_by(|a, b| a.0 < b.0)
        || chunk.members().any(|(_, incarnation)| incarnation >= Epoch::END)
    {
        return Err(Refusal::Form);
    }
    while !from.is_empty() {
        record(from)?;
    }
    Ok(chunk)
}

fn record<'a>(from: &mut &'a [u8]) -> Result<Record<'a>, Refusal> {
    match u8(from)? {
        ENDPOINT_RECORD => {
            let (place, number) = (u8(from)?, varint(from)?);
            Ok(Record::Endpoint { place, number, name: endpoint(from)? })
        }
        GROUP_RECORD => {
            let name = group(from)?;
            let count = varint(from)?;
            let all = *from;
            for _ in 0..count {
                varint(from)?;
            }
            Ok(Record::Group { name, members: Places(&all[..all.len() - from.len()]) })
        }
        _ => Err(Refusal::Form),
    }
}

impl<'a> Envelope<'a> {
    /// For whom.
    pub(super) fn targets(&self) -> impl Iterator<Item = TargetRef<'a>> + use<'a> {
        let mut rest = self.targets;
        std::iter::from_fn(move || target(&mut rest).ok())
    }
}

impl<'a> Chunk<'a> {
    /// The members of the part, ascending; in chunk 0 only.
    pub(super) fn members(&self) -> impl Iterator<Item = (NodeId, Incarnation)> + use<'a> {
        self.members
            .chunks_exact(PART_MEMBER_BYTES)
            .map(|mut member| (NodeId(member.get_u32_le()), Epoch(member.get_u64_le())))
    }

    /// What it says.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let mut rest = self.records;
        std::iter::from_fn(move || record(&mut rest).ok())
    }
}

impl Places<'_> {
    /// One by one.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let mut rest = self.0;
        std::iter::from_fn(move || varint(&mut rest).ok())
    }
}

fn u8(from: &mut &[u8]) -> Result<u8, Refusal> {
    from.try_get_u8().map_err(|_| Refusal::Form)
}

fn u32(from: &mut &[u8]) -> Result<u32, Refusal> {
    from.try_get_u32_le().map_err(|_| Refusal::Form)
}

fn epoch(from: &mut &[u8]) -> Result<Epoch, Refusal> {
    from.try_get_u64_le().map(Epoch).map_err(|_| Refusal::Form)
}

fn flag(from: &mut &[u8]) -> Result<bool, Refusal> {
    match u8(from)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Refusal::Form),
    }
}

fn take<'a>(from: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], Refusal> {
    let (taken, rest) = from.split_at_checked(bytes).ok_or(Refusal::Form)?;
    *from = rest;
    Ok(taken)
}

/// Only the shortest form of a number is one.
fn varint(from: &mut &[u8]) -> Result<u32, Refusal> {
    let mut number = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let byte = u8(from)?;
        let bits = u32::from(byte & 0x7f);
        if bits > u32::MAX >> shift || (byte == 0 && shift > 0) {
            return Err(Refusal::Form);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Refusal::Form)
}

fn text<'a>(from: &mut &'a [u8]) -> Result<&'a str, Refusal> {
    let bytes = usize::from(u8(from)?);
    std::str::from_utf8(take(from, bytes)?).map_err(|_| Refusal::Name(NameError::Encoding))
}

fn endpoint<'a>(from: &mut &'a [u8]) -> Result<&'a str, Refusal> {
    let name = text(from)?;
    check_endpoint(name).map_err(Refusal::Name)?;
    Ok(name)
}

fn group<'a>(from: &mut &'a [u8]) -> Result<&'a str, Refusal> {
    let name = text(from)?;
    check_group(name).map_err(Refusal::Name)?;
    Ok(name)
}

fn begin(kind: Kind, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + capacity);
    out.extend_from_slice(&[VERSION, kind as u8]);
    out
}

/// A checked name, which has 128 bytes at most.
fn put_name(out: &mut Vec<u8>, name: &str) {
    debug_assert!(name.len() <= super::NAME_BYTES_MAX, "names are checked");
    out.put_u8(u8::try_from(name.len()).unwrap_or(0));
    out.extend_from_slice(name.as_bytes());
}

fn put_varint(out: &mut Vec<u8>, mut number: u32) {
    loop {
        let [lowest, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.put_u8(lowest);
        }
        out.put_u8(lowest | 0x80);
    }
}

/// Writes [`Content::Join`].
pub(super) fn join(number: u32, endpoint: &str, group: &str) -> Bytes {
    let mut out = begin(Kind::Join, 6 + endpoint.len() + group.len());
    out.put_u32_le(number);
    put_name(&mut out, endpoint);
    put_name(&mut out, group);
    out.into()
}

/// Writes [`Content::Leave`].
pub(super) fn leave(number: u32, group: &str) -> Bytes {
    let mut out = begin(Kind::Leave, 5 + group.len());
    out.put_u32_le(number);
    put_name(&mut out, group);
    out.into()
}

/// Writes [`Content::Gone`].
pub(super) fn gone(number: u32, crashed: bool) -> Bytes {
    let mut out = begin(Kind::Gone, 5);
    out.put_u32_le(number);
    out.put_u8(crashed.into());
    out.into()
}

/// Writes [`Content::Away`].
pub(super) fn away() -> Bytes {
    begin(Kind::Away, 0).into()
}

/// Length of what [`message`] writes around a payload, in bytes.
pub(super) fn envelope_bytes(from: &str, targets: &[Target]) -> usize {
    let of_target = |target: &Target| match target {
        Target::Group(_) => 2 + target.name().len(),
        Target::Private(_) => 6 + target.name().len(),
    };
    4 + from.len() + targets.iter().map(of_target).sum::<usize>()
}

/// Writes [`Content::Message`], to 1 to [`TARGETS_MAX`] targets.
pub(super) fn message(from: &str, targets: &[Target], payload: &[u8]) -> Bytes {
    debug_assert!((1..=TARGETS_MAX).contains(&targets.len()), "the caller has counted");
    let mut out = begin(Kind::Message, envelope_bytes(from, targets) - 2 + payload.len());
    put_name(&mut out, from);
    out.put_u8(u8::try_from(targets.len()).unwrap_or(0));
    for target in targets {
        match target {
            Target::Group(group) => {
                out.put_u8(GROUP);
                put_name(&mut out, group.as_str());
            }
            Target::Private(PrivateName { name, node }) => {
                out.put_u8(PRIVATE);
                out.put_u32_le(node.0);
                put_name(&mut out, name.as_str());
            }
        }
    }
    out.extend_from_slice(payload);
    out.into()
}

/// Where the byte is that says whether a chunk is the last: after version, kind, ring and index.
const LAST_AT: usize = 2 + 12 + 4;

/// Writes [`Content::Chunk`], line by line.
#[derive(Debug)]
pub(super) struct ChunkWriter(Vec<u8>);

impl ChunkWriter {
    /// Chunk `index` for `ring`. `members` are told in chunk 0.
    pub(super) fn new(
        ring: RingId,
        index: u32,
        members: &[(NodeId, Incarnation)],
        capacity: usize,
    ) -> Self {
        let mut out = begin(Kind::Chunk, capacity);
        out.put_u64_le(ring.epoch.0);
        out.put_u32_le(ring.representative.0);
        out.put_u32_le(index);
        out.put_u8(0);
        if index == 0 {
            debug_assert!(members.len() <= MEMBERS_MAX, "members are bounded");
            out.put_u8(u8::try_from(members.len()).unwrap_or(0));
            for (node, incarnation) in members {
                out.put_u32_le(node.0);
                out.put_u64_le(incarnation.0);
            }
        }
        Self(out)
    }

    /// Bytes so far.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes [`Record::Endpoint`].
    pub(super) fn endpoint(&mut self, place: u8, number: u32, name: &str) {
        self.0.extend_from_slice(&[ENDPOINT_RECORD, place]);
        put_varint(&mut self.0, number);
        put_name(&mut self.0, name);
    }

    /// Writes [`Record::Group`].
    pub(super) fn group(&mut self, name: &str, members: &[u32]) {
        self.0.put_u8(GROUP_RECORD);
        put_name(&mut self.0, name);
        put_varint(&mut self.0, u32::try_from(members.len()).unwrap_or(0));
        members.iter().for_each(|place| put_varint(&mut self.0, *place));
    }

    /// The payload.
    pub(super) fn finish(mut self, last: bool) -> Bytes {
        self.0[LAST_AT] = last.into();
        self.0.into()
    }
}
