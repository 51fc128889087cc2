//! What a member knows of primaries for ever: the record on its disk, for the dynamic policy.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use super::policy::is_majority;
use crate::id::{Epoch, Incarnation, NodeId, RingId};
use crate::trace::ContentHash;
use crate::wire::MEMBERS_MAX;

/// A regular configuration: its ring and members.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Component {
    /// The ring.
    pub ring: RingId,
    /// Members, ascending.
    pub members: Arc<[NodeId]>,
}

/// How much of an attempt a later primary needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Needs {
    /// A majority.
    Majority,
    /// All but so many: what several attempts together need.
    AllBut(u16),
}

/// A configuration that was voted for here and may have become the primary, or several.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Attempt {
    /// The newest.
    pub(super) ring: RingId,
    /// Who lost its disk after this does not count.
    oldest: Epoch,
    /// Ascending.
    members: Vec<NodeId>,
    needs: Needs,
}

/// Attempts that are kept apart; a member with more makes one of the two oldest.
const ATTEMPTS_MAX: usize = 8;

/// Members of attempts that were made one, at most. With more, a member votes no longer: that takes
/// members whose ids changed hundreds of times, and not one confirmed primary meanwhile.
const UNION_MAX: usize = 4 * MEMBERS_MAX;

/// Bytes of the longest record.
pub const RECORD_BYTES_MAX: usize =
    HEAD_BYTES + (1 + RING_BYTES + 2 + 4 * MEMBERS_MAX) + 1 + ATTEMPTS_MAX * ATTEMPT_BYTES_MAX + 8;

/// Magic, and `since`.
const HEAD_BYTES: usize = 4 + 8;
const RING_BYTES: usize = 12;
const ATTEMPT_BYTES_MAX: usize = RING_BYTES + 8 + 1 + 2 + 2 + 4 * UNION_MAX;

/// What a record begins with: a name, and the version of its form.
const MAGIC: [u8; 4] = *b"RPC\x01";

/// A record that was not written by this program, or not wholly.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the record of primary components is damaged")]
pub struct DamagedRecord;

/// What a member knows of primaries: the last one it was in, and what it has voted for since.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// The life in which the record was made: it has been on disk ever since. A member that lost
    /// its disk has a later one, and no say in what was decided before.
    since: Incarnation,
    last: Option<Component>,
    /// Ascending by ring, all newer than `last`.
    attempts: Vec<Attempt>,
}

impl Record {
    /// The record of a member that finds none on its disk, in this life; to be durable before the
    /// member does anything.
    #[must_use]
    pub const fn new(incarnation: Incarnation) -> Self {
        Self { since: incarnation, last: None, attempts: Vec::new() }
    }

    /// The last primary this member was in.
    #[must_use]
    pub const fn last(&self) -> Option<&Component> {
        self.last.as_ref()
    }

    /// Whether its member has voted for the configuration of `ring`, or knows of a newer primary.
    /// One that lost its disk since cannot tell: `None`.
    #[cfg(feature = "sim")]
    pub(crate) fn has_voted(&self, ring: RingId) -> Option<bool> {
        let knows = self.last.as_ref().is_some_and(|last| last.ring >= ring);
        let voted = self.attempts.iter().any(|attempt| attempt.ring == ring);
        self.remembers(ring.epoch).then_some(knows || voted)
    }

    /// Notes a vote. False when there is no room for it: then there must be no vote.
    pub(super) fn attempt(&mut self, component: &Component) -> bool {
        let Component { ring, members } = component;
        let same = |attempt: &Attempt| {
            attempt.needs == Needs::Majority && attempt.members[..] == members[..]
        };
        if let Some(at) = self.attempts.iter().position(same) {
            // The older one asks for no more than both do.
            let mut again = self.attempts.remove(at);
            again.ring = again.ring.max(*ring);
            self.attempts.push(again);
        } else {
            if self.attempts.len() == ATTEMPTS_MAX && !self.join_oldest() {
                return false;
            }
            self.attempts.push(Attempt {
                ring: *ring,
                oldest: ring.epoch,
                members: members.to_vec(),
                needs: Needs::Majority,
            });
        }
        true
    }

