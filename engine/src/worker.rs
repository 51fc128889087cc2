//! The data worker: carries between a link, the queues and the data half. One bounded round of
//! work is [`Worker::cycle`]; the thread is a loop around it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel_ring::counters::DataCounters;
use roundel_ring::cycle::{Command, DataHalf, DataPort};
use roundel_ring::delivery::Delivery;
use roundel_ring::handoff::{Directive, Report};
use roundel_ring::id::RingId;
use roundel_ring::ordering::DataDestination;
use roundel_ring::roster::Endpoint;
use roundel_ring::trace::Entry;
use roundel_ring::wire::body_bytes_max;
use roundel_transport::{DataLink, Destination, KernelDrops};
use std::net::SocketAddrV4;

use crate::clock::Clock;
use crate::control::Control;
use crate::doorbell::Bells;
use crate::ending::EndReason;
use crate::idle::{Idle, IdleStep};
use crate::rotation::TokenWatch;
use crate::shared::{LINK_NAMES, Shared};
use crate::stall::{At, stall};
use crate::trace_file::TraceFile;

/// How often the counters are published while there is traffic.
const PUBLISH_COUNTERS: Duration = Duration::from_millis(10);

/// How often the kernel is asked what it dropped while nobody has anything to send: it costs a call
/// for each socket.
const DROPS_OF_IDLE: Duration = Duration::from_millis(500);

/// What a worker does about an application that does not read.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SlowConsumer {
    /// The ring waits for it.
    #[default]
    Hold,
    /// Its member leaves the ring after this long.
    Evict(Duration),
}

/// The data worker of one member.
#[derive(Debug)]
pub(crate) struct Worker {
    half: DataHalf,
    port: Port,
    clock: Clock,
    idle: Idle,
    slow_consumer: SlowConsumer,
    /// Since when the application's queue has been full.
    full_since: Option<Instant>,
    /// When the last cycle began.
    seen_at: Instant,
    worked_at: Instant,
    published_at: Instant,
    /// What the kernel had dropped when it was asked last: a call for each socket.
    drops: KernelDrops,
    drops_at: Instant,
    /// The ring whose members are the link's peers.
    peers_of: Option<RingId>,
    tokens: TokenWatch,
}

/// What the worker carries for its half.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) link: DataLink,
    pub(crate) shared: Arc<Shared>,
    pub(crate) directives: rtrb::Consumer<Directive>,
    pub(crate) reports: rtrb::Producer<Report>,
    pub(crate) stream: rtrb::Producer<Delivery>,
    pub(crate) trace: Option<TraceFile>,
    pub(crate) bells: Bells,
    pub(crate) activity: Activity,
    /// The half was told to leave.
    pub(crate) has_left: bool,
}

/// What a cycle did that others want to know of.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Activity {
    delivered: bool,
    reported: bool,
    took_commands: bool,
    /// The application's queue had no room.
    was_full: bool,
}

impl Worker {
    pub(crate) fn new(
        half: DataHalf,
        port: Port,
        clock: Clock,
        idle: Idle,
        slow_consumer: SlowConsumer,
    ) -> Self {
        let (now, _) = clock.now();
        Self {
            half,
            port,
            clock,
            idle,
            slow_consumer,
            full_since: None,
            seen_at: now,
            worked_at: now,
            published_at: now,
            drops: KernelDrops::default(),
            drops_at: now,
            peers_of: None,
            tokens: TokenWatch::default(),
        }
    }

    /// One bounded round of work; yields how much was done.
    pub(crate) fn cycle(&mut self) -> usize {
        let (instant, now) = self.clock.now();
        self.seen_at = instant;
        self.port.link.receive(instant);
        let work = self.half.cycle(now, &mut self.port);
        self.tokens.see(self.half.ordering().counters(), instant, &self.port.shared.rotations);
        self.follow_ring();
        self.port.link.flush();
        self.port.ring_bells();
        self.watch_consumer(instant);
        if work > 0 {
            self.worked_at = instant;
        }
        if instant.saturating_duration_since(self.published_at) >= PUBLISH_COUNTERS {
            self.publish_counters(instant);
        }
        work
    }

    /// Has the link's waits end for these files, too.
    pub(crate) fn watch(&mut self, files: Vec<OwnedFd>) {
        self.port.link.watch(files);
    }

    /// Whether one of the watched files was seen to become readable.
    pub(crate) fn take_watched(&mut self) -> bool {
        self.port.link.take_watched()
    }

