//! Data frames: whole, in order, counted.

use std::io::Write as _;
use std::process::Command;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use roundel_transport::{
    Destination, Faults, Interface, KernelDrops, Mode, Settings, Wanted, open,
};

use crate::support::{
    Way, assert_is, assert_silent, contents, links, pair, receive, send, settings, until,
};

const GROUP: Destination = Destination::Group;

pub(crate) fn a_multicast_reaches_all_others_and_not_its_sender(way: Way) {
    let mut links = links(&settings(way), 3);
    send(&mut links[0], GROUP, 1, 100);
    links[0].flush();
    let from = links[0].own_address();
    for link in &mut links[1..] {
        let frames = receive(link, 1);
        assert_is(&frames[0], 1, 100);
        assert_eq!(frames[0].from, from);
    }
    assert_silent(&mut links[0]);
    // The loopback interface gives everything back; the link leaves it out.
    assert_eq!(links[0].counters().own_datagrams, 1);
}

/// Sends batches of frames of one size and compares what comes; (sent, received) datagrams.
fn batches(settings: &Settings, bytes: usize) -> (u64, u64) {
    const BATCHES: u32 = 40;
    const BATCH: u32 = 64;
    let (mut a, mut b) = pair(settings);
    for batch in 0..BATCHES {
        let numbers = batch * BATCH..(batch + 1) * BATCH;
        for number in numbers.clone() {
            send(&mut a, GROUP, number, bytes);
        }
        a.flush();
        for (number, frame) in numbers.zip(receive(&mut b, BATCH as usize)) {
            assert_is(&frame, number, bytes);
        }
    }
    let (sent, received) = (a.counters(), b.counters());
    let frames = u64::from(BATCHES * BATCH);
    assert_eq!((sent.sent_frames, received.received_frames), (frames, frames));
    assert_eq!(sent.sent_bytes, frames * bytes as u64);
    assert_eq!(received.received_bytes, sent.sent_bytes);
    assert_eq!((sent.dropped_frames, sent.segmenting_refused), (0, 0));
    assert_eq!(received.copied_datagrams, 0, "handed out as slices");
    (sent.sent_datagrams, received.received_datagrams)
}

pub(crate) fn frames_come_whole_and_in_order_with_super_packets(way: Way) {
    assert_eq!(batches(&settings(way), 1000), (40, 40), "64 frames in each");
    // Seven frames of this size are in one datagram: 64 are ten of them.
    assert_eq!(batches(&settings(way), 8972), (400, 400));
}

pub(crate) fn frames_come_whole_and_in_order_without_super_packets(way: Way) {
    let mut settings = settings(way);
    settings.gso = false;
    settings.gro = false;
    assert_eq!(batches(&settings, 1350), (40 * 64, 40 * 64));
}

pub(crate) fn super_packets_are_taken_apart_by_the_kernel_where_gro_is_off(way: Way) {
    let mut settings = settings(way);
    settings.gro = false;
    assert_eq!(batches(&settings, 1000), (40, 40 * 64));
}

pub(crate) fn frames_of_all_sizes_come_whole(way: Way) {
    let (mut a, mut b) = pair(&settings(way));
    let sizes = [1, 8972, 8972, 4, 12, 13, 8971, 8971, 1, 1, 64, 64, 63, 64, 1350];
    for (number, bytes) in (0..).zip(sizes) {
        send(&mut a, GROUP, number, bytes);
    }
    // A head without a body, and the other way round.
    a.send(GROUP, &contents(90, 50), Bytes::new());
    a.send(GROUP, b"", contents(91, 50).into());
    a.flush();
    let frames = receive(&mut b, sizes.len() + 2);
    for (number, (bytes, frame)) in (0..).zip(sizes.iter().zip(&frames)) {
        assert_is(frame, number, *bytes);
    }
    assert_is(&frames[sizes.len()], 90, 50);
    assert_is(&frames[sizes.len() + 1], 91, 50);
    // What no datagram carries is given up.
    a.send(GROUP, b"", Bytes::new());
    a.send(GROUP, b"", vec![0; 65_508].into());
    a.flush();
    assert_eq!(a.counters().dropped_frames, 2);
    assert_silent(&mut b);
}

