//! Which configurations go on: the one place that knows of quorums.

use std::collections::BTreeSet;

use super::position::Position;
use crate::id::NodeId;
use crate::primary::Policy;

/// Which part of a parted cluster goes on applying commands, and whose state counts when parts meet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// The part in which a majority of this fixed set *holds the state*. A restarted member has
    /// forgotten its state, so it counts only once it has got it again; and the first
    /// time, or after a majority has crashed, all of the set must be there, since nobody else can tell
    /// a member that was never there from one that has forgotten.
    ///
    /// At any time at most one part goes on; every applied command is kept as long as no majority of the
    /// set crashes at once.
    Majority(BTreeSet<NodeId>),
    /// As for a majority, with the quorum of the members' own policy for the primary component, and
    /// only in the primary component: nothing is applied before the configuration is confirmed to be
    /// that. So what the machine does and what the application is told of the primary are one.
    ///
    /// Give the policy that the members have. With [`Policy::Dynamic`] a majority of `initial` must hold
    /// the state besides: a primary that is a majority of the one before may be without anybody
    /// who holds it, since replicas forget when they restart, and votes do not. With [`Policy::None`]
    /// no part goes on.
    Primary(Policy),
    /// Every part goes on, for rings that expect no partition. When parts meet, the one with the
    /// longest log wins (then the latest, then by digest), and the others **lose what they applied and
    /// answered** since they parted. A newborn member, alone at first, has the shortest.
    Always,
}

impl Progress {
    /// The log that counts, of those that members hold.
    ///
    /// For a majority the latest lineage; what its logs differ in was never applied anywhere. For
    /// `Always` the longest: the lineage says only who met whom last, and a newborn's is the latest.
    pub(super) fn newest(&self, held: impl Iterator<Item = Position>) -> Option<Position> {
        match self {
            Self::Majority(_) | Self::Primary(_) => held.max(),
            Self::Always => held.max_by_key(|held| (held.index, held.lineage, held.chain)),
        }
    }

    /// Whether a configuration of `members`, none of whom holds a state, begins the log.
    pub(super) fn may_found(&self, members: &[NodeId]) -> bool {
        match self {
            Self::Majority(set) | Self::Primary(Policy::Majority(set)) => is_all(set, members),
            Self::Primary(Policy::Dynamic { initial }) => is_all(initial, members),
            Self::Primary(Policy::Weighted(weights)) => {
                let counting = weights.iter().filter(|(_, weight)| **weight > 0);
                is_all(&counting.map(|(node, _)| *node).collect(), members)
            }
            Self::Primary(Policy::None) => false,
            Self::Always => true,
        }
    }

    /// Whether the newest log among those of `holders` is the one that counts.
    pub(super) fn may_go_on(&self, members: &[NodeId], holders: &BTreeSet<NodeId>) -> bool {
        // With all there, whatever survived is there.
        self.suffices(holders) || self.may_found(members)
    }

    /// Whether commands may be applied where `synced` hold the state: enough that one of them is in
    /// every later part that may go on.
    pub(super) fn suffices(&self, synced: &BTreeSet<NodeId>) -> bool {
        match self {
            Self::Majority(set)
            | Self::Primary(Policy::Majority(set) | Policy::Dynamic { initial: set }) => {
                2 * synced.intersection(set).count() > set.len()
            }
            Self::Primary(policy @ Policy::Weighted(_)) => {
                let synced: Vec<NodeId> = synced.iter().copied().collect();
                policy.admits(&synced) == Some(true)
            }
            Self::Primary(Policy::None) => false,
            Self::Always => !synced.is_empty(),
        }
    }

    /// Whether a configuration must be confirmed as the primary component before anything is applied
    /// in it.
    pub(super) const fn needs_primary(&self) -> bool {
        matches!(self, Self::Primary(_))
    }
}

fn is_all(set: &BTreeSet<NodeId>, members: &[NodeId]) -> bool {
    !set.is_empty() && set.iter().all(|node| members.contains(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u32]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_majority_of_the_set_counts_strangers_do_not() {
        let progress = Progress::Majority(nodes(&[1, 2, 3, 4]));
        assert!(!progress.suffices(&nodes(&[1, 2, 7, 8, 9])));
        assert!(progress.suffices(&nodes(&[1, 2, 4])));
        assert!(!progress.may_found(&[NodeId(1), NodeId(2), NodeId(3)]));
        let all = [1, 2, 3, 4].map(NodeId);
        assert!(progress.may_found(&all) && progress.may_go_on(&all, &nodes(&[3])));
        assert!(!Progress::Majority(nodes(&[])).may_found(&[NodeId(1)]), "a set of nobody");
    }

    #[test]
    fn a_policy_has_its_quorum() {
        let weights = [(NodeId(1), 3), (NodeId(2), 1), (NodeId(3), 1), (NodeId(4), 0)];
        let weighted = Progress::Primary(Policy::Weighted(weights.into()));
        assert!(weighted.suffices(&nodes(&[1])) && !weighted.suffices(&nodes(&[2, 3, 4])));
        assert!(weighted.may_found(&[1, 2, 3].map(NodeId)), "who weighs nothing is not waited for");
        assert!(!weighted.may_found(&[1, 2, 4].map(NodeId)));
        let dynamic = Progress::Primary(Policy::Dynamic { initial: nodes(&[1, 2, 3]) });
        assert!(dynamic.suffices(&nodes(&[2, 3])) && !dynamic.suffices(&nodes(&[3, 4, 5])));
        let majority = Progress::Primary(Policy::Majority(nodes(&[1, 2, 3])));
        assert!(majority.suffices(&nodes(&[2, 3])) && !majority.suffices(&nodes(&[2])));
        let none = Progress::Primary(Policy::None);
        assert!(!none.suffices(&nodes(&[1])) && !none.may_found(&[NodeId(1)]));
        assert!(weighted.needs_primary() && !Progress::Always.needs_primary());
    }
}
