//! Slots: the numbers 1…K of a new ring that stand for packets of its members' old rings.
//!
//! Everybody computes the same map from the same commit entries: old ring by old ring, ascending
//! by ring id, the seqs from the least aru (exclusive) to the highest held (inclusive) among the
//! members that come from it.

use crate::id::RingId;
use crate::seq::Seq;
use crate::wire::commit::Entry;

/// Where a slot number of a new ring leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// To this seq of the installed ring.
    Old(Seq),
    /// To another member's old ring.
    Foreign,
    /// Beyond the install point: a packet of the new ring itself.
    New,
}

/// The slots of one new ring, as one member sees them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SlotMap {
    /// K: the new ring's packets are numbered from the next.
    pub install_point: Seq,
    /// The slot before the first that is mine.
    base: Seq,
    /// The least aru among the members that come from my ring.
    low: Seq,
    /// The highest packet of my ring that any of them holds.
    high: Seq,
}

impl SlotMap {
    /// The map for a member whose installed ring is `mine`, from everybody's `entries`.
    #[must_use]
    pub fn new(entries: &[Entry], mine: RingId) -> Self {
        let mut rings: Vec<RingId> = entries.iter().map(|entry| entry.installed).collect();
        rings.sort_unstable();
        rings.dedup();
        let mut map =
            Self { install_point: Seq::ZERO, base: Seq::ZERO, low: Seq::ZERO, high: Seq::ZERO };
        for ring in rings {
            let (low, high) = extent(entries, ring);
            if ring == mine {
                (map.base, map.low, map.high) = (map.install_point, low, high);
            }
            map.install_point = map.install_point.plus(high.since(low));
        }
        map
    }

    /// The map of a member with nothing to recover, alone.
    #[must_use]
    pub const fn empty() -> Self {
        Self { install_point: Seq::ZERO, base: Seq::ZERO, low: Seq::ZERO, high: Seq::ZERO }
    }

    /// Where `slot` leads.
    #[must_use]
    pub fn resolve(&self, slot: Seq) -> Slot {
        if slot > self.install_point {
            Slot::New
        } else if slot > self.base && slot.since(self.base) <= self.high.since(self.low) {
            Slot::Old(self.low.plus(slot.since(self.base)))
        } else {
            Slot::Foreign
        }
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
}
