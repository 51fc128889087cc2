//! The layer: one replica of a state machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::entry::Operation;
use super::event::{Event, ReplicaCounters, Standing};
use super::fetch::Fetch;
use super::log::Log;
use super::machine::{StateMachine, View};
use super::message::{Ordered, Status};
use super::options::Options;
use super::position::{Instant, Position};
use super::requests::{RequestId, Requests, SubmitError};
use super::state::State;
use crate::configuration::ConfigurationKind;
use crate::id::{Incarnation, NodeId, RingId};
use crate::layer::{Layer, Letter, Publication, StreamEvent};
use crate::service::{Channel, Class, Service};
use crate::time::Time;

/// All that replicas have ordered is safe: what is delivered in a regular configuration is held by all
/// of its members.
const CLASS: Class = Class { service: Service::Safe, channel: Channel::REPLICA };

/// Events kept for polling, answers apart.
const EVENTS_MAX: usize = 1_024;

/// One replica of a state machine. Getters; commands ([`Replica::submit`], [`Replica::barrier`]); inputs
/// `handle_*` and outputs `poll_*` of [`Layer`], and [`Replica::poll_event`].
#[derive(Debug)]
pub struct Replica<M: StateMachine> {
    pub(super) options: Options,
    pub(super) me: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) state: State<M>,
    /// The latest regular configuration, and whether its transitional one has begun.
    pub(super) ring: RingId,
    pub(super) members: Arc<[NodeId]>,
    pub(super) kind: ConfigurationKind,
    /// The configuration in force is confirmed to be the primary component.
    pub(super) is_primary: bool,
    pub(super) phase: Phase,
    pub(super) role: Role,
    pub(super) requests: Requests,
    pub(super) store: super::checkpoint::Store,
    /// Chunks to send: to whom, of what, which.
    pub(super) answers: VecDeque<(NodeId, Instant, u32)>,
    pub(super) counters: ReplicaCounters,
    /// Status, synced, again: few, and only of the latest configuration.
    announcements: VecDeque<Ordered>,
    events: VecDeque<Event<M::Output>>,
    /// Answers among the events.
    answered: usize,
    told: Standing,
}

/// How far the latest regular configuration has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// The statuses of its members, until all are there.
    Deciding(BTreeMap<NodeId, Status>),
    /// It does not go on.
    Blocked,
    /// It goes on.
    Decided(Decided),
}

/// What all members of a configuration that goes on know alike, at each place of the order.
#[derive(Debug)]
pub(super) struct Decided {
    /// Entries up to here are applied somewhere.
    pub(super) floor: u64,
    pub(super) synced: BTreeSet<NodeId>,
    pub(super) joiners: BTreeMap<NodeId, Instant>,
    /// Whether commands have a place in the log.
    pub(super) is_active: bool,
}

/// How this member takes part in the log of the latest configuration that went on.
#[derive(Debug)]
pub(super) enum Role {
    /// Not at all.
    Idle,
    /// Its state follows the log.
    Holder,
    /// Follows the log without the state at its beginning.
    Joining(Joining),
}

/// A joiner's part.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) instant: Instant,
    /// Where the log was at the instant.
    pub(super) start: Position,
    /// Entries since.
    pub(super) log: Log,
    pub(super) pull: Pull,
}

/// How a joiner gets the checkpoint.
#[derive(Debug)]
pub(super) enum Pull {
    /// It comes. The log of the joiner is complete.
    Going(Box<Fetch>),
    /// It has asked for another instant.
    Waiting,
    /// Not in this configuration.
    Failed,
}

impl<M: StateMachine> Replica<M> {
    /// A replica whose machine is in its first state: the same at every member.
    #[must_use]
    pub fn new(machine: M, options: Options) -> Self {
        Self {
            options,
            me: NodeId::default(),
            incarnation: Incarnation::default(),
            state: State::new(machine),
            ring: RingId::default(),
            members: Arc::new([]),
            kind: ConfigurationKind::Regular,
            is_primary: false,
            phase: Phase::Deciding(BTreeMap::new()),
            role: Role::Idle,
            requests: Requests::new(),
            store: super::checkpoint::Store::default(),
            answers: VecDeque::new(),
            counters: ReplicaCounters::default(),
            announcements: VecDeque::new(),
            events: VecDeque::new(),
            answered: 0,
            told: Standing::Changing,
        }
    }

    /// The machine, to read. It is what some beginning of the log makes of it: all that is answered here
    /// is in it, what was answered elsewhere need not be. For that, ask for a [`Replica::barrier`] and
    /// read when it is passed. While this member is not synced, it is old.
    #[must_use]
    pub const fn machine(&self) -> &M {
        self.state.machine()
    }

    /// The latest view that the machine was told of.
    #[must_use]
    pub const fn view(&self) -> &View {
        self.state.view()
    }

