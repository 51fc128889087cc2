//! The classes of frames that broke peers in the field, one test each: refused for its reason,
//! counted once, and nothing else changed.

use std::time::Duration;

use bytes::Bytes;
use roundel_ring::configuration::ConfigurationKind;
use roundel_ring::counters::Ignored;
use roundel_ring::delivery::{Assembler, DeliveredPacket, Delivery};
use roundel_ring::id::{Epoch, NodeId, RingId};
use roundel_ring::membership::ControlDestination;
use roundel_ring::packet::{Content, Fragment, Packet, Waits};
use roundel_ring::roster::MemberMask;
use roundel_ring::seq::Seq;
use roundel_ring::service::Service;
use roundel_ring::wire::beacon::Beacon;
use roundel_ring::wire::commit::{Commit, Entry};
use roundel_ring::wire::data::{Data, HEAD_BYTES};
use roundel_ring::wire::join::Join;
use roundel_ring::wire::token::{HEAD_BYTES as TOKEN_HEAD_BYTES, Request, Token};
use roundel_ring::wire::{ClusterTag, Malformed};

use crate::cluster::Cluster;
use crate::frames::cluster;
use crate::member::{MTU_BYTES, Member, Socket, endpoint, params};
use roundel_ring::time::Time;

const COUNT: Ignored = Ignored::Malformed(Malformed::Count);
const RANGE: Ignored = Ignored::Malformed(Malformed::Range);
const TRUNCATED: Ignored = Ignored::Malformed(Malformed::Truncated);

/// Three members on one ring that has carried a few messages.
fn formed() -> Cluster {
    let mut cluster = Cluster::new();
    assert!(cluster.form(), "no ring");
    (0..3).for_each(|host| cluster.submit(host, 100));
    cluster.rounds(40, Duration::from_millis(1));
    cluster
}

/// Everything a member knows but its counts of ignored frames.
fn state(member: &Member) -> String {
    let mut text = String::new();
    member.state(&mut text);
    text
}

/// Hands a member a frame: it counts one for the reason and changes nothing else.
#[track_caller]
fn refused(now: Time, member: &mut Member, socket: Socket, frame: &[u8], reason: Ignored) {
    while member.cycle(now) {}
    let (before, of, total) = (state(member), member.ignored(reason), member.ignored_total());
    member.receive(socket, Bytes::copy_from_slice(frame));
    member.cycle(now);
    assert_eq!(member.ignored_total(), total + 1, "one frame, one reason");
    assert_eq!(member.ignored(reason), of + 1, "another reason than {reason:?}");
    assert_eq!(state(member), before, "the state changed");
    let idle = member.data_side.sends.is_empty() && member.control_side.sends.is_empty();
    assert!(idle, "it was answered");
}

fn emitted(emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    emit(&mut out);
    out
}

/// A ring at rest whose next token is on its way to `host`.
struct Awaited {
    cluster: Cluster,
    host: usize,
    token: Token,
}

fn awaited() -> Awaited {
    let mut cluster = formed();
    let (host, token) = cluster.take_token();
    Awaited { cluster, host, token }
}

impl Awaited {
    #[track_caller]
    fn refuses(&mut self, reason: Ignored, change: impl FnOnce(&mut Token)) {
        let mut token = self.token.clone();
        change(&mut token);
        self.refuses_bytes(reason, &emitted(|out| token.emit(cluster(), out)));
    }

    #[track_caller]
    fn refuses_bytes(&mut self, reason: Ignored, frame: &[u8]) {
        let now = self.cluster.now();
        refused(now, self.cluster.member(self.host), Socket::Token, frame, reason);
    }

    /// The token as it was sent is handled all the same.
    #[track_caller]
    fn goes_on(mut self) {
        let now = self.cluster.now();
        let member = self.cluster.member(self.host);
        let tokens = member.data.ordering().counters().tokens;
        member.receive(Socket::Token, emitted(|out| self.token.emit(cluster(), out)).into());
        member.cycle(now);
        assert_eq!(member.data.ordering().counters().tokens, tokens + 1, "the ring stands");
    }
}

