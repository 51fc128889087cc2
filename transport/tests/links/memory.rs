//! The network in memory.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel_transport::{ControlLink, DataLink, Destination, Faults, IoInUse, Network};

use crate::support::{assert_is, assert_silent, receive, receive_token, send};

fn members(network: &Network, count: u8) -> Vec<(DataLink, ControlLink)> {
    let address = |last| SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, last), 7401);
    (1..=count).map(|last| network.join(address(last)).unwrap()).collect()
}

#[test]
fn data_reaches_all_others_and_tokens_one() {
    let mut members = members(&Network::new(), 3);
    let last = members[2].0.own_address();
    for number in 0..2000 {
        send(&mut members[0].0, Destination::Group, number, 40);
    }
    send(&mut members[0].0, Destination::Member(last), 7, 40);
    members[0].0.flush();
    for (data, _) in &mut members[1..] {
        for (number, frame) in (0..).zip(receive(data, 2000)) {
            assert_is(&frame, number, 40);
        }
    }
    assert_is(&receive_token(&mut members[2].0), 7, 40);
    assert_silent(&mut members[0].0);
    assert_eq!(members[0].0.io(), IoInUse::Memory);
}

#[test]
fn control_reaches_all_others_and_one() {
    let mut members = members(&Network::new(), 3);
    let to_last = Destination::Member(members[2].1.own_address());
    members[0].1.send(Destination::Group, b"join");
    members[0].1.send(to_last, b"commit");
    let mut frame = Vec::new();
    let now = Instant::now();
    for index in [1, 2] {
        assert!(members[index].1.receive(now, &mut frame).is_some());
        assert_eq!(frame, b"join");
    }
    assert!(members[2].1.receive(now, &mut frame).is_some());
    assert_eq!(frame, b"commit");
    assert_eq!(members[0].1.receive(now, &mut frame), None);
}

#[test]
fn frames_and_wakes_end_waits() {
    let mut members = members(&Network::new(), 2);
    send(&mut members[0].0, Destination::Group, 1, 10);
    members[0].0.flush();
    members[0].1.send(Destination::Group, b"join");
    members[1].0.wait(None);
    members[1].1.wait(None);
    members[1].0.waker().wake();
    members[1].0.wait(None);
    members[0].0.wait(Some(Duration::from_millis(1)));
}

#[test]
fn an_address_is_free_again_when_its_links_are_gone() {
    let network = Network::new();
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    let links = network.join(address).unwrap();
    assert!(network.join(address).is_err());
    drop(links);
    network.join(address).unwrap();
}

#[test]
fn a_link_that_does_not_receive_loses_what_is_too_much() {
    let network = Network::new();
    let mut members = members(&network, 2);
    for number in 0..20_000 {
        send(&mut members[0].0, Destination::Group, number, 10);
    }
    members[0].0.flush();
    assert_eq!(network.dropped_frames(), 20_000 - 16_384);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = |seed| {
        let mut members = members(&Network::new(), 3);
        let start = Instant::now();
        let faults = Faults {
            loss: 0.1,
            duplicate: 0.1,
            reorder: 0.1,
            held_back: Duration::from_millis(3),
            jitter: Duration::from_micros(100),
            ..Faults::default()
        };
        members[2].0.impair(seed, faults);
        let mut seen = Vec::new();
        for step in 0..300_u32 {
            let now = start + Duration::from_micros(50) * step;
            for sender in [0, 1] {
                let body = Bytes::copy_from_slice(&step.to_le_bytes());
                members[sender].0.send(Destination::Group, b"", body);
                members[sender].0.flush();
            }
            members[2].0.receive(now);
            seen.extend(std::iter::from_fn(|| members[2].0.data()));
        }
        seen
    };
    let first = history(5);
    assert_eq!(first, history(5));
    assert_ne!(first, history(6));
    assert!(first.len() > 500);
}