pub(crate) fn a_burst_larger_than_every_buffer_comes_whole_while_it_is_taken(way: Way) {
    const FRAMES: u32 = 30_000;
    const IN_FLIGHT_MAX: u32 = 3_000;
    let mut settings = settings(way);
    settings.memory.buffers_bytes = 16 << 20;
    let (mut a, mut b) = pair(&settings);
    let (mut sent, mut received) = (0, 0);
    until(|| {
        while sent < FRAMES && sent < received + IN_FLIGHT_MAX {
            // More than fits into the outbox goes out without a flush.
            send(&mut a, GROUP, sent, 1350);
            sent += 1;
        }
        a.flush();
        b.receive(Instant::now());
        while let Some(frame) = b.data() {
            assert_is(&frame, received, 1350);
            received += 1;
        }
        received == FRAMES
    });
    assert_eq!(b.kernel_drops(), KernelDrops::default());
    // More than the outbox and the receive memory have room for.
    assert_eq!(b.counters().received_bytes, u64::from(FRAMES) * 1350);
    assert_eq!(b.counters().copied_datagrams, 0);
}

pub(crate) fn bodies_are_free_again_after_a_flush(way: Way) {
    let (mut a, _b) = pair(&settings(way));
    let body = Bytes::from(vec![7; 1000]);
    a.send(GROUP, b"head", body.clone());
    assert!(!body.is_unique(), "the link shares it");
    a.flush();
    assert!(body.is_unique(), "the kernel is done with it");
}

pub(crate) fn a_frame_longer_than_agreed_is_given_up(way: Way) {
    let mut short = settings(way);
    short.gro = false;
    short.frame_bytes_max = 1000;
    let mut b = open(&short).unwrap().data;
    short.frame_bytes_max = 8972;
    short.gso = false;
    let mut a = open(&short).unwrap().data;
    send(&mut a, GROUP, 1, 1001);
    send(&mut a, GROUP, 2, 1000);
    a.flush();
    assert_is(&receive(&mut b, 1)[0], 2, 1000);
    assert_eq!(b.counters().truncated_datagrams, 1);
}

pub(crate) fn kernel_drops_are_counted_exactly(way: Way) {
    const FRAMES: u32 = 900;
    let mut settings = settings(way);
    settings.gso = false;
    settings.gro = false;
    settings.receive_buffer_bytes = 128 << 10;
    settings.memory.buffers_bytes = 0;
    settings.memory.copies_bytes = 0;
    let (mut a, mut b) = pair(&settings);
    for number in 0..FRAMES {
        send(&mut a, GROUP, number, 8000);
    }
    a.flush();
    assert_eq!(a.counters().sent_datagrams, u64::from(FRAMES));
    // Nothing is held, so that every slot is used again.
    let mut received = 0;
    while b.receive(Instant::now()) > 0 {
        received += std::iter::from_fn(|| b.data()).count();
    }
    let drops = b.kernel_drops();
    assert!(drops.data > 0, "the buffer is too small for all of it");
    assert_eq!(received + drops.data as usize, FRAMES as usize);
    assert_eq!((drops.token, a.kernel_drops().token), (0, 0));
}

pub(crate) fn unicast_goes_to_every_peer_and_not_back(way: Way) {
    let mut settings = settings(way);
    settings.mode = Mode::Unicast;
    let mut links = links(&settings, 3);
    let all: Vec<_> = links.iter().map(|link| link.own_address()).collect();
    links[0].set_peers(&all);
    for number in 0..10 {
        send(&mut links[0], GROUP, number, 500);
    }
    links[0].send(Destination::Member(all[2]), b"token", Bytes::new());
    links[0].flush();
    for link in &mut links[1..] {
        for (number, frame) in (0..).zip(receive(link, 10)) {
            assert_is(&frame, number, 500);
            assert_eq!(frame.from, all[0]);
        }
    }
    // Data and tokens come in the order they were sent in, on one socket.
    assert_eq!(receive(&mut links[2], 1)[0].bytes, b"token"[..]);
    assert_silent(&mut links[0]);
    assert_eq!(links[0].counters().sent_datagrams, 3, "one to each peer, and the token");

    links[0].set_peers(&all[..2]);
    send(&mut links[0], GROUP, 99, 500);
    links[0].flush();
    assert_is(&receive(&mut links[1], 1)[0], 99, 500);
    assert_silent(&mut links[2]);
}

