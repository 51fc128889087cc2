//! The control thread: carries between a link, the queues, the disk and the control half.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender};
use roundel_ring::cycle::{ControlHalf, ControlPort};
use roundel_ring::handoff::{Directive, Report};
use roundel_ring::id::{Epoch, NodeId};
use roundel_ring::layer::Letter;
use roundel_ring::membership::{ControlDestination, Notice};
use roundel_ring::roster::Endpoint;
use roundel_transport::{ControlLink, Destination, Neighbours};
use rtrb::PushError;
use tracing::{error, info, warn};

use crate::adaptation::Adaptation;
use crate::clock::Clock;
use crate::disk::Write;
use crate::doorbell::Bells;
use crate::ending::EndReason;
use crate::layered::ControlLetters;
use crate::shared::Shared;
use crate::stall::{At, stall};
use crate::sync::pause;

/// The control half of one member and what it carries.
#[derive(Debug)]
pub(crate) struct Control {
    half: ControlHalf,
    port: Port,
    clock: Clock,
    /// When an asked-for leave is announced whether or not all is delivered.
    leave_by: Option<Instant>,
    leaving: bool,
    /// When other members of this host were looked for last.
    looked_at: Option<Instant>,
    adaptation: Adaptation,
    /// When the sockets are looked at next by a thread that has other work.
    look_at: Instant,
    /// The next timer, as of the last cycle.
    due_at: Option<Instant>,
}

/// What control carries for its half.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) link: ControlLink,
    pub(crate) shared: Arc<Shared>,
    pub(crate) reports: rtrb::Consumer<Report>,
    pub(crate) directives: rtrb::Producer<Directive>,
    pub(crate) disk: Disk,
    /// From the application: leave by then.
    pub(crate) leaves: Receiver<Instant>,
    /// From the application's layer, and for it.
    pub(crate) letters: ControlLetters,
    pub(crate) bells: Bells,
    /// In unicast mode, the addresses given by the operator.
    pub(crate) configured_peers: Vec<SocketAddrV4>,
    /// Other members of this host, if they are to be looked for.
    pub(crate) neighbours: Option<Neighbours>,
    pub(crate) directed: bool,
    /// Every accepted message is delivered and held by all.
    pub(crate) drained: bool,
}

/// The disk's ends of its queues; its thread does nothing but write and sync.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) writes: Sender<Write>,
    pub(crate) written: Receiver<Option<Epoch>>,
    pub(crate) stored: Receiver<bool>,
}

impl Disk {
    /// There is no answer.
    fn is_empty(&self) -> bool {
        self.written.is_empty() && self.stored.is_empty()
    }
}

impl Control {
    pub(crate) fn new(half: ControlHalf, port: Port, clock: Clock) -> Self {
        Self {
            half,
            port,
            leave_by: None,
            leaving: false,
            looked_at: None,
            adaptation: Adaptation::default(),
            look_at: clock.now().0,
            due_at: None,
            clock,
        }
    }

    /// One bounded round of work; yields how much was done.
    pub(crate) fn cycle(&mut self) -> usize {
        let (instant, now) = self.clock.now();
        let work = self.half.cycle(now, &mut self.port);
        self.see_to_leave(instant);
        self.look_for_neighbours(instant);
        self.tell_of_adaptation(instant);
        if std::mem::take(&mut self.port.directed) {
            self.port.bells.worker.ring();
        }
        work
    }

    /// A cycle at `now` if there is a reason for one, in a thread that has other work: a look at
    /// the sockets is a call for each.
    pub(crate) fn cycle_if_due(&mut self, now: Instant) -> usize {
        let is_due = now >= self.look_at || self.due_at.is_some_and(|at| now >= at);
        if !is_due && !self.has_news() {
            return 0;
        }
        let work = self.cycle();
        self.look_at = if work > 0 { now } else { now + LOOK_INTERVAL };
        self.due_at = self.time_left().map(|left| now + left);
        work
    }

    /// The sockets were waited for: whether something has come.
    pub(crate) fn handle_wait(&mut self, now: Instant, has_come: bool) {
        if has_come {
            self.port.link.waker().clear();
            self.look_at = now;
        } else {
            self.look_at = now + LOOK_INTERVAL;
        }
    }

    /// The thread: cycles until the member has ended.
    pub(crate) fn run(mut self) {
        while !self.port.shared.ending.is_stopping() {
            if self.cycle() == 0 {
                self.sleep();
            }
        }
        self.port.bells.worker.ring();
    }

