//! The simulated cluster: what happens next, and to whom.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use bytes::Bytes;

use super::applications::Applications;
use super::fault::{Fault, Half, Step};
use super::god::{God, Violated};
use super::log::Log;
use super::network::Network;
use super::node::{HalfState, Life, Node, Socket};
use super::obliged::acknowledges;
use super::rng::{Random, Stream};
use super::stats::Stats;
use super::traffic::Past;
use super::workload::Workload;
use crate::cycle::Command;
use crate::handoff::{Directive, Report};
use crate::id::Epoch;
use crate::params::Params;
use crate::time::Time;

/// Something that happens at a point in time.
#[derive(Debug)]
pub(super) enum Happening {
    Frame {
        socket: Socket,
        frame: Bytes,
    },
    Wake(Half),
    Directive(Directive),
    Report(Report),
    Written(Option<Epoch>),
    Stored(Option<Bytes>),
    Read,
    Submit,
    LayerTimeout,
    Restart,
    /// Something comes in that no member sent.
    Stranger,
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
    /// Frames that no member sent come in so often.
    pub(super) strangers: Option<Duration>,
    pub(super) strangers_rng: Random,
    /// Chaos is over: no fault strikes any more.
    pub(super) healed: bool,
    pub(super) log: Option<Log>,
    pub(super) past: Past,
    /// What runs on the members' event streams, if anything does.
    pub(super) applications: Option<Applications>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
}

/// What crosses between the halves of a member takes so long on a quiet host, at least and at most.
pub(super) const CLEAN_HANDOFF: (Duration, Duration) =
    (Duration::from_micros(1), Duration::from_micros(5));

/// What a write takes on a good disk.
pub(super) const CLEAN_DISK: (Duration, Duration) =
    (Duration::from_micros(100), Duration::from_millis(3));

impl World {
    /// Hosts with the ids 1, 2, ….
    #[cfg(test)]
    pub(super) fn new(nodes: usize, params: Params, seed: u64) -> Self {
        let ids: Vec<u32> = (1..).take(nodes).collect();
        Self::of(&ids, params, seed, Workload::usual(&ids, seed))
    }

    pub(super) fn of(ids: &[u32], params: Params, seed: u64, workload: Workload) -> Self {
        let host = |(index, id): (usize, &u32)| Node::new(index, *id, seed);
        Self {
            now: Time::ZERO,
            params,
            nodes: ids.iter().enumerate().map(host).collect(),
            network: Network::new(ids, seed),
            workload,
            stats: Stats::default(),
            god: God::default(),
            rng: Random::new(seed, Stream::Demands),
            handoff_delay: CLEAN_HANDOFF,
            disk_delay: CLEAN_DISK,
            strangers: None,
            strangers_rng: Random::new(seed, Stream::Strangers),
            healed: false,
            log: None,
            past: Past::of(ids.len()),
            applications: None,
            queue: BinaryHeap::new(),
            order: 0,
        }
    }

    /// Schedules `what` for the host `node`, whatever life it is in then.
    pub(super) fn at(&mut self, at: Time, node: usize, what: Happening) {
        self.schedule(at, node, 0, what);
    }

