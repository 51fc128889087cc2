//! Ordering: the data worker's machine. One ring's token, window and delivery, and the recovery
//! of the ring before it.

mod deliver;
mod early;
mod frames;
mod free;
mod identical;
mod install;
mod primary;
mod recover;
mod requests;
mod ring;
mod timers;
mod visit;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::arena::Arena;
use crate::backlog::{Backlog, Refused};
use crate::configuration::{Configuration, ConfigurationKind};
use crate::counters::DataCounters;
use crate::delivery::Delivery;
use crate::handoff::{Directive, Frozen, Report};
use crate::id::{Incarnation, MessageId, NodeId, RingId};
use crate::pace::Pace;
use crate::packing::Messages;
use crate::params::Params;
use crate::receive::ReceiveWindow;
use crate::roster::{Endpoint, Member, MemberMask, Roster};
use crate::seq::Seq;
use crate::service::Class;
use crate::time::Time;
use crate::trace::{self, ContentHash};
use crate::window::Window;
use crate::wire::claim::Claim;
use crate::wire::data::Data;
use crate::wire::free::Free;
use crate::wire::hold_cancel::HoldCancel;
use crate::wire::token::{REQUESTS_MAX, Request, Token};
use crate::wire::{ClusterTag, body_bytes_max};
use primary::Seat;
pub use ring::Recovery;
use ring::Ring;

/// Who a member is and how it runs: the fixed facts of one incarnation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Who, in which life, reached where.
    pub member: Member,
    /// Which cluster's frames it hears.
    pub cluster: ClusterTag,
    /// The IP MTU of its interface.
    pub mtu_bytes: usize,
}

/// Where a frame of the data half goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataDestination {
    /// To all members, on the data group.
    Group,
    /// To one member's data worker.
    Member(Endpoint),
}

/// A frame to send: the head that the caller's buffer was filled with, then `body`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataTransmit {
    /// Where to.
    pub to: DataDestination,
    /// The rest of the frame; empty for all but data.
    pub body: Bytes,
}

#[derive(Clone, Hash, Debug)]
enum Outgoing {
    Data(Data),
    Free(Free),
    Claim(Claim),
    /// The running ring's token, as its rotation keeps it.
    Token(Endpoint),
    HoldCancel(HoldCancel),
}

/// The installed ring: its configuration is in force.
#[derive(Clone, Hash, Debug)]
struct Installed {
    ring: Ring,
    /// Written to the delivery stream up to here.
    delivered: Seq,
    /// EVS step 1 and 5.c: whose messages behind a hole must be delivered here. Over the roster.
    obligations: MemberMask,
    /// My last packet's seq.
    last_own: Seq,
    /// That of my last packet that is delivered in my order.
    last_in_order: Seq,
    /// The last causal packet that was delivered before a hole.
    last_causal: Seq,
    /// The first packet behind a hole that may have to be delivered before it.
    overtaking: Option<Seq>,
}

/// What the token does.
#[derive(Clone, Hash, Debug)]
enum Phase {
    /// The installed ring has one member and no token.
    Alone,
    /// The installed ring's token circulates.
    Operational,
    /// No token is handled and nothing changes until a ring is adopted.
    Frozen,
    /// The next ring's token circulates; the installed one is recovered on it.
    Recovering(Box<Recovery>),
}

/// The ordering machine.
///
/// Getters: [`Ordering::installed`], [`Ordering::counters`], … Inputs: `handle_*` take frames,
/// directives and time. Commands: [`Ordering::submit`], [`Ordering::close`],
/// [`Ordering::advance`]. Outputs: `poll_*`, to be drained after every input or batch of inputs.
#[derive(Clone, Debug)]
pub struct Ordering {
    identity: Identity,
    params: Params,
    installed: Installed,
    phase: Phase,
    /// An adoption that waits until the application has taken what the last one decided.
    waiting: Option<Box<Recovery>>,
    backlog: Backlog,
    arena: Arena,
    outbox: VecDeque<Outgoing>,
    stream: VecDeque<Delivery>,
    reports: VecDeque<Report>,
    trace: Option<TraceLog>,
    scratch: Scratch,
    drained: bool,
    /// What the others may send here in one rotation.
    receive: ReceiveWindow,
    /// Stretches the token timeout on a busy host.
    pace: Pace,
    /// Own messages written to the delivery stream.
    own_delivered: u64,
    /// The primary component, if a policy is set.
    primary: Option<Box<Seat>>,
    counters: DataCounters,
}

