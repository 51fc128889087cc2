//! Three whole members on a network that the input decides: it loses, repeats, delays and damages
//! frames, lies, lets time pass, stops readers, disks and members.
//!
//! What must hold whatever comes: no panic; a frame that is not well formed, and one that is none
//! of the running ring's business, changes nothing but a counter; what a member sends is well
//! formed and fits its MTU; rings come in ascending order, deliveries in ascending places; queues
//! keep their bounds. As long as nobody lied: one place of one ring has one packet, everywhere.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use roundel_ring::configuration::ConfigurationKind;
use roundel_ring::counters::Ignored;
use roundel_ring::cycle::Command;
use roundel_ring::delivery::{Assembler, Delivery};
use roundel_ring::id::{Epoch, NodeId, RingId};
use roundel_ring::layer::Letter;
use roundel_ring::membership::ControlDestination;
use roundel_ring::ordering::DataDestination;
use roundel_ring::packing::{Messages, Packer};
use roundel_ring::params::Params;
use roundel_ring::roster::Endpoint;
use roundel_ring::seq::Seq;
use roundel_ring::service::{Channel, Class, Service};
use roundel_ring::time::Time;
use roundel_ring::wire::token::Token;
use roundel_ring::wire::{Header, Kind, body_bytes_max, frame_bytes_max};

use crate::decoders::decode;
use crate::frames::{changed, cluster, lie};
use crate::input::Input;
use crate::member::{MTU_BYTES, Member, STREAM_ITEMS_MAX, Socket, params};

/// Members.
const HOSTS: usize = 3;

/// Sent frames that are remembered, to be repeated or changed.
const REMEMBERED: usize = 64;

/// How often the things happened that a shallow run never reaches.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Reached {
    /// What the input asked for.
    pub(crate) operations: u64,
    /// Cycles of a member that had work.
    pub(crate) steps: u64,
    /// Frames handed over by the network as they were sent.
    pub(crate) carried: u64,
    /// Frames with bytes changed.
    pub(crate) damaged: u64,
    /// Well-formed frames that nobody sent.
    pub(crate) lies: u64,
    /// Lies that were not ignored.
    pub(crate) believed: u64,
    /// Frames without effect, of these two.
    pub(crate) judged: u64,
    /// Rings of more than one installed.
    pub(crate) installed: u64,
    /// Tokens handled.
    pub(crate) tokens: u64,
    /// Messages delivered.
    pub(crate) delivered: u64,
    /// Packets delivered before they had a place.
    pub(crate) free: u64,
    /// Of them, put together from fragments.
    pub(crate) assembled: u64,
    /// Packets of an old ring sent again on a new one.
    pub(crate) recovered: u64,
    /// Packets of a running ring sent again.
    pub(crate) retransmitted: u64,
    /// Times a membership was formed anew.
    pub(crate) gathers: u64,
    /// Lives ended.
    pub(crate) crashes: u64,
}

impl Reached {
    /// Takes in what another run reached.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.operations, other.operations),
            (&mut self.steps, other.steps),
            (&mut self.carried, other.carried),
            (&mut self.damaged, other.damaged),
            (&mut self.lies, other.lies),
            (&mut self.believed, other.believed),
            (&mut self.judged, other.judged),
            (&mut self.installed, other.installed),
            (&mut self.tokens, other.tokens),
            (&mut self.delivered, other.delivered),
            (&mut self.free, other.free),
            (&mut self.assembled, other.assembled),
            (&mut self.recovered, other.recovered),
            (&mut self.retransmitted, other.retransmitted),
            (&mut self.gathers, other.gathers),
            (&mut self.crashes, other.crashes),
        ] {
            *sum += more;
        }
    }
}

struct Host {
    id: NodeId,
    on_disk: Epoch,
    disk_refuses: bool,
    reads: bool,
    /// Frames on their way here.
    coming: VecDeque<(Socket, Bytes)>,
    member: Option<Member>,
    assembler: Assembler,
    packer: Packer,
    last_ring: RingId,
    last_place: (RingId, Seq),
}

/// Who numbered a packet, and its first message.
type Content = (NodeId, u64);