    pub(super) fn after(&mut self, delay: Duration, node: usize, what: Happening) {
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
        let of_this_life =
            next.life == self.nodes[next.node].lives && self.nodes[next.node].life.is_some();
        if next.life == 0 || of_this_life {
            self.log_happening(next.node, &next.what);
        }
        if next.life == 0 {
            self.handle_host(next.node, next.what)?;
        } else if of_this_life {
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
                if let Some(next) = self.workload.next_submission(node, self.now) {
                    self.at(next, node, Happening::Submit);
                    self.submit(node)?;
                    self.act(node)?;
                }
            }
            Happening::Restart => self.start(node)?,
            Happening::Begin(fault) => self.begin(fault)?,
            Happening::End(fault) => self.end(fault)?,
            Happening::Stranger => self.let_in_a_stranger(),
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
                life.control_side.writing = None;
                life.control_side.written = Some(ceiling);
                if let Some(ceiling) = ceiling {
                    self.nodes[node].disk.ceiling = ceiling;
                    self.reached(node, Step::Written);
                }
                self.run_control(node)
            }
            Happening::Stored(record) => self.stored(node, record),
            Happening::Read => {
                if life.reads {
                    self.read(node)
                } else {
                    Ok(())
                }
            }
            Happening::LayerTimeout => self.layer_timeout(node),
            _ => Ok(()),
        }
    }

    /// Starts a member that is down.
    pub(super) fn start(&mut self, node: usize) -> Result<(), Violated> {
        if self.nodes[node].life.is_some() || self.now < self.nodes[node].out_until {
            return Ok(());
        }
        let down_since = self.nodes[node].stopped_at;
        if down_since.is_some_and(|at| self.now.since(at) <= self.params.token_loss) {
            self.stats.quick_restarts += 1;
        }
        self.nodes[node].start(&self.params, self.now);
        self.start_application(node);
        self.run_data(node)?;
        self.run_control(node)
    }

    /// Kills a member. What its disk was writing is there then, or is not.
    pub(super) fn kill(&mut self, node: usize) {
        let host = &mut self.nodes[node];
        let Some(life) = &host.life else { return };
        self.stats.crashes += 1;
        if let Some(ceiling) = life.control_side.writing {
            if host.rng.chance(0.5) {
                host.disk.ceiling = ceiling;
                self.stats.storage_writes_landed += 1;
            } else {
                self.stats.storage_writes_lost += 1;
            }
        }
        self.cut_store(node);
        let host = &mut self.nodes[node];
        let in_recovery = host.life.as_ref().is_some_and(|life| life.adopted.is_some());
        self.stats.crashes_in_recovery += u64::from(in_recovery);
        let again = in_recovery && host.died_in_recovery;
        self.stats.second_crashes_in_recovery += u64::from(again);
        host.died_in_recovery = in_recovery;
        host.stop(self.now, &mut self.stats);
        self.stop_application(node);
        self.log_line(node, || "is killed".to_owned());
    }

    /// The application of `node` publishes a message.
    pub(super) fn submit(&mut self, node: usize) -> Result<(), Violated> {
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        if life.leaving {
            return Ok(());
        }
        let (service, messages, count) = self.workload.messages(node);
        self.stats.messages += count;
        life.data_side.commands.push_back(Command::Publish { class: service.into(), messages });
        self.run_data(node)
    }

    /// The application of `node` publishes many long messages.
    pub(super) fn flood(
        &mut self,
        node: usize,
        messages: u64,
        bytes: (u64, u64),
    ) -> Result<(), Violated> {
        let shape = self.workload.shape.clone();
        (self.workload.shape.large, self.workload.shape.large_bytes) = (1.0, bytes);
        self.stats.floods += 1;
        for _ in 0..messages {
            self.submit(node)?;
        }
        self.workload.shape = shape;
        Ok(())
    }

    /// The application of `node` asks to leave.
    pub(super) fn leave(&mut self, node: usize) -> Result<(), Violated> {
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        if life.leaving {
            return Ok(());
        }
        self.take_leave(node)?;
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
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
        self.votes_are_durable(&recorded)?;
        self.log_entries(node, &recorded);
        if let Some(history) = self.nodes[node].histories.last_mut() {
            history.entries.extend(recorded);
        }
        if adopts {
            self.reached(node, Step::Adopts);
        }
        if installs {
            self.nodes[node].died_in_recovery = false;
            self.reached(node, Step::Installs);
        }
        if self.nodes[node].life.is_none() {
            return Ok(());
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
            let delay = self.nodes[node].rng.micros(5, 500);
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
        let gathers = life.control.membership().gathers();
        life.control.cycle(now, &mut life.control_side);
        if life.drained && !life.control.membership().is_ended() {
            life.control.leave(now);
            life.control.cycle(now, &mut life.control_side);
        }
        let side = &mut life.control_side;
        let (directives, sends) =
            (std::mem::take(&mut side.directives), std::mem::take(&mut side.sends));
        side.notices.clear();
        let (write, store) = (side.write.take(), side.store.take());
        let ended = life.control.membership().is_ended();
        if life.control.membership().gathers() > gathers {
            self.reached(node, Step::Gathers);
        }
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
        if let Some(record) = store {
            self.store(node, record);
        }
        if ended {
            self.stats.leaves += 1;
            self.nodes[node].stop(now, &mut self.stats);
            self.stop_application(node);
            let back = self.nodes[node].rng.millis(1, 400);
            self.at(now + back, node, Happening::Restart);
        } else {
            self.schedule_wake(node, Half::Control);
        }
        self.hand_letters(node)
    }

    fn write(&mut self, node: usize, ceiling: Epoch) {
        self.reached(node, Step::Writes);
        let Node { life: Some(life), disk, rng, .. } = &mut self.nodes[node] else { return };
        life.control_side.writing = (!disk.refuses).then_some(ceiling);
        let refused = disk.refuses;
        self.stats.storage_writes_failed += u64::from(refused);
        let delay = rng.duration(self.disk_delay.0, self.disk_delay.1);
        self.after(delay, node, Happening::Written((!refused).then_some(ceiling)));
    }

    /// Hands a directive or report to the other half, some time later, in order.
    fn hand_over(&mut self, node: usize, from: Half, what: Happening) {
        let delay = self.nodes[node].rng.duration(self.handoff_delay.0, self.handoff_delay.1);
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
