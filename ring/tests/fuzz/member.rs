//! A whole member, both halves, with everything around it in memory.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use roundel_ring::counters::{Ignored, IgnoredFrames};
use roundel_ring::cycle::{Command, ControlHalf, ControlPort, DataHalf, DataPort};
use roundel_ring::delivery::Delivery;
use roundel_ring::epoch::Start;
use roundel_ring::handoff::{Directive, Report};
use roundel_ring::id::{Epoch, NodeId};
use roundel_ring::layer::Letter;
use roundel_ring::membership::{ControlDestination, Notice};
use roundel_ring::ordering::{DataDestination, Identity};
use roundel_ring::params::Params;
use roundel_ring::roster::{Endpoint, Member as Named};
use roundel_ring::time::Time;
use roundel_ring::trace;
use roundel_ring::wire::ClusterTag;

/// IP MTU of every member: the least, so that messages of some length are fragments.
pub(crate) const MTU_BYTES: usize = 1280;

/// Items between the worker and an application that does not read.
pub(crate) const STREAM_ITEMS_MAX: usize = 8;

/// Small windows and short times, so that bounds are met and rings form within few rounds.
pub(crate) fn params() -> Params {
    let ms = Duration::from_millis;
    Params {
        window_packets: 64,
        personal_packets: 8,
        global_packets: 24,
        accelerated_packets: 3,
        retransmit_packets: 8,
        receive_packets: 40,
        token_loss: ms(40),
        hold: ms(2),
        fail_to_receive: ms(200),
        join: ms(5),
        consensus: ms(20),
        commit_retransmit: ms(5),
        commit_loss: ms(30),
        beacon: ms(10),
        backlog_messages: 32,
        backlog_bytes: 64 << 10,
        stream_packets: 16,
        message_bytes: 32 << 10,
        ..Params::default()
    }
}

/// Where a frame goes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Socket {
    Data,
    Token,
    Control,
}

/// What waits at the data half, and what it put out.
#[derive(Default, Debug)]
pub(crate) struct DataSide {
    pub(crate) directives: VecDeque<Directive>,
    pub(crate) data: VecDeque<Bytes>,
    pub(crate) tokens: VecDeque<Bytes>,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) sends: Vec<(DataDestination, Bytes)>,
    pub(crate) stream: VecDeque<Delivery>,
    pub(crate) reports: VecDeque<Report>,
}

/// What waits at the control half, and what it put out.
#[derive(Default, Debug)]
pub(crate) struct ControlSide {
    pub(crate) reports: VecDeque<Report>,
    pub(crate) frames: VecDeque<Bytes>,
    pub(crate) written: Option<Option<Epoch>>,
    pub(crate) write: Option<Epoch>,
    pub(crate) sends: Vec<(ControlDestination, Bytes)>,
    pub(crate) directives: VecDeque<Directive>,
    pub(crate) letters: VecDeque<Letter>,
}

/// A member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) data: DataHalf,
    pub(crate) control: ControlHalf,
    pub(crate) data_side: DataSide,
    pub(crate) control_side: ControlSide,
    /// Of its start.
    pub(crate) incarnation: Epoch,
}

pub(crate) fn endpoint(id: NodeId) -> Endpoint {
    let address = Ipv4Addr::from_bits(0x0a00_0000 + id.0);
    Endpoint { address, token_port: 7401, control_port: 7402 }
}

impl Member {
    /// Starts a life above what the disk has, and says what to write there.
    pub(crate) fn start(
        id: NodeId,
        cluster: ClusterTag,
        params: &Params,
        on_disk: Epoch,
        now: Time,
    ) -> (Self, Epoch) {
        let start = Start::new(on_disk, Epoch(0));
        let member = Named { id, incarnation: start.incarnation, endpoint: endpoint(id) };
        let identity = Identity { member, cluster, mtu_bytes: MTU_BYTES };
        let data = DataHalf::new(identity.clone(), params.clone(), true, now);
        let control = ControlHalf::new(identity, start, params.clone(), now);
        let (data_side, control_side) = (DataSide::default(), ControlSide::default());
        let incarnation = start.incarnation;
        (Self { data, control, data_side, control_side, incarnation }, start.ceiling)
    }

    /// A frame arrives.
    pub(crate) fn receive(&mut self, socket: Socket, frame: Bytes) {
        match socket {
            Socket::Data => self.data_side.data.push_back(frame),
            Socket::Token => self.data_side.tokens.push_back(frame),
            Socket::Control => self.control_side.frames.push_back(frame),
        }
    }

    /// A cycle of each half, with the hand-overs between them; true when there was work.
    pub(crate) fn cycle(&mut self, now: Time) -> bool {
        let mut work = self.data.cycle(now, &mut self.data_side);
        self.control_side.reports.append(&mut self.data_side.reports);
        work += self.control.cycle(now, &mut self.control_side);
        self.data_side.directives.append(&mut self.control_side.directives);
        work > 0
    }

    /// Frames without effect that both halves counted for `reason`.
    pub(crate) fn ignored(&self, reason: Ignored) -> u64 {
        self.counters().iter().map(|counter| counter.of(reason)).sum()
    }

    /// Frames without effect that both halves counted.
    pub(crate) fn ignored_total(&self) -> u64 {
        self.counters().iter().map(|counter| counter.total()).sum()
    }

    fn counters(&self) -> [IgnoredFrames; 2] {
        [self.data.ordering().counters().ignored, *self.control.membership().ignored()]
    }

    /// Everything that both machines know, as text, without their counts of ignored frames.
    pub(crate) fn state(&self, text: &mut String) {
        text.clear();
        let _ = write!(text, "{:?}{:?}", self.data.ordering(), self.control.membership());
        while let Some(start) = text.find("IgnoredFrames {") {
            let Some(end) = text[start..].find('}') else { break };
            text.replace_range(start..=start + end, "");
        }
    }
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

    fn record(&mut self, _: Vec<trace::Entry>) {}

    fn send(&mut self, to: DataDestination, head: &[u8], body: Bytes) {
        self.sends.push((to, [head, &body].concat().into()));
    }

    fn stream_has_room(&mut self) -> bool {
        self.stream.len() < STREAM_ITEMS_MAX
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.stream.push_back(delivery);
    }

    fn reports_have_room(&mut self) -> bool {
        true
    }

    fn report(&mut self, report: Report) {
        self.reports.push_back(report);
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

    fn store(&mut self, _: Bytes) {}

    fn stored(&mut self) -> Option<bool> {
        None
    }

    fn send(&mut self, to: ControlDestination, frame: &[u8]) {
        self.sends.push((to, Bytes::copy_from_slice(frame)));
    }

    fn direct(&mut self, directive: Directive) {
        self.directives.push_back(directive);
    }

    fn notice(&mut self, _: Notice) {}

    fn letter(&mut self) -> Option<Letter> {
        self.letters.pop_front()
    }
}
