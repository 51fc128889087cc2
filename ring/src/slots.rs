//! Slots: the numbers 1…K of a new ring that stand for packets of its members' old rings.
//!
//! Everybody computes the same map from the same commit entries: old ring by old ring, ascending
//! by ring id, the seqs from the least aru (exclusive) to the highest held (inclusive) among the
//! members that come from it, then the token-free packets that any of them holds without a place,
//! sender by sender.

use std::collections::BTreeMap;

use crate::free::FreeSpan;
use crate::id::RingId;
use crate::seq::Seq;
use crate::wire::commit::Entry;

/// Where a slot number of a new ring leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// To this seq of the installed ring.
    Old(Seq),
    /// To a token-free packet of the installed ring.
    Free {
        /// The sender's place in its roster.
        place: usize,
        /// The sender's number of it.
        number: u64,
    },
    /// To another member's old ring.
    Foreign,
    /// Beyond the install point: a packet of the new ring itself.
    New,
}

/// The slots of one new ring, as one member sees them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SlotMap {
    /// K: the new ring's packets are numbered from the next.
    pub install_point: Seq,
    /// The slot before the first that is mine.
    base: Seq,
    /// The least aru among the members that come from my ring.
    low: Seq,
    /// The highest packet of my ring that any of them holds.
    high: Seq,
    /// Token-free packets of my ring, behind its others.
    frees: Vec<FreeSpan>,
}

impl SlotMap {
    /// The map for a member whose installed ring is `mine`, from everybody's `entries`.
    #[must_use]
    pub fn new(entries: &[Entry], mine: RingId) -> Self {
        let mut rings: Vec<RingId> = entries.iter().map(|entry| entry.installed).collect();
        rings.sort_unstable();
        rings.dedup();
        let mut map = Self::empty();
        for ring in rings {
            let (low, high) = extent(entries, ring);
            let frees = frees(entries, ring);
            let free_packets: u64 = frees.iter().map(|span| u64::from(span.count)).sum();
            if ring == mine {
                (map.base, map.low, map.high, map.frees) = (map.install_point, low, high, frees);
            }
            map.install_point = map.install_point.plus(high.since(low) + free_packets);
        }
        map
    }

    /// The map of a member with nothing to recover, alone.
    #[must_use]
    pub const fn empty() -> Self {
        let frees = Vec::new();
        Self { install_point: Seq::ZERO, base: Seq::ZERO, low: Seq::ZERO, high: Seq::ZERO, frees }
    }

    /// Where `slot` leads.
    #[must_use]
    pub fn resolve(&self, slot: Seq) -> Slot {
        let packets = self.high.since(self.low);
        if slot > self.install_point {
            Slot::New
        } else if slot <= self.base {
            Slot::Foreign
        } else if slot.since(self.base) <= packets {
            Slot::Old(self.low.plus(slot.since(self.base)))
        } else {
            self.resolve_free(slot.since(self.base) - packets - 1)
        }
    }

    /// Where the token-free packet with so many before it is, or another ring's.
    fn resolve_free(&self, mut before: u64) -> Slot {
        for span in &self.frees {
            let count = u64::from(span.count);
            if before < count {
                return Slot::Free { place: span.place.into(), number: span.first + before };
            }
            before -= count;
        }
        Slot::Foreign
    }

    /// The highest packet of my installed ring that anybody in T holds.
    #[must_use]
    pub const fn high(&self) -> Seq {
        self.high
    }
}

/// (least aru, highest held] among the members that come from `ring`.
fn extent(entries: &[Entry], ring: RingId) -> (Seq, Seq) {
    let from_ring = || entries.iter().filter(|entry| entry.installed == ring);
    let low = from_ring().map(|entry| entry.aru).min().unwrap_or_default();
    let high = from_ring().map(|entry| entry.highest).max().unwrap_or_default();
    (low, high.max(low))
}

/// The token-free packets of `ring` that any member from it holds without a place, by sender.
fn frees(entries: &[Entry], ring: RingId) -> Vec<FreeSpan> {
    let mut spans: BTreeMap<u8, FreeSpan> = BTreeMap::new();
    for span in entries.iter().filter(|entry| entry.installed == ring).flat_map(|it| &it.frees) {
        let known = spans.entry(span.place).or_insert(*span);
        // Two that are too far apart are no commit token's.
        *known = known.cover(span).unwrap_or(*known);
    }
    spans.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, NodeId};
    use crate::roster::MemberMask;

    fn entry(epoch: u64, aru: u64, highest: u64) -> Entry {
        Entry {
            installed: RingId::new(Epoch(epoch), NodeId(1)),
            aru: Seq(aru),
            highest: Seq(highest),
            stable: Seq(0),
            obligations: MemberMask::default(),
            frees: Vec::new(),
        }
    }

    #[test]
    fn old_rings_lie_side_by_side_in_order_of_id() {
        let entries = [entry(9, 4, 6), entry(5, 10, 10), entry(9, 5, 8), entry(5, 7, 9)];
        let mine = SlotMap::new(&entries, RingId::new(Epoch(9), NodeId(1)));
        // Ring 5: (7, 10] = slots 1…3; ring 9: (4, 8] = slots 4…7.
        assert_eq!(mine.install_point, Seq(7));
        assert_eq!(mine.resolve(Seq(3)), Slot::Foreign);
        assert_eq!(mine.resolve(Seq(4)), Slot::Old(Seq(5)));
        assert_eq!(mine.resolve(Seq(7)), Slot::Old(Seq(8)));
        assert_eq!(mine.resolve(Seq(8)), Slot::New);
        let theirs = SlotMap::new(&entries, RingId::new(Epoch(5), NodeId(1)));
        assert_eq!(theirs.install_point, mine.install_point);
        assert_eq!(theirs.resolve(Seq(3)), Slot::Old(Seq(10)));
        assert_eq!(theirs.resolve(Seq(4)), Slot::Foreign);
    }
    #[test]
    fn token_free_packets_lie_behind_their_ring_s_others() {
        let span = |place, first, count| FreeSpan { place, first, count };
        let with = |entry: Entry, frees: &[FreeSpan]| Entry { frees: frees.to_vec(), ..entry };
        let entries = [
            with(entry(9, 4, 6), &[span(0, 7, 2), span(2, 1, 1)]),
            with(entry(9, 5, 5), &[span(0, 10, 1)]),
            with(entry(5, 1, 1), &[span(1, 3, 2)]),
        ];
        let mine = SlotMap::new(&entries, RingId::new(Epoch(9), NodeId(1)));
        // Ring 5: two free; ring 9: (4, 6], free 7 to 10 of the first and 1 of the third.
        assert_eq!(mine.install_point, Seq(2 + 2 + 4 + 1));
        assert_eq!(mine.resolve(Seq(2)), Slot::Foreign);
        assert_eq!(mine.resolve(Seq(4)), Slot::Old(Seq(6)));
        assert_eq!(mine.resolve(Seq(5)), Slot::Free { place: 0, number: 7 });
        assert_eq!(mine.resolve(Seq(8)), Slot::Free { place: 0, number: 10 });
        assert_eq!(mine.resolve(Seq(9)), Slot::Free { place: 2, number: 1 });
        assert_eq!(mine.resolve(Seq(10)), Slot::New);
        let theirs = SlotMap::new(&entries, RingId::new(Epoch(5), NodeId(1)));
        assert_eq!(theirs.resolve(Seq(2)), Slot::Free { place: 1, number: 4 });
        assert_eq!(theirs.resolve(Seq(5)), Slot::Foreign);
    }
}
