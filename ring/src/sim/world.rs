//! The simulated cluster: what happens next, and to whom.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::fault::{Fault, Half, Step};
use super::god::{God, Violated};
use super::network::Network;
use super::node::{self, HalfState, Life, Node, Socket};
use super::obliged::acknowledges;
use super::rng::Random;
use super::stats::Stats;
use super::workload::Workload;
use crate::cycle::Command;
use crate::handoff::{Directive, Report};
use crate::id::{Epoch, RingId};
use crate::membership::ControlDestination;
use crate::ordering::DataDestination;
use crate::params::Params;
use crate::time::Time;
use crate::wire::header::Header;
use crate::wire::token::Token;
use crate::wire::{self, Kind};

/// Something that happens at a point in time.
#[derive(Debug)]
pub(super) enum Happening {
    Frame { socket: Socket, frame: Bytes },
    Wake(Half),
    Directive(Directive),
    Report(Report),
    Written(Option<Epoch>),
    Read,
    Submit,
    Restart,
    Begin(Fault),
    End(Fault),
}

/// A happening in the queue of what is to come.
#[derive(Debug)]
struct Scheduled {
    at: Time,
    order: u64,
    node: usize,
    /// The life it belongs to; zero for what concerns the host.
    life: u32,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// The cluster and its surroundings.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Time,
    pub(super) params: Params,
    pub(super) nodes: Vec<Node>,
    pub(super) network: Network,
    pub(super) workload: Workload,
    pub(super) stats: Stats,
    pub(super) god: God,
    pub(super) rng: Random,
    /// Directives and reports cross within this time.
    pub(super) handoff_delay: (Duration, Duration),
    /// Writes to disk take this long.
    pub(super) disk_delay: (Duration, Duration),
    /// Chaos is over: no fault strikes any more.
    pub(super) healed: bool,
    /// Of each host, the last joins it was sent.
    joins: Vec<VecDeque<Bytes>>,
    /// Of each host, the first token it was sent of each of its last rings.
    first_tokens: Vec<VecDeque<(RingId, Bytes)>>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
}

impl World {
    pub(super) fn new(nodes: usize, params: Params, mut rng: Random) -> Self {
        let network = Network::new(nodes, rng.fork());
        let workload = Workload::new(nodes, rng.fork());
        Self {
            now: Time::ZERO,
            params,
            nodes: (0..nodes).map(Node::new).collect(),
            network,
            workload,
            stats: Stats::default(),
            god: God::default(),
            rng,
            handoff_delay: (Duration::from_micros(1), Duration::from_micros(5)),
            disk_delay: (Duration::from_micros(100), Duration::from_millis(3)),
            healed: false,
            joins: vec![VecDeque::new(); nodes],
            first_tokens: vec![VecDeque::new(); nodes],
            queue: BinaryHeap::new(),
            order: 0,
        }
    }

    /// Schedules `what` for the host `node`, whatever life it is in then.
    pub(super) fn at(&mut self, at: Time, node: usize, what: Happening) {
        self.schedule(at, node, 0, what);
    }

    fn after(&mut self, delay: Duration, node: usize, what: Happening) {
        let life = self.nodes[node].lives;
        self.schedule(self.now + delay, node, life, what);
    }

    fn schedule(&mut self, at: Time, node: usize, life: u32, what: Happening) {
        self.order += 1;
        self.queue.push(Reverse(Scheduled { at, order: self.order, node, life, what }));
    }

    /// Lets the next thing happen, if there is one no later than `until`.
    pub(super) fn step(&mut self, until: Time) -> Result<bool, Violated> {
        if self.queue.peek().is_none_or(|Reverse(next)| next.at > until) {
            self.now = self.now.max(until);
            return Ok(false);
        }
        let Some(Reverse(next)) = self.queue.pop() else { return Ok(false) };
        self.now = next.at;
        self.stats.events += 1;
        if next.life == 0 {
            self.handle_host(next.node, next.what)?;
        } else if next.life == self.nodes[next.node].lives && self.nodes[next.node].life.is_some() {
            self.handle_life(next.node, next.what)?;
        }
        Ok(true)
    }

    /// Lets everything happen that happens within `span`.
    pub(super) fn run_for(&mut self, span: Duration) -> Result<(), Violated> {
        let until = self.now + span;
        while self.step(until)? {}
        Ok(())
    }