/// The members and what is between them.
pub(crate) struct Cluster {
    now: Time,
    params: Params,
    hosts: Vec<Host>,
    sent: VecDeque<(Socket, Bytes)>,
    /// What was delivered at each place, until somebody lies.
    places: BTreeMap<(RingId, Seq), Content>,
    honest: bool,
    published: u64,
    reached: Reached,
    state: [String; 2],
    token: Token,
}

/// Lets the input happen; yields what was reached.
pub(crate) fn check(input: &[u8]) -> Reached {
    let mut cluster = Cluster::new();
    let mut input = Input::new(input);
    if input.byte().is_multiple_of(2) {
        // Most begin where there is something to break.
        cluster.form();
    }
    while !input.is_empty() {
        cluster.operate(&mut input);
    }
    cluster.end()
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let hosts = (1..=HOSTS as u32).map(|id| Host::new(NodeId(id))).collect();
        let mut cluster = Self {
            now: Time::from_ns(1),
            params: params(),
            hosts,
            sent: VecDeque::new(),
            places: BTreeMap::new(),
            honest: true,
            published: 0,
            reached: Reached::default(),
            state: [String::new(), String::new()],
            token: Token::with_capacity(),
        };
        (0..HOSTS).for_each(|host| cluster.start(host));
        cluster
    }

    fn start(&mut self, host: usize) {
        let (params, now) = (self.params.clone(), self.now);
        let host = &mut self.hosts[host];
        let (member, ceiling) = Member::start(host.id, cluster(), &params, host.on_disk, now);
        host.on_disk = ceiling;
        host.last_ring = RingId::default();
        host.last_place = (RingId::default(), Seq::ZERO);
        host.assembler = Assembler::new(params.message_bytes);
        host.member = Some(member);
    }

    /// Lets the members find each other: all on one ring, most likely.
    pub(crate) fn form(&mut self) -> bool {
        let whole = |host: &Host| {
            host.member.as_ref().is_some_and(|it| it.data.ordering().installed().len() == HOSTS)
        };
        for _ in 0..60 {
            self.rounds(10, Duration::from_millis(1));
            if self.hosts.iter().all(whole) {
                return true;
            }
        }
        false
    }

    pub(crate) const fn now(&self) -> Time {
        self.now
    }

    /// A member, which runs.
    pub(crate) fn member(&mut self, host: usize) -> &mut Member {
        self.hosts[host].member.as_mut().unwrap()
    }

    /// Takes away the next token that is on its way, once there is one: where to, and what.
    pub(crate) fn take_token(&mut self) -> (usize, Token) {
        for _ in 0..10_000 {
            for host in 0..HOSTS {
                let coming = &mut self.hosts[host].coming;
                let at = coming.iter().position(|(socket, _)| *socket == Socket::Token);
                if let Some((_, frame)) = at.and_then(|at| coming.remove(at)) {
                    let mut token = Token::default();
                    token.parse_into(&frame, cluster()).unwrap();
                    return (host, token);
                }
            }
            self.rounds(1, Duration::from_micros(100));
        }
        panic!("no token");
    }

    /// Has a message published.
    pub(crate) fn submit(&mut self, host: usize, bytes: usize) {
        let messages = Messages::One(vec![7; bytes].into());
        let command = Command::Publish { class: Service::Agreed.into(), messages };
        self.member(host).data_side.commands.push_back(command);
    }

    /// The frames that were sent last.
    pub(crate) fn sent(&self) -> &VecDeque<(Socket, Bytes)> {
        &self.sent
    }

    /// One thing that the input asks for.
    pub(crate) fn operate(&mut self, input: &mut Input<'_>) {
        self.reached.operations += 1;
        let what = input.byte();
        let host = input.index(HOSTS);
        match what {
            0..=79 => {
                let micros = [20, 100, 500, 1_000, 4_000][input.index(5)];
                let rounds = 1 + input.index(24);
                self.rounds(rounds, Duration::from_micros(micros));
            }
            80..=89 => self.rounds(1, Duration::from_millis(input.byte().into())),
            90..=134 => self.publish(host, input),
            135..=139 => self.write(host, input),
            140..=149 => drop(self.hosts[host].coming.pop_front()),
            150..=155 => {
                if let Some(frame) = self.hosts[host].coming.pop_front() {
                    self.hosts[host].coming.push_back(frame);
                }
            }
            156..=163 => {
                if let Some((socket, frame)) = self.remembered(input) {
                    self.hosts[host].coming.push_back((socket, frame));
                }
            }
            164..=199 => self.damage(host, input),
            200..=239 => self.lie(host, input),
            240..=243 => self.hosts[host].reads = !self.hosts[host].reads,
            244..=246 => self.hosts[host].disk_refuses = !self.hosts[host].disk_refuses,
            247..=248 => self.crash(host),
            249 => self.hosts[host].leave(),
            250 => {
                if let Some(member) = &mut self.hosts[host].member {
                    member.data.handle_drops();
                }
            }
            _ => self.isolate(host),
        }
    }

    /// Everything on its way to a host is lost.
    fn isolate(&mut self, host: usize) {
        self.hosts[host].coming.clear();
    }

    fn crash(&mut self, host: usize) {
        self.reached.crashes += 1;
        self.count(host);
        self.hosts[host].member = None;
        self.hosts[host].coming.clear();
        self.start(host);
    }

    /// Has a layer send a letter, to a member or nobody.
    fn write(&mut self, host: usize, input: &mut Input<'_>) {
        let (to, bytes) = (NodeId(u32::from(input.byte() % 5)), usize::from(input.u16() % 1_200));
        if let Some(member) = &mut self.hosts[host].member {
            let payload = vec![b'l'; bytes].into();
            member.control_side.letters.push_back(Letter { to, payload });
        }
    }

    fn publish(&mut self, host: usize, input: &mut Input<'_>) {
        self.published += 1;
        let bytes = match input.byte() {
            0..=159 => usize::from(input.byte()),
            160..=239 => 900 + usize::from(input.byte()) * 4,
            _ => usize::from(input.u16() % 12_000),
        };
        let service = Service::ALL[input.index(Service::ALL.len())];
        let mut payload = self.published.to_le_bytes().to_vec();
        payload.resize(payload.len() + bytes, b'.');
        let host = &mut self.hosts[host];
        let packs = input.byte().is_multiple_of(4) && host.packer.push(&payload);
        let more = if packs { input.byte() % 4 } else { 0 };
        for _ in 0..more {
            let _ = host.packer.push(&payload[..8]);
        }
        let packed = host.packer.take().map(Messages::Packed);
        let messages = packed.unwrap_or_else(|| Messages::One(payload.into()));
        if let Some(member) = &mut host.member
            && member.data_side.commands.len() < 64
        {
            let channel = Channel::new(input.byte() % 4).unwrap_or_default();
            let class = Class { service, channel };
            member.data_side.commands.push_back(Command::Publish { class, messages });
        }
    }

    fn remembered(&self, input: &mut Input<'_>) -> Option<(Socket, Bytes)> {
        let at = input.index(REMEMBERED);
        self.sent.get(at % self.sent.len().max(1)).cloned()
    }

    /// A frame arrives damaged, or bytes arrive that never were a frame.
    fn damage(&mut self, host: usize, input: &mut Input<'_>) {
        let Some((socket, frame)) = self.remembered(input) else { return };
        let frame = if input.byte().is_multiple_of(8) {
            Bytes::copy_from_slice(input.bytes(64))
        } else {
            changed(&frame, input)
        };
        self.reached.damaged += 1;
        self.inject(host, socket, &frame);
    }

    /// A frame arrives that is well formed, perhaps, and that nobody sent.
    fn lie(&mut self, host: usize, input: &mut Input<'_>) {
        // Of those that came last: a stale one is ignored whatever it says.
        let at = self.sent.len().saturating_sub(1 + input.index(12));
        let Some((socket, frame)) = self.sent.get(at).cloned() else { return };
        let frame = lie(&frame, input);
        self.reached.lies += 1;
        self.inject(host, socket, &frame);
    }

    /// Hands a member a frame that no member sent, with nothing else to do, and compares.
    fn inject(&mut self, host: usize, socket: Socket, frame: &Bytes) {
        let Some(member) = &mut self.hosts[host].member else { return };
        // Twice: what the first made possible, the second does.
        let quiet = (0..4).any(|_| !member.cycle(self.now));
        let well_formed = decode(frame, &mut self.token).is_ok();
        self.honest &= !well_formed;
        let counted = member.ignored_total();
        let before = no_effect(member, socket);
        member.state(&mut self.state[0]);
        member.receive(socket, frame.clone());
        member.cycle(self.now);
        let ignored = member.ignored_total() - counted;
        assert!(ignored <= 1, "one frame, {ignored} reasons");
        assert!(well_formed || ignored == 1, "a frame that is not well formed had an effect");
        if ignored == 1 && quiet && no_effect(member, socket) > before {
            member.state(&mut self.state[1]);
            self.reached.judged += 1;
            assert!(self.state[0] == self.state[1], "{}", difference(&self.state, frame));
        }
        if well_formed && ignored == 0 {
            self.reached.believed += 1;
        }
        self.settle(host);
    }

    /// Time passes and everything on its way arrives, so many times.
    pub(crate) fn rounds(&mut self, rounds: usize, span: Duration) {
        for _ in 0..rounds {
            self.now = self.now + span;
            for host in 0..HOSTS {
                let coming = std::mem::take(&mut self.hosts[host].coming);
                self.reached.carried += coming.len() as u64;
                if let Some(member) = &mut self.hosts[host].member {
                    coming.into_iter().for_each(|(socket, frame)| member.receive(socket, frame));
                    self.reached.steps += u64::from(member.cycle(self.now));
                }
            }
            (0..HOSTS).for_each(|host| self.settle(host));
        }
    }

    /// Carries on what a cycle put out.
    fn settle(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let Some(member) = &mut host.member else { return };
        if let Some(ceiling) = member.control_side.write.take() {
            let answer = (!host.disk_refuses).then_some(ceiling);
            host.on_disk = host.on_disk.max(answer.unwrap_or_default());
            member.control_side.written = Some(answer);
        }
        let data = std::mem::take(&mut member.data_side.sends);
        let control = std::mem::take(&mut member.control_side.sends);
        let ended = member.control.membership().is_ended();
        self.hosts[at].judge(&self.params);
        for (to, frame) in data {
            match to {
                DataDestination::Group => self.send(at, None, Socket::Data, frame),
                DataDestination::Member(to) => self.send(at, Some(to), Socket::Token, frame),
            }
        }
        for (to, frame) in control {
            match to {
                ControlDestination::Group => self.send(at, None, Socket::Control, frame),
                ControlDestination::Member(to) => self.send(at, Some(to), Socket::Control, frame),
            }
        }
        self.read(at);
        if ended {
            self.crash(at);
        }
    }

    fn send(&mut self, from: usize, to: Option<Endpoint>, socket: Socket, frame: Bytes) {
        let decoded = decode(&frame, &mut self.token);
        assert!(decoded.is_ok(), "{} sent {frame:?}: {decoded:?}", self.hosts[from].id);
        let header = Header::parse(&mut &frame[..], cluster());
        let is_commit = header.is_ok_and(|header| header.kind == Kind::Commit);
        assert!(is_commit || frame.len() <= frame_bytes_max(MTU_BYTES), "{} bytes", frame.len());
        let to = to.map(|to| to.address.to_bits() & 0xff);
        for (index, host) in self.hosts.iter_mut().enumerate() {
            if index != from && to.is_none_or(|to| to == host.id.0) && host.coming.len() < 256 {
                host.coming.push_back((socket, frame.clone()));
            }
        }
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back((socket, frame));
    }

    /// The application reads, if it does, and what it reads is in order.
    fn read(&mut self, at: usize) {
        let honest = self.honest;
        let host = &mut self.hosts[at];
        let Some(member) = &mut host.member else { return };
        if !host.reads {
            return;
        }
        while let Some(delivery) = member.data_side.stream.pop_front() {
            match &delivery {
                Delivery::Configuration(configuration) => {
                    assert!(configuration.members.contains(&host.id), "I am in my configuration");
                    if configuration.kind == ConfigurationKind::Regular {
                        let (ring, last) = (configuration.ring, host.last_ring);
                        assert!(ring > last, "ring {ring} after {last}");
                        host.last_ring = configuration.ring;
                        let ring_of_some = configuration.members.len() > 1;
                        self.reached.installed += u64::from(ring_of_some);
                    }
                }
                Delivery::Primary { .. } => panic!("no policy is set"),
                Delivery::Packet(packet) => {
                    if let Some(seq) = packet.seq {
                        let place = (packet.ring, seq);
                        if packet.packet.class.service.is_totally_ordered() {
                            let last = host.last_place;
                            assert!(place > last, "{place:?} after {last:?}");
                            host.last_place = place;
                        }
                        let content = (packet.packet.originator, packet.packet.first_message);
                        let other = *self.places.entry(place).or_insert(content);
                        assert!(!honest || other == content, "{place:?}: {other:?}, {content:?}");
                        if self.places.len() > 4_096 {
                            self.places.pop_first();
                        }
                    } else {
                        assert!(packet.packet.class.service.is_token_free());
                        self.reached.free += 1;
                    }
                }
            }
            let fragment = matches!(&delivery, Delivery::Packet(packet)
                if matches!(packet.packet.content, roundel_ring::packet::Content::Fragment(_)));
            let reached = &mut self.reached;
            host.assembler.handle(&delivery, |_| {
                reached.delivered += 1;
                reached.assembled += u64::from(fragment);
            });
        }
    }

    fn count(&mut self, host: usize) {
        let Some(member) = &self.hosts[host].member else { return };
        let counters = member.data.ordering().counters();
        self.reached.tokens += counters.tokens;
        self.reached.recovered += counters.packets_recovered;
        self.reached.retransmitted += counters.packets_retransmitted;
        self.reached.gathers += member.control.membership().gathers();
    }

    fn end(mut self) -> Reached {
        (0..HOSTS).for_each(|host| self.count(host));
        self.reached
    }
}

