//! Joins and beacons: how a membership begins to form and comes to agree.

use super::gather::{Gather, JoinEffect};
use super::{ControlDestination, GatherReason, Membership, Notice, Outgoing, State};
use crate::counters::Ignored;
use crate::id::{Incarnation, NodeId};
use crate::time::Time;
use crate::wire::beacon::Beacon;
use crate::wire::join::Join;

/// Beacons of a peer that may be lost before it no longer counts as heard.
const BEACONS_MISSED_MAX: u32 = 3;

impl Membership {
    /// Leaves the operational ring, or an attempt, and forms a membership anew, `failed` without
    /// further question considered failed.
    pub(super) fn gather(&mut self, now: Time, reason: GatherReason, failed: Option<NodeId>) {
        self.gathers += 1;
        self.notices.push_back(Notice::Gathering(reason));
        let kin = self.installed.ids();
        let mut gather = Gather::new(self.me(), kin, failed, &self.paced(), now);
        if let GatherReason::Merge(node) = reason {
            gather.consider(node);
            // Tells the other side that it is heard, so that it does not wait for our next beacon.
            self.send_beacon(now);
        }
        if let State::Proposed(proposal) = std::mem::replace(&mut self.state, State::Gather(gather))
        {
            self.given_up = Some(proposal.roster);
        }
        self.freeze_worker();
        self.handle_gather_timeout(now);
    }

    pub(super) fn handle_join(&mut self, now: Time, frame: &[u8]) -> Result<(), Ignored> {
        let join = Join::parse(frame, self.identity.cluster)?;
        self.hear(now, join.sender, join.incarnation)?;
        let sender = join.sender;
        let params = self.paced();
        match &mut self.state {
            State::Gather(gather) => match gather.handle_join(&join, &params, now) {
                JoinEffect::IgnoredFailed => return Err(Ignored::NotConcerned),
                JoinEffect::Noted => self.conclude(now),
                JoinEffect::Changed => {
                    self.send_join(now);
                    self.conclude(now);
                }
            },
            State::Operational => {
                let ring = self.installed.ring;
                let place = self.installed.index_of(sender).ok_or(Ignored::NotConcerned)?;
                if self.installed.members[place].incarnation < join.incarnation {
                    self.gather(now, GatherReason::MemberRestarted(sender), None);
                } else if join.epoch < ring.epoch {
                    // Sent before its sender knew this ring: it was overtaken by the ring itself.
                    return Err(Ignored::Late);
                } else if join.leaving {
                    self.gather(now, GatherReason::Leave(sender), Some(sender));
                } else {
                    self.gather(now, GatherReason::MemberJoin(sender), None);
                }
                self.take_up(now, &join);
            }
            State::Proposed(proposal) => {
                let ring = proposal.ring();
                // Joins of others wait until after the installation.
                let place = proposal.roster.index_of(sender).ok_or(Ignored::NotConcerned)?;
                let restarted = proposal.roster.members[place].incarnation < join.incarnation;
                if !restarted && join.epoch < ring.epoch {
                    return Err(Ignored::Late);
                }
                let failed = join.leaving.then_some(sender);
                self.gather(now, GatherReason::CommitRejected(sender), failed);
                self.take_up(now, &join);
            }
            State::Leaving { .. } | State::Ended => return Err(Ignored::NotConcerned),
        }
        Ok(())
    }

    /// Lets the join that opened a gather count in it.
    fn take_up(&mut self, now: Time, join: &Join) {
        let params = self.paced();
        if let State::Gather(gather) = &mut self.state
            && gather.handle_join(join, &params, now) == JoinEffect::Changed
        {
            self.send_join(now);
        }
        self.conclude(now);
    }

