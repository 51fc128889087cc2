//! Tokens after data, and memory that received frames keep.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use roundel_transport::{Destination, MemoryBounds, SocketKind};

use crate::support::{Way, assert_is, links, pair, receive, receive_token, send, settings, until};

const GROUP: Destination = Destination::Group;

pub(crate) fn a_token_comes_after_the_data_sent_before_it(way: Way) {
    let (mut a, mut b) = pair(&settings(way));
    let to_b = Destination::Member(b.own_address());
    for round in 0..50 {
        for number in 0..round {
            send(&mut a, GROUP, number, 700);
        }
        send(&mut a, to_b, 1000 + round, 200);
        a.flush();
        let mut data = 0;
        until(|| {
            b.receive(Instant::now());
            while let Some(frame) = b.data() {
                assert_is(&frame, data, 700);
                data += 1;
            }
            b.token().is_some_and(|token| {
                assert_is(&token, 1000 + round, 200);
                true
            })
        });
        assert_eq!(data, round, "all data was there before the token");
    }
}

pub(crate) fn a_token_comes_after_a_burst_from_others(way: Way) {
    // More than one receive takes, from two, before the token of a third.
    const FRAMES: u32 = 2_500;
    let mut links = links(&settings(way), 4);
    let to_last = Destination::Member(links[3].own_address());
    for link in &mut links[..2] {
        for number in 0..FRAMES {
            send(link, GROUP, number, 64);
        }
        link.flush();
    }
    send(&mut links[2], to_last, 7, 100);
    links[2].flush();
    let (mut data, last) = (0, &mut links[3]);
    until(|| {
        last.receive(Instant::now());
        // As the data half does: some data a round, then tokens.
        for _ in 0..500 {
            data += u32::from(last.data().is_some());
        }
        last.token().is_some()
    });
    assert_eq!(data, 2 * FRAMES);
}

pub(crate) fn a_token_never_passes_data_while_both_arrive(way: Way) {
    const ROUNDS: u32 = 4_000;
    const IN_FLIGHT_MAX: u32 = 20;
    let (mut a, mut b) = pair(&settings(way));
    let to_b = Destination::Member(b.own_address());
    let rounds_seen = Arc::new(AtomicU32::new(0));
    let seen_by_sender = Arc::clone(&rounds_seen);
    let sender = thread::spawn(move || {
        let mut data = 0;
        for round in 0..ROUNDS {
            until(|| round < seen_by_sender.load(Ordering::Relaxed) + IN_FLIGHT_MAX);
            for _ in 0..round % 5 {
                send(&mut a, GROUP, data, 100);
                data += 1;
            }
            send(&mut a, to_b, data, 40);
            a.flush();
        }
    });
    let (mut rounds, mut data) = (0, 0);
    until(|| {
        b.receive(Instant::now());
        while let Some(frame) = b.data() {
            assert_is(&frame, data, 100);
            data += 1;
        }
        while let Some(token) = b.token() {
            let before = u32::from_le_bytes(token.bytes[..4].try_into().unwrap());
            assert!(data >= before, "a token after {before} frames came after {data}");
            rounds += 1;
            rounds_seen.store(rounds, Ordering::Relaxed);
        }
        rounds == ROUNDS
    });
    sender.join().unwrap();
}

pub(crate) fn a_member_can_send_itself_a_token(way: Way) {
    let mut link = links(&settings(way), 1).remove(0);
    for number in 0..100 {
        let own = link.own_address();
        send(&mut link, Destination::Member(own), number, 300);
        link.flush();
        let token = receive_token(&mut link);
        assert_is(&token, number, 300);
        assert_eq!(token.from, own);
    }
}

pub(crate) fn frames_stay_whole_while_they_are_held(way: Way) {
    const FRAMES: u32 = 10_000;
    let (mut a, mut b) = pair(&settings(way));
    let mut held = Vec::new();
    for first in (0..FRAMES).step_by(500) {
        for number in first..first + 500 {
            send(&mut a, GROUP, number, 600);
        }
        a.flush();
        held.extend(receive(&mut b, 500));
    }
    for (number, frame) in (0..).zip(&held) {
        assert_is(frame, number, 600);
    }
    if way.socket != SocketKind::Udp {
        return;
    }
    // A super-packet's frames lie side by side in one buffer.
    let neighbours = held.windows(2).filter(|pair| {
        let [first, second] = pair else { unreachable!() };
        first.bytes.as_ptr_range().end == second.bytes.as_ptr()
    });
    assert!(neighbours.count() > held.len() * 9 / 10);
}

pub(crate) fn when_all_memory_is_held_receiving_stops_and_goes_on_later(way: Way) {
    let mut settings = settings(way);
    settings.memory = MemoryBounds { buffers_bytes: 1 << 20, copies_bytes: 1 << 20 };
    let (mut a, mut b) = pair(&settings);
    let mut held = Vec::new();
    let mut sent = 0;
    until(|| {
        if b.counters().stalls == 0 {
            for _ in 0..64 {
                send(&mut a, GROUP, sent, 1000);
                sent += 1;
            }
            a.flush();
        }
        b.receive(Instant::now());
        held.extend(std::iter::from_fn(|| b.data()));
        b.counters().stalls > 0
    });
    let held_bytes: usize = held.iter().map(|frame| frame.bytes.len()).sum();
    // Both bounds, the buffers being received into, and one super-packet more for each of those.
    assert!(held_bytes < 32 << 20, "{held_bytes} bytes are held");
    assert!(b.counters().copied_datagrams > 0);
    for (number, frame) in (0..).zip(&held) {
        assert_is(frame, number, 1000);
    }
    // A wait does not spin meanwhile, and does not last either.
    b.wait(None);
    // What has come meanwhile is in the kernel, and nothing of it is lost.
    let first = u32::try_from(held.len()).unwrap();
    held.clear();
    for (number, frame) in (first..sent).zip(receive(&mut b, (sent - first) as usize)) {
        assert_is(&frame, number, 1000);
    }
    // With nothing held nothing is copied any more.
    let copied = b.counters().copied_datagrams;
    for number in 0..2000 {
        send(&mut a, GROUP, number, 1000);
        a.flush();
        assert_is(&receive(&mut b, 1)[0], number, 1000);
    }
    assert_eq!((b.counters().copied_datagrams, b.kernel_drops().data), (copied, 0));
}

pub(crate) fn frames_may_be_dropped_on_another_thread(way: Way) {
    const FRAMES: u32 = 40_000;
    let mut settings = settings(way);
    settings.memory.buffers_bytes = 4 << 20;
    let (mut a, mut b) = pair(&settings);
    let (to_application, application) = mpsc::sync_channel::<(u32, Bytes)>(1000);
    let consumer = thread::spawn(move || {
        application
            .into_iter()
            .inspect(|(number, bytes)| {
                assert!(*bytes == crate::support::contents(*number, 500), "frame {number}");
            })
            .count()
    });
    for first in (0..FRAMES).step_by(250) {
        for number in first..first + 250 {
            send(&mut a, GROUP, number, 500);
        }
        a.flush();
        for (number, frame) in (first..).zip(receive(&mut b, 250)) {
            to_application.send((number, frame.bytes)).unwrap();
        }
    }
    drop(to_application);
    assert_eq!(consumer.join().unwrap(), FRAMES as usize);
}
