//! Gather: members tell each other whom they consider and whom they consider failed, until all
//! who are left say the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{Epoch, NodeId};
use crate::pace::STRETCH_MAX;
use crate::params::Params;
use crate::roster::Member;
use crate::time::Time;
use crate::wire::MEMBERS_MAX;
use crate::wire::join::Join;

/// A membership being formed.
#[derive(Clone, Hash, Debug)]
pub(super) struct Gather {
    pub(super) since: Time,
    me: NodeId,
    /// Members of my installed ring: their fail sets count, those of strangers do not.
    kin: BTreeSet<NodeId>,
    proc_set: BTreeSet<NodeId>,
    fail_set: BTreeSet<NodeId>,
    heard: BTreeMap<NodeId, Heard>,
    pub(super) join_at: Time,
    consensus_at: Time,
    /// A newcomer may still move the consensus timeout up to here, so that a member that
    /// flaps cannot move it for ever.
    consensus_latest: Time,
    round_since: Time,
    /// Rounds in which all agreed and the lowest did not propose.
    rounds_unproposed: u32,
}

/// Rounds in which the lowest is waited for, although all agree: longer than its own round, in which
/// it may wait for somebody who is silent to it alone, or for its disk, however much that stretches.
const ROUNDS_UNPROPOSED_MAX: u32 = STRETCH_MAX + 2;

/// What somebody's last join said.
#[derive(Clone, Hash, Debug)]
struct Heard {
    at: Time,
    member: Member,
    mtu_bytes: usize,
    epoch: Epoch,
    proc_set: Vec<NodeId>,
    fail_set: Vec<NodeId>,
}

/// What a join changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum JoinEffect {
    /// My sets changed: say so.
    Changed,
    /// Noted.
    Noted,
    /// From somebody I consider failed.
    IgnoredFailed,
}

impl Gather {
    pub(super) fn new(
        me: NodeId,
        kin: &[NodeId],
        failed: Option<NodeId>,
        params: &Params,
        now: Time,
    ) -> Self {
        let kin: BTreeSet<NodeId> = kin.iter().copied().collect();
        let mut proc_set = kin.clone();
        proc_set.insert(me);
        let mut gather = Self {
            since: now,
            me,
            kin,
            proc_set,
            fail_set: BTreeSet::new(),
            heard: BTreeMap::new(),
            join_at: now,
            consensus_at: now + params.consensus,
            consensus_latest: now + 3 * params.consensus,
            round_since: now,
            rounds_unproposed: 0,
        };
        // Perhaps none of my ring's: it left, or failed to receive, on a ring that was proposed.
        if let Some(node) = failed.filter(|node| *node != me) {
            gather.fail(node);
        }
        gather
    }

    /// Considers `node` failed; true when that is new. Nobody is failed who is not considered: so
    /// the sets are what a join can carry.
    fn fail(&mut self, node: NodeId) -> bool {
        self.consider(node);
        self.proc_set.contains(&node) && self.fail_set.insert(node)
    }

    /// Also considers `node`, which is known to be reachable.
    pub(super) fn consider(&mut self, node: NodeId) {
        if self.proc_set.len() < MEMBERS_MAX {
            self.proc_set.insert(node);
        }
    }

    pub(super) fn proc_set(&self) -> Vec<NodeId> {
        self.proc_set.iter().copied().collect()
    }

    pub(super) fn fail_set(&self) -> Vec<NodeId> {
        self.fail_set.iter().copied().collect()
    }

    /// Those I would form a ring with: proc − fail, ascending.
    pub(super) fn live(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.proc_set.difference(&self.fail_set).copied()
    }

    /// The lowest of them makes the commit token.
    pub(super) fn representative(&self) -> NodeId {
        self.live().next().unwrap_or(self.me)
    }

