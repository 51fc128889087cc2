//! One simulated host: a member's two halves, the queues between them, its disk and its
//! application.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;

use super::buffer::Buffer;
use super::fault::Armed;
use super::rng::{Random, Stream};
use super::stats::Stats;
use super::views::{Glasses, Sight};
use crate::cycle::{Command, ControlHalf, ControlPort, DataHalf, DataPort};
use crate::delivery::Delivery;
use crate::epoch::Start;
use crate::handoff::{Directive, Report};
use crate::id::{Epoch, NodeId, RingId};
use crate::layer::Letter;
use crate::membership::{ControlDestination, Notice};
use crate::ordering::{DataDestination, Identity};
use crate::params::Params;
use crate::primary::Policy;
use crate::roster::{Endpoint, Member};
use crate::time::Time;
use crate::trace::{Entry, Event, History};
use crate::wire::ClusterTag;

/// Frames a socket keeps while its half stands still.
pub(super) const SOCKET_FRAMES_MAX: usize = 2_000;

/// IP MTU of most interfaces: Ethernet's.
pub(super) const MTU_BYTES: usize = 1500;

/// How often a worker asks the kernel for its drops.
const LOOK_FOR_DROPS: Duration = Duration::from_millis(10);

/// Items between the worker and an application that does not read.
const STREAM_ITEMS_MAX: usize = 16;

/// A host.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) index: usize,
    id: NodeId,
    pub(super) disk: Disk,
    pub(super) life: Option<Life>,
    /// Lives so far; a stale event of an earlier one is dropped.
    pub(super) lives: u32,
    pub(super) stopped_at: Option<Time>,
    /// Faults that wait for a step of this member.
    pub(super) armed: Vec<Armed>,
    /// When things happen here.
    pub(super) rng: Random,
    /// Its wall clock at the start of the run, in seconds; without one, only the disk counts.
    pub(super) clock_s: Option<u64>,
    /// Addresses it had so far.
    pub(super) addresses: u8,
    /// It is not started before: somebody is at its disk.
    pub(super) out_until: Time,
    /// Its last life ended between adopting a ring and installing it.
    pub(super) died_in_recovery: bool,
    /// Of its interface: longer frames do not come in.
    pub(super) mtu_bytes: usize,
    pub(super) buffer: Buffer,
    /// Its data half gets the processor once in so long only.
    pub(super) slice: Option<Duration>,
    pub(super) histories: Vec<History>,
    /// Who may be the primary component.
    pub(super) policy: Policy,
    /// Its application looks through the virtual synchrony filter.
    pub(super) filtered: bool,
    pub(super) sights: Vec<Sight>,
}

/// The disk: one number and one record, and at most one write of each under way.
#[derive(Clone, Default, Debug)]
pub(super) struct Disk {
    pub(super) ceiling: Epoch,
    /// Of primary components.
    pub(super) record: Option<Bytes>,
    /// It was empty once, after it had not been.
    pub(super) was_lost: bool,
    /// Writes fail.
    pub(super) refuses: bool,
}

/// A member while it runs.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) identity: Identity,
    pub(super) data: DataHalf,
    pub(super) control: ControlHalf,
    pub(super) data_side: DataSide,
    pub(super) control_side: ControlSide,
    pub(super) data_half: HalfState,
    pub(super) control_half: HalfState,
    pub(super) reads: bool,
    pub(super) leaving: bool,
    pub(super) drained: bool,
    /// When its layer is called next.
    pub(super) layer_wake_at: Option<Time>,
    /// The ring it has adopted and not installed.
    pub(super) adopted: Option<RingId>,
    pub(super) installed: RingId,
    pub(super) glasses: Option<Glasses>,
}

/// When a half runs next, and what it hands over.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct HalfState {
    /// It stands still until then.
    pub(super) paused_until: Option<Time>,
    /// The wake-up that is scheduled.
    pub(super) wake_at: Option<Time>,
    /// When the last thing it handed to the other half arrives there: what it hands over stays in
    /// order.
    pub(super) handed_at: Time,
}

