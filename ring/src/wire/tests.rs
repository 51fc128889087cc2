//! Every frame comes back as it went; everything else is refused with a reason.

use std::net::Ipv4Addr;

use bytes::Bytes;
use proptest::prelude::*;

use super::beacon::Beacon;
use super::claim::Claim;
use super::commit::{Commit, Entry};
use super::data::Data;
use super::free::Free;
use super::hold_cancel::HoldCancel;
use super::join::Join;
use super::letter::Letter;
use super::token::{Promise, Request, Token};
use super::*;
use crate::free::{After, FREE_PACKETS_MAX, FreePacket, FreeSpan};
use crate::id::{Epoch, NodeId, RingId};
use crate::packet::{Content, Fragment, Packet, Waits};
use crate::roster::{Endpoint, Member, MemberMask};
use crate::seq::Seq;
use crate::service::{Channel, Class, Service};

fn cluster() -> ClusterTag {
    ClusterTag::of("test")
}

const RING: RingId = RingId::new(Epoch(900), NodeId(1));

const LETTER: Letter<'_> =
    Letter { sender: NodeId(2), incarnation: Epoch(5), payload: b"between layers" };

fn member(id: u32) -> Member {
    let address = Ipv4Addr::new(127, 0, 0, 1);
    let endpoint = Endpoint { address, token_port: 7401, control_port: 7402 };
    Member { id: NodeId(id), incarnation: Epoch(5), endpoint }
}

fn data() -> Data {
    let packet = Packet {
        originator: NodeId(2),
        first_message: 7,
        class: Service::Safe.into(),
        waits: Waits::default(),
        content: Content::Messages { count: 2 },
        body: Bytes::from_static(&[1, 0, b'a', 2, 0, b'b', b'c']),
    };
    let (transmitter, post_token) = (NodeId(1), true);
    Data { transmitter, ring: RING, seq: Seq(12), hop: 4, post_token, packet }
}

fn token() -> Token {
    Token {
        sender: NodeId(3),
        ring: RING,
        hop: 17,
        seq: Seq(100),
        fcc: 9,
        backlog: 4,
        promises: vec![
            Promise { aru: Seq(90), ceiling: Seq(300) },
            Promise { aru: Seq(100), ceiling: Seq(101) },
        ],
        requests: vec![Request { first: Seq(91), count: 3, by: 0, skip: 1, held: true }],
    }
}

fn join() -> Join {
    Join {
        sender: NodeId(2),
        incarnation: Epoch(5),
        endpoint: member(2).endpoint,
        mtu_bytes: 1500,
        epoch: Epoch(40),
        leaving: false,
        proc_set: vec![NodeId(1), NodeId(2), NodeId(9)],
        fail_set: vec![NodeId(9)],
    }
}

fn commit() -> Commit {
    let entry = Entry {
        installed: RingId::new(Epoch(6), NodeId(1)),
        aru: Seq(4),
        highest: Seq(9),
        stable: Seq(2),
        obligations: MemberMask(0b101),
        frees: vec![FreeSpan { place: 1, first: 6, count: 3 }],
    };
    let members = vec![member(1), member(2), member(3)];
    Commit {
        sender: NodeId(2),
        ring: RING,
        hop: 2,
        mtu_bytes: 1500,
        members,
        entries: vec![entry; 2],
    }
}

fn free() -> Free {
    let class = Class { service: Service::Fifo, channel: Channel::GROUPS };
    let packet = Packet { class, waits: Waits::default(), ..data().packet };
    let free = FreePacket { packet, after: After::Number(11) };
    Free { transmitter: NodeId(2), ring: RING, slot: Seq(4), number: 13, free }
}

fn claim() -> Claim {
    let mut waits = [0; FREE_PACKETS_MAX as usize];
    waits[..2].copy_from_slice(&[7, 1]);
    let (first_seq, hop, first_number) = (Seq(50), 9, 12);
    Claim { sender: NodeId(2), ring: RING, first_seq, hop, first_number, count: 2, waits }
}

fn beacon() -> Beacon {
    let (sender, incarnation) = (NodeId(2), Epoch(5));
    Beacon { sender, incarnation, ring: RING, heard: vec![NodeId(1), NodeId(4)] }
}

