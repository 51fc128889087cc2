//! Control frames.

use std::time::{Duration, Instant};

use roundel_transport::{ControlLink, Destination, Faults, Io, Mode, Settings, open};

use crate::support::{Way, contents, settings, until};

fn links(settings: &Settings, count: usize) -> Vec<ControlLink> {
    (0..count).map(|_| open(settings).unwrap().control).collect()
}

#[track_caller]
fn receive(link: &mut ControlLink) -> (Vec<u8>, std::net::SocketAddrV4) {
    let (mut frame, mut from) = (Vec::new(), None);
    until(|| {
        from = link.receive(Instant::now(), &mut frame);
        from.is_some()
    });
    (frame, from.unwrap())
}

fn settings_in(mode: Option<Mode>) -> Settings {
    let mut settings = settings(Way::udp(Io::Mmsg));
    settings.mode = mode.unwrap_or(settings.mode);
    settings
}

fn reaches_all_others(mode: Option<Mode>) {
    let mut links = links(&settings_in(mode), 3);
    let all: Vec<_> = links.iter().map(ControlLink::own_address).collect();
    for link in &mut links {
        link.set_peers(&all);
    }
    // Longer than any MTU: control may be fragmented.
    let join = contents(1, 60_000);
    links[0].send(Destination::Group, &join);
    links[1].send(Destination::Member(all[2]), b"commit");
    links[2].send(Destination::Member(all[2]), b"to myself");
    assert_eq!(receive(&mut links[1]), (join.clone(), all[0]));
    let mut frame = Vec::new();
    assert_eq!(links[1].receive(Instant::now(), &mut frame), None);
    let mut received: Vec<_> = (0..3).map(|_| receive(&mut links[2])).collect();
    received.sort();
    let mut expected =
        vec![(join, all[0]), (b"commit".to_vec(), all[1]), (b"to myself".to_vec(), all[2])];
    expected.sort();
    assert_eq!(received, expected);
    assert_eq!(links[0].receive(Instant::now(), &mut frame), None, "not its own");
}

#[test]
fn control_reaches_all_others_by_multicast() {
    reaches_all_others(None);
}

#[test]
fn control_reaches_all_others_by_unicast() {
    reaches_all_others(Some(Mode::Unicast));
}

#[test]
fn a_control_frame_or_a_wake_ends_a_wait() {
    let mut links = links(&settings_in(None), 2);
    let waker = links[1].waker();
    waker.wake();
    links[1].wait(None);
    links[0].send(Destination::Group, b"join");
    until(|| {
        links[1].wait(None);
        links[1].receive(Instant::now(), &mut Vec::new()).is_some()
    });
    links[1].wait(Some(Duration::from_millis(1)));
}

#[test]
fn control_frames_meet_faults() {
    let mut links = links(&settings_in(None), 2);
    let delayed = Faults { delay: Duration::from_millis(50), ..Faults::default() };
    links[1].impair(1, delayed);
    let from = links[0].own_address();
    links[0].send(Destination::Group, b"late");
    let mut frame = Vec::new();
    let start = Instant::now();
    until(|| {
        assert_eq!(links[1].receive(start, &mut frame), None, "not yet");
        links[1].impairment().unwrap().hit().frames == 1
    });
    assert_eq!(links[1].receive(start + delayed.delay, &mut frame), Some(from));
    assert_eq!(frame, b"late");
    links[1].impairment().unwrap().set(from, Some(Faults::CUT));
    links[0].send(Destination::Group, b"lost");
    until(|| {
        links[1].receive(Instant::now(), &mut frame);
        links[1].impairment().unwrap().hit().lost == 1
    });
}

#[test]
fn a_frame_that_cannot_be_sent_is_counted() {
    let mut links = links(&settings_in(None), 1);
    links[0].send(Destination::Group, &vec![0; 70_000]);
    let counters = links[0].counters();
    assert_eq!((counters.sent_frames, counters.dropped_frames), (0, 1));
    assert_eq!(counters.last_send_errno, nix::errno::Errno::EMSGSIZE as i32);
}