    /// Makes one of the two oldest attempts, which asks for no less than both did.
    fn join_oldest(&mut self) -> bool {
        let [a, b] = [&self.attempts[0], &self.attempts[1]];
        let members: BTreeSet<NodeId> = a.members.iter().chain(&b.members).copied().collect();
        if members.len() > UNION_MAX {
            return false;
        }
        let both = Attempt {
            ring: a.ring.max(b.ring),
            oldest: a.oldest.min(b.oldest),
            members: members.into_iter().collect(),
            needs: Needs::AllBut(a.spare().min(b.spare())),
        };
        self.attempts.remove(1);
        self.attempts[0] = both;
        true
    }

    /// Notes that a configuration that this member is in is the primary: what came before it no
    /// longer matters.
    pub(super) fn confirm(&mut self, component: Component) {
        self.attempts.retain(|attempt| attempt.ring > component.ring);
        self.last = Some(component);
    }

    /// Whether its member has a say in what was decided at `epoch`.
    fn remembers(&self, epoch: Epoch) -> bool {
        self.since <= epoch
    }
}

impl Attempt {
    /// Members that may be missing.
    fn spare(&self) -> u16 {
        match self.needs {
            // Without the case of two halves, in which the lowest decides.
            Needs::Majority => {
                u16::try_from(self.members.len().saturating_sub(1) / 2).unwrap_or(u16::MAX)
            }
            Needs::AllBut(spare) => spare,
        }
    }

    fn is_met(&self, counts: impl Fn(NodeId) -> bool) -> bool {
        match self.needs {
            Needs::Majority => is_majority(&self.members, counts),
            Needs::AllBut(spare) => {
                let missing = self.members.iter().filter(|node| !counts(**node)).count();
                missing <= spare.into()
            }
        }
    }
}

/// Whether members, ascending, with these records, one each, may be the primary: a majority of the
/// newest primary that any of them was in, and of everything newer that any of them voted for.
/// Without any primary, all of `initial` must be there.
#[must_use]
pub fn may_be_primary<'r>(
    initial: &BTreeSet<NodeId>,
    members: &[NodeId],
    record_of: impl Fn(usize) -> &'r Record,
) -> bool {
    let counts = |node: NodeId, epoch: Epoch| {
        let place = members.binary_search(&node);
        place.is_ok_and(|index| record_of(index).remembers(epoch))
    };
    let records = || (0..members.len()).map(&record_of);
    let newest = records().filter_map(Record::last).max_by_key(|last| last.ring);
    let follows = match newest {
        None => initial.iter().all(|node| members.binary_search(node).is_ok()),
        Some(last) => is_majority(&last.members, |node| counts(node, last.ring.epoch)),
    };
    let ring = newest.map(|last| last.ring);
    let mut attempts = records().flat_map(|record| &record.attempts);
    follows
        && attempts.all(|attempt| {
            let is_over = ring.is_some_and(|ring| attempt.ring <= ring);
            is_over || attempt.is_met(|node| counts(node, attempt.oldest))
        })
}

/// What the record of one member alone says of members that others are among: `Some` when it can
/// tell whatever the others know.
pub(super) fn outlook(
    initial: &BTreeSet<NodeId>,
    members: &[NodeId],
    me: NodeId,
    mine: &Record,
) -> Option<bool> {
    let knows_all = Record::new(Epoch(0));
    let record_of = |index: usize| if members[index] == me { mine } else { &knows_all };
    let admitted = may_be_primary(initial, members, record_of);
    (admitted || members.len() == 1).then_some(admitted)
}

impl Record {
    /// The record as it is on disk and on the wire.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        out.put_slice(&MAGIC);
        out.put_u64_le(self.since.0);
        match &self.last {
            None => out.put_u8(0),
            Some(last) => {
                out.put_u8(1);
                put_ring(&mut out, last.ring);
                put_nodes(&mut out, &last.members);
            }
        }
        out.put_u8(u8::try_from(self.attempts.len()).unwrap_or(u8::MAX));
        for attempt in &self.attempts {
            put_ring(&mut out, attempt.ring);
            out.put_u64_le(attempt.oldest.0);
            let (kind, spare) = match attempt.needs {
                Needs::Majority => (0, 0),
                Needs::AllBut(spare) => (1, spare),
            };
            out.put_u8(kind);
            out.put_u16_le(spare);
            put_nodes(&mut out, &attempt.members);
        }
        out.put_u64_le(ContentHash::of(&out));
        debug_assert!(out.len() <= RECORD_BYTES_MAX, "a record beyond its bound");
        Bytes::from(out)
    }

    /// Reads what [`Record::encode`] wrote.
    ///
    /// # Errors
    /// For anything else; nothing is allocated beyond the length of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, DamagedRecord> {
        let (mut content, hash) = bytes.split_last_chunk::<8>().ok_or(DamagedRecord)?;
        if ContentHash::of(content) != u64::from_le_bytes(*hash) {
            return Err(DamagedRecord);
        }
        let record = read(&mut content).filter(|_| content.is_empty()).ok_or(DamagedRecord)?;
        Ok(record)
    }
}