/// One well-formed frame of each kind.
fn frames() -> Vec<Vec<u8>> {
    let emitted = |emit: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        emit(&mut out);
        out
    };
    vec![
        emitted(&|out| {
            data().emit_head(cluster(), out);
            out.extend_from_slice(&data().packet.body);
        }),
        emitted(&|out| token().emit(cluster(), out)),
        emitted(&|out| join().emit(cluster(), out)),
        emitted(&|out| commit().emit(cluster(), out)),
        emitted(&|out| beacon().emit(cluster(), out)),
        emitted(&|out| HoldCancel { sender: NodeId(2), ring: RING }.emit(cluster(), out)),
        emitted(&|out| LETTER.emit(cluster(), out)),
        emitted(&|out| {
            free().emit_head(cluster(), out);
            out.extend_from_slice(&free().free.packet.body);
        }),
        emitted(&|out| claim().emit(cluster(), out)),
    ]
}

/// Reads a frame by every decoder; what each makes of it.
fn parse_all(frame: &[u8]) -> [Result<(), Malformed>; 9] {
    let mut token = Token::default();
    [
        Data::parse(&Bytes::copy_from_slice(frame), cluster()).map(drop),
        token.parse_into(frame, cluster()),
        Join::parse(frame, cluster()).map(drop),
        Commit::parse(frame, cluster()).map(drop),
        Beacon::parse(frame, cluster()).map(drop),
        HoldCancel::parse(frame, cluster()).map(drop),
        Letter::parse(frame, cluster()).map(drop),
        Free::parse(&Bytes::copy_from_slice(frame), cluster()).map(drop),
        Claim::parse(frame, cluster()).map(drop),
    ]
}

#[test]
fn every_frame_comes_back_as_it_went() {
    let frames = frames();
    let bytes = Bytes::copy_from_slice(&frames[0]);
    assert_eq!(Data::parse(&bytes, cluster()), Ok(data()));
    assert_eq!(bytes.len(), data::HEAD_BYTES + data().packet.body.len());
    let mut parsed = Token::default();
    assert_eq!(parsed.parse_into(&frames[1], cluster()), Ok(()));
    assert_eq!(parsed, token());
    assert_eq!(Join::parse(&frames[2], cluster()), Ok(join()));
    assert_eq!(Commit::parse(&frames[3], cluster()), Ok(commit()));
    assert_eq!(Beacon::parse(&frames[4], cluster()), Ok(beacon()));
    let cancel = HoldCancel { sender: NodeId(2), ring: RING };
    assert_eq!(HoldCancel::parse(&frames[5], cluster()), Ok(cancel));
    assert_eq!(Letter::parse(&frames[6], cluster()), Ok(LETTER));
    assert_eq!(Free::parse(&Bytes::copy_from_slice(&frames[7]), cluster()), Ok(free()));
    assert_eq!(frames[7].len(), free::HEAD_BYTES + free().free.packet.body.len());
    assert_eq!(Claim::parse(&frames[8], cluster()), Ok(claim()));
}

#[test]
fn a_frame_is_read_by_its_own_decoder_only() {
    for (kind, frame) in frames().iter().enumerate() {
        for (decoder, outcome) in parse_all(frame).into_iter().enumerate() {
            let expected = if kind == decoder { Ok(()) } else { Err(Malformed::Kind) };
            assert_eq!(outcome, expected, "frame {kind} by decoder {decoder}");
        }
    }
}

#[test]
fn a_cut_or_extended_frame_is_refused() {
    for (kind, frame) in frames().into_iter().enumerate() {
        for length in 0..frame.len() {
            assert!(parse_all(&frame[..length])[kind].is_err(), "frame {kind} cut to {length}");
        }
        let longer = [&frame[..], &[1]].concat();
        assert_eq!(parse_all(&longer)[kind], Err(Malformed::Trailing), "frame {kind}");
    }
}

#[test]
fn foreign_frames_are_named() {
    for (kind, frame) in frames().into_iter().enumerate() {
        let altered = |at: usize| {
            let mut frame = frame.clone();
            frame[at] ^= 0x40;
            parse_all(&frame)[kind]
        };
        assert_eq!(altered(0), Err(Malformed::Magic));
        assert_eq!(altered(2), Err(Malformed::Version));
        assert_eq!(altered(3), Err(Malformed::Kind));
        assert_eq!(altered(5), Err(Malformed::Cluster));
    }
}