impl Host {
    fn new(id: NodeId) -> Self {
        Self {
            id,
            on_disk: Epoch(0),
            disk_refuses: false,
            reads: true,
            coming: VecDeque::new(),
            member: None,
            assembler: Assembler::new(0),
            packer: Packer::new(body_bytes_max(MTU_BYTES), true),
            last_ring: RingId::default(),
            last_place: (RingId::default(), Seq::ZERO),
        }
    }

    fn leave(&mut self) {
        if let Some(member) = &mut self.member {
            member.data_side.commands.push_back(Command::Leave);
        }
    }

    /// What holds of a member after every cycle.
    fn judge(&self, params: &Params) {
        let Some(member) = &self.member else { return };
        let ordering = member.data.ordering();
        // Would underflow if more were delivered than accepted.
        let _ = member.data.undelivered();
        assert!(member.data_side.stream.len() <= STREAM_ITEMS_MAX);
        assert!(ordering.receive_packets() <= params.receive_packets.max(16));
        assert!(ordering.installed().ring.epoch >= member.incarnation);
        assert!(ordering.running().ring >= ordering.installed().ring);
        let durable = ordering.running().ring.epoch <= self.on_disk;
        assert!(durable, "an epoch in use is on disk");
    }
}

/// Frames ignored for reasons that leave no trace. Of the others, a stale token or a packet that
/// is held is a sign of life all the same, and who sent a late join was heard.
fn no_effect(member: &Member, socket: Socket) -> u64 {
    let data = [
        Ignored::OtherRing,
        Ignored::Frozen,
        Ignored::NotPredecessor,
        Ignored::Inconsistent,
        Ignored::UnknownOriginator,
    ];
    let ignored = if socket == Socket::Control {
        member.control.membership().ignored()
    } else {
        &member.data.ordering().counters().ignored
    };
    let of_data: u64 = match socket {
        Socket::Control => 0,
        Socket::Data | Socket::Token => data.into_iter().map(|reason| ignored.of(reason)).sum(),
    };
    let malformed = crate::MALFORMED.into_iter().map(|reason| ignored.of(reason.into()));
    of_data + malformed.sum::<u64>()
}

fn difference(states: &[String; 2], frame: &Bytes) -> String {
    let [before, after] = states;
    let same = before.bytes().zip(after.bytes()).take_while(|(a, b)| a == b).count();
    let around = |text: &String| {
        let bytes = &text.as_bytes()[same.saturating_sub(80)..text.len().min(same + 120)];
        String::from_utf8_lossy(bytes).into_owned()
    };
    format!("changed by {frame:?}:\n{}\n{}", around(before), around(after))
}
