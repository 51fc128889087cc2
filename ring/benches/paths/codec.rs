//! One frame an iteration, to bytes or back.

use std::hint::black_box;

use bytes::Bytes;
use roundel_ring::id::NodeId;
use roundel_ring::seq::Seq;
use roundel_ring::wire::data::Data;
use roundel_ring::wire::token::{Promise, Request, Token};

use super::{RING, cluster, full_packet};

pub(super) fn data_head_emit() -> impl FnMut(u64) {
    let (data, mut head) = (data(), Vec::with_capacity(256));
    move |iterations| {
        for _ in 0..iterations {
            head.clear();
            black_box(&data).emit_head(cluster(), &mut head);
            black_box(&head);
        }
    }
}

pub(super) fn data_parse() -> impl FnMut(u64) {
    let (data, mut head) = (data(), Vec::new());
    data.emit_head(cluster(), &mut head);
    let frame = Bytes::from([&head[..], &data.packet.body].concat());
    assert_eq!(Data::parse(&frame, cluster()), Ok(data));
    move |iterations| {
        for _ in 0..iterations {
            let _ = black_box(Data::parse(black_box(&frame), cluster()));
        }
    }
}

pub(super) fn token_emit() -> impl FnMut(u64) {
    let (token, mut out) = (token(), Vec::with_capacity(1_500));
    move |iterations| {
        for _ in 0..iterations {
            out.clear();
            black_box(&token).emit(cluster(), &mut out);
            black_box(&out);
        }
    }
}

pub(super) fn token_parse() -> impl FnMut(u64) {
    let (token, mut parsed, mut frame) = (token(), Token::with_capacity(), Vec::new());
    token.emit(cluster(), &mut frame);
    assert_eq!(parsed.parse_into(&frame, cluster()), Ok(()));
    assert_eq!(parsed, token);
    move |iterations| {
        for _ in 0..iterations {
            let _ = black_box(parsed.parse_into(black_box(&frame), cluster()));
        }
    }
}

fn data() -> Data {
    Data {
        transmitter: NodeId(1),
        ring: RING,
        seq: Seq(1_000),
        hop: 77,
        post_token: false,
        packet: full_packet(),
    }
}

fn token() -> Token {
    let mut token = Token::with_capacity();
    (token.sender, token.ring, token.seq) = (NodeId(1), RING, Seq(1_000));
    token.promises = vec![Promise { aru: Seq(990), ceiling: Seq(9_000) }; 3];
    token.requests = vec![Request { first: Seq(991), count: 2, by: 1, skip: 0, held: false }; 4];
    token
}