fn read(from: &mut &[u8]) -> Option<Record> {
    let mut magic = [0; MAGIC.len()];
    from.try_copy_to_slice(&mut magic).ok()?;
    if magic != MAGIC {
        return None;
    }
    let since = epoch(from)?;
    let last = match from.try_get_u8().ok()? {
        0 => None,
        1 => {
            let ring = read_ring(from)?;
            Some(Component { ring, members: read_nodes(from, MEMBERS_MAX)?.into() })
        }
        _ => return None,
    };
    let count = usize::from(from.try_get_u8().ok()?);
    if count > ATTEMPTS_MAX {
        return None;
    }
    let mut attempts = Vec::with_capacity(count);
    for _ in 0..count {
        attempts.push(read_attempt(from)?);
    }
    let newer = |attempt: &Attempt| last.as_ref().is_none_or(|last| attempt.ring > last.ring);
    let sound = attempts.is_sorted_by(|a, b| a.ring < b.ring) && attempts.iter().all(newer);
    sound.then_some(Record { since, last, attempts })
}

fn read_attempt(from: &mut &[u8]) -> Option<Attempt> {
    let ring = read_ring(from)?;
    let oldest = epoch(from)?;
    let kind = from.try_get_u8().ok()?;
    let spare = from.try_get_u16_le().ok()?;
    let needs = match (kind, spare) {
        (0, 0) => Needs::Majority,
        (1, spare) => Needs::AllBut(spare),
        _ => return None,
    };
    let members = read_nodes(from, UNION_MAX)?;
    (oldest <= ring.epoch).then_some(Attempt { ring, oldest, members, needs })
}

pub(super) fn put_ring(out: &mut Vec<u8>, ring: RingId) {
    out.put_u64_le(ring.epoch.0);
    out.put_u32_le(ring.representative.0);
}

pub(super) fn read_ring(from: &mut &[u8]) -> Option<RingId> {
    Some(RingId::new(epoch(from)?, NodeId(from.try_get_u32_le().ok()?)))
}

fn epoch(from: &mut &[u8]) -> Option<Epoch> {
    let epoch = Epoch(from.try_get_u64_le().ok()?);
    (epoch < Epoch::END).then_some(epoch)
}

fn put_nodes(out: &mut Vec<u8>, nodes: &[NodeId]) {
    out.put_u16_le(u16::try_from(nodes.len()).unwrap_or(u16::MAX));
    nodes.iter().for_each(|node| out.put_u32_le(node.0));
}