/// Corosync CVE-2025-30472: the token's retransmission list was copied into a buffer by the count
/// that the token claims. Spread died of hole lists too long for a packet, JGroups sent such ones.
#[test]
fn retransmission_lists_too_long_for_their_buffer() {
    let mut ring = awaited();
    ring.refuses(COUNT, |token| {
        let request = Request { first: Seq(1), count: 1, by: 0, skip: 0, held: false };
        token.requests = vec![request; 65];
    });
    // The count alone, with nothing behind it, and with one less than it says.
    let mut frame = emitted(|out| ring.token.emit(cluster(), out));
    frame[TOKEN_HEAD_BYTES - 1] = 255;
    ring.refuses_bytes(COUNT, &frame);
    frame[TOKEN_HEAD_BYTES - 1] = 2;
    frame.extend([1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    ring.refuses_bytes(TRUNCATED, &frame);
    ring.refuses(RANGE, |token| {
        let request = Request { first: Seq(1), count: 1, by: 3, skip: 0, held: false };
        token.requests = vec![request];
    });
    ring.goes_on();
}

/// Corosync CVE-2026-35092: sums of lengths in a join wrapped. Here: lengths of messages, counters
/// and distances at the edges of their types.
#[test]
fn length_fields_that_overflow() {
    let mut ring = awaited();
    let now = ring.cluster.now();
    let good = data(&ring.token, b"\x02\0ab");
    let mut refuse = |reason, change: &dyn Fn(&mut Data)| {
        let mut data = good.clone();
        change(&mut data);
        let frame = data_frame(&data);
        refused(now, ring.cluster.member(ring.host), Socket::Data, &frame, reason);
    };
    let body = |bytes: &'static [u8]| {
        move |data: &mut Data| {
            data.packet.body = Bytes::from_static(bytes);
        }
    };
    refuse(TRUNCATED, &body(b"\xff\xffab"));
    refuse(TRUNCATED, &body(b"\x03\0ab"));
    refuse(TRUNCATED, &body(b"\x02"));
    refuse(TRUNCATED, &|data| data.packet.content = Content::Messages { count: u16::MAX });
    refuse(RANGE, &|data| data.packet.first_message = u64::MAX - 1);
    refuse(RANGE, &|data| data.seq = Seq(1 << 37));
    refuse(RANGE, &|data| {
        data.packet.content = Content::Fragment(Fragment::Last { padding: u16::MAX });
    });
    // A request whose last is beyond every number, and an aru that is further below seq than zero.
    ring.refuses(RANGE, |token| {
        let first = Seq((1 << 37) - 1);
        token.requests = vec![Request { first, count: u16::MAX, by: 0, skip: 0, held: false }];
    });
    let mut frame = emitted(|out| ring.token.emit(cluster(), out));
    frame[TOKEN_HEAD_BYTES..TOKEN_HEAD_BYTES + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    ring.refuses_bytes(RANGE, &frame);
    ring.goes_on();
}

/// Corosync before 2011: joins of more than a hundred members were longer than the buffers on the
/// stack.
#[test]
fn member_lists_too_long() {
    let mut ring = awaited();
    let now = ring.cluster.now();
    let member = ring.cluster.member(0);
    let (join, commit, beacon) = (join(2, Epoch(1)), commit(), beacon());
    for count in [129, 200, 255] {
        for (frame, at) in [
            (emitted(|out| join.emit(cluster(), out)), 16 + 8 + 8 + 2 + 8 + 1),
            (emitted(|out| commit.emit(cluster(), out)), 16 + 12 + 2 + 2),
            (emitted(|out| beacon.emit(cluster(), out)), 16 + 8 + 12),
        ] {
            let mut frame = frame;
            frame[at] = count;
            refused(now, member, Socket::Control, &frame, COUNT);
            // And with as many bytes as that takes.
            frame.resize(frame.len() + 52 * 255, 0);
            refused(now, member, Socket::Control, &frame, COUNT);
        }
        let mut frame = emitted(|out| ring.token.emit(cluster(), out));
        frame[TOKEN_HEAD_BYTES - 2] = count;
        refused(now, member, Socket::Token, &frame, COUNT);
    }
    ring.goes_on();
}

/// Corosync issue 35: a commit token's member index beyond its members ran into an assertion.
#[test]
fn commit_token_index_out_of_range() {
    let (mut member, good) = proposed_to();
    let now = Time::from_ns(1);
    let mut refuse = |reason, change: &dyn Fn(&mut Commit)| {
        let mut commit = good.clone();
        change(&mut commit);
        let frame = emitted(|out| commit.emit(cluster(), out));
        refused(now, &mut member, Socket::Control, &frame, reason);
    };
    for hop in [0, 5, 6, u16::MAX] {
        refuse(RANGE, &|commit| commit.hop = hop);
    }
    refuse(RANGE, &|commit| commit.hop = 2);
    refuse(RANGE, &|commit| commit.entries.clear());
    refuse(COUNT, &|commit| commit.entries = vec![commit.entries[0].clone(); 3]);
    refuse(COUNT, &|commit| commit.members.truncate(1));
    accepts(now, &mut member, &good);
}

/// Kronosnet CVE-2026-15813: a defragmentation buffer was written past its end.
#[test]
fn fragment_reassembly_past_its_bound() {
    const BOUND: usize = 1_000;
    let mut assembler = Assembler::new(BOUND);
    let mut whole = 0;
    let mut hand = |fragment, bytes: usize| {
        let packet = Packet {
            originator: NodeId(1),
            first_message: 1,
            class: Service::Agreed.into(),
            waits: Waits::default(),
            content: Content::Fragment(fragment),
            body: vec![7; bytes].into(),
        };
        let delivered = DeliveredPacket {
            ring: RingId::default(),
            seq: Some(Seq(1)),
            in_configuration: ConfigurationKind::Regular,
            incarnation: Epoch(1),
            packet,
        };
        let used = allocation_counter::measure(|| {
            assembler.handle(&Delivery::Packet(delivered), |message| {
                assert!(message.payload.len() <= BOUND);
                whole += 1;
            });
        });
        assert!(used.bytes_max <= 3 * BOUND as u64, "{used:?}");
        whole
    };
    let last = Fragment::Last { padding: 0 };
    // Pieces without a beginning, and more pieces than the bound takes.
    assert_eq!(hand(Fragment::Middle, 10), 0);
    assert_eq!(hand(last, 10), 0);
    hand(Fragment::First, 600);
    for _ in 0..1_000 {
        hand(Fragment::Middle, 600);
    }
    assert_eq!(hand(last, 600), 0, "a message beyond the bound");
    assert_eq!(hand(Fragment::Only, BOUND + 1), 0);
    hand(Fragment::First, 600);
    assert_eq!(hand(last, BOUND - 600), 1, "the next one is whole, and as long as may be");
}

/// Corosync CVE-2026-35091: the check of a commit token's length said no in the log and yes to its
/// caller.
#[test]
fn lengths_checked_and_the_result_obeyed() {
    let (mut member, good) = proposed_to();
    let now = Time::from_ns(1);
    let frame = emitted(|out| good.emit(cluster(), out));
    for length in 0..frame.len() {
        refused(now, &mut member, Socket::Control, &frame[..length], TRUNCATED);
    }
    let longer = [&frame[..], &[0]].concat();
    let trailing = Ignored::Malformed(Malformed::Trailing);
    refused(now, &mut member, Socket::Control, &longer, trailing);
    accepts(now, &mut member, &good);
}

/// Corosync: joins that come late tore down the ring that they had led to; joins of another cluster
/// on the same port were taken for members.
#[test]
fn stale_and_foreign_joins() {
    let mut ring = formed();
    let now = ring.now();
    let running = ring.member(0).data.ordering().installed().clone();
    let before = ring.member(0).control.membership().gathers();
    let mut refuse = |reason, join: &Join, tag: ClusterTag| {
        let frame = emitted(|out| join.emit(tag, out));
        let member = ring.member(0);
        // Who sends it was heard: once for that, once for the rest.
        member.receive(Socket::Control, frame.clone().into());
        member.cycle(now);
        refused(now, member, Socket::Control, &frame, reason);
    };
    let incarnation = running.members[1].incarnation;
    let late = Join { incarnation, ..join(2, Epoch(running.ring.epoch.0 - 1)) };
    refuse(Ignored::Late, &late, cluster());
    let stranger = join(9, Epoch(1 << 40));
    refuse(Ignored::NotConcerned, &stranger, cluster());
    let earlier = Join { incarnation: Epoch(0), ..late.clone() };
    refuse(Ignored::StaleIncarnation, &earlier, cluster());
    refuse(Ignored::Malformed(Malformed::Cluster), &late, ClusterTag::of("another"));
    let member = ring.member(0);
    assert_eq!(member.control.membership().gathers(), before);
    assert_eq!(*member.data.ordering().installed(), running);
}

/// Two tokens of one ring give one number twice: only what the predecessor sends is the token.
#[test]
fn token_from_a_member_that_is_not_the_predecessor() {
    let mut ring = awaited();
    let (me, sender) = (NodeId(ring.host as u32 + 1), ring.token.sender);
    for other in (0..6).map(NodeId).filter(|other| *other != me && *other != sender) {
        ring.refuses(Ignored::NotPredecessor, |token| token.sender = other);
    }
    ring.refuses(Ignored::Own, |token| token.sender = me);
    ring.refuses(Ignored::Inconsistent, |token| token.hop += 3);
    ring.refuses(Ignored::OtherRing, |token| token.ring.epoch = token.ring.epoch.next());
    ring.refuses(Ignored::Inconsistent, |token| {
        let forged = token.promises[me.0 as usize - 1].ceiling.next();
        token.promises[me.0 as usize - 1].ceiling = forged;
    });
    ring.goes_on();
}

/// Corosync issues 4 and 371: a number outside of the sort queue ran into an assertion, for twelve
/// years.
#[test]
fn seq_far_outside_the_window() {
    let mut ring = awaited();
    let now = ring.cluster.now();
    let window = params().window_packets as u64;
    for far in [window * 2, 1 << 20, 1 << 32, (1 << 37) - 1] {
        let mut data = data(&ring.token, b"\0\0");
        data.seq = Seq(far);
        // A sign of life all the same: once for that, once for the rest.
        let (frame, member) = (data_frame(&data), ring.cluster.member(ring.host));
        member.receive(Socket::Data, frame.clone().into());
        member.cycle(now);
        refused(now, member, Socket::Data, &frame, Ignored::AboveCeiling);
        // Beyond what somebody can store, and with ceilings that hide it but for my own.
        ring.refuses(RANGE, |token| token.seq = Seq(far));
        ring.refuses(Ignored::Inconsistent, |token| {
            token.seq = Seq(far);
            for promise in &mut token.promises {
                promise.aru = Seq(far);
                promise.ceiling = Seq(far);
            }
        });
    }
    ring.goes_on();
}

/// Found here: entries that contradict each other made room for as many slots as the numbers in
/// them were apart.
#[test]
fn commit_entries_that_contradict_each_other() {
    let (mut member, good) = proposed_to();
    let now = Time::from_ns(1);
    let mine = member.data.ordering().installed().ring;
    let mut commit = good.clone();
    let far = Seq(1 << 36);
    commit.entries[0] =
        Entry { installed: mine, aru: far, highest: far, stable: far, ..commit.entries[0].clone() };
    let frame = emitted(|out| commit.emit(cluster(), out));
    // Mine is not in it yet: what follows from both is seen before it is written.
    refused(now, &mut member, Socket::Control, &frame, Ignored::Inconsistent);
    let mut wide = good.clone();
    wide.mtu_bytes = 9_000;
    let frame = emitted(|out| wide.emit(cluster(), out));
    refused(now, &mut member, Socket::Control, &frame, Ignored::Inconsistent);
    let mut last = good.clone();
    last.ring.epoch = Epoch(u64::MAX);
    let frame = emitted(|out| last.emit(cluster(), out));
    refused(now, &mut member, Socket::Control, &frame, RANGE);
    accepts(now, &mut member, &good);
}

/// Found here: a packet in my own name that I never numbered was counted as delivered before it was
/// accepted.
#[test]
fn packets_in_my_own_name() {
    let mut ring = awaited();
    let now = ring.cluster.now();
    let mut data = data(&ring.token, b"\0\0");
    data.packet.originator = NodeId(ring.host as u32 + 1);
    data.seq = ring.token.seq.next();
    let member = ring.cluster.member(ring.host);
    refused(now, member, Socket::Data, &data_frame(&data), Ignored::Inconsistent);
    ring.goes_on();
}

/// Found here: a packet that comes while the token is held took the next number, which the holder
/// then gave again.
#[test]
fn numbers_given_while_the_token_is_here() {
    let mut ring = formed();
    let held = |ring: &mut Cluster| format!("{:?}", ring.member(0).data).contains("Held {");
    while !held(&mut ring) {
        ring.rounds(1, Duration::from_micros(100));
    }
    let now = ring.now();
    let member = ring.member(0);
    let (ring_id, seq) = (member.data.ordering().installed().ring, member.data.ordering().aru());
    let token = Token { ring: ring_id, seq, sender: NodeId(3), ..Token::default() };
    let mut data = data(&token, b"\0\0");
    data.seq = seq.next();
    refused(now, member, Socket::Data, &data_frame(&data), Ignored::Inconsistent);
    ring.submit(0, 10);
    ring.rounds(10, Duration::from_millis(1));
    assert!(ring.member(0).data.ordering().aru() > seq, "the ring stands");
}

/// Found here: before its first visit a member believed whatever promise a token made in its name.
#[test]
fn promises_in_my_name_before_my_first_visit() {
    let mut cluster = Cluster::new();
    for _ in 0..2_000 {
        cluster.rounds(1, Duration::from_micros(200));
        let member = cluster.member(1);
        let ordering = member.data.ordering();
        if ordering.running().len() < 2 || ordering.counters().tokens > 0 {
            continue;
        }
        let (now, roster) = (cluster.now(), cluster.member(1).data.ordering().running().clone());
        let me = roster.index_of(NodeId(2)).unwrap();
        let promise = roundel_ring::wire::token::Promise { aru: Seq(5), ceiling: Seq(5) };
        let token = Token {
            sender: roster.predecessor(me).id,
            ring: roster.ring,
            hop: me as u64,
            seq: Seq(5),
            promises: vec![promise; roster.len()],
            ..Token::default()
        };
        let frame = emitted(|out| token.emit(self::cluster(), out));
        let member = cluster.member(1);
        return refused(now, member, Socket::Token, &frame, Ignored::Inconsistent);
    }
    panic!("no ring was adopted");
}

/// A data frame of some other member, on the token's ring, one place too far.
fn data(token: &Token, body: &'static [u8]) -> Data {
    let packet = Packet {
        originator: token.sender,
        first_message: 1,
        class: Service::Agreed.into(),
        waits: Waits::default(),
        content: Content::Messages { count: 1 },
        body: Bytes::from_static(body),
    };
    let (transmitter, ring, hop) = (token.sender, token.ring, token.hop);
    Data { transmitter, ring, seq: token.seq.next(), hop, post_token: false, packet }
}

fn data_frame(data: &Data) -> Vec<u8> {
    let mut frame = emitted(|out| data.emit_head(cluster(), out));
    assert_eq!(frame.len(), HEAD_BYTES);
    frame.extend_from_slice(&data.packet.body);
    frame
}

fn join(sender: u32, epoch: Epoch) -> Join {
    let (sender, mtu_bytes) = (NodeId(sender), MTU_BYTES as u16);
    Join {
        sender,
        incarnation: Epoch(1),
        endpoint: endpoint(sender),
        mtu_bytes,
        epoch,
        leaving: false,
        proc_set: vec![sender],
        fail_set: vec![],
    }
}

fn beacon() -> Beacon {
    let ring = RingId::new(Epoch(9), NodeId(2));
    Beacon { sender: NodeId(2), incarnation: Epoch(1), ring, heard: vec![NodeId(1)] }
}

/// A commit token as the representative 1 sends it to 2 first.
fn commit() -> Commit {
    let member = |id| roundel_ring::roster::Member {
        id: NodeId(id),
        incarnation: Epoch(1),
        endpoint: endpoint(NodeId(id)),
    };
    let entry = Entry {
        installed: RingId::new(Epoch(1), NodeId(1)),
        aru: Seq::ZERO,
        highest: Seq::ZERO,
        stable: Seq::ZERO,
        obligations: MemberMask::default(),
        frees: Vec::new(),
    };
    Commit {
        sender: NodeId(1),
        ring: RingId::new(Epoch(5), NodeId(1)),
        hop: 1,
        mtu_bytes: MTU_BYTES as u16,
        members: vec![member(1), member(2)],
        entries: vec![entry],
    }
}

/// Member 2, which gathers with member 1 and waits for its proposal, and that proposal.
fn proposed_to() -> (Member, Commit) {
    let now = Time::from_ns(1);
    let (mut member, _) = Member::start(NodeId(2), cluster(), &params(), Epoch(0), now);
    let heard = vec![NodeId(2)];
    let ring = RingId::new(Epoch(1), NodeId(1));
    let beacon = Beacon { sender: NodeId(1), incarnation: Epoch(1), ring, heard };
    member.receive(Socket::Control, emitted(|out| beacon.emit(cluster(), out)).into());
    while member.cycle(now) {}
    let join = Join { proc_set: vec![NodeId(1), NodeId(2)], ..join(1, Epoch(1)) };
    member.receive(Socket::Control, emitted(|out| join.emit(cluster(), out)).into());
    while member.cycle(now) {}
    assert_eq!(member.control.membership().state_name(), "gather");
    member.control_side.sends.clear();
    member.data_side.sends.clear();
    (member, commit())
}

/// The member takes part in what is proposed.
#[track_caller]
fn accepts(now: Time, member: &mut Member, commit: &Commit) {
    let ignored = member.ignored_total();
    member.receive(Socket::Control, emitted(|out| commit.emit(cluster(), out)).into());
    member.cycle(now);
    assert_eq!(member.ignored_total(), ignored, "a good commit token");
    assert_eq!(member.control.membership().state_name(), "commit");
    let to = member.control_side.sends.last().map(|(to, _)| *to);
    assert_eq!(to, Some(ControlDestination::Member(endpoint(NodeId(1)))), "and goes on");
}