    pub(super) fn handle_beacon(&mut self, now: Time, frame: &[u8]) -> Result<(), Ignored> {
        let beacon = Beacon::parse(frame, self.identity.cluster)?;
        self.hear(now, beacon.sender, beacon.incarnation)?;
        let sender = beacon.sender;
        self.peers.hear_beacon(sender, beacon.ring, now);
        if !matches!(self.state, State::Operational) || beacon.ring == self.installed.ring {
            return Ok(());
        }
        if let Some(place) = self.installed.index_of(sender) {
            if self.installed.members[place].incarnation < beacon.incarnation {
                self.gather(now, GatherReason::MemberRestarted(sender), None);
                return Ok(());
            }
            // From before its sender installed this ring.
            if beacon.ring.epoch < self.installed.ring.epoch {
                return Err(Ignored::Late);
            }
        }
        // Both directions proven: I hear it, and it says that it hears me.
        if beacon.heard.binary_search(&self.me()).is_err() {
            return Ok(());
        }
        if self.peers.is_held_down(sender, now) {
            return Err(Ignored::HeldDown);
        }
        self.gather(now, GatherReason::Merge(sender), None);
        Ok(())
    }

    /// Who sent a frame, in which life.
    fn hear(&mut self, now: Time, node: NodeId, incarnation: Incarnation) -> Result<(), Ignored> {
        if node == self.me() {
            if incarnation > self.identity.member.incarnation && !self.is_ended() {
                self.notices.push_back(Notice::Superseded { by: incarnation });
                self.state = State::Ended;
            }
            return Err(Ignored::Own);
        }
        if self.peers.hear(node, incarnation, now) {
            Ok(())
        } else {
            Err(Ignored::StaleIncarnation)
        }
    }

    /// Proposes a ring when all agree and this member is the lowest of them.
    pub(super) fn conclude(&mut self, now: Time) {
        let State::Gather(gather) = &self.state else {
            return;
        };
        let ready = self.frozen().is_some() && gather.consensus();
        if ready && gather.representative() == self.me() {
            self.propose(now);
        }
    }

    pub(super) fn handle_gather_timeout(&mut self, now: Time) {
        let params = self.paced();
        let State::Gather(gather) = &mut self.state else { return };
        let changed = gather.handle_consensus_timeout(&params, now);
        if changed || gather.join_at <= now {
            self.send_join(now);
            self.conclude(now);
        }
    }

    /// Multicasts my sets; never before the worker has reported `Frozen` (hand-off rule 3).
    fn send_join(&mut self, now: Time) {
        let frozen = self.frozen().is_some();
        let interval = self.params.join;
        let State::Gather(gather) = &mut self.state else {
            return;
        };
        gather.join_at = now + interval;
        if frozen {
            let (proc_set, fail_set) = (gather.proc_set(), gather.fail_set());
            let join = self.join(false, proc_set, fail_set);
            let cluster = self.identity.cluster;
            self.multicast(|out| join.emit(cluster, out));
        }
    }

    /// Announces the leave; it says nothing about the data path.
    pub(super) fn send_leave(&mut self) {
        let join = self.join(true, self.installed.ids().to_vec(), vec![self.me()]);
        let cluster = self.identity.cluster;
        self.multicast(|out| join.emit(cluster, out));
    }

    fn join(&self, leaving: bool, proc_set: Vec<NodeId>, fail_set: Vec<NodeId>) -> Join {
        let member = self.identity.member;
        Join {
            sender: member.id,
            incarnation: member.incarnation,
            endpoint: member.endpoint,
            mtu_bytes: u16::try_from(self.identity.mtu_bytes).unwrap_or(u16::MAX),
            epoch: self.ledger.highest(),
            leaving,
            proc_set,
            fail_set,
        }
    }

    pub(super) fn send_beacon(&mut self, now: Time) {
        let span = self.params.beacon * BEACONS_MISSED_MAX + self.params.beacon / 2;
        let ring = self.installed.ring;
        let mut heard = self.peers.heard_of_others(ring, now, span);
        // Members of my ring whose last beacon named the ring before are not foreign.
        heard.retain(|node| self.installed.index_of(*node).is_none());
        let member = self.identity.member;
        let beacon = Beacon { sender: member.id, incarnation: member.incarnation, ring, heard };
        let cluster = self.identity.cluster;
        self.multicast(|out| beacon.emit(cluster, out));
    }

    pub(super) fn unicast(&mut self, to: crate::roster::Endpoint, frame: Vec<u8>) {
        self.outbox.push_back(Outgoing { to: ControlDestination::Member(to), frame });
    }
}