    /// Entries of the log that the machine has applied.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.state.held().map_or(0, |held| held.applied)
    }

    /// Where this replica stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let Phase::Decided(decided) = &self.phase else {
            let is_blocked = matches!(self.phase, Phase::Blocked);
            return if is_blocked { Standing::Blocked } else { Standing::Changing };
        };
        match &self.role {
            _ if self.kind == ConfigurationKind::Transitional => Standing::Changing,
            Role::Holder if self.may_apply() && decided.synced.contains(&self.me) => {
                Standing::Synced
            }
            Role::Holder => Standing::Waiting,
            Role::Joining(Joining { pull: Pull::Going(fetch), .. }) => {
                let (bytes, of) = fetch.progress();
                Standing::Joining { bytes, of }
            }
            Role::Joining(Joining { pull: Pull::Waiting, .. }) => {
                Standing::Joining { bytes: 0, of: None }
            }
            Role::Joining(Joining { pull: Pull::Failed, .. }) | Role::Idle => Standing::Blocked,
        }
    }

    /// The members whose statuses have not come since the configuration, ascending: until then it is
    /// [`Standing::Changing`]. It takes a few rotations; a member that stays here has no replica, and
    /// must run one or leave.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<NodeId> {
        let Phase::Deciding(statuses) = &self.phase else { return Vec::new() };
        let has_not_come = |member: &&NodeId| !statuses.contains_key(member);
        self.members.iter().filter(has_not_come).copied().collect()
    }

    /// What has a place in the log may be applied: enough hold it, and the configuration is known to
    /// be one in which that may be.
    pub(super) const fn may_apply(&self) -> bool {
        let is_active = matches!(&self.phase, Phase::Decided(decided) if decided.is_active);
        is_active && (self.is_primary || !self.options.progress.needs_primary())
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> ReplicaCounters {
        self.counters
    }

    /// Has a command ordered and applied, once. Answered by [`Event::Applied`] when it is applied here,
    /// or by [`Event::Lost`]; an accepted request waits through configurations that do not go on.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]: nothing is ordered.
    pub fn submit(&mut self, command: Bytes) -> Result<RequestId, SubmitError> {
        if command.len() > self.options.command_bytes_max {
            return Err(SubmitError::TooLong);
        }
        self.accept(Operation::Apply(command))
    }

    /// Asks for [`Event::Passed`]: after it, a read here sees whatever was answered to anybody before this
    /// call. That makes reads linearizable.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], as for commands.
    pub fn barrier(&mut self) -> Result<RequestId, SubmitError> {
        self.accept(Operation::Barrier)
    }

    fn accept(&mut self, operation: Operation) -> Result<RequestId, SubmitError> {
        let holds = matches!(self.role, Role::Holder);
        match self.standing() {
            Standing::Synced => {}
            Standing::Changing if holds => {}
            _ => return Err(SubmitError::Blocked),
        }
        if self.requests.len() + self.answered >= self.options.pending_max {
            return Err(SubmitError::Full);
        }
        Ok(self.requests.submit(operation))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event<M::Output>> {
        let event = self.events.pop_front()?;
        if is_answer(&event) {
            self.answered -= 1;
        }
        Some(event)
    }

    pub(super) fn tell(&mut self, event: Event<M::Output>) {
        if is_answer(&event) {
            self.answered += 1;
        } else if self.events.len() - self.answered >= EVENTS_MAX {
            self.counters.dropped_events += 1;
            return;
        }
        self.events.push_back(event);
    }

    pub(super) fn announce(&mut self, message: Ordered) {
        self.announcements.push_back(message);
    }

    /// What was to be said of an earlier configuration.
    pub(super) fn retract(&mut self) {
        self.announcements.clear();
    }

    fn tell_standing(&mut self) {
        let standing = self.standing();
        if !standing.is_like(self.told) {
            self.told = standing;
            self.tell(Event::Standing(standing));
        }
    }
}

/// Answers are bounded by the requests, and never dropped.
const fn is_answer<O>(event: &Event<O>) -> bool {
    matches!(event, Event::Applied { .. } | Event::Passed { .. } | Event::Lost { .. })
}

impl<M: StateMachine> Layer for Replica<M> {
    fn handle_start(&mut self, _now: Time, me: NodeId, incarnation: Incarnation) {
        self.me = me;
        self.incarnation = incarnation;
    }

    fn handle_event(&mut self, now: Time, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Configuration(configuration) => self.handle_configuration(configuration),
            StreamEvent::Message(message) if message.channel == Channel::REPLICA => {
                self.handle_message(now, message);
            }
            StreamEvent::Message(_) => {}
            StreamEvent::Primary { ring } => self.handle_primary(ring),
        }
        self.tell_standing();
    }

    fn handle_letter(&mut self, now: Time, from: NodeId, payload: &[u8]) {
        self.handle_note(now, from, payload);
        self.tell_standing();
    }

    fn handle_timeout(&mut self, now: Time) {
        if self.poll_timeout().is_some_and(|timeout| timeout <= now) {
            self.handle_silence(now);
            self.tell_standing();
        }
    }

    fn poll_publish(&mut self) -> Option<Publication> {
        let message = match self.announcements.pop_front() {
            Some(message) => message,
            // Elsewhere a command would be ordered in vain.
            None if self.standing() == Standing::Synced => {
                self.requests.poll(self.options.in_flight_max)?
            }
            None => return None,
        };
        Some(Publication { class: CLASS, payload: Bytes::from(message.encode()) })
    }

    fn poll_letter(&mut self) -> Option<Letter> {
        self.next_letter()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.fetching().map(Fetch::timeout)
    }
}