    /// When the last cycle began.
    pub(crate) const fn seen_at(&self) -> Instant {
        self.seen_at
    }

    /// The thread: cycles until it is told to stop.
    pub(crate) fn run(mut self) {
        while !self.port.shared.ending.is_stopping() {
            if self.cycle() == 0 {
                self.rest();
            }
        }
        self.finish();
    }

    /// Ends the history and says what was lost.
    pub(crate) fn finish(&mut self) {
        let (instant, now) = self.clock.now();
        self.look_for_drops(instant);
        self.publish_counters(instant);
        let undelivered = self.half.undelivered() + self.port.shared.commands.seal();
        self.port.shared.ending.note_undelivered(undelivered);
        if let Some(trace) = &mut self.port.trace
            && trace.finish(now).is_err()
        {
            self.port.shared.ending.end(EndReason::TraceFailed);
        }
        self.port.bells.application.ring();
        self.port.bells.room.ring();
    }

    /// What `handle_timeout` would be late for.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let (_, now) = self.clock.now();
        self.half.poll_timeout().map(|at| at.since(now))
    }

    /// One idle round.
    fn rest(&mut self) {
        let (now, _) = self.clock.now();
        match self.idle.step(self.worked_at, now, self.half.ordering().is_idle()) {
            IdleStep::Spin => std::hint::spin_loop(),
            IdleStep::Yield => self.idle.yield_now(now),
            IdleStep::Sleep => self.sleep(now),
        }
    }

    fn sleep(&mut self, now: Instant) {
        if let Some(left) = self.prepare_sleep(now) {
            stall(At::Sleep);
            self.port.link.wait(Some(self.idle.sleep(now, left)));
        }
        self.port.bells.worker.awake();
    }

    /// Before a sleep: how long it may last, `None` when there is something to do.
    fn prepare_sleep(&mut self, now: Instant) -> Option<Duration> {
        self.publish_counters(now);
        self.port.bells.worker.prepare_sleep();
        if self.port.has_input(&self.half) {
            return None;
        }
        // The application rings no bell when it makes room. Whether there is room by now is not the
        // question: the last cycle may have kept something back.
        let most = if self.full_since.is_some() { FULL_STREAM_POLL } else { SLEEP_MAX };
        Some(self.time_left().map_or(most, |left| left.min(most)))
    }

    /// One idle round in inline drive, of at most `most`: one thread waits for both halves.
    pub(crate) fn rest_with(&mut self, control: &mut Control, most: Duration) {
        let (now, _) = self.clock.now();
        match self.idle.step(self.worked_at, now, self.half.ordering().is_idle()) {
            IdleStep::Spin => std::hint::spin_loop(),
            IdleStep::Yield => self.idle.yield_now(now),
            IdleStep::Sleep => {
                if let (Some(mine), Some(its)) = (self.prepare_sleep(now), control.prepare_sleep())
                {
                    let wanted = mine.min(its).min(most);
                    self.port.link.wait(Some(self.idle.sleep(now, wanted)));
                    // Nothing was counted meanwhile.
                    self.published_at = self.clock.now().0;
                    control.handle_wait(self.published_at, self.take_watched());
                }
                self.port.bells.worker.awake();
                control.awake();
            }
        }
    }

    fn publish_counters(&mut self, now: Instant) {
        self.published_at = now;
        let is_idle = self.half.ordering().is_idle();
        let interval = if is_idle { DROPS_OF_IDLE } else { PUBLISH_COUNTERS };
        if now.saturating_duration_since(self.drops_at) >= interval {
            self.look_for_drops(now);
        }
        let receive_packets = self.half.ordering().receive_packets();
        self.port.shared.receive_packets.store(receive_packets, Ordering::Relaxed);
        let link = self.link_values();
        self.port.shared.counters.publish(self.counters(), &link);
    }

    fn look_for_drops(&mut self, now: Instant) {
        self.drops_at = now;
        let drops = self.port.link.kernel_drops();
        if drops != std::mem::replace(&mut self.drops, drops) {
            self.half.handle_drops();
        }
    }

    /// In the order of [`LINK_NAMES`].
    fn link_values(&self) -> [u64; LINK_NAMES.len()] {
        let link = self.port.link.counters();
        [
            self.drops.data.into(),
            self.drops.token.into(),
            link.received_frames,
            link.received_datagrams,
            link.copied_datagrams,
            link.stalls,
            link.receive_errors,
            link.sent_frames,
            link.sent_datagrams,
            link.dropped_frames,
            link.send_retries,
            link.segmenting_refused,
            link.system_calls,
        ]
    }

    pub(crate) const fn counters(&self) -> &DataCounters {
        self.half.ordering().counters()
    }

    #[cfg(test)]
    pub(crate) fn is_quiet(&self) -> bool {
        self.half.ordering().is_quiet() && self.port.shared.commands.is_empty()
    }

    /// In unicast mode data goes to the members of the running ring; batches fill its packets.
    fn follow_ring(&mut self) {
        let roster = self.half.ordering().running();
        if self.peers_of == Some(roster.ring) {
            return;
        }
        self.peers_of = Some(roster.ring);
        self.port.shared.body_bytes.store(body_bytes_max(roster.mtu_bytes), Ordering::Relaxed);
        let peers: Vec<SocketAddrV4> =
            roster.members.iter().map(|member| token_address(member.endpoint)).collect();
        self.port.link.set_peers(&peers);
    }

    fn watch_consumer(&mut self, now: Instant) {
        if !std::mem::take(&mut self.port.activity.was_full) {
            self.full_since = None;
            return;
        }
        let since = *self.full_since.get_or_insert(now);
        if let SlowConsumer::Evict(after) = self.slow_consumer
            && now.saturating_duration_since(since) > after
        {
            self.port.shared.ending.give_up(EndReason::Evicted);
            self.port.bells.control.ring();
        }
    }
}

