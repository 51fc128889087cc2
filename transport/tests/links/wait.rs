//! Waiting and waking.

use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use roundel_transport::{Destination, Io};

use crate::support::{assert_is, assert_silent, links, pair, receive, send, settings, until};

pub(crate) fn a_frame_ends_a_wait(io: Io) {
    let (mut a, mut b) = pair(&settings(io));
    let to_b = Destination::Member(b.own_address());
    for number in 0..40 {
        // By turns on the data socket and on the token's, before the wait and during it.
        let to = [Destination::Group, to_b][number as usize % 2];
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                if number % 4 > 1 {
                    thread::sleep(Duration::from_millis(2));
                }
                send(&mut a, to, number, 100);
                a.flush();
            });
            until(|| {
                b.wait(None);
                b.receive(Instant::now()) > 0
            });
            sender.join().unwrap();
        });
        let frame = b.data().or_else(|| b.token()).unwrap();
        assert_is(&frame, number, 100);
    }
}

pub(crate) fn a_wake_ends_a_wait_also_when_it_came_before(io: Io) {
    let mut link = links(&settings(io), 1).remove(0);
    let waker = link.waker();
    waker.wake();
    waker.wake();
    link.wait(None);
    for _ in 0..20 {
        let waker = waker.clone();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(1));
            waker.wake();
        });
        link.wait(None);
        other.join().unwrap();
        // The wait may have ended early; the wake is then still to be seen.
        link.wait(Some(Duration::ZERO));
    }
    assert_silent(&mut link);
}

pub(crate) fn a_wait_ends_by_itself(io: Io) {
    let mut link = links(&settings(io), 1).remove(0);
    link.wait(Some(Duration::from_millis(3)));
    link.wait(Some(Duration::from_micros(200)));
    link.wait(Some(Duration::ZERO));
    assert_silent(&mut link);
}

pub(crate) fn a_link_moves_to_another_thread(io: Io) {
    let (mut a, mut b) = pair(&settings(io));
    let receiver = thread::spawn(move || {
        let frames = receive(&mut b, 100);
        (b, frames)
    });
    for number in 0..100 {
        send(&mut a, Destination::Group, number, 900);
    }
    a.flush();
    let (b, frames) = receiver.join().unwrap();
    // The link ends on another thread than it worked on, and what it received outlives it.
    drop(b);
    for (number, frame) in (0..).zip(&frames) {
        assert_is(frame, number, 900);
    }
}

pub(crate) fn the_descriptors_tell_that_there_is_something(io: Io) {
    let (mut a, mut b) = pair(&settings(io));
    assert_silent(&mut b);
    for number in 0..10 {
        send(&mut a, Destination::Group, number, 100);
        a.flush();
        let mut fds: Vec<_> =
            b.fds().into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let ready = poll(&mut fds, PollTimeout::from(10_000_u16)).unwrap();
        assert!(ready > 0);
        assert_is(&receive(&mut b, 1)[0], number, 100);
    }
}
