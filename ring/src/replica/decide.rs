//! What the members of a configuration conclude from all their statuses: a pure function, so that
//! all conclude the same.

use std::collections::{BTreeMap, BTreeSet};

use super::message::Status;
use super::position::{Instant, Position};
use super::progress::Progress;
use crate::id::{NodeId, RingId};

/// Who holds the state that counts, and how the others get it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Decision {
    /// Where the log goes on, in the lineage of this configuration.
    pub(super) start: Position,
    /// Entries up to here are applied somewhere already, so everybody may.
    pub(super) floor: u64,
    /// Those that hold it.
    pub(super) synced: BTreeSet<NodeId>,
    /// The others, and the instant whose checkpoint each fetches.
    pub(super) joiners: BTreeMap<NodeId, Instant>,
    /// Who can give which checkpoint, lowest first.
    pub(super) donors: BTreeMap<Instant, Vec<NodeId>>,
}

/// Concludes, from one status a member; `None` when this configuration must not go on.
pub(super) fn decide(
    ring: RingId,
    statuses: &BTreeMap<NodeId, Status>,
    progress: &Progress,
) -> Option<Decision> {
    let members: Vec<NodeId> = statuses.keys().copied().collect();
    let held = |status: &Status| status.held.map(|held| held.end);
    let holders: BTreeSet<NodeId> = statuses
        .iter()
        .filter(|(_, status)| status.held.is_some())
        .map(|(node, _)| *node)
        .collect();
    let Some(newest) = progress.newest(statuses.values().filter_map(held)) else {
        return progress.may_found(&members).then(|| found(ring, &members));
    };
    if !progress.may_go_on(&members, &holders) {
        return None;
    }
    let of_newest = |(_, status): &(&NodeId, &Status)| held(status) == Some(newest);
    let synced: BTreeSet<NodeId> =
        statuses.iter().filter(of_newest).map(|(node, _)| *node).collect();
    let applied = |node| statuses.get(node).and_then(|status| status.held).map(|held| held.applied);
    let floor = synced.iter().filter_map(applied).max().unwrap_or(0);

    // A joiner that followed this very log from its instant on, whose checkpoint is still here, goes on
    // fetching. Only the latest such instant, so that donors keep two checkpoints at most.
    let keeps = |node: &NodeId, instant| {
        statuses.get(node).is_some_and(|status| status.kept.contains(&instant))
    };
    let goes_on = |status: &Status| {
        let (instant, end) = status.fetching?;
        let is_kept = synced.iter().any(|node| keeps(node, instant));
        (end == newest && is_kept).then_some(instant)
    };
    let joining = || statuses.iter().filter(|(node, _)| !synced.contains(node));
    let latest = joining().filter_map(|(_, status)| goes_on(status)).max();
    let here = Instant { ring, index: newest.index };
    let instant =
        |status: &Status| goes_on(status).filter(|of| Some(*of) == latest).unwrap_or(here);
    let joiners = joining().map(|(node, status)| (*node, instant(status))).collect();

    let mut donors = BTreeMap::from([(here, synced.iter().copied().collect())]);
    if let Some(latest) = latest {
        let able = synced.iter().copied().filter(|node| keeps(node, latest));
        donors.insert(latest, able.collect());
    }
    let start = Position { lineage: ring, ..newest };
    Some(Decision { start, floor, synced, joiners, donors })
}

/// Nobody has anything: all begin with what they were made with.
fn found(ring: RingId, members: &[NodeId]) -> Decision {
    let start = Position { lineage: ring, ..Position::default() };
    let synced = members.iter().copied().collect();
    Decision { start, floor: 0, synced, joiners: BTreeMap::new(), donors: BTreeMap::new() }
}

