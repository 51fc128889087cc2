//! Membership: the control thread's machine. Gather → Commit → Recovery → Operational.

mod commit;
mod gather;
mod identical;
mod joins;
mod letters;
mod peers;
mod plan;
mod proposal;
mod reason;
mod worker;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::counters::{Ignored, IgnoredFrames};
use crate::epoch::{EpochLedger, Start};
use crate::handoff::{Directive, Report};
use crate::id::{Epoch, NodeId, RingId};
use crate::ordering::Identity;
use crate::pace::Pace;
use crate::params::Params;
use crate::roster::{Endpoint, Roster};
use crate::time::Time;
use crate::wire::{Header, Kind, Malformed};
use gather::Gather;
use peers::Peers;
use proposal::{Proposal, Step};
pub use reason::GatherReason;
use worker::Worker;

/// Where a frame of the control half goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ControlDestination {
    /// To all members, on the control group.
    Group,
    /// To one member's control thread.
    Member(Endpoint),
}

/// What an operator should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The member forms a membership.
    Gathering(GatherReason),
    /// A ring was installed.
    Installed(Arc<Roster>),
    /// The leave was announced: the member is out.
    Left,
    /// A member with the same id and a later start is alive: this one must stop.
    Superseded {
        /// The other's start epoch.
        by: Epoch,
    },
}

#[derive(Clone, Hash, Debug)]
enum State {
    /// The installed ring runs.
    Operational,
    /// Members tell each other whom they consider.
    Gather(Gather),
    /// A ring is proposed: until it is adopted (Commit) and until it is installed (Recovery).
    Proposed(Box<Proposal>),
    /// Announcing the leave.
    Leaving { announcements: u32, next_at: Time },
    /// Out, or superseded.
    Ended,
}

#[derive(Clone, Hash, Debug)]
struct Outgoing {
    to: ControlDestination,
    frame: Vec<u8>,
}

/// The membership machine.
///
/// Getters: [`Membership::installed`], [`Membership::ignored`], … Inputs: `handle_*` take frames,
/// reports, storage answers and time. Commands: [`Membership::leave`]. Outputs: `poll_*`, to be
/// drained after every input.
#[derive(Clone, Debug)]
pub struct Membership {
    identity: Identity,
    params: Params,
    ledger: EpochLedger,
    installed: Arc<Roster>,
    /// The last proposed ring that was given up: its `Installed` may already be under way.
    given_up: Option<Arc<Roster>>,
    worker: Worker,
    state: State,
    peers: Peers,
    beacon_at: Time,
    outbox: VecDeque<Outgoing>,
    directives: VecDeque<Directive>,
    /// For the layer.
    letters: VecDeque<(NodeId, Bytes)>,
    notices: VecDeque<Notice>,
    ignored: IgnoredFrames,
    gathers: u64,
    /// Stretches the timeouts of an attempt on a busy host.
    pace: Pace,
}

/// Leaves are announced this often, so that one lost frame does not cost a token timeout.
const LEAVE_ANNOUNCEMENTS: u32 = 3;

impl Membership {
    /// A member's control half at its start; `start`'s ceiling is durable.
    #[must_use]
    pub fn new(identity: Identity, start: Start, params: Params, now: Time) -> Self {
        let member = identity.member;
        let ring = RingId::new(start.incarnation, member.id);
        Self {
            installed: Arc::new(Roster::new(ring, vec![member], identity.mtu_bytes)),
            identity,
            params,
            ledger: EpochLedger::new(start),
            given_up: None,
            worker: Worker::Running,
            state: State::Operational,
            peers: Peers::default(),
            beacon_at: now,
            outbox: VecDeque::new(),
            directives: VecDeque::new(),
            letters: VecDeque::new(),
            notices: VecDeque::new(),
            ignored: IgnoredFrames::default(),
            gathers: 0,
            pace: Pace::default(),
        }
    }

    /// The ring installed last, as the worker reported it.
    #[must_use]
    pub const fn installed(&self) -> &Arc<Roster> {
        &self.installed
    }

    /// The installed ring is in operation: no membership is being formed.
    #[must_use]
    pub const fn is_operational(&self) -> bool {
        matches!(self.state, State::Operational)
    }

