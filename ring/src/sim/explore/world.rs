//! A small cluster in canonical time: nothing in it is drawn, so without faults it has one future.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::host::Host;
use super::state::StateHasher;
use crate::cycle::Command;
use crate::handoff::{Directive, Report};
use crate::id::Epoch;
use crate::membership::ControlDestination;
use crate::ordering::DataDestination;
use crate::packing::Messages;
use crate::params::Params;
use crate::primary::{Policy, Primary};
use crate::service::Service;
use crate::sim::fault::Half;
use crate::sim::god::{God, Violated};
use crate::sim::node::index_of;
use crate::sim::obliged::acknowledges;
use crate::time::Time;
use crate::trace::{Entry, Event};

/// A frame's way from member to member.
pub(super) const HOP: Duration = Duration::from_micros(50);

/// A directive's or report's way to the other half.
const HAND_OVER: Duration = Duration::from_micros(3);

/// A write to disk, synced.
const WRITE: Duration = Duration::from_micros(500);

/// The clocks begin here, so that what never happened is long ago for all of them.
const BEGINNING: Time = Time::from_ns(3_600_000_000_000);

/// Something that is under way.
#[derive(Clone, Hash, Debug)]
pub(super) enum What {
    Frame { from: usize, port: Port, frame: Bytes },
    Directive(Directive),
    Report(Report),
    Written(Epoch),
    Stored(Bytes),
    Start,
    Publish(Service, Bytes),
}

/// The socket where a frame comes in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Port {
    Data,
    Token,
    Control,
}

/// When and where it arrives.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) at: Time,
    pub(super) node: usize,
    pub(super) what: What,
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// The first of what is under way arrives.
    Arrival,
    /// A timer of one half of a member ends.
    Timer { at: Time, node: usize, half: Half },
}

/// The cluster and what is under way in it.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: Time,
    params: Arc<Params>,
    pub(super) policy: Arc<Policy>,
    pub(super) hosts: Vec<Host>,
    /// The next one last.
    pending: Vec<Pending>,
    /// Of each member, the side of the cut it is on; frames pass between members of one side.
    pub(super) sides: Vec<u8>,
    pub(super) god: God,
    /// Things that happened.
    pub(super) steps: u64,
}

impl World {
    /// Members that are down.
    pub(super) fn new(members: usize, params: Params, policy: Policy) -> Self {
        Self {
            now: BEGINNING,
            params: Arc::new(params),
            policy: Arc::new(policy),
            hosts: (0..members).map(Host::new).collect(),
            pending: Vec::new(),
            sides: vec![0; members],
            god: God::default(),
            steps: 0,
        }
    }

    /// What must be equal for two worlds to have the same future and the same judgement: all
    /// machines, all that is under way, the cut, what god saw, and the histories but for their times.
    pub(super) fn digest(&self) -> u64 {
        let mut hasher = StateHasher::new(self.now);
        for host in &self.hosts {
            host.hash(&mut hasher);
        }
        for Pending { at, node, what } in &self.pending {
            (at, node, what).hash(&mut hasher);
        }
        (&self.sides, &self.god).hash(&mut hasher);
        hasher.finish()
    }

    /// What happens next: always something, as members that run have timers.
    pub(super) fn next(&self) -> Option<Next> {
        let timer = self.next_timer();
        match (self.pending.last(), timer) {
            (Some(first), Some(Next::Timer { at, .. })) if at < first.at => timer,
            (Some(_), _) => Some(Next::Arrival),
            (None, timer) => timer,
        }
    }

    fn next_timer(&self) -> Option<Next> {
        let mut first: Option<(Time, usize, Half)> = None;
        for host in &self.hosts {
            let Some(life) = &host.life else { continue };
            let timers = [
                (life.data.poll_timeout(), Half::Data),
                (life.control.poll_timeout(), Half::Control),
            ];
            for (at, half) in timers.into_iter().filter_map(|(at, half)| Some((at?, half))) {
                if first.is_none_or(|(earliest, ..)| at < earliest) {
                    first = Some((at, host.index, half));
                }
            }
        }
        first.map(|(at, node, half)| Next::Timer { at: at.max(self.now), node, half })
    }