/// Longest sleep: bounds how late a stop is noticed whatever else happens.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// How often a worker whose application's queue is full looks for room.
const FULL_STREAM_POLL: Duration = Duration::from_millis(1);

/// Where a member's data worker receives.
pub(crate) const fn token_address(endpoint: Endpoint) -> SocketAddrV4 {
    SocketAddrV4::new(endpoint.address, endpoint.token_port)
}

impl Port {
    fn has_input(&self, half: &DataHalf) -> bool {
        let Shared { commands, ending, .. } = &*self.shared;
        let command = commands.is_waiting(self.has_left) && half.ordering().has_room();
        command || !self.directives.is_empty() || ending.is_stopping()
    }

    fn ring_bells(&mut self) {
        let Activity { delivered, reported, took_commands, .. } = self.activity;
        if delivered {
            self.bells.application.ring();
        }
        if reported {
            self.bells.control.ring();
        }
        if took_commands {
            self.bells.room.ring();
        }
        let was_full = self.activity.was_full;
        self.activity = Activity { was_full, ..Activity::default() };
    }
}

impl DataPort for Port {
    fn directive(&mut self) -> Option<Directive> {
        stall(At::Pop);
        self.directives.pop().ok()
    }

    fn data(&mut self) -> Option<Bytes> {
        self.link.data().map(|frame| frame.bytes)
    }

    fn token(&mut self) -> Option<Bytes> {
        self.link.token().map(|frame| frame.bytes)
    }

    fn command(&mut self) -> Option<Command> {
        let command = self.shared.commands.take(&mut self.has_left);
        self.activity.took_commands |= matches!(command, Some(Command::Publish { .. }));
        command
    }

    fn record(&mut self, entries: Vec<Entry>) {
        if let Some(trace) = &mut self.trace
            && trace.write(&entries).is_err()
        {
            self.shared.ending.give_up(EndReason::TraceFailed);
            self.bells.control.ring();
        }
    }

    fn send(&mut self, to: DataDestination, head: &[u8], body: Bytes) {
        let to = match to {
            DataDestination::Group => Destination::Group,
            DataDestination::Member(endpoint) => Destination::Member(token_address(endpoint)),
        };
        self.link.send(to, head, body);
    }

    fn stream_has_room(&mut self) -> bool {
        let full = self.stream.is_full();
        self.activity.was_full |= full;
        !full
    }

    fn deliver(&mut self, delivery: Delivery) {
        stall(At::Push);
        self.activity.delivered = true;
        let pushed = self.stream.push(delivery);
        debug_assert!(pushed.is_ok(), "room was asked for");
    }

    fn reports_have_room(&mut self) -> bool {
        !self.reports.is_full()
    }

    fn report(&mut self, report: Report) {
        stall(At::Push);
        self.activity.reported = true;
        let pushed = self.reports.push(report);
        debug_assert!(pushed.is_ok(), "room was asked for");
    }
}