/// The classes of fields that broke the parsers of peers.
#[test]
fn fields_out_of_range_are_refused() {
    let emit = |emit: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        emit(&mut out);
        out
    };
    let requests = |request: Request| {
        let token = Token { requests: vec![request], ..token() };
        parse_all(&emit(&|out| token.emit(cluster(), out)))[1]
    };
    let good = token().requests[0];
    assert_eq!(requests(Request { by: 2, ..good }), Err(Malformed::Range), "no such member");
    assert_eq!(requests(Request { count: 0, ..good }), Err(Malformed::Range));
    assert_eq!(requests(Request { first: Seq(99), ..good }), Err(Malformed::Range), "beyond seq");
    let mut short = token();
    short.promises[0].ceiling = Seq(99);
    assert_eq!(
        parse_all(&emit(&|out| short.emit(cluster(), out)))[1],
        Err(Malformed::Range),
        "a number given beyond somebody's ceiling"
    );
    let commits = |commit: Commit| parse_all(&emit(&|out| commit.emit(cluster(), out)))[3];
    assert_eq!(commits(Commit { hop: 7, ..commit() }), Err(Malformed::Range), "beyond two passes");
    assert_eq!(commits(Commit { hop: 0, ..commit() }), Err(Malformed::Range));
    let unsorted = vec![member(2), member(1), member(3)];
    assert_eq!(commits(Commit { members: unsorted, ..commit() }), Err(Malformed::Order));
    let mut wide = commit();
    wide.entries[0].highest = Seq(1 << 30);
    assert_eq!(commits(wide), Err(Malformed::Range), "holds more than any window");
    let mut apart = commit();
    (apart.entries[1].stable, apart.entries[1].aru) = (Seq(5), Seq(5));
    assert_eq!(commits(apart), Err(Malformed::Range), "stable beyond another member's aru");
    let spans = |entry: usize, frees: &[FreeSpan]| {
        let mut commit = commit();
        commit.entries[entry].frees = frees.to_vec();
        commits(commit)
    };
    let span = |place, first, count| FreeSpan { place, first, count };
    assert_eq!(spans(1, &[span(1, 15, 7)]), Ok(()));
    assert_eq!(spans(1, &[span(1, 16, 7)]), Err(Malformed::Range), "more than under way");
    assert_eq!(spans(0, &[span(1, 7, 1), span(1, 8, 1)]), Err(Malformed::Order));
    for (place, first, count) in [(32, 1, 1), (0, 0, 1), (0, 1, 0), (0, 1, 17), (0, 1 << 37, 1)] {
        assert_eq!(spans(0, &[span(place, first, count)]), Err(Malformed::Range));
    }
    let mut last = commit();
    last.ring.epoch = Epoch::END;
    assert_eq!(commits(last), Err(Malformed::Range), "beyond the last epoch");
    let mut newer = commit();
    newer.entries[0].installed = RING;
    assert_eq!(commits(newer), Err(Malformed::Range), "comes from a ring that is not older");
    let joins = |join: Join| parse_all(&emit(&|out| join.emit(cluster(), out)))[2];
    let stranger = vec![NodeId(1)];
    assert_eq!(
        joins(Join { proc_set: stranger, fail_set: vec![], ..join() }),
        Err(Malformed::Range)
    );
    assert_eq!(joins(Join { fail_set: vec![NodeId(2)], ..join() }), Err(Malformed::Range));
    assert_eq!(joins(Join { mtu_bytes: 60, ..join() }), Err(Malformed::Range));
}