    /// What arrives next.
    pub(super) fn first(&self) -> Option<&Pending> {
        self.pending.last()
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Time {
        match self.next() {
            Some(Next::Arrival) => self.pending.last().map_or(self.now, |first| first.at),
            Some(Next::Timer { at, .. }) => at,
            None => self.now,
        }
    }

    /// Everything that is under way, the next first.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter().rev()
    }

    /// Takes what arrives next away.
    pub(super) fn take_first(&mut self) -> Option<Pending> {
        self.pending.pop()
    }

    /// Lets the next thing happen.
    pub(super) fn step(&mut self) -> Result<(), Violated> {
        self.steps += 1;
        match self.next() {
            Some(Next::Arrival) => match self.pending.pop() {
                Some(arrived) => self.arrive(arrived),
                None => Ok(()),
            },
            Some(Next::Timer { at, node, half }) => {
                self.now = at;
                match half {
                    Half::Data => self.run_data(node),
                    Half::Control => self.run_control(node),
                }
            }
            None => Ok(()),
        }
    }

    fn arrive(&mut self, arrived: Pending) -> Result<(), Violated> {
        let Pending { at, node, what } = arrived;
        self.now = self.now.max(at);
        if let What::Start = what {
            return self.start(node);
        }
        if let What::Frame { from, .. } = &what
            && self.is_cut(*from, node)
        {
            return Ok(());
        }
        let host = &mut self.hosts[node];
        let Some(life) = &mut host.life else { return Ok(()) };
        let (data, control) = (&mut life.data_side, &mut life.control_side);
        match what {
            What::Frame { port: Port::Data, frame, .. } => data.data.push_back(frame),
            What::Frame { port: Port::Token, frame, .. } => data.tokens.push_back(frame),
            What::Publish(service, payload) => {
                let messages = Messages::One(payload);
                data.commands.push_back(Command::Publish { class: service.into(), messages });
            }
            What::Directive(directive) => data.directives.push_back(directive),
            What::Frame { port: Port::Control, frame, .. } => {
                control.frames.push_back(frame);
                return self.run_control(node);
            }
            What::Report(report) => {
                control.reports.push_back(report);
                return self.run_control(node);
            }
            What::Written(ceiling) => {
                host.ceiling = ceiling;
                control.written = Some(Some(ceiling));
                return self.run_control(node);
            }
            What::Stored(record) => {
                host.record = Some(record);
                control.stored = Some(true);
                return self.run_control(node);
            }
            What::Start => return Ok(()),
        }
        self.run_data(node)
    }

    /// Starts a member that is down.
    pub(super) fn start(&mut self, node: usize) -> Result<(), Violated> {
        if self.hosts[node].life.is_some() {
            return Ok(());
        }
        self.hosts[node].start(&self.params, &self.policy, self.now);
        self.run_data(node)?;
        self.run_control(node)
    }

    /// Kills a member: what it handed over, was writing or would get is lost.
    pub(super) fn kill(&mut self, node: usize) {
        self.hosts[node].stop(self.now);
        self.pending.retain(|pending| pending.node != node || matches!(pending.what, What::Start));
    }

    /// Lets `what` arrive at `at`, behind what arrives then already.
    pub(super) fn push(&mut self, at: Time, node: usize, what: What) {
        let pending = Pending { at, node, what };
        let place = self.pending.partition_point(|other| other.at > at);
        self.pending.insert(place, pending);
    }

