//! What control knows of its data worker, and what the worker's reports lead to.

use super::{GatherReason, Membership, Notice, State};
use crate::handoff::{Directive, Frozen};
use crate::id::{NodeId, RingId};
use crate::time::Time;

/// The worker, by its last answer. At most one directive is outstanding.
#[derive(Clone, Hash, Debug)]
pub(super) enum Worker {
    /// Runs the installed ring.
    Running,
    /// Asked to freeze.
    Freezing,
    /// Frozen, with what it reported: immutable until it adopts a ring.
    Frozen(Frozen),
    /// Asked to adopt a ring.
    Adopting,
    /// Runs a ring that is not installed yet.
    Adopted,
}

impl Membership {
    /// Sees to it that the worker is or will be frozen.
    pub(super) fn freeze_worker(&mut self) {
        match self.worker {
            Worker::Running | Worker::Adopted => {
                let ring = self.installed.ring;
                self.directives.push_back(Directive::Freeze { ring });
                self.worker = Worker::Freezing;
            }
            // One directive at a time: its answer leads on.
            Worker::Adopting | Worker::Freezing | Worker::Frozen(_) => {}
        }
    }

    pub(super) const fn frozen(&self) -> Option<&Frozen> {
        match &self.worker {
            Worker::Frozen(frozen) => Some(frozen),
            _ => None,
        }
    }

    pub(super) fn handle_frozen(&mut self, now: Time, frozen: Frozen) {
        debug_assert_eq!(frozen.installed, self.installed.ring, "Installed comes before Frozen");
        self.worker = Worker::Frozen(frozen);
        if let State::Gather(gather) = &mut self.state {
            // The first join leaves now.
            gather.join_at = now;
            self.handle_gather_timeout(now);
        }
    }

    pub(super) fn handle_adopted(&mut self, now: Time, ring: RingId) {
        self.worker = Worker::Adopted;
        match &self.state {
            State::Proposed(proposal) if proposal.ring() == ring => self.pass_adopted_on(now),
            // The attempt is over; so is what the worker just began.
            _ => self.freeze_worker(),
        }
    }

    pub(super) fn handle_installed(&mut self, ring: RingId) {
        if let State::Proposed(proposal) = &self.state
            && proposal.ring() == ring
        {
            self.installed = std::sync::Arc::clone(&proposal.roster);
            self.worker = Worker::Running;
            self.state = State::Operational;
        } else if let Some(roster) = self.given_up.take_if(|roster| roster.ring == ring) {
            // Installed just before the freeze that will follow this report.
            self.installed = roster;
        }
        if self.installed.ring == ring {
            self.notices.push_back(Notice::Installed(std::sync::Arc::clone(&self.installed)));
        }
    }

    pub(super) fn handle_token_lost(&mut self, now: Time, ring: RingId) {
        match &self.state {
            State::Operational if ring == self.installed.ring => {
                self.gather(now, GatherReason::TokenLost, None);
            }
            State::Proposed(proposal) if proposal.ring() == ring => {
                self.gather(now, GatherReason::RecoveryLost, None);
            }
            _ => {}
        }
    }

    pub(super) fn handle_failed_to_receive(&mut self, now: Time, ring: RingId, member: NodeId) {
        let runs = match &self.state {
            State::Operational => ring == self.installed.ring,
            State::Proposed(proposal) => proposal.ring() == ring,
            State::Gather(_) | State::Leaving { .. } | State::Ended => false,
        };
        if runs {
            self.gather(now, GatherReason::FailedToReceive(member), Some(member));
        }
    }
}