/// Memory that a token visit uses over and over; what is in it between two visits means nothing.
#[derive(Clone)]
struct Scratch {
    token: Token,
    /// Packets of this visit that leave after the token.
    post_token: VecDeque<Data>,
    /// Requested packets multicast in this visit.
    served: Vec<Seq>,
    /// Requests that go on with the token.
    passed_on: Vec<Request>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

impl Scratch {
    fn new(params: &Params) -> Self {
        Self {
            token: Token::with_capacity(),
            post_token: VecDeque::with_capacity(params.accelerated_packets as usize + 1),
            served: Vec::with_capacity(params.retransmit_packets as usize),
            passed_on: Vec::with_capacity(REQUESTS_MAX),
        }
    }
}

/// Frames that one cycle puts out: what a visit numbers and repairs, what leaves without the token,
/// and a few others.
const fn outbox_frames(params: &Params) -> usize {
    let free = params.free_packets as usize;
    params.personal_packets as usize + params.retransmit_packets as usize + free + 8
}

/// Flow control bounds a rotation anyway; some room is for packets that are sent again.
pub(crate) fn receive_packets(params: &Params) -> u32 {
    params.receive_packets.min(params.global_packets.saturating_mul(2))
}

#[derive(Clone, Debug, Default)]
struct TraceLog {
    entries: Vec<trace::Entry>,
    /// Running hashes of partial messages, over the installed ring's roster.
    partial: Vec<ContentHash>,
}

impl Ordering {
    /// A member's data path at its start: the ring of itself alone is installed at once, before
    /// any frame is sent (EVS §2: a process recovers with a configuration of exactly itself).
    ///
    /// The ring's epoch is the member's incarnation, which is durable. With `traced`, the history
    /// is kept for [`Ordering::take_trace`].
    #[must_use]
    pub fn new(identity: Identity, params: Params, traced: bool, now: Time) -> Self {
        let member = identity.member;
        let ring = RingId::new(member.incarnation, member.id);
        let roster = Arc::new(Roster::new(ring, vec![member], identity.mtu_bytes));
        let window = Window::new(params.window_packets, Seq::ZERO);
        let mut ordering = Self {
            installed: Installed {
                ring: Ring::new(roster, 0, window),
                delivered: Seq::ZERO,
                obligations: MemberMask::default(),
                last_own: Seq::ZERO,
                last_in_order: Seq::ZERO,
                last_causal: Seq::ZERO,
                overtaking: None,
            },
            phase: Phase::Alone,
            waiting: None,
            backlog: Backlog::new(&params),
            arena: Arena::default(),
            outbox: VecDeque::with_capacity(outbox_frames(&params)),
            stream: VecDeque::with_capacity(params.window_packets + params.stream_packets),
            reports: VecDeque::with_capacity(16),
            trace: traced.then(TraceLog::default),
            scratch: Scratch::new(&params),
            drained: false,
            receive: ReceiveWindow::new(receive_packets(&params)),
            pace: Pace::default(),
            own_delivered: 0,
            primary: None,
            counters: DataCounters::default(),
            identity,
            params,
        };
        ordering.write_configuration(now, ConfigurationKind::Regular, None, MemberMask(1));
        ordering
    }

    /// The ring of the configuration in force.
    #[must_use]
    pub fn installed(&self) -> &Roster {
        &self.installed.ring.roster
    }

    /// The ring whose token circulates here: the installed one, or the one being recovered on.
    #[must_use]
    pub fn running(&self) -> &Roster {
        &self.active().roster
    }

    /// The packets of that ring are numbered from the next; what is numbered up to here stands for
    /// packets of the rings before it.
    #[must_use]
    pub fn running_start(&self) -> Seq {
        self.active().start
    }

    /// Whether the packet at `seq` of the installed ring is held here or was.
    #[must_use]
    pub fn holds(&self, seq: Seq) -> bool {
        self.installed.ring.window.holds(seq)
    }

    /// Everything of the installed ring up to here is held.
    #[must_use]
    pub const fn aru(&self) -> Seq {
        self.installed.ring.window.aru()
    }

    /// No token is handled and nothing changes until a ring is adopted.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        matches!(self.phase, Phase::Frozen)
    }

    /// The obligation set (EVS step 1).
    pub fn obligations(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.installed.ring.roster.select(self.installed.obligations)
    }