/// The instants that are fetched by somebody, at most two: joiners of earlier ones are moved to the latest.
pub(super) fn bound_instants(joiners: &mut BTreeMap<NodeId, Instant>) {
    let used: BTreeSet<Instant> = joiners.values().copied().collect();
    let Some(latest) = used.last().copied() else { return };
    if used.len() <= super::message::CHECKPOINTS_MAX {
        return;
    }
    let oldest = used.first().copied();
    for instant in joiners.values_mut().filter(|instant| Some(**instant) == oldest) {
        *instant = latest;
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Held;
    use super::*;
    use crate::id::Epoch;

    fn ring(epoch: u64) -> RingId {
        RingId::new(Epoch(epoch), NodeId(1))
    }

    fn at(lineage: u64, index: u64) -> Position {
        Position { lineage: ring(lineage), index, chain: index }
    }

    fn holds(end: Position, applied: u64) -> Status {
        Status { ring: ring(9), held: Some(Held { end, applied }), ..Status::default() }
    }

    fn statuses(of: Vec<Status>) -> BTreeMap<NodeId, Status> {
        (1..).map(NodeId).zip(of).collect()
    }

    fn majority(of: u32) -> Progress {
        Progress::Majority((1..=of).map(NodeId).collect())
    }

    #[test]
    fn the_latest_lineage_counts_and_no_more_is_applied_than_somebody_has() {
        let of = vec![holds(at(5, 10), 7), holds(at(5, 10), 9), holds(at(4, 30), 30)];
        let decision = decide(ring(9), &statuses(of.clone()), &majority(3)).unwrap();
        assert_eq!(decision.start, at(5, 10).in_lineage(9));
        assert_eq!(decision.floor, 9);
        let here = Instant { ring: ring(9), index: 10 };
        assert_eq!(decision.joiners, BTreeMap::from([(NodeId(3), here)]));
        assert_eq!(decision.donors[&here], vec![NodeId(1), NodeId(2)]);
        let longest = decide(ring(9), &statuses(of), &Progress::Always).unwrap();
        assert_eq!(longest.synced, BTreeSet::from([NodeId(3)]), "Always: the longest log");
    }

    #[test]
    fn those_that_forgot_do_not_count() {
        let empty = || Status { ring: ring(9), ..Status::default() };
        let of = vec![holds(at(5, 10), 7), empty(), empty()];
        assert!(decide(ring(9), &statuses(of.clone()), &majority(5)).is_none());
        assert!(decide(ring(9), &statuses(of), &majority(3)).is_some(), "all are there");
        assert!(decide(ring(9), &statuses(vec![empty(), empty()]), &majority(3)).is_none());
        let founded = decide(ring(9), &statuses(vec![empty(), empty()]), &majority(2)).unwrap();
        assert_eq!((founded.start.index, founded.synced.len()), (0, 2));
    }

    #[test]
    fn a_joiner_goes_on_where_its_checkpoint_is_kept() {
        let instant = Instant { ring: ring(5), index: 4 };
        let mut donor = holds(at(5, 10), 10);
        donor.kept = vec![instant];
        let fetching = Some((instant, at(5, 10)));
        let joiner = Status { ring: ring(9), fetching, ..Status::default() };
        let strayed = Status { fetching: Some((instant, at(5, 9))), ..joiner.clone() };
        let of = statuses(vec![holds(at(5, 10), 10), donor, joiner, strayed]);
        let decision = decide(ring(9), &of, &majority(3)).unwrap();
        assert_eq!(decision.joiners[&NodeId(3)], instant);
        assert_eq!(decision.donors[&instant], vec![NodeId(2)]);
        assert_eq!(decision.joiners[&NodeId(4)].ring, ring(9));
    }

    #[test]
    fn at_most_two_instants_are_fetched() {
        let instant = |index| Instant { ring: ring(1), index };
        let mut joiners: BTreeMap<_, _> = (1..4).map(|n| (NodeId(n), instant(n.into()))).collect();
        bound_instants(&mut joiners);
        let moved: Vec<u64> = joiners.values().map(|instant| instant.index).collect();
        assert_eq!(moved, [3, 2, 3]);
    }

    impl Position {
        fn in_lineage(self, epoch: u64) -> Self {
            Self { lineage: ring(epoch), ..self }
        }
    }
}