#[test]
fn bodies_that_do_not_fill_their_packet_are_refused() {
    let with = |content, body: &'static [u8]| {
        let mut data = data();
        (data.packet.content, data.packet.body) = (content, Bytes::from_static(body));
        data.packet.validate()
    };
    let messages = |count| Content::Messages { count };
    assert_eq!(with(messages(1), &[3, 0, b'a']), Err(Malformed::Truncated));
    assert_eq!(with(messages(1), &[0, 0, b'a']), Err(Malformed::Trailing));
    assert_eq!(with(messages(2), &[0, 0]), Err(Malformed::Truncated));
    assert_eq!(with(Content::Fragment(Fragment::First), &[]), Err(Malformed::Range));
    let last = |padding| Content::Fragment(Fragment::Last { padding });
    assert_eq!(with(last(1), b"abc\0"), Ok(()));
    assert_eq!(with(last(1), b"abcd"), Err(Malformed::Trailing), "no zero");
    assert_eq!(with(last(2), b"ab\0\0"), Err(Malformed::Trailing), "more than a quarter");
    assert_eq!(with(last(9), b"\0\0"), Err(Malformed::Range), "more than there is");
    assert_eq!(with(messages(1), &[0, 0]), Ok(()), "an empty message is a message");
    assert_eq!(with(messages(1), b"\x06\0messag\0\0"), Ok(()), "a little padding");
    assert_eq!(with(messages(1), b"\x01\0m\0\0"), Err(Malformed::Trailing), "more");
    assert_eq!(with(messages(1), b"\x06\0messag\x01"), Err(Malformed::Trailing), "no zero");
}

#[test]
fn what_leaves_without_the_token_is_reliable_or_fifo_and_names_what_is_before_it() {
    let frees = |change: &dyn Fn(&mut Free)| {
        let mut free = free();
        change(&mut free);
        let mut frame = Vec::new();
        free.emit_head(cluster(), &mut frame);
        frame.extend_from_slice(&free.free.packet.body);
        parse_all(&frame)[7]
    };
    let range = Err(Malformed::Range);
    assert_eq!(frees(&|free| free.free.packet.class = Service::Causal.into()), range);
    assert_eq!(frees(&|free| free.free.packet.class = Service::Reliable.into()), range, "no order");
    assert_eq!(frees(&|free| free.free.after = After::Number(13)), range, "itself");
    assert_eq!(frees(&|free| free.free.after = After::Place(Seq::ZERO)), range);
    assert_eq!(frees(&|free| free.number = 0), range);
    assert_eq!(frees(&|free| free.free.after = After::Place(Seq(80))), Ok(()));
    let claims = |claim: Claim| {
        let mut frame = Vec::new();
        claim.emit(cluster(), &mut frame);
        parse_all(&frame)[8]
    };
    assert_eq!(claims(Claim { first_seq: Seq::ZERO, ..claim() }), range);
    assert_eq!(claims(Claim { first_number: 0, ..claim() }), range);
    assert_eq!(claims(Claim { count: 0, ..claim() }), Err(Malformed::Count));
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse_all(&bytes);
    }

    /// Well-formed frames with some bytes changed reach deeper than noise does.
    #[test]
    fn damaged_frames_are_decoded_without_harm(
        kind in 0..9_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut frame = frames().swap_remove(kind);
        for (at, value) in damage {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        let _ = parse_all(&frame);
    }

    #[test]
    fn tokens_of_any_content_come_back(
        seq in 0..1_u64 << 36,
        members in prop::collection::vec((0..100_000_u64, 0..100_000_u64), 2..128),
        asked in prop::collection::vec((1..2_000_u64, 1..50_u16, 0..127_u8, any::<bool>()), 0..30),
    ) {
        let promise = |(behind, room): &(u64, u64)| {
            let aru = Seq(seq.saturating_sub(*behind));
            Promise { aru, ceiling: Seq(seq).plus(*room) }
        };
        let promises: Vec<Promise> = members.iter().map(promise).collect();
        let request = |(first, count, skip, held): &(u64, u16, u8, bool)| {
            Request { first: Seq(*first), count: *count, by: 1, skip: *skip, held: *held }
        };
        let requests = asked.iter().map(request).filter(|r| r.last().0 <= seq);
        let requests = requests.take(token::requests_max(promises.len())).collect();
        let token = Token { seq: Seq(seq), promises, requests, ..token() };
        let mut frame = Vec::new();
        token.emit(cluster(), &mut frame);
        prop_assert!(frame.len() <= frame_bytes_max(MTU_MIN_BYTES));
        let mut parsed = Token::with_capacity();
        prop_assert_eq!(parsed.parse_into(&frame, cluster()), Ok(()));
        prop_assert_eq!(parsed, token);
    }
}