    fn handle_host(&mut self, node: usize, what: Happening) -> Result<(), Violated> {
        match what {
            Happening::Submit => {
                if let Some(next) = self.workload.next_submission(self.now) {
                    self.at(next, node, Happening::Submit);
                    self.submit(node)?;
                }
            }
            Happening::Restart => self.start(node)?,
            Happening::Begin(fault) => self.begin(fault)?,
            Happening::End(fault) => self.end(fault)?,
            _ => {}
        }
        Ok(())
    }

    fn handle_life(&mut self, node: usize, what: Happening) -> Result<(), Violated> {
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        match what {
            Happening::Frame { socket, frame } => {
                self.nodes[node].receive(socket, frame, &mut self.stats);
                match socket {
                    Socket::Data | Socket::Token => self.run_data(node),
                    Socket::Control => self.run_control(node),
                }
            }
            // An earlier wake-up took its place: its own is still to come.
            Happening::Wake(half) if life.half_mut(half).wake_at != Some(self.now) => Ok(()),
            Happening::Wake(Half::Data) => {
                life.data_half.wake_at = None;
                self.run_data(node)
            }
            Happening::Wake(Half::Control) => {
                life.control_half.wake_at = None;
                self.run_control(node)
            }
            Happening::Directive(directive) => {
                life.data_side.directives.push_back(directive);
                self.run_data(node)
            }
            Happening::Report(report) => {
                life.control_side.reports.push_back(report);
                self.run_control(node)
            }
            Happening::Written(ceiling) => {
                life.control_side.writing = false;
                life.control_side.written = Some(ceiling);
                if let Some(ceiling) = ceiling {
                    self.nodes[node].disk.ceiling = ceiling;
                }
                self.run_control(node)
            }
            Happening::Read => {
                if life.reads {
                    life.data_side.stream.clear();
                    self.run_data(node)
                } else {
                    Ok(())
                }
            }
            _ => Ok(()),
        }
    }

    /// Starts a member that is down.
    pub(super) fn start(&mut self, node: usize) -> Result<(), Violated> {
        if self.nodes[node].life.is_some() {
            return Ok(());
        }
        let down_since = self.nodes[node].stopped_at;
        if down_since.is_some_and(|at| self.now.since(at) <= self.params.token_loss) {
            self.stats.quick_restarts += 1;
        }
        self.nodes[node].start(&self.params, self.now);
        self.run_data(node)?;
        self.run_control(node)
    }

    /// Kills a member.
    pub(super) fn kill(&mut self, node: usize) {
        let Some(life) = &self.nodes[node].life else { return };
        self.stats.crashes += 1;
        if life.control_side.writing {
            self.stats.storage_writes_lost += 1;
        }
        if life.adopted.is_some() {
            self.stats.crashes_in_recovery += 1;
        }
        self.nodes[node].stop(self.now, &mut self.stats);
    }

    /// The application of `node` publishes a message.
    pub(super) fn submit(&mut self, node: usize) -> Result<(), Violated> {
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        if life.leaving {
            return Ok(());
        }
        let (service, messages, count) = self.workload.messages(node);
        self.stats.messages += count;
        life.data_side.commands.push_back(Command::Publish { service, messages });
        self.run_data(node)
    }

    /// The application of `node` publishes many long messages.
    pub(super) fn flood(
        &mut self,
        node: usize,
        messages: u64,
        bytes: (u64, u64),
    ) -> Result<(), Violated> {
        let large = std::mem::replace(&mut self.workload.large, 1.0);
        let large_bytes = std::mem::replace(&mut self.workload.large_bytes, bytes);
        self.stats.floods += 1;
        for _ in 0..messages {
            self.submit(node)?;
        }
        (self.workload.large, self.workload.large_bytes) = (large, large_bytes);
        Ok(())
    }

    /// The application of `node` asks to leave.
    pub(super) fn leave(&mut self, node: usize) -> Result<(), Violated> {
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        if life.leaving {
            return Ok(());
        }
        life.leaving = true;
        life.data_side.commands.push_back(Command::Leave);
        self.run_data(node)
    }

