//! Commit token: carries a proposed ring twice around its members.
//!
//! First time: each writes its [`Entry`]. Second time: each adopts the ring with everybody's
//! entries in hand. Unlike the other frames it may exceed one datagram's MTU on very large rings;
//! the control socket lets IP fragment it.

use bytes::BufMut;

use super::header::{ClusterTag, Header, Kind};
use super::{MTU_MAX_BYTES, MTU_MIN_BYTES, Malformed, fields};
use crate::free::{FREE_MEMBERS_MAX, FREE_PACKETS_MAX, FreeSpan};
use crate::id::{NodeId, RingId};
use crate::params::WINDOW_PACKETS_MAX;
use crate::roster::{Member, MemberMask};
use crate::seq::Seq;

/// Per member: id, incarnation, endpoint.
const MEMBER_BYTES: usize = 4 + 8 + 8;
/// Per entry at least: ring, three seqs, obligations, number of spans.
const ENTRY_BYTES: usize = 12 + 3 * 8 + 16 + 1;

/// Per span: place, first, count.
const SPAN_BYTES: usize = 1 + 8 + 1;

/// What a member brings into a new ring, all of it from one `Frozen` report (EVS step 3).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// The ring of its last regular configuration.
    pub installed: RingId,
    /// It holds everything of that ring up to here.
    pub aru: Seq,
    /// The highest packet of that ring it holds.
    pub highest: Seq,
    /// The least aru of all members of that ring, as far as it knows.
    pub stable: Seq,
    /// Its obligation set (EVS step 1), over the roster of that ring.
    pub obligations: MemberMask,
    /// Token-free packets of that ring that it holds without a place, ascending by sender.
    pub frees: Vec<FreeSpan>,
}

/// The commit token.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Commit {
    /// Who forwarded it.
    pub sender: NodeId,
    /// The proposed ring.
    pub ring: RingId,
    /// Visits so far, the representative's making it included: member `hop % n` is visited next,
    /// for the time `hop / n`.
    pub hop: u16,
    /// The smallest IP MTU of all members.
    pub mtu_bytes: u16,
    /// Ascending; the first is the representative.
    pub members: Vec<Member>,
    /// Entries of the members visited so far, in ring order.
    pub entries: Vec<Entry>,
}

impl Commit {
    /// Reads a commit token.
    ///
    /// # Errors
    /// The reason when it is not a well-formed commit token of this cluster.
    pub fn parse(frame: &[u8], cluster: ClusterTag) -> Result<Self, Malformed> {
        let mut from = frame;
        let header = Header::parse(&mut from, cluster)?;
        if header.kind != Kind::Commit {
            return Err(Malformed::Kind);
        }
        let ring = fields::ring(&mut from)?;
        let hop = fields::u16(&mut from)?;
        let mtu_bytes = fields::u16(&mut from)?;
        let members = members(&mut from)?;
        let entries = entries(&mut from, members.len())?;
        fields::end(from)?;
        let commit = Self { sender: header.sender, ring, hop, mtu_bytes, members, entries };
        commit.validate()?;
        Ok(commit)
    }

    fn validate(&self) -> Result<(), Malformed> {
        let n = self.members.len();
        let hop = usize::from(self.hop);
        let mtu_ok = (MTU_MIN_BYTES..=MTU_MAX_BYTES).contains(&usize::from(self.mtu_bytes));
        let representative_first = self.members[0].id == self.ring.representative;
        let visited = hop >= 1 && hop <= 2 * n && self.entries.len() == hop.min(n);
        // A ring is installed before a newer one is proposed, by everybody.
        let older = self.entries.iter().all(|entry| entry.installed.epoch < self.ring.epoch);
        let lived = self.members.iter().all(|member| member.incarnation < self.ring.epoch);
        if mtu_ok && representative_first && visited && older && lived && self.is_of_one_past() {
            Ok(())
        } else {
            Err(Malformed::Range)
        }
    }

