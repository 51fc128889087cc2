//! Waiting and waking.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use roundel_transport::{Destination, Io, IoInUse};

use crate::support::{Way, assert_is, assert_silent, links, pair, receive, send, settings, until};

pub(crate) fn a_frame_ends_a_wait(way: Way) {
    let (mut a, mut b) = pair(&settings(way));
    let to_b = Destination::Member(b.own_address());
    let (to_sender, numbers) = mpsc::channel::<u32>();
    let sender = thread::spawn(move || {
        for number in numbers {
            // Before the wait and during it, by turns on the data socket and on the token's.
            if number % 4 > 1 {
                thread::sleep(Duration::from_millis(2));
            }
            let to = [Destination::Group, to_b][number as usize % 2];
            send(&mut a, to, number, 100);
            a.flush();
        }
    });
    for number in 0..40 {
        to_sender.send(number).unwrap();
        until(|| {
            b.wait(None);
            b.receive(Instant::now()) > 0
        });
        let frame = b.data().or_else(|| b.token()).unwrap();
        assert_is(&frame, number, 100);
    }
    drop(to_sender);
    sender.join().unwrap();
}

/// A ring belongs to one thread; the link does not mind.
#[test]
fn a_link_of_io_uring_goes_on_by_mmsg_on_another_thread() {
    if !crate::works(Way::udp(Io::Uring), "a_link_of_io_uring_goes_on_by_mmsg_on_another_thread") {
        return;
    }
    let (mut a, mut b) = pair(&settings(Way::udp(Io::Uring)));
    send(&mut a, Destination::Group, 1, 100);
    a.flush();
    assert_is(&receive(&mut b, 1)[0], 1, 100);
    let (a, b) = thread::spawn(move || {
        send(&mut a, Destination::Group, 2, 100);
        a.flush();
        assert_is(&receive(&mut b, 1)[0], 2, 100);
        (a, b)
    })
    .join()
    .unwrap();
    for link in [a, b] {
        let errno = link.counters().uring_errno;
        // On older kernels a ring has no such owner.
        assert_eq!(errno != 0, link.io() == IoInUse::Mmsg, "{errno}");
        assert_eq!(link.counters().dropped_frames, 0);
    }
}

pub(crate) fn a_wake_ends_a_wait_also_when_it_came_before(way: Way) {
    let mut link = links(&settings(way), 1).remove(0);
    let waker = link.waker();
    waker.wake();
    waker.wake();
    link.wait(None);
    // Also one that came while the link was busy.
    for _ in 0..5 {
        assert_silent(&mut link);
        waker.wake();
        assert_silent(&mut link);
        link.wait(None);
    }
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

/// As a control link beside a data link: one thread waits for both.
pub(crate) fn a_watched_file_ends_a_wait(way: Way) {
    let mut link = links(&settings(way), 1).remove(0);
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let files = vec![OwnedFd::from(ours.try_clone().unwrap())];
    link.watch(files);
    link.wait(Some(Duration::from_millis(1)));
    assert!(!link.take_watched());
    for number in 0..20_u8 {
        let theirs = theirs.try_clone().unwrap();
        let other = thread::spawn(move || {
            // Before the wait and during it.
            thread::sleep(Duration::from_millis(u64::from(number % 2) * 2));
            theirs.send(&[number]).unwrap();
        });
        until(|| {
            link.wait(None);
            link.receive(Instant::now());
            link.take_watched()
        });
        other.join().unwrap();
        let mut byte = [0];
        assert_eq!((ours.recv(&mut byte).unwrap(), byte), (1, [number]));
        assert!(!link.take_watched(), "told once");
    }
    assert_silent(&mut link);
    link.waker().wake();
    link.wait(None);
    assert!(!link.take_watched());
}

pub(crate) fn a_wait_ends_by_itself(way: Way) {
    let mut link = links(&settings(way), 1).remove(0);
    link.wait(Some(Duration::from_millis(3)));
    link.wait(Some(Duration::from_micros(200)));
    link.wait(Some(Duration::ZERO));
    assert_silent(&mut link);
}

pub(crate) fn a_link_moves_to_another_thread(way: Way) {
    let (mut a, mut b) = pair(&settings(way));
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

pub(crate) fn the_descriptors_tell_that_there_is_something(way: Way) {
    let (mut a, mut b) = pair(&settings(way));
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