    pub(super) fn handle_join(&mut self, join: &Join, params: &Params, now: Time) -> JoinEffect {
        let sender = join.sender;
        if self.fail_set.contains(&sender) {
            return JoinEffect::IgnoredFailed;
        }
        let before = (self.proc_set.len(), self.fail_set.len());
        if join.leaving {
            return if self.fail(sender) { JoinEffect::Changed } else { JoinEffect::Noted };
        }
        if join.fail_set.binary_search(&self.me).is_ok() {
            // It will not have me: whoever lists me goes into my fail set too.
            self.fail(sender);
        } else {
            join.proc_set.iter().for_each(|node| self.consider(*node));
            if self.kin.contains(&sender) {
                let known = join.fail_set.iter().filter(|node| self.proc_set.contains(node));
                self.fail_set.extend(known);
            }
        }
        if self.fail_set.len() > before.1 {
            // That ended a round: the timers of those who agree end in one instant, and whoever is
            // told first must not count the teller as silent for not having proposed yet.
            self.begin_round(params, now);
        }
        if !self.heard.contains_key(&sender) {
            let extended = (now + params.consensus).min(self.consensus_latest);
            self.consensus_at = self.consensus_at.max(extended);
        }
        self.note(join, now);
        if before == (self.proc_set.len(), self.fail_set.len()) {
            return JoinEffect::Noted;
        }
        self.rounds_unproposed = 0;
        JoinEffect::Changed
    }

    fn note(&mut self, join: &Join, now: Time) {
        if !self.proc_set.contains(&join.sender) {
            return;
        }
        let Join { sender: id, incarnation, endpoint, epoch, .. } = *join;
        self.heard.insert(
            id,
            Heard {
                at: now,
                member: Member { id, incarnation, endpoint },
                mtu_bytes: usize::from(join.mtu_bytes),
                epoch,
                proc_set: join.proc_set.clone(),
                fail_set: join.fail_set.clone(),
            },
        );
    }

    /// Everybody I would form a ring with has sent the sets that I have.
    pub(super) fn consensus(&self) -> bool {
        self.live().all(|node| node == self.me || self.agrees(node))
    }

    fn agrees(&self, node: NodeId) -> bool {
        self.heard.get(&node).is_some_and(|heard| {
            heard.proc_set.iter().eq(&self.proc_set) && heard.fail_set.iter().eq(&self.fail_set)
        })
    }

    /// The members to propose, given myself; their highest epoch; their smallest MTU.
    pub(super) fn proposal(&self, mine: Member, mtu_bytes: usize) -> Proposed {
        let mut members = vec![mine];
        let (mut epoch, mut mtu) = (Epoch::default(), mtu_bytes);
        for heard in self.live().filter_map(|node| self.heard.get(&node)) {
            members.push(heard.member);
            epoch = epoch.max(heard.epoch);
            mtu = mtu.min(heard.mtu_bytes);
        }
        members.sort_unstable_by_key(|member| member.id);
        Proposed { members, epoch, mtu_bytes: mtu }
    }

    /// Everybody has another consensus timeout to be heard and to agree. But for those in which the
    /// lowest is waited for, a round ends with more in the fail set or when the gather ends.
    fn begin_round(&mut self, params: &Params, now: Time) {
        self.round_since = now;
        self.consensus_at = now + params.consensus;
    }

    pub(super) fn timeout_at(&self) -> Time {
        self.join_at.min(self.consensus_at)
    }

    /// At the consensus timeout somebody goes to the fail set, so that rounds end with ever fewer:
    /// whoever was silent; if nobody was, and all agree, so that only the commit token is missing,
    /// nobody for some rounds and then the lowest; else the highest of those that disagree, strangers before members of my ring. True
    /// when the sets changed.
    pub(super) fn handle_consensus_timeout(&mut self, params: &Params, now: Time) -> bool {
        if now < self.consensus_at {
            return false;
        }
        let others: Vec<NodeId> = self.live().filter(|node| *node != self.me).collect();
        let is_silent =
            |node: &NodeId| self.heard.get(node).is_none_or(|heard| heard.at < self.round_since);
        let silent: Vec<NodeId> = others.iter().copied().filter(is_silent).collect();
        let failed: Vec<NodeId> = if !silent.is_empty() {
            silent
        } else if self.consensus() {
            // The lowest does not propose: somebody whom I hear is silent to it, and its own timer
            // will let it say so. Or it has proposed in vain and is silent by then. To blame it now
            // would part us. But one that proposes in vain again and again, and agrees in between,
            // is neither silent nor of use.
            let lowest = self.representative();
            self.rounds_unproposed += u32::from(lowest != self.me);
            let is_useless = self.rounds_unproposed >= ROUNDS_UNPROPOSED_MAX;
            is_useless.then_some(lowest).into_iter().collect()
        } else {
            let disagrees = others.into_iter().filter(|node| !self.agrees(*node));
            disagrees.max_by_key(|node| (!self.kin.contains(node), *node)).into_iter().collect()
        };
        self.begin_round(params, now);
        let changed = !failed.is_empty();
        if changed {
            self.rounds_unproposed = 0;
        }
        self.fail_set.extend(failed);
        changed
    }
}