/// Runs `test` in a network of its own, made by calls of `ip` with these arguments.
fn in_a_network(name: &str, commands: &[&str], test: impl FnOnce() + Send) {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|error| format!("a network namespace needs root: {error}"))?;
        for command in commands {
            match Command::new("ip").args(command.split(' ')).status() {
                Ok(status) if status.success() => {}
                other => return Err(format!("ip {command} fails: {other:?}; install iproute2")),
            }
        }
        Ok(())
    };
    let inside = || make().map(|()| test());
    // Only this thread moves to the new namespace, and it ends with it.
    let result = thread::scope(|scope| scope.spawn(inside).join());
    if let Err(reason) = result.unwrap() {
        let _ = writeln!(std::io::stderr(), "{name} skipped: {reason}");
    }
}

pub(crate) fn members_of_one_host_hear_each_other_as_asked(way: Way) {
    let network = [
        "link set lo up",
        "link add there type veth peer name here",
        "link set there up",
        "link set here mtu 1600 up",
        "address add 10.99.0.1/24 dev here",
    ];
    in_a_network("members_of_one_host_hear_each_other_as_asked", &network, || {
        let mut settings = settings(way);
        settings.interface = Interface::choose(&Wanted::Any).unwrap();
        assert_eq!(settings.interface.name, "here", "rather than loopback");
        assert_eq!(settings.interface.mtu_bytes, 1600);
        settings.multicast_loop = true;
        let mut heard = open(&settings).unwrap().data;
        settings.multicast_loop = false;
        let mut silent = open(&settings).unwrap().data;
        for number in 0..10 {
            send(&mut heard, GROUP, number, 1500);
            send(&mut silent, GROUP, number, 1500);
        }
        heard.flush();
        silent.flush();
        // There is no route to the group, and none is needed.
        assert_eq!((heard.counters().sent_frames, silent.counters().sent_frames), (10, 10));
        for (number, frame) in (0..).zip(receive(&mut silent, 10)) {
            assert_is(&frame, number, 1500);
        }
        assert_silent(&mut heard);
    });
}

pub(crate) fn a_refused_super_packet_goes_frame_by_frame(way: Way) {
    let name = "a_refused_super_packet_goes_frame_by_frame";
    in_a_network(name, &["link set lo up mtu 2000"], || {
        let mut settings = settings(way);
        let lo = Interface::choose(&Wanted::Any).unwrap();
        assert_eq!((lo.name.as_str(), lo.mtu_bytes), ("lo", 2000));
        settings.interface = lo;
        // As if the MTU had shrunk after the start.
        settings.interface.mtu_bytes = 9000;
        let (mut a, mut b) = pair(&settings);
        for number in 0..3 {
            send(&mut a, GROUP, number, 1000);
        }
        for number in 3..6 {
            send(&mut a, GROUP, number, 4000);
        }
        a.flush();
        for (number, frame) in (0..).zip(receive(&mut b, 3)) {
            assert_is(&frame, number, 1000);
        }
        let counters = a.counters();
        assert_eq!(counters.dropped_frames, 3, "too long alone, too");
        assert_eq!(counters.last_send_errno, Errno::EMSGSIZE as i32);
        assert_eq!(counters.sent_frames, 3);
    });
}

pub(crate) fn faults_hit_a_real_link(way: Way) {
    let mut settings = settings(way);
    settings.gso = false;
    let (mut a, mut b) = pair(&settings);
    let lossy = Faults { loss: 0.5, ..Faults::default() };
    b.impair(1, lossy);
    for number in 0..500 {
        send(&mut a, GROUP, number, 100);
    }
    a.flush();
    until(|| {
        b.receive(Instant::now());
        b.counters().received_frames == 500
    });
    let received = std::iter::from_fn(|| b.data()).count() as u64;
    let hit = b.impairment().unwrap().hit();
    assert_eq!((hit.frames, received), (500, 500 - hit.lost));
    assert!((150..350).contains(&hit.lost), "{hit:?}");
}

pub(crate) fn a_port_can_be_bound_again_at_once(way: Way) {
    let mut settings = settings(way);
    let first = open(&settings).unwrap().data;
    settings.unicast_port = Some(first.own_address().port());
    drop(first);
    for number in 0..20 {
        let mut b = open(&settings).unwrap().data;
        assert_eq!(Some(b.own_address().port()), settings.unicast_port);
        let mut other = settings.clone();
        other.unicast_port = Some(0);
        let mut a = open(&other).unwrap().data;
        send(&mut a, GROUP, number, 100);
        a.flush();
        assert_is(&receive(&mut b, 1)[0], number, 100);
    }
}