    /// How long until the next timer, the deadline of a leave, or the next frame that faults delay.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let (instant, now) = self.clock.now();
        let timer = self.half.poll_timeout().map(|at| at.since(now));
        let leave_by = self.leave_by.filter(|_| !self.leaving);
        let others = [self.port.link.next_at(), leave_by].into_iter().flatten();
        timer.into_iter().chain(others.map(|at| at.saturating_duration_since(instant))).min()
    }

    /// What this member's threads and application share.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.port.shared)
    }

    pub(crate) fn bells(&self) -> Bells {
        self.port.bells.clone()
    }

    fn tell_of_adaptation(&mut self, now: Instant) {
        let packets = self.port.shared.receive_packets.load(Ordering::Relaxed);
        let change = if packets > 0 { self.adaptation.see(packets, now) } else { None };
        match change {
            Some(change) if change.is_for_worse() => warn!("{change}"),
            Some(change) => info!("{change}"),
            None => {}
        }
    }

    fn look_for_neighbours(&mut self, now: Instant) {
        let Some(neighbours) = &mut self.port.neighbours else { return };
        let looked = self.looked_at.map(|at| now.saturating_duration_since(at));
        if looked.is_none_or(|ago| ago >= LOOK_FOR_NEIGHBOURS) {
            self.looked_at = Some(now);
            if neighbours.look() {
                info!("another member of this host listens: multicasts are looped to it");
            }
        }
    }

    fn see_to_leave(&mut self, now: Instant) {
        if let Ok(by) = self.port.leaves.try_recv() {
            self.leave_by = Some(by);
        }
        let due = self.leave_by.is_some_and(|by| now >= by);
        let drained = self.leave_by.is_some() && self.port.drained;
        let abandoned = self.port.shared.ending.is_abandoned();
        if !self.leaving && (due || drained || abandoned) {
            self.leaving = true;
            let (_, now) = self.clock.now();
            self.half.leave(now);
            self.half.cycle(now, &mut self.port);
        }
    }

    fn sleep(&mut self) {
        if let Some(left) = self.prepare_sleep() {
            stall(At::Sleep);
            self.port.link.wait(Some(left));
        }
        self.awake();
    }

    /// Before a sleep: how long it may last, `None` when there is something to do.
    pub(crate) fn prepare_sleep(&self) -> Option<Duration> {
        self.port.bells.control.prepare_sleep();
        if self.has_news() {
            return None;
        }
        Some(self.time_left().map_or(SLEEP_MAX, |left| left.min(SLEEP_MAX)))
    }

    /// Something came for it otherwise than by a socket.
    fn has_news(&self) -> bool {
        let Port { shared, reports, disk, leaves, letters, .. } = &self.port;
        let ends = shared.ending.is_stopping() || shared.ending.is_abandoned();
        let told = !letters.to_send.is_empty() || !disk.is_empty() || !leaves.is_empty();
        ends || told || !reports.is_empty()
    }

    /// After a sleep.
    pub(crate) fn awake(&self) {
        self.port.bells.control.awake();
    }

    /// What becomes readable when there is something to do, for the wait of another.
    pub(crate) fn files(&self) -> io::Result<Vec<OwnedFd>> {
        self.port.link.fds().iter().map(BorrowedFd::try_clone_to_owned).collect()
    }
}

/// Longest sleep: bounds how late a stop is noticed whatever else happens.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// How often a busy thread looks at the sockets: far less than any timer of a membership.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);

/// How often other members of this host are looked for: until then they do not hear this one.
const LOOK_FOR_NEIGHBOURS: Duration = Duration::from_millis(250);

const fn control_address(endpoint: Endpoint) -> SocketAddrV4 {
    SocketAddrV4::new(endpoint.address, endpoint.control_port)
}

impl ControlPort for Port {
    fn report(&mut self) -> Option<Report> {
        stall(At::Pop);
        let report = self.reports.pop().ok()?;
        if matches!(report, Report::Drained) {
            self.drained = true;
        }
        Some(report)
    }

    fn receive(&mut self, frame: &mut Vec<u8>) -> bool {
        self.link.receive(Instant::now(), frame).is_some()
    }

    fn written(&mut self) -> Option<Option<Epoch>> {
        stall(At::Pop);
        self.disk.written.try_recv().ok()
    }

    fn write(&mut self, ceiling: Epoch) {
        stall(At::Push);
        // One write of each kind at a time is asked for, and the queue holds two.
        let _ = self.disk.writes.try_send(Write::Ceiling(ceiling));
    }

    fn store(&mut self, record: Bytes) {
        stall(At::Push);
        // One at a time, too.
        let _ = self.disk.writes.try_send(Write::Record(record));
    }

    fn stored(&mut self) -> Option<bool> {
        stall(At::Pop);
        self.disk.stored.try_recv().ok()
    }

    fn send(&mut self, to: ControlDestination, frame: &[u8]) {
        let to = match to {
            ControlDestination::Group => Destination::Group,
            ControlDestination::Member(endpoint) => Destination::Member(control_address(endpoint)),
        };
        self.link.send(to, frame);
    }

    fn direct(&mut self, directive: Directive) {
        stall(At::Push);
        self.directed = true;
        let mut pushed = self.directives.push(directive);
        debug_assert!(pushed.is_ok(), "one directive is outstanding at most");
        // Were it ever full, a late directive would be a delay, and a lost one a member that stands.
        while let Err(PushError::Full(directive)) = pushed {
            if self.shared.ending.is_stopping() {
                return;
            }
            pause();
            pushed = self.directives.push(directive);
        }
    }

    fn letter(&mut self) -> Option<Letter> {
        self.letters.to_send.try_recv().ok()
    }

    fn hand_letter(&mut self, from: NodeId, payload: Bytes) {
        // Lost when the layer takes none.
        if self.letters.came.try_send((from, payload)).is_ok() {
            self.bells.application.ring();
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Gathering(reason) => info!("forming a membership: {reason}"),
            Notice::Installed(roster) => {
                info!(ring = %roster.ring, members = ?roster.ids(), "installed");
                let mut peers = self.configured_peers.clone();
                peers.extend(roster.members.iter().map(|member| control_address(member.endpoint)));
                peers.sort_unstable();
                peers.dedup();
                self.link.set_peers(&peers);
            }
            Notice::Left => self.shared.ending.end(EndReason::Left),
            Notice::Superseded { by } => {
                let reason = EndReason::Superseded { by };
                error!("{reason}");
                self.shared.ending.end(reason);
            }
        }
    }
}