    /// The state's name, for operators.
    #[must_use]
    pub const fn state_name(&self) -> &'static str {
        match &self.state {
            State::Operational => "operational",
            State::Gather(_) => "gather",
            State::Proposed(proposal) => match proposal.step {
                Step::Adopted | Step::Originating => "recovery",
                Step::FirstPass | Step::AwaitDurable(_) | Step::AwaitAdopted(_) => "commit",
            },
            State::Leaving { .. } => "leaving",
            State::Ended => "ended",
        }
    }

    /// The member has left or was superseded.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Frames without effect, by reason.
    #[must_use]
    pub const fn ignored(&self) -> &IgnoredFrames {
        &self.ignored
    }

    /// Times a membership was formed anew.
    #[must_use]
    pub const fn gathers(&self) -> u64 {
        self.gathers
    }

    /// The epochs seen and reserved.
    #[must_use]
    pub const fn ledger(&self) -> &EpochLedger {
        &self.ledger
    }

    /// Announces that this member leaves, then ends. To be called once the worker has reported
    /// [`Report::Drained`], or when there is no more time for it.
    pub fn leave(&mut self, now: Time) {
        if !matches!(self.state, State::Leaving { .. } | State::Ended) {
            self.state = State::Leaving { announcements: LEAVE_ANNOUNCEMENTS, next_at: now };
            self.handle_timeout(now);
        }
    }

    /// Takes a frame from a control socket.
    pub fn handle_frame(&mut self, now: Time, frame: &[u8]) {
        let parsed = Header::parse(&mut &*frame, self.identity.cluster);
        let outcome = parsed.map_err(Ignored::from).and_then(|header| match header.kind {
            Kind::Join => self.handle_join(now, frame),
            Kind::Beacon => self.handle_beacon(now, frame),
            Kind::Commit => self.handle_commit(now, frame),
            Kind::Letter => self.handle_letter(frame),
            Kind::Data | Kind::Token | Kind::HoldCancel | Kind::Free | Kind::Claim => {
                Err(Malformed::Kind.into())
            }
        });
        if let Err(reason) = outcome {
            self.ignored.count(reason);
        }
    }

    /// The disk's answer to [`Membership::poll_write`]: the ceiling that is durable now, or `None`
    /// when the write failed (nothing is adopted then; it is tried again with the next frame).
    pub fn handle_written(&mut self, now: Time, ceiling: Option<Epoch>) {
        self.ledger.handle_written(ceiling);
        if ceiling.is_some() {
            self.continue_when_durable(now);
        }
    }

    /// When [`Membership::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let state = match &self.state {
            State::Operational => None,
            State::Gather(gather) => Some(gather.timeout_at()),
            State::Proposed(proposal) => {
                [proposal.repeat_at, proposal.lost_at].into_iter().flatten().min()
            }
            State::Leaving { next_at, .. } => Some(*next_at),
            State::Ended => return None,
        };
        Some(state.map_or(self.beacon_at, |at| at.min(self.beacon_at)))
    }

    /// Acts on every timer that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        if let Some(due) = self.poll_timeout().filter(|due| *due <= now) {
            self.pace.note_own(now, now.since(due), self.params.consensus);
        }
        match &mut self.state {
            State::Operational | State::Ended => {}
            State::Gather(_) => self.handle_gather_timeout(now),
            State::Proposed(_) => self.handle_proposal_timeout(now),
            State::Leaving { announcements, next_at } => {
                if *next_at <= now {
                    *announcements -= 1;
                    *next_at = now + self.params.join / 4;
                    let last = *announcements == 0;
                    self.send_leave();
                    if last {
                        self.state = State::Ended;
                        self.notices.push_back(Notice::Left);
                    }
                }
            }
        }
        if self.beacon_at <= now && !self.is_ended() {
            self.beacon_at = now + self.params.beacon;
            self.send_beacon(now);
        }
    }

    /// The next frame to send: fills `frame`.
    pub fn poll_transmit(&mut self, frame: &mut Vec<u8>) -> Option<ControlDestination> {
        let outgoing = self.outbox.pop_front()?;
        frame.clear();
        frame.extend_from_slice(&outgoing.frame);
        Some(outgoing.to)
    }

    /// The next directive for the worker.
    pub fn poll_directive(&mut self) -> Option<Directive> {
        self.directives.pop_front()
    }

    /// The epoch ceiling to make durable, file and directory synced; answered by
    /// [`Membership::handle_written`].
    pub fn poll_write(&mut self) -> Option<Epoch> {
        self.ledger.poll_write()
    }

    /// The next notice for the operator.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// The tunables, with the timeouts of an attempt as the host's pace wants them.
    fn paced(&self) -> Params {
        Params {
            consensus: self.pace.stretch(self.params.consensus),
            commit_loss: self.pace.stretch(self.params.commit_loss),
            ..self.params.clone()
        }
    }

    const fn me(&self) -> NodeId {
        self.identity.member.id
    }

    fn multicast(&mut self, emit: impl FnOnce(&mut Vec<u8>)) {
        let mut frame = Vec::new();
        emit(&mut frame);
        self.outbox.push_back(Outgoing { to: ControlDestination::Group, frame });
    }

    /// Takes a report of the worker. Control believes it, not its own memory.
    pub fn handle_report(&mut self, now: Time, report: Report) {
        match report {
            Report::Frozen(frozen) => self.handle_frozen(now, frozen),
            Report::Adopted { ring } => self.handle_adopted(now, ring),
            Report::Installed { ring } => self.handle_installed(ring),
            Report::TokenLost { ring } => self.handle_token_lost(now, ring),
            Report::FailedToReceive { ring, member } => {
                self.handle_failed_to_receive(now, ring, member);
            }
            Report::Retired(recovery) => drop(recovery),
            // For the engine, which asked for it, and for the disk.
            Report::Originated { .. } | Report::Drained | Report::Store { .. } => {}
        }
    }
}