    /// Whether nothing passes between two members.
    pub(super) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.sides[a] != self.sides[b]
    }

    /// Every component of living members is one ring that has nothing left to do.
    pub(super) fn is_settled(&self) -> bool {
        let quiet = |what: &What| !matches!(what, What::Start | What::Publish(..));
        self.hosts.iter().all(|host| {
            let Some(life) = &host.life else { return true };
            let (ordering, membership) = (life.data.ordering(), life.control.membership());
            let installed = ordering.installed();
            let connected = |other: &&Host| !self.is_cut(host.index, other.index);
            let mut alive = self.hosts.iter().filter(connected).filter(|it| it.life.is_some());
            membership.is_operational()
                && ordering.is_quiet()
                && membership.installed().ring == installed.ring
                && installed.ids().iter().copied().eq(alive.by_ref().map(Host::id))
                && alive.next().is_none()
        }) && self.same_rings()
            && self.pending.iter().all(|pending| quiet(&pending.what))
    }

    /// Living members of one side are on one ring.
    fn same_rings(&self) -> bool {
        let ring = |host: &Host| host.life.as_ref().map(|it| it.data.ordering().installed().ring);
        self.hosts.iter().all(|a| {
            let others = self.hosts.iter().filter(|b| !self.is_cut(a.index, b.index));
            ring(a).is_none() || others.filter_map(ring).all(|other| Some(other) == ring(a))
        })
    }

    fn run_data(&mut self, node: usize) -> Result<(), Violated> {
        let now = self.now;
        let host = &mut self.hosts[node];
        let Some(life) = &mut host.life else { return Ok(()) };
        life.data.cycle(now, &mut life.data_side);
        // The application reads at once, and what it left no room for follows.
        while std::mem::take(&mut life.data_side.stream_was_full) {
            life.data_side.stream.clear();
            life.data.cycle(now, &mut life.data_side);
        }
        life.data_side.stream.clear();
        let (reports, sends, recorded) = (
            std::mem::take(&mut life.data_side.reports),
            std::mem::take(&mut life.data_side.sends),
            std::mem::take(&mut life.data_side.recorded),
        );
        let acknowledges = sends.iter().any(|(_, frame)| acknowledges(life, frame));
        self.god.observe(life, host.ceiling, &recorded, &sends, acknowledges)?;
        self.votes_are_durable(&recorded)?;
        self.hosts[node].record(recorded);
        for report in reports {
            self.push(now + HAND_OVER, node, What::Report(report));
        }
        for (to, frame) in sends {
            match to {
                DataDestination::Group => self.multicast(node, Port::Data, &frame),
                DataDestination::Member(to) => {
                    self.send(node, index_of(to), Port::Token, &frame);
                }
            }
        }
        Ok(())
    }

    fn run_control(&mut self, node: usize) -> Result<(), Violated> {
        let now = self.now;
        let Some(life) = &mut self.hosts[node].life else { return Ok(()) };
        life.control.cycle(now, &mut life.control_side);
        let side = &mut life.control_side;
        side.notices.clear();
        let (directives, sends) =
            (std::mem::take(&mut side.directives), std::mem::take(&mut side.sends));
        let (write, store) = (side.write.take(), side.store.take());
        for (_, frame) in &sends {
            self.god.observe_join(life, frame)?;
        }
        for directive in directives {
            self.push(now + HAND_OVER, node, What::Directive(directive));
        }
        for (to, frame) in sends {
            match to {
                ControlDestination::Group => self.multicast(node, Port::Control, &frame),
                ControlDestination::Member(to) => {
                    self.send(node, index_of(to), Port::Control, &frame);
                }
            }
        }
        if let Some(ceiling) = write {
            self.push(now + WRITE, node, What::Written(ceiling));
        }
        if let Some(record) = store {
            self.push(now + WRITE, node, What::Stored(record));
        }
        Ok(())
    }

    /// Primary ⇒ all votes for it are on disk.
    fn votes_are_durable(&mut self, recorded: &[Entry]) -> Result<(), Violated> {
        let Policy::Dynamic { .. } = *self.policy else { return Ok(()) };
        for entry in recorded {
            let Event::Primary { ring } = entry.event else { continue };
            for member in self.god.members_of(ring) {
                self.god.judged += 1;
                let host = self.hosts.iter().find(|host| host.id() == member);
                if host.is_some_and(|host| !host.has_voted(ring)) {
                    let detail = format!("{ring} is confirmed; {member} has no vote on disk");
                    return Err(Violated { invariant: "primary ⇒ votes on disk", detail });
                }
            }
        }
        Ok(())
    }

    /// With a policy, every living member knows to be in the primary component.
    pub(super) fn is_primary(&self) -> bool {
        *self.policy == Policy::None
            || self.hosts.iter().filter_map(|host| host.life.as_ref()).all(|life| {
                let ordering = life.data.ordering();
                let primary = ordering.primary().and_then(Primary::primary);
                primary == Some(ordering.installed().ring)
            })
    }

    fn multicast(&mut self, from: usize, port: Port, frame: &Bytes) {
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            self.send(from, to, port, frame);
        }
    }

    fn send(&mut self, from: usize, to: usize, port: Port, frame: &Bytes) {
        self.push(self.now + HOP, to, What::Frame { from, port, frame: frame.clone() });
    }
}
