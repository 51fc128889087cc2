//! Which configurations may become the primary component.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::NodeId;
use crate::trace::ContentHash;
use crate::wire::MEMBERS_MAX;

/// Who decides which configuration may become the primary component (EVS §2.2). The same at every
/// member: messages of members with another policy are ignored.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Policy {
    /// Nobody: there is no primary component.
    #[default]
    None,
    /// More than half of these.
    Majority(BTreeSet<NodeId>),
    /// More than half of the weight of all these. Who is not named weighs nothing.
    Weighted(BTreeMap<NodeId, u32>),
    /// A majority of the last primary, the first one being all of `initial`; so the cluster may
    /// grow and shrink step by step. Each member's vote is on its disk.
    Dynamic {
        /// Who has to come together once, with disks that know of no primary, for the first one. Were
        /// all of their disks lost, that would be a new cluster: so one alone is not enough where
        /// others can take over from it.
        initial: BTreeSet<NodeId>,
    },
}

/// A policy that nothing can ever satisfy, or that is beyond what is bounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyError {
    /// Nobody is named.
    #[error("the primary policy names nobody; fix: name the members, as in majority:1,2,3")]
    Empty,
    /// Nothing weighs anything.
    #[error("all weights of the primary policy are zero; fix: give somebody a weight, as in 1=2")]
    Weightless,
    /// More members than a ring can have.
    #[error("the primary policy names {0} members, at most 128 can be; fix: name fewer")]
    TooMany(usize),
}

impl Policy {
    /// Whether it can be used.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let named = match self {
            Self::None => return Ok(()),
            Self::Majority(of) | Self::Dynamic { initial: of } => of.len(),
            Self::Weighted(weights) => weights.len(),
        };
        match self {
            _ if named == 0 => Err(PolicyError::Empty),
            _ if named > MEMBERS_MAX => Err(PolicyError::TooMany(named)),
            Self::Weighted(weights) if weights.values().all(|weight| *weight == 0) => {
                Err(PolicyError::Weightless)
            }
            _ => Ok(()),
        }
    }

    /// Whether these members, ascending, may be the primary; `None` when the policy is none or
    /// that depends on more than who they are.
    #[must_use]
    pub fn admits(&self, members: &[NodeId]) -> Option<bool> {
        let is_there = |node: &NodeId| members.binary_search(node).is_ok();
        match self {
            Self::None | Self::Dynamic { .. } => None,
            Self::Majority(of) => {
                let there = of.iter().filter(|node| is_there(node)).count();
                Some(2 * there > of.len())
            }
            Self::Weighted(weights) => {
                let weight = |there: bool| -> u64 {
                    let counted = weights.iter().filter(|(node, _)| !there || is_there(node));
                    counted.map(|(_, weight)| u64::from(*weight)).sum()
                };
                Some(2 * weight(true) > weight(false))
            }
        }
    }

    /// Whether no primary can have followed one of `members` without somebody of `together`, a part
    /// of them, being in it.
    ///
    /// Two fixed majorities share a member, and a dynamic primary has a majority of the one before.
    #[must_use]
    pub fn is_quorum(&self, members: &[NodeId], together: &[NodeId]) -> bool {
        match self {
            Self::None => false,
            Self::Majority(_) | Self::Weighted(_) => self.admits(together) == Some(true),
            Self::Dynamic { .. } => {
                is_majority(members, |node| together.binary_search(&node).is_ok())
            }
        }
    }

    /// Tells policies apart on the wire.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hash = ContentHash::default();
        match self {
            Self::None => hash.update(&[0]),
            Self::Majority(of) => {
                hash.update(&[1]);
                of.iter().for_each(|node| hash.update(&node.0.to_le_bytes()));
            }
            Self::Weighted(weights) => {
                hash.update(&[2]);
                for (node, weight) in weights {
                    hash.update(&node.0.to_le_bytes());
                    hash.update(&weight.to_le_bytes());
                }
            }
            Self::Dynamic { initial } => {
                hash.update(&[3]);
                initial.iter().for_each(|node| hash.update(&node.0.to_le_bytes()));
            }
        }
        hash.finish()
    }
}

/// Whether those of `members`, ascending, that count are more than half, or are half and the lowest
/// is one of them: any two such parts share a member.
pub(super) fn is_majority(members: &[NodeId], counts: impl Fn(NodeId) -> bool) -> bool {
    let counted = members.iter().filter(|node| counts(**node)).count();
    let has_lowest = members.first().is_some_and(|lowest| counts(*lowest));
    2 * counted > members.len() || 2 * counted == members.len() && has_lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u32]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn half_is_no_majority() {
        let policy = Policy::Majority(nodes(&[1, 2, 3, 4]).into_iter().collect());
        assert_eq!(policy.admits(&nodes(&[1, 2])), Some(false));
        assert_eq!(policy.admits(&nodes(&[1, 2, 9])), Some(false), "strangers do not count");
        assert_eq!(policy.admits(&nodes(&[2, 3, 4])), Some(true));
    }

    #[test]
    fn weights_are_compared_with_half_of_all() {
        let policy = Policy::Weighted([(NodeId(1), u32::MAX), (NodeId(2), u32::MAX)].into());
        assert_eq!(policy.admits(&nodes(&[1])), Some(false));
        assert_eq!(policy.admits(&nodes(&[1, 2])), Some(true));
        let policy = Policy::Weighted([(NodeId(1), 2), (NodeId(2), 1)].into());
        assert_eq!(policy.admits(&nodes(&[1])), Some(true));
        assert_eq!(policy.admits(&nodes(&[2, 3])), Some(false));
    }

    #[test]
    fn the_lowest_decides_between_halves() {
        let members = nodes(&[1, 2, 3, 4]);
        assert!(is_majority(&members, |node| node.0 == 1 || node.0 == 4));
        assert!(!is_majority(&members, |node| node.0 == 2 || node.0 == 3));
    }

    #[test]
    fn what_can_never_be_is_refused() {
        assert_eq!(Policy::None.validate(), Ok(()));
        assert_eq!(Policy::Majority(BTreeSet::new()).validate(), Err(PolicyError::Empty));
        let weightless = Policy::Weighted([(NodeId(1), 0)].into());
        assert_eq!(weightless.validate(), Err(PolicyError::Weightless));
        let initial = (0..129).map(NodeId).collect();
        assert_eq!(Policy::Dynamic { initial }.validate(), Err(PolicyError::TooMany(129)));
    }

    #[test]
    fn policies_are_told_apart() {
        let of: BTreeSet<NodeId> = nodes(&[1, 2]).into_iter().collect();
        let all = [
            Policy::None,
            Policy::Majority(of.clone()),
            Policy::Majority(nodes(&[1]).into_iter().collect()),
            Policy::Weighted([(NodeId(1), 1)].into()),
            Policy::Dynamic { initial: of },
        ];
        let distinct: BTreeSet<u64> = all.iter().map(Policy::fingerprint).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