    /// Room for another message: [`Ordering::submit`] would not refuse it as full.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.backlog.has_room(&self.params)
    }

    /// Nothing is under way here: every accepted message has its number, everything numbered on
    /// the installed ring is held by all and written to the delivery stream.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let Installed { ring, delivered, .. } = &self.installed;
        let runs = matches!(self.phase, Phase::Alone | Phase::Operational);
        let highest = ring.window.highest();
        let done = ring.stable >= highest && *delivered >= highest;
        // A ring of one keeps its stable where its last packet was.
        let at_rest = !self.has_work() && !ring.free.is_waiting() && self.is_primary_at_rest();
        runs && at_rest && (done || highest == ring.start)
    }

    /// Nothing is expected to happen soon: the token left here with nothing to do for anybody, or
    /// there is none. A thread may sleep then; what wakes the ring wakes it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let at_rest = match &self.phase {
            Phase::Alone | Phase::Frozen => true,
            Phase::Operational => self.installed.ring.rotation.idle,
            Phase::Recovering(_) => false,
        };
        at_rest && self.backlog.is_empty()
    }

    /// Messages accepted here and not yet delivered here: what a member that ends now loses.
    #[must_use]
    pub const fn undelivered(&self) -> u64 {
        self.backlog.accepted().saturating_sub(self.own_delivered)
    }

    /// Nothing accepted waits for a number.
    #[must_use]
    pub fn is_backlog_empty(&self) -> bool {
        self.backlog.is_empty()
    }

    /// Packets that what waits for a number will fill, about.
    #[must_use]
    pub fn backlog_packets(&self) -> u32 {
        self.backlog.packets(self.body_bytes())
    }

    /// What was counted since the start.
    #[must_use]
    pub const fn counters(&self) -> &DataCounters {
        &self.counters
    }

    /// Accepts messages; yields the identifier of the first.
    ///
    /// # Errors
    /// The messages back with the reason when they were not accepted.
    pub fn submit(
        &mut self,
        now: Time,
        class: impl Into<Class>,
        messages: impl Into<Messages>,
    ) -> Result<MessageId, Refused> {
        let messages = messages.into();
        let count = u64::from(messages.count());
        let first = self.backlog.accept(&self.params, class, messages)?;
        let message = self.own_message(first);
        if self.trace.is_some() {
            for counter in first..first + count {
                let message = self.own_message(counter);
                self.record(now, trace::Event::Submit { message });
            }
        }
        Ok(message)
    }

    /// Packets that the others may send this member in one rotation, as adapted to its drops.
    #[must_use]
    pub const fn receive_packets(&self) -> u32 {
        self.receive.packets()
    }

    /// The kernel has dropped frames for want of room: the others shall send fewer at a time.
    pub fn handle_drops(&mut self) {
        self.receive.handle_drops();
    }

    /// Accepts nothing more; [`Report::Drained`] follows once every accepted message is delivered
    /// here and held by all members.
    pub fn close(&mut self) {
        self.backlog.close();
    }

    /// Makes the progress that inputs and a drained stream have made possible: numbers on a ring
    /// of one, delivers, releases, adopts. Once a cycle, after the inputs.
    pub fn advance(&mut self, now: Time) {
        if self.stream.len() <= self.params.stream_packets
            && let Some(recovery) = self.waiting.take()
        {
            self.adopt(now, recovery);
        }
        self.serve_primary(now);
        if matches!(self.phase, Phase::Alone) {
            self.number_alone(now);
        }
        self.send_free(now);
        self.release_hold_for_work(now);
        self.wake_holder_for_work(now);
        self.deliver(now);
        // What is delivered has the primary component answer, and a ring of one delivers that at once.
        while self.serve_primary(now) {
            self.release_hold_for_work(now);
            self.wake_holder_for_work(now);
            if matches!(self.phase, Phase::Alone) {
                self.number_alone(now);
            }
        }
    }

    /// Takes a directive from control.
    pub fn handle_directive(&mut self, now: Time, directive: Directive) {
        match directive {
            Directive::Freeze { ring } => self.freeze(ring),
            Directive::Recover(recovery) => {
                if self.stream.len() > self.params.stream_packets {
                    // The application has not taken what the last installation decided: wait for
                    // it, or undelivered configurations would pile up without bound.
                    self.waiting = Some(recovery);
                } else {
                    self.adopt(now, recovery);
                }
            }
            Directive::Originate { ring } => self.originate(now, ring),
            Directive::Stored { number } => self.handle_stored(number),
        }
    }

    /// The next frame to send: fills `head` with its head, to be followed by the body.
    pub fn poll_transmit(&mut self, head: &mut Vec<u8>) -> Option<DataTransmit> {
        head.clear();
        let cluster = self.identity.cluster;
        Some(match self.outbox.pop_front()? {
            Outgoing::Data(data) => {
                data.emit_head(cluster, head);
                DataTransmit { to: DataDestination::Group, body: data.packet.body }
            }
            Outgoing::Free(free) => {
                free.emit_head(cluster, head);
                DataTransmit { to: DataDestination::Group, body: free.free.packet.body }
            }
            Outgoing::Claim(claim) => {
                claim.emit(cluster, head);
                DataTransmit { to: DataDestination::Group, body: Bytes::new() }
            }
            Outgoing::Token(to) => {
                head.extend_from_slice(&self.active().rotation.frame);
                DataTransmit { to: DataDestination::Member(to), body: Bytes::new() }
            }
            Outgoing::HoldCancel(hold_cancel) => {
                hold_cancel.emit(cluster, head);
                DataTransmit { to: DataDestination::Group, body: Bytes::new() }
            }
        })
    }

    /// The next item of the delivery stream.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        let delivery = self.stream.pop_front()?;
        if let Delivery::Packet(delivered) = &delivery
            && delivered.packet.originator == self.identity.member.id
        {
            self.own_delivered += u64::from(delivered.packet.messages_completed());
        }
        Some(delivery)
    }

    /// The next report for control.
    pub fn poll_report(&mut self) -> Option<Report> {
        self.report_drained();
        self.reports.pop_front()
    }

    /// The history since the last call, in order; to be written before the frames and deliveries
    /// of the same cycle leave.
    pub fn take_trace(&mut self) -> Vec<trace::Entry> {
        self.trace.as_mut().map(|log| std::mem::take(&mut log.entries)).unwrap_or_default()
    }

    fn active(&self) -> &Ring {
        match &self.phase {
            Phase::Recovering(recovery) => &recovery.ring,
            Phase::Alone | Phase::Operational | Phase::Frozen => &self.installed.ring,
        }
    }

    fn active_mut(&mut self) -> &mut Ring {
        match &mut self.phase {
            Phase::Recovering(recovery) => &mut recovery.ring,
            Phase::Alone | Phase::Operational | Phase::Frozen => &mut self.installed.ring,
        }
    }

    const fn own_message(&self, counter: u64) -> MessageId {
        let Member { id: sender, incarnation, .. } = self.identity.member;
        MessageId { sender, incarnation, counter }
    }

    fn frozen_report(&self, asked: RingId) -> Frozen {
        let Installed { ring, obligations, .. } = &self.installed;
        Frozen {
            asked,
            installed: ring.id(),
            aru: ring.window.aru(),
            highest: ring.window.highest(),
            stable: ring.stable,
            obligations: *obligations,
            frees: ring.free.spans(),
        }
    }

    fn body_bytes(&self) -> usize {
        body_bytes_max(self.installed.ring.roster.mtu_bytes)
    }

    /// Writes a configuration change to the stream; `members` over the roster of the ring that is
    /// installed at this moment.
    fn write_configuration(
        &mut self,
        now: Time,
        kind: ConfigurationKind,
        previous: Option<RingId>,
        members: MemberMask,
    ) {
        let roster = &self.installed.ring.roster;
        let members: Arc<[NodeId]> = if members == roster.everyone() {
            Arc::clone(roster.ids())
        } else {
            roster.select(members).collect()
        };
        let ring = roster.ring;
        let eligible = self.eligible(&members);
        self.write(now, Configuration { kind, ring, previous, members, eligible });
    }

    fn write(&mut self, now: Time, configuration: Configuration) {
        if configuration.kind == ConfigurationKind::Regular {
            let members = configuration.members.len();
            if let Some(log) = &mut self.trace {
                log.partial.clear();
                log.partial.resize(members, ContentHash::default());
            }
        }
        self.record(now, trace::Event::Configuration(configuration.clone()));
        self.show_primary(&configuration);
        self.stream.push_back(Delivery::Configuration(configuration));
    }

    fn record(&mut self, time: Time, event: trace::Event) {
        if let Some(log) = &mut self.trace {
            log.entries.push(trace::Entry { time, event });
        }
    }

    /// The life of `node` on a ring.
    fn incarnation_on(roster: &Roster, node: NodeId) -> Incarnation {
        roster.index_of(node).map_or(Incarnation::default(), |i| roster.members[i].incarnation)
    }
}
