//! The commit token: made by the lowest, carried around twice, then the ring's first token.

use std::sync::Arc;

use super::proposal::{Proposal, Step};
use super::worker::Worker;
use super::{GatherReason, Membership, State, plan};
use crate::counters::Ignored;
use crate::handoff::Directive;
use crate::id::{Epoch, RingId};
use crate::roster::Roster;
use crate::time::Time;
use crate::wire::commit::Commit;

impl Membership {
    /// Makes the commit token of a new ring; it leaves once its epoch is durable here.
    pub(super) fn propose(&mut self, now: Time) {
        let (State::Gather(gather), Some(frozen)) = (&self.state, self.frozen()) else {
            return;
        };
        let proposed = gather.proposal(self.identity.member, self.identity.mtu_bytes);
        let epoch = proposed.epoch.max(self.ledger.highest()).next();
        let entry = plan::entry(frozen);
        let ring = RingId::new(epoch, self.me());
        let mtu_bytes = u16::try_from(proposed.mtu_bytes).unwrap_or(u16::MAX);
        if epoch >= Epoch::END {
            // Somebody lied about epochs: better no ring than a second one of the same id.
            return;
        }
        let roster = Arc::new(Roster::new(ring, proposed.members, proposed.mtu_bytes));
        let commit = Commit {
            sender: self.me(),
            ring,
            hop: 1,
            mtu_bytes,
            members: roster.members.clone(),
            entries: vec![entry.clone()],
        };
        self.ledger.see(epoch);
        self.note_excluded(now);
        let lost_at = now + self.pace.stretch(self.params.commit_loss);
        let mut proposal = Proposal::new(Arc::clone(&roster), 0, entry, lost_at);
        proposal.next_hop = proposal.members();
        proposal.step = Step::AwaitDurable(commit);
        self.state = State::Proposed(Box::new(proposal));
        self.continue_when_durable(now);
    }

    /// Whoever is excluded while alive is held down.
    fn note_excluded(&mut self, now: Time) {
        let State::Gather(gather) = &self.state else {
            return;
        };
        for node in gather.fail_set() {
            if self.peers.heard_since(node, gather.since) {
                self.peers.hold_down(node, now, self.params.consensus);
            }
        }
    }

    pub(super) fn handle_commit(&mut self, now: Time, frame: &[u8]) -> Result<(), Ignored> {
        let commit = Commit::parse(frame, self.identity.cluster)?;
        let index = commit.members.iter().position(|member| *member == self.identity.member);
        let index = index.ok_or(Ignored::NotConcerned)?;
        let members = commit.members.len();
        let predecessor = commit.members[(index + members - 1) % members].id;
        if commit.sender != predecessor {
            return Err(Ignored::NotPredecessor);
        }
        match &self.state {
            State::Gather(_) if usize::from(commit.hop) == index => {
                self.join_proposal(now, index, commit)
            }
            State::Proposed(proposal) if proposal.ring() == commit.ring => {
                self.second_pass(now, commit)
            }
            _ => Err(Ignored::Late),
        }
    }

    /// First pass: my entry.
    fn join_proposal(
        &mut self,
        now: Time,
        index: usize,
        mut commit: Commit,
    ) -> Result<(), Ignored> {
        let (State::Gather(gather), Some(frozen)) = (&self.state, self.frozen()) else {
            return Err(Ignored::Frozen);
        };
        if commit.ring.epoch <= self.ledger.highest() {
            return Err(Ignored::Late);
        }
        let mtu_bytes = usize::from(commit.mtu_bytes);
        let roster = Arc::new(Roster::new(commit.ring, commit.members.clone(), mtu_bytes));
        if !plan::same_ids(&roster, gather.live()) {
            return Err(Ignored::NotConcerned);
        }
        commit.entries.push(plan::entry(frozen));
        // My join has told my MTU, and whoever comes from my ring knows nothing else of it than I.
        if mtu_bytes > self.identity.mtu_bytes || !commit.is_of_one_past() {
            return Err(Ignored::Inconsistent);
        }
        let entry = plan::entry(frozen);
        // Raised in memory at first sight, so that joins sent from now on are not taken for late.
        self.ledger.see(commit.ring.epoch);
        self.note_excluded(now);
        let lost_at = now + self.pace.stretch(self.params.commit_loss);
        let mut proposal = Proposal::new(roster, index, entry, lost_at);
        proposal.next_hop += proposal.members();
        self.state = State::Proposed(Box::new(proposal));
        self.pass_on(now, commit);
        Ok(())
    }