    /// What one member of an old ring knows to be held by all of it is held by each: nobody's aru is
    /// below anybody's stable. So the slots of an old ring, from the least aru to the highest held,
    /// are no more than a window. Nor has any sender more token-free packets under way than it may.
    pub(crate) fn is_of_one_past(&self) -> bool {
        let contradict = |entry: &Entry, other: &Entry| {
            entry.installed == other.installed
                && (entry.aru < other.stable || !are_near(&entry.frees, &other.frees))
        };
        !self.entries.iter().any(|entry| self.entries.iter().any(|other| contradict(entry, other)))
    }

    /// Appends the frame to `out`.
    pub fn emit(&self, cluster: ClusterTag, out: &mut Vec<u8>) {
        Header { kind: Kind::Commit, sender: self.sender }.emit(cluster, out);
        fields::put_ring(out, self.ring);
        out.put_u16_le(self.hop);
        out.put_u16_le(self.mtu_bytes);
        fields::put_count(out, self.members.len());
        for member in &self.members {
            fields::put_member(out, member);
        }
        fields::put_count(out, self.entries.len());
        for entry in &self.entries {
            fields::put_ring(out, entry.installed);
            out.put_u64_le(entry.aru.0);
            out.put_u64_le(entry.highest.0);
            out.put_u64_le(entry.stable.0);
            out.put_u128_le(entry.obligations.0);
            fields::put_count(out, entry.frees.len());
            for span in &entry.frees {
                out.put_u8(span.place);
                out.put_u64_le(span.first);
                out.put_u8(span.count);
            }
        }
    }
}

fn members(from: &mut &[u8]) -> Result<Vec<Member>, Malformed> {
    let count = fields::count(from)?;
    if count < 2 {
        return Err(Malformed::Count);
    }
    if from.len() < count * MEMBER_BYTES {
        return Err(Malformed::Truncated);
    }
    let mut members: Vec<Member> = Vec::with_capacity(count);
    for _ in 0..count {
        let member = fields::member(from)?;
        if members.last().is_some_and(|last| last.id >= member.id) {
            return Err(Malformed::Order);
        }
        members.push(member);
    }
    Ok(members)
}

fn entries(from: &mut &[u8], members: usize) -> Result<Vec<Entry>, Malformed> {
    let count = fields::count(from)?;
    if count > members {
        return Err(Malformed::Count);
    }
    if from.len() < count * ENTRY_BYTES {
        return Err(Malformed::Truncated);
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = Entry {
            installed: fields::ring(from)?,
            aru: fields::seq(from)?,
            highest: fields::seq(from)?,
            stable: fields::seq(from)?,
            obligations: MemberMask(fields::u128(from)?),
            frees: frees(from)?,
        };
        let ordered = entry.stable <= entry.aru && entry.aru <= entry.highest;
        // No window is larger, so nothing higher can be held; bounds the slots of the new ring.
        if !ordered || entry.highest.since(entry.stable) > WINDOW_PACKETS_MAX as u64 {
            return Err(Malformed::Range);
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The token-free packets that a member holds: one span a sender.
fn frees(from: &mut &[u8]) -> Result<Vec<FreeSpan>, Malformed> {
    let count = fields::count(from)?;
    if count > FREE_MEMBERS_MAX {
        return Err(Malformed::Count);
    }
    if from.len() < count * SPAN_BYTES {
        return Err(Malformed::Truncated);
    }
    let mut frees: Vec<FreeSpan> = Vec::with_capacity(count);
    for _ in 0..count {
        let place = fields::u8(from)?;
        let first = fields::free_number(from)?;
        let count = fields::u8(from)?;
        let in_range =
            usize::from(place) < FREE_MEMBERS_MAX && (1..=FREE_PACKETS_MAX).contains(&count.into());
        if !in_range {
            return Err(Malformed::Range);
        }
        if frees.last().is_some_and(|last| last.place >= place) {
            return Err(Malformed::Order);
        }
        frees.push(FreeSpan { place, first, count });
    }
    Ok(frees)
}

/// Whether no two spans of one sender are further apart than packets under way may be. Both ascend by
/// sender, so one walk over the two tells.
fn are_near(frees: &[FreeSpan], others: &[FreeSpan]) -> bool {
    let mut others = others.iter().peekable();
    frees.iter().all(|span| {
        while others.next_if(|other| other.place < span.place).is_some() {}
        let same = others.peek().filter(|other| other.place == span.place);
        same.is_none_or(|other| span.cover(other).is_some())
    })
}