/// Some nodes, strictly ascending, at least one.
fn read_nodes(from: &mut &[u8], most: usize) -> Option<Vec<NodeId>> {
    let count = usize::from(from.try_get_u16_le().ok()?);
    if count == 0 || count > most || from.len() < 4 * count {
        return None;
    }
    let mut nodes = Vec::with_capacity(count);
    for _ in 0..count {
        nodes.push(NodeId(from.try_get_u32_le().ok()?));
    }
    nodes.is_sorted_by(|a, b| a < b).then_some(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(epoch: u64, ids: &[u32]) -> Component {
        let members: Arc<[NodeId]> = ids.iter().copied().map(NodeId).collect();
        Component { ring: RingId::new(Epoch(epoch), members[0]), members }
    }

    /// Whether these members with these records may be the primary, 1, 2 and 3 being the initial.
    fn admits(records: &[(u32, &Record)]) -> bool {
        let initial = [1, 2, 3].map(NodeId).into();
        let members: Vec<NodeId> = records.iter().map(|(id, _)| NodeId(*id)).collect();
        may_be_primary(&initial, &members, |index| records[index].1)
    }

    #[test]
    fn the_first_primary_takes_all_of_the_initial() {
        let blank = Record::new(Epoch(1));
        assert!(admits(&[(1, &blank), (2, &blank), (3, &blank), (4, &blank)]));
        assert!(!admits(&[(1, &blank), (2, &blank)]));
    }

    #[test]
    fn a_majority_of_the_newest_primary_follows_it() {
        let (mut old, mut new) = (Record::new(Epoch(1)), Record::new(Epoch(1)));
        old.confirm(component(10, &[1, 2, 3]));
        new.confirm(component(20, &[2, 3, 4, 5, 6]));
        let blank = Record::new(Epoch(1));
        assert!(admits(&[(1, &old), (2, &old)]));
        assert!(!admits(&[(1, &old), (2, &new), (3, &new)]), "two of five");
        assert!(admits(&[(3, &new), (5, &new), (6, &blank)]), "whether or not they know it");
    }

    #[test]
    fn what_was_voted_for_counts_until_a_newer_primary() {
        let mut voted = Record::new(Epoch(1));
        voted.confirm(component(10, &[1, 2, 3]));
        let kept = voted.clone();
        assert!(voted.attempt(&component(20, &[3, 4, 5, 6, 7])));
        assert!(!admits(&[(1, &kept), (2, &kept), (3, &voted)]), "one of five");
        assert!(admits(&[(1, &kept), (2, &kept)]), "nobody there has voted");
        let mut newer = kept;
        newer.confirm(component(30, &[1, 2]));
        assert!(admits(&[(1, &newer), (2, &newer), (3, &voted)]), "that is over");
    }

    #[test]
    fn a_lost_disk_has_no_say_in_what_was_before() {
        let mut record = Record::new(Epoch(1));
        record.confirm(component(10, &[1, 2, 3]));
        let mut wiped = Record::new(Epoch(15));
        assert!(!admits(&[(1, &record), (2, &wiped)]));
        wiped.confirm(component(20, &[1, 2, 3]));
        assert!(admits(&[(1, &record), (2, &wiped)]), "it was in this one");
    }

    #[test]
    fn many_attempts_ask_for_no_less_when_they_are_made_one() {
        let mut record = Record::new(Epoch(1));
        for n in 0..40 {
            assert!(record.attempt(&component(10 + u64::from(n), &[1, 2 + n, 3 + n])));
            assert!(record.attempts.len() <= ATTEMPTS_MAX);
        }
        let knows_all = Record::new(Epoch(1));
        // Two of each of three, but for one that is in none of the newest.
        let all: Vec<(u32, &Record)> = (1..=42).map(|id| (id, &record)).collect();
        assert!(admits(&all));
        let without = |gone: &[u32]| -> Vec<(u32, &Record)> {
            let there = (1..=42).filter(|id| !gone.contains(id));
            there.map(|id| (id, if id == 1 { &record } else { &knows_all })).collect()
        };
        assert!(!admits(&without(&[5, 6])), "both others of an old attempt");
        assert!(!admits(&without(&[41, 42])), "both others of the newest attempt");
    }

    #[test]
    fn the_same_members_again_are_one_attempt() {
        let mut record = Record::new(Epoch(1));
        for n in 0..100 {
            assert!(record.attempt(&component(10 + n, &[1, 2])));
        }
        assert_eq!(record.attempts.len(), 1);
        assert_eq!((record.attempts[0].oldest, record.attempts[0].ring.epoch.0), (Epoch(10), 109));
    }

    #[test]
    fn records_are_read_as_written_and_no_damage_is() {
        let mut record = Record::new(Epoch(7));
        record.confirm(component(9, &[1, 2, 3]));
        for n in 0..20 {
            assert!(record.attempt(&component(10 + u64::from(n), &[1, 2 + n])));
        }
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Ok(record));
        for at in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..at]), Err(DamagedRecord));
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1 + u8::try_from(at % 255).unwrap();
            assert_eq!(Record::decode(&damaged), Err(DamagedRecord), "byte {at}");
        }
    }

    #[test]
    fn any_content_behind_a_good_hash_is_read_without_harm() {
        let mut record = Record::new(Epoch(7));
        record.confirm(component(9, &[1, 2, 3]));
        assert!(record.attempt(&component(10, &[1, 2])));
        let bytes = record.encode();
        let mut read = 0;
        for at in 0..bytes.len() - 8 {
            for value in [0, 1, 2, 127, 255] {
                let mut content = bytes[..bytes.len() - 8].to_vec();
                content[at] = value;
                let hash = ContentHash::of(&content);
                content.put_u64_le(hash);
                if let Ok(record) = Record::decode(&content) {
                    assert_eq!(record.encode(), content, "what is read is written the same");
                    read += 1;
                }
            }
        }
        assert!(read > 50, "{read}");
    }
}