    /// Second pass: adopt, and pass on once adopted. At the representative a third visit ends it.
    fn second_pass(&mut self, now: Time, commit: Commit) -> Result<(), Ignored> {
        let State::Proposed(proposal) = &mut self.state else {
            return Err(Ignored::Late);
        };
        if commit.hop != proposal.next_hop {
            // A repetition: what I sent on is repeated by timer as long as it is needed.
            return Err(Ignored::StaleToken);
        }
        let unchanged = commit.entries.get(proposal.me) == Some(&proposal.entry);
        if !unchanged || commit.members != proposal.roster.members {
            return Err(Ignored::Inconsistent);
        }
        if commit.hop == 2 * proposal.members() {
            if matches!(proposal.step, Step::Originating) {
                // Repeated until the ring's first token has gone round. The directive waits for a
                // worker that stands still, and its queue is bounded.
                return Err(Ignored::StaleToken);
            }
            proposal.repeat_at = None;
            proposal.step = Step::Originating;
            let ring = proposal.ring();
            self.directives.push_back(Directive::Originate { ring });
            return Ok(());
        }
        proposal.next_hop += proposal.members();
        proposal.step = Step::AwaitDurable(commit);
        self.continue_when_durable(now);
        Ok(())
    }

    /// Goes on with what waited for the epoch to be durable.
    pub(super) fn continue_when_durable(&mut self, now: Time) {
        let State::Proposed(proposal) = &mut self.state else {
            return;
        };
        let Step::AwaitDurable(_) = proposal.step else {
            return;
        };
        if !self.ledger.is_durable(proposal.ring().epoch) {
            return;
        }
        let step = std::mem::replace(&mut proposal.step, Step::FirstPass);
        let Step::AwaitDurable(commit) = step else {
            return;
        };
        let alone = commit.members.len() == 1;
        if commit.entries.len() < commit.members.len() && !alone {
            self.pass_on(now, commit);
        } else {
            self.adopt(now, commit);
        }
    }

    fn adopt(&mut self, now: Time, commit: Commit) {
        let State::Proposed(proposal) = &mut self.state else {
            return;
        };
        let roster = Arc::clone(&proposal.roster);
        let me = proposal.me;
        match plan::recover(roster, &commit.entries, &self.installed, &self.params, me) {
            Some(recovery) => {
                proposal.step = Step::AwaitAdopted(commit);
                self.worker = Worker::Adopting;
                self.directives.push_back(Directive::Recover(recovery));
            }
            None => self.gather(now, GatherReason::CommitLost, None),
        }
    }

    /// The worker has adopted: pass the commit token on, or alone begin at once.
    pub(super) fn pass_adopted_on(&mut self, now: Time) {
        let State::Proposed(proposal) = &mut self.state else {
            return;
        };
        let step = std::mem::replace(&mut proposal.step, Step::Adopted);
        let Step::AwaitAdopted(commit) = step else {
            return;
        };
        proposal.lost_at = None;
        if proposal.roster.len() == 1 {
            proposal.step = Step::Originating;
            let ring = proposal.ring();
            self.directives.push_back(Directive::Originate { ring });
        } else {
            self.pass_on(now, commit);
        }
    }

    /// Forwards the commit token to the next member.
    fn pass_on(&mut self, now: Time, mut commit: Commit) {
        let me = self.me();
        let State::Proposed(proposal) = &mut self.state else {
            return;
        };
        commit.sender = me;
        // The representative's token is made with its first hop done.
        if !(proposal.is_representative() && commit.entries.len() < proposal.roster.len()) {
            commit.hop += 1;
        }
        let repeat_at = now + self.params.commit_retransmit;
        proposal.send(&commit, self.identity.cluster, repeat_at);
        let (to, frame) = proposal.sent();
        let frame = frame.to_vec();
        self.unicast(to, frame);
    }

    pub(super) fn handle_proposal_timeout(&mut self, now: Time) {
        let State::Proposed(proposal) = &mut self.state else {
            return;
        };
        if proposal.lost_at.is_some_and(|at| at <= now) {
            self.gather(now, GatherReason::CommitLost, None);
            return;
        }
        if proposal.repeat_at.is_some_and(|at| at <= now) {
            proposal.repeat_at = Some(now + self.params.commit_retransmit);
            let (to, frame) = proposal.sent();
            let frame = frame.to_vec();
            self.unicast(to, frame);
        }
    }
}