/// What a representative proposes.
#[derive(Debug)]
pub(super) struct Proposed {
    pub(super) members: Vec<Member>,
    pub(super) epoch: Epoch,
    pub(super) mtu_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roster::Endpoint;
    use std::net::Ipv4Addr;

    fn join(sender: u32, proc_set: &[u32], fail_set: &[u32], leaving: bool) -> Join {
        let nodes = |ids: &[u32]| ids.iter().copied().map(NodeId).collect();
        let address = Ipv4Addr::LOCALHOST;
        Join {
            sender: NodeId(sender),
            incarnation: Epoch(1),
            endpoint: Endpoint { address, token_port: 1, control_port: 2 },
            mtu_bytes: 1_500,
            epoch: Epoch(1),
            leaving,
            proc_set: nodes(proc_set),
            fail_set: nodes(fail_set),
        }
    }

    /// Whoever waits for its own worker has nobody to blame for that.
    #[test]
    fn the_lowest_does_not_blame_itself() {
        let (me, params) = (NodeId(1), Params::default());
        let mut gather = Gather::new(me, &[me], None, &params, Time::ZERO);
        for _ in 0..3 * ROUNDS_UNPROPOSED_MAX {
            assert!(!gather.handle_consensus_timeout(&params, gather.consensus_at));
        }
        assert!(gather.fail_set().is_empty() && gather.consensus());
    }

    /// The lowest agrees again and again, and proposes nothing: it is waited for longer than its own
    /// round can stretch, and then no more.
    #[test]
    fn a_lowest_that_proposes_nothing_is_blamed_at_last() {
        let (lowest, me, params) = (NodeId(1), NodeId(2), Params::default());
        let mut gather = Gather::new(me, &[lowest, me], None, &params, Time::ZERO);
        for round in 1..=ROUNDS_UNPROPOSED_MAX {
            assert!(gather.fail_set().is_empty(), "round {round}");
            let at = gather.consensus_at;
            gather.handle_join(&join(1, &[1, 2], &[], false), &params, at);
            gather.handle_consensus_timeout(&params, gather.consensus_at);
        }
        assert_eq!(gather.fail_set(), [lowest]);
    }

    #[test]
    fn nobody_is_failed_who_is_not_considered() {
        let (me, params) = (NodeId(1), Params::default());
        let gather = Gather::new(me, &[me], Some(NodeId(3)), &params, Time::ZERO);
        assert_eq!((gather.proc_set().len(), gather.fail_set()), (2, vec![NodeId(3)]));
        let mut gather = Gather::new(me, &[me], Some(me), &params, Time::ZERO);
        assert!(gather.fail_set().is_empty(), "never me");
        for sender in 2..1_000 {
            let leaving = sender % 2 == 0;
            let fail_set = [if leaving { sender } else { 1 }];
            let join = join(sender, &[1, sender], &fail_set, leaving);
            gather.handle_join(&join, &params, Time::ZERO);
        }
        let (proc_set, fail_set) = (gather.proc_set(), gather.fail_set());
        assert_eq!((proc_set.len(), fail_set.len()), (MEMBERS_MAX, MEMBERS_MAX - 1));
        assert!(fail_set.iter().all(|node| proc_set.contains(node)));
    }
}