    pub(super) fn run_data(&mut self, node: usize) -> Result<(), Violated> {
        let now = self.now;
        let slice = self.nodes[node].slice;
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        if stands_still(&mut life.data_half, now) {
            return Ok(());
        }
        life.data.cycle(now, &mut life.data_side);
        life.tell_of_drops(now, &mut self.stats);
        if let Some(slice) = slice {
            life.data_half.paused_until = Some(now + slice);
        }
        let (reports, sends) = (
            std::mem::take(&mut life.data_side.reports),
            std::mem::take(&mut life.data_side.sends),
        );
        let recorded = std::mem::take(&mut life.data_side.recorded);
        let reads = life.reads && !life.data_side.stream.is_empty();
        let running = life.data.ordering().running().ring;
        let installed = life.data.ordering().installed().ring;
        let adopts = running != installed && life.adopted != Some(running);
        let installs = installed != life.installed && life.data.ordering().installed().len() > 1;
        life.adopted = (running != installed).then_some(running);
        life.installed = installed;
        let acknowledges = sends.iter().any(|(_, frame)| acknowledges(life, frame));
        let ceiling = self.nodes[node].disk.ceiling;
        if let Some(life) = &self.nodes[node].life {
            self.god.observe(life, ceiling, &recorded, &sends, acknowledges)?;
        }
        if let Some(history) = self.nodes[node].histories.last_mut() {
            history.entries.extend(recorded);
        }
        if adopts {
            self.reached(node, Step::Adopts);
        }
        if installs {
            self.reached(node, Step::Installs);
        }
        if reports.iter().any(|report| matches!(report, Report::Drained))
            && let Some(life) = &self.nodes[node].life
        {
            self.god.observe_drained(life)?;
        }
        for report in reports {
            self.hand_over(node, Half::Data, Happening::Report(report));
        }
        for (to, frame) in sends {
            self.send_data(node, to, &frame);
        }
        if acknowledges {
            self.reached(node, Step::Acknowledges);
        }
        if reads {
            let delay = self.rng.duration(Duration::from_micros(5), Duration::from_micros(500));
            self.after(delay, node, Happening::Read);
        }
        self.schedule_wake(node, Half::Data);
        Ok(())
    }

    pub(super) fn run_control(&mut self, node: usize) -> Result<(), Violated> {
        let now = self.now;
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        if stands_still(&mut life.control_half, now) {
            return Ok(());
        }
        // The engine's part: the leave is announced once the worker has drained.
        let drained = |report: &Report| matches!(report, Report::Drained);
        life.drained |= life.control_side.reports.iter().any(drained);
        life.control.cycle(now, &mut life.control_side);
        if life.drained && !life.control.membership().is_ended() {
            life.control.leave(now);
            life.control.cycle(now, &mut life.control_side);
        }
        let side = &mut life.control_side;
        let (directives, sends) =
            (std::mem::take(&mut side.directives), std::mem::take(&mut side.sends));
        side.notices.clear();
        let write = side.write.take();
        let ended = life.control.membership().is_ended();
        for directive in directives {
            self.hand_over(node, Half::Control, Happening::Directive(directive));
        }
        for (to, frame) in sends {
            if let Some(life) = &self.nodes[node].life {
                self.god.observe_join(life, &frame)?;
            }
            self.send_control(node, to, &frame);
        }
        if let Some(ceiling) = write {
            self.write(node, ceiling);
        }
        if ended {
            self.stats.leaves += 1;
            self.nodes[node].stop(now, &mut self.stats);
            let back = self.rng.duration(Duration::from_millis(1), Duration::from_millis(400));
            self.at(now + back, node, Happening::Restart);
        } else {
            self.schedule_wake(node, Half::Control);
        }
        Ok(())
    }

    fn write(&mut self, node: usize, ceiling: Epoch) {
        let Some(life) = &mut self.nodes[node].life else { return };
        life.control_side.writing = true;
        let refused = self.nodes[node].disk.refuses;
        self.stats.storage_writes_failed += u64::from(refused);
        let delay = self.rng.duration(self.disk_delay.0, self.disk_delay.1);
        self.after(delay, node, Happening::Written((!refused).then_some(ceiling)));
        self.reached(node, Step::Writes);
    }