/// What waits at the data half, and what it put out.
#[derive(Default, Debug)]
pub(super) struct DataSide {
    pub(super) directives: VecDeque<Directive>,
    pub(super) data: VecDeque<Bytes>,
    pub(super) tokens: VecDeque<Bytes>,
    pub(super) commands: VecDeque<Command>,
    pub(super) sends: Vec<(DataDestination, Bytes)>,
    pub(super) stream: VecDeque<Delivery>,
    pub(super) stream_was_full: bool,
    pub(super) reports: Vec<Report>,
    pub(super) recorded: Vec<Entry>,
    /// Frames that the kernel dropped at the half's sockets.
    pub(super) drops: u64,
    /// Of them, those that the half was told of.
    drops_told: u64,
    /// When the kernel was asked for its drops last.
    looked_at: Time,
    scratch: Vec<u8>,
}

/// What waits at the control half, and what it put out.
#[derive(Default, Debug)]
pub(super) struct ControlSide {
    pub(super) reports: VecDeque<Report>,
    pub(super) frames: VecDeque<Bytes>,
    pub(super) written: Option<Option<Epoch>>,
    /// What the disk is writing.
    pub(super) writing: Option<Epoch>,
    pub(super) write: Option<Epoch>,
    pub(super) stored: Option<bool>,
    /// The record that the disk is writing.
    pub(super) storing: Option<Bytes>,
    pub(super) store: Option<Bytes>,
    pub(super) sends: Vec<(ControlDestination, Bytes)>,
    pub(super) directives: Vec<Directive>,
    pub(super) notices: Vec<Notice>,
    /// From the layer, and for it.
    pub(super) letters: VecDeque<Letter>,
    pub(super) letters_in: Vec<(NodeId, Bytes)>,
}

/// The cluster of all simulated hosts.
pub(super) fn cluster() -> ClusterTag {
    ClusterTag::of("simulated")
}

/// The address of the host at this place, which had so many others before.
fn endpoint(index: usize, addresses: u8) -> Endpoint {
    let host = u32::try_from(index).unwrap_or(0) + 1;
    Endpoint {
        address: Ipv4Addr::from_bits(0x0a00_0000 + (u32::from(addresses) << 16) + host),
        token_port: 7401,
        control_port: 7402,
    }
}

/// The host that once had the address of `endpoint`.
pub(super) fn index_of(endpoint: Endpoint) -> usize {
    ((endpoint.address.to_bits() & 0xffff) - 1) as usize
}

impl Node {
    pub(super) fn new(index: usize, id: u32, seed: u64) -> Self {
        Self {
            index,
            id: NodeId(id),
            disk: Disk::default(),
            life: None,
            lives: 0,
            stopped_at: None,
            armed: Vec::new(),
            rng: Random::new(seed, Stream::Host(id)),
            clock_s: None,
            addresses: 0,
            out_until: Time::ZERO,
            died_in_recovery: false,
            mtu_bytes: MTU_BYTES,
            buffer: Buffer::unlimited(),
            slice: None,
            histories: Vec::new(),
            policy: Policy::None,
            filtered: false,
            sights: Vec::new(),
        }
    }

    pub(super) const fn id(&self) -> NodeId {
        self.id
    }

    /// Where it is reached now.
    pub(super) fn endpoint(&self) -> Endpoint {
        endpoint(self.index, self.addresses)
    }

    /// The floor of a start epoch, as the engine makes it from the wall clock.
    fn wall_floor(&self, now: Time) -> Epoch {
        let since_start = now.as_ns() / 1_000_000;
        Epoch(self.clock_s.map_or(0, |at| (at * 1_000 + since_start) << 7))
    }

    /// Starts a life. The first write of the ceiling is already done: before it, a member is
    /// nobody, so a crash then is no event.
    pub(super) fn start(&mut self, params: &Params, now: Time) {
        let start = Start::new(self.disk.ceiling, self.wall_floor(now));
        self.disk.ceiling = start.ceiling;
        let member =
            Member { id: self.id(), incarnation: start.incarnation, endpoint: self.endpoint() };
        let identity = Identity { member, cluster: cluster(), mtu_bytes: self.mtu_bytes };
        let params = self.buffer.params(params);
        self.lives += 1;
        self.histories.push(History::new(member.id, member.incarnation));
        let data = DataHalf::new(identity.clone(), params.clone(), true, now);
        let data = self.with_primary(data, member.incarnation, now);
        self.life = Some(Life {
            data,
            glasses: self.glasses(&params),
            control: ControlHalf::new(identity.clone(), start, params, now),
            identity,
            data_side: DataSide { looked_at: now, ..DataSide::default() },
            control_side: ControlSide::default(),
            data_half: HalfState::default(),
            control_half: HalfState::default(),
            reads: true,
            leaving: false,
            drained: false,
            layer_wake_at: None,
            adopted: None,
            installed: RingId::new(start.incarnation, member.id),
        });
    }

