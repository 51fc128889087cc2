//! Memory: of one frame, and of a member under a flood of whatever a host on the network can send.

use allocation_counter::measure;
use bytes::Bytes;
use roundel_ring::id::{Epoch, NodeId, RingId};
use roundel_ring::wire::beacon::Beacon;
use roundel_ring::wire::join::Join;
use roundel_ring::wire::token::Token;
use roundel_ring::wire::{Header, Kind, MEMBERS_MAX};
use std::time::Duration;

use crate::cluster::Cluster;
use crate::decoders::decode;
use crate::frames::{KINDS, changed, cluster, lie, real};
use crate::input::{Input, Random};
use crate::member::{MTU_BYTES, Socket, endpoint, params};

/// Frames of a flood.
const FLOOD: usize = 100_000;

/// Whatever counts a frame claims, reading it takes no more than twice its length.
#[test]
fn one_frame() {
    for kind in KINDS {
        for claimed in [1, 127, 128, 129, 255] {
            for length in [0, 1, 40, 300, 9_000] {
                let mut frame = Vec::new();
                Header { kind, sender: NodeId(1) }.emit(cluster(), &mut frame);
                frame.resize(frame.len() + length, claimed);
                let (frame, mut token) = (Bytes::from(frame), Token::with_capacity());
                let used = measure(|| drop(decode(&frame, &mut token)));
                let bound = 2 * frame.len() as u64 + 256;
                assert!(used.bytes_max <= bound, "{kind:?} of {} bytes: {used:?}", frame.len());
            }
        }
    }
}

/// A frame of a flood: noise, damage, lies, and well-formed joins and beacons of members that do
/// not exist.
fn flooding(random: &mut Random, scratch: &mut Vec<u8>) -> (Socket, Bytes) {
    random.fill(scratch, 64);
    let sender = NodeId(random.next() as u32);
    let frame = &real()[random.next() as usize % real().len()];
    let mut input = Input::new(scratch);
    let mut out = Vec::new();
    match random.next() % 6 {
        0 => out.extend_from_slice(scratch),
        1 => out.extend_from_slice(&changed(frame, &mut input)),
        2 => out.extend_from_slice(&lie(frame, &mut input)),
        3 => {
            let ring = RingId::new(Epoch(random.next() >> 10), sender);
            let incarnation = Epoch(ring.epoch.0 / 2);
            let heard = (0..MEMBERS_MAX as u32).map(NodeId).collect();
            Beacon { sender, incarnation, ring, heard }.emit(cluster(), &mut out);
        }
        choice => {
            let mut proc_set = vec![NodeId(1), sender];
            proc_set.sort_unstable();
            proc_set.dedup();
            let fail_set = if choice == 4 { vec![NodeId(1)] } else { vec![] };
            let (incarnation, mtu_bytes) = (Epoch(1), MTU_BYTES as u16);
            let endpoint = endpoint(NodeId(2));
            let (epoch, leaving) = (Epoch(random.next() >> 16), false);
            let join = Join {
                sender,
                incarnation,
                endpoint,
                mtu_bytes,
                epoch,
                leaving,
                proc_set,
                fail_set,
            };
            join.emit(cluster(), &mut out);
        }
    }
    let header = Header::parse(&mut &out[..], cluster());
    let socket = match header.map(|header| header.kind) {
        Ok(Kind::Data | Kind::HoldCancel | Kind::Free | Kind::Claim) => Socket::Data,
        Ok(Kind::Token) => Socket::Token,
        _ => Socket::Control,
    };
    (socket, out.into())
}

/// Floods one member of three; yields the bytes it took at most, and what it kept.
fn flood(cluster: &mut Cluster, random: &mut Random) -> (u64, i64) {
    let mut scratch = Vec::new();
    let used = measure(|| {
        for number in 0..FLOOD {
            let (socket, frame) = flooding(random, &mut scratch);
            let now = cluster.now();
            let member = cluster.member(0);
            member.receive(socket, frame);
            if number % 16 == 0 {
                member.cycle(now);
                cluster.rounds(1, Duration::from_micros(200));
            }
        }
        cluster.rounds(1, Duration::from_micros(200));
    });
    (used.bytes_max, used.bytes_current)
}

#[test]
fn a_flood_of_garbage() {
    let mut cluster = Cluster::new();
    assert!(cluster.form(), "no ring");
    let mut random = Random::new(7);
    let first = flood(&mut cluster, &mut random);
    let second = flood(&mut cluster, &mut random);
    println!("most and kept in bytes: {first:?}, then {second:?}");
    // Windows of packets as long as the MTU, for three members, and for a ring that is recovered;
    // 512 peers and a gather of 128 members that names 128 members twice, for each.
    let window = 2 * params().window_packets * MTU_BYTES;
    let bound = 3 * (window + 512 * 128 + MEMBERS_MAX * (2 * 4 * MEMBERS_MAX + 256));
    assert!(first.0 < bound as u64 && second.0 < bound as u64, "bound {bound}");
    assert!(second.1 < 64 << 10, "the second flood leaves nothing behind");
}