    /// Hands a directive or report to the other half, some time later, in order.
    fn hand_over(&mut self, node: usize, from: Half, what: Happening) {
        let delay = self.rng.duration(self.handoff_delay.0, self.handoff_delay.1);
        self.stats.handoffs_delayed += u64::from(delay > Duration::from_millis(1));
        let lives = self.nodes[node].lives;
        let Some(life) = &mut self.nodes[node].life else { return };
        let half = life.half_mut(from);
        half.handed_at = half.handed_at.max(self.now + delay);
        let at = half.handed_at;
        self.schedule(at, node, lives, what);
    }

    fn schedule_wake(&mut self, node: usize, half: Half) {
        let lives = self.nodes[node].lives;
        let Some(life) = &mut self.nodes[node].life else { return };
        let wanted = match half {
            Half::Data => life.data.poll_timeout(),
            Half::Control => life.control.poll_timeout(),
        };
        let state = life.half_mut(half);
        if let Some(until) = state.paused_until {
            // It runs then whatever comes, and not before.
            state.wake_at = Some(until);
            self.schedule(until, node, lives, Happening::Wake(half));
            return;
        }
        let Some(wanted) = wanted.map(|at| at.max(self.now)) else { return };
        if state.wake_at.is_none_or(|scheduled| scheduled > wanted) {
            state.wake_at = Some(wanted);
            self.schedule(wanted, node, lives, Happening::Wake(half));
        }
    }

    fn send_data(&mut self, from: usize, to: DataDestination, frame: &Bytes) {
        match to {
            DataDestination::Group => self.multicast(from, Socket::Data, frame),
            DataDestination::Member(to) => {
                self.carry(from, node::index_of(to), Socket::Token, frame);
            }
        }
    }

    fn send_control(&mut self, from: usize, to: ControlDestination, frame: &Bytes) {
        match to {
            ControlDestination::Group => self.multicast(from, Socket::Control, frame),
            ControlDestination::Member(to) => {
                self.carry(from, node::index_of(to), Socket::Control, frame);
            }
        }
    }

    fn multicast(&mut self, from: usize, socket: Socket, frame: &Bytes) {
        for to in 0..self.nodes.len() {
            if to != from {
                self.carry(from, to, socket, frame);
            }
        }
    }

    /// The last joins that everybody got arrive again.
    pub(super) fn replay_joins(&mut self) {
        for node in 0..self.nodes.len() {
            for frame in self.joins[node].clone() {
                let after = self.rng.duration(Duration::from_micros(1), Duration::from_millis(5));
                self.after(after, node, Happening::Frame { socket: Socket::Control, frame });
            }
        }
    }

    /// Old first tokens arrive again, as from a switch that kept them.
    pub(super) fn replay(&mut self, node: usize) {
        for (_, frame) in self.first_tokens[node].clone() {
            let after = self.rng.duration(Duration::from_micros(1), Duration::from_micros(100));
            self.after(after, node, Happening::Frame { socket: Socket::Token, frame });
        }
    }

    fn carry(&mut self, from: usize, to: usize, socket: Socket, frame: &Bytes) {
        let header = Header::parse(&mut &frame[..], node::cluster());
        let kind = header.map_or(Kind::Data, |header| header.kind);
        if kind == Kind::Join {
            self.joins[to].truncate(7);
            self.joins[to].push_front(frame.clone());
        }
        if kind == Kind::Token {
            let mut token = Token::default();
            let kept = &mut self.first_tokens[to];
            if token.parse_into(frame, node::cluster()).is_ok()
                && kept.iter().all(|(ring, _)| *ring != token.ring)
            {
                kept.truncate(3);
                kept.push_front((token.ring, frame.clone()));
            }
        }
        if frame.len() > wire::frame_bytes_max(self.nodes[to].mtu_bytes) {
            self.stats.frames_too_long += 1;
            return;
        }
        for after in self.network.carry(from, to, kind, &mut self.stats).into_iter().flatten() {
            self.after(after, to, Happening::Frame { socket, frame: frame.clone() });
        }
    }
}

impl Life {
    pub(super) fn half_mut(&mut self, half: Half) -> &mut HalfState {
        match half {
            Half::Data => &mut self.data_half,
            Half::Control => &mut self.control_half,
        }
    }
}

/// Whether a half is paused at this time.
fn stands_still(half: &mut HalfState, now: Time) -> bool {
    if half.paused_until.is_some_and(|until| now < until) {
        return true;
    }
    half.paused_until = None;
    false
}