    /// Ends the life; what it was writing to disk is lost.
    pub(super) fn stop(&mut self, now: Time, stats: &mut Stats) {
        let Some(life) = self.life.take() else { return };
        stats.absorb(life.data.ordering().counters());
        stats.frames_ignored += life.control.membership().ignored().total();
        stats.gathers += life.control.membership().gathers();
        self.stopped_at = Some(now);
        if let Some(history) = self.histories.last_mut() {
            history.entries.push(Entry { time: now, event: Event::Fail });
        }
    }
}

impl Node {
    /// A frame arrives at one of the sockets.
    pub(super) fn receive(&mut self, socket: Socket, frame: Bytes, stats: &mut Stats) {
        let Some(life) = &mut self.life else { return };
        let side = &mut life.data_side;
        let queue = match socket {
            Socket::Data => &mut side.data,
            Socket::Token => &mut side.tokens,
            Socket::Control => &mut life.control_side.frames,
        };
        let has_room = match socket {
            Socket::Data => self.buffer.has_room(queue.len()),
            Socket::Token | Socket::Control => queue.len() < SOCKET_FRAMES_MAX,
        };
        if has_room {
            queue.push_back(frame);
        } else {
            stats.frames_overflowed += 1;
            side.drops += u64::from(socket != Socket::Control);
        }
    }
}

impl Life {
    /// The engine's part: after a cycle, but not after each, the half hears of drops.
    pub(super) fn tell_of_drops(&mut self, now: Time, stats: &mut Stats) {
        let side = &mut self.data_side;
        if now.since(side.looked_at) < LOOK_FOR_DROPS {
            return;
        }
        side.looked_at = now;
        if side.drops != std::mem::replace(&mut side.drops_told, side.drops) {
            self.data.handle_drops();
            stats.drops_told += 1;
        }
    }
}

/// Where a frame goes in at its receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Socket {
    Data,
    Token,
    Control,
}

impl DataPort for DataSide {
    fn directive(&mut self) -> Option<Directive> {
        self.directives.pop_front()
    }

    fn data(&mut self) -> Option<Bytes> {
        self.data.pop_front()
    }

    fn token(&mut self) -> Option<Bytes> {
        self.tokens.pop_front()
    }

    fn command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    fn record(&mut self, entries: Vec<Entry>) {
        self.recorded.extend(entries);
    }

    fn send(&mut self, to: DataDestination, head: &[u8], body: Bytes) {
        self.scratch.clear();
        self.scratch.extend_from_slice(head);
        self.scratch.extend_from_slice(&body);
        self.sends.push((to, Bytes::copy_from_slice(&self.scratch)));
    }

    fn stream_has_room(&mut self) -> bool {
        let room = self.stream.len() < STREAM_ITEMS_MAX;
        self.stream_was_full |= !room;
        room
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.stream.push_back(delivery);
    }

    fn reports_have_room(&mut self) -> bool {
        true
    }

    fn report(&mut self, report: Report) {
        self.reports.push(report);
    }
}

impl ControlPort for ControlSide {
    fn report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    fn receive(&mut self, frame: &mut Vec<u8>) -> bool {
        let Some(next) = self.frames.pop_front() else { return false };
        frame.clear();
        frame.extend_from_slice(&next);
        true
    }

    fn written(&mut self) -> Option<Option<Epoch>> {
        self.written.take()
    }

    fn write(&mut self, ceiling: Epoch) {
        self.write = Some(ceiling);
    }

    fn store(&mut self, record: Bytes) {
        self.store = Some(record);
    }

    fn stored(&mut self) -> Option<bool> {
        self.stored.take()
    }

    fn send(&mut self, to: ControlDestination, frame: &[u8]) {
        self.sends.push((to, Bytes::copy_from_slice(frame)));
    }

    fn direct(&mut self, directive: Directive) {
        self.directives.push(directive);
    }

    fn notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    fn letter(&mut self) -> Option<Letter> {
        self.letters.pop_front()
    }

    fn hand_letter(&mut self, from: NodeId, payload: Bytes) {
        self.letters_in.push((from, payload));
    }
}
