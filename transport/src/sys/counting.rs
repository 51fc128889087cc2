//! Counts allocations, and proves that a link in steady state makes none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{DataLink, Destination, Interface, Io, Mode, Settings, Wanted, open};

/// The system's allocator, counting per thread, since other tests run beside.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator as it came. Counting touches a
// constant-initialised cell of the thread, which does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about the layout is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about pointer and layout is the one asked for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

/// A round of two members: data and a token there, everything taken, and a short wait.
fn round(a: &mut DataLink, b: &mut DataLink, body: &Bytes) {
    const FRAMES: usize = 100;
    let now = Instant::now();
    for _ in 0..FRAMES {
        a.send(Destination::Group, b"head", body.clone());
    }
    a.send(Destination::Member(b.own_address()), b"token", Bytes::new());
    a.flush();
    let mut data = 0;
    loop {
        b.receive(now);
        data += std::iter::from_fn(|| b.data()).count();
        if b.token().is_some() {
            break;
        }
    }
    assert_eq!(data, FRAMES);
    a.receive(now);
    b.wait(Some(Duration::ZERO));
}

fn allocates_nothing(io: Io) {
    let lo = Interface::choose(&Wanted::Address(Ipv4Addr::LOCALHOST)).unwrap();
    let group = Ipv4Addr::new(239, 254, 0, std::process::id().to_be_bytes()[3]);
    let mut settings = Settings::new(lo, Mode::Multicast { group });
    settings.unicast_port = Some(0);
    settings.port = 7500 + io as u16 * 10;
    settings.io = io;
    let (mut a, mut b) = match (open(&settings), open(&settings)) {
        (Ok(a), Ok(b)) => (a.data, b.data),
        (result, _) => {
            let _ = writeln!(std::io::stderr(), "{io:?} skipped: {result:?}");
            return;
        }
    };
    let body = Bytes::from(vec![7; 1300]);
    // Until every chunk there may be has gone round.
    for _ in 0..1500 {
        round(&mut a, &mut b, &body);
    }
    let before = allocations();
    for _ in 0..500 {
        round(&mut a, &mut b, &body);
    }
    assert_eq!(allocations() - before, 0, "by {io:?}");
    assert_eq!(b.counters().copied_datagrams, 0);
}

#[test]
fn mmsg_allocates_nothing_in_steady_state() {
    allocates_nothing(Io::Mmsg);
}

#[test]
fn uring_allocates_nothing_in_steady_state() {
    allocates_nothing(Io::Uring);
}

#[test]
fn an_allocation_is_counted() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(allocations() - before, 1);
}
