//! Members on the loopback interface, and frames to tell apart.

use std::net::Ipv4Addr;
use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel_transport::{
    DataLink, Destination, Frame, Interface, Io, Mode, OpenError, Opened, RawProtocol, Settings,
    SocketKind, Wanted, open,
};

/// Long enough for whatever the machine is doing besides.
const PATIENCE: Duration = Duration::from_secs(60);

/// A way to the kernel and a kind of socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) io: Io,
    pub(crate) socket: SocketKind,
}

impl Way {
    pub(crate) const fn udp(io: Io) -> Self {
        Self { io, socket: SocketKind::Udp }
    }

    pub(crate) fn raw(io: Io) -> Self {
        Self { io, socket: SocketKind::Raw(RawProtocol::default()) }
    }
}

/// Settings on loopback with a group of their own, so that tests do not hear each other.
pub(crate) fn settings(way: Way) -> Settings {
    static TESTS: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = process::id().to_be_bytes();
    let group = Ipv4Addr::new(239, high, low, TESTS.fetch_add(1, Ordering::Relaxed));
    let lo = Interface::choose(&Wanted::Address(Ipv4Addr::LOCALHOST)).unwrap();
    let mut settings = Settings::new(lo, Mode::Multicast { group });
    settings.unicast_port = Some(0);
    (settings.io, settings.socket) = (way.io, way.socket);
    settings
}

pub(crate) fn try_open(settings: &Settings) -> Result<Opened, OpenError> {
    open(settings)
}

/// Data links of `count` members.
pub(crate) fn links(settings: &Settings, count: usize) -> Vec<DataLink> {
    (0..count).map(|_| open(settings).unwrap().data).collect()
}

pub(crate) fn pair(settings: &Settings) -> (DataLink, DataLink) {
    let mut links = links(settings, 2);
    (links.remove(0), links.remove(0))
}

/// Bytes without a period that a frame could be mistaken by.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(1 << 17).collect()
});

/// A frame's contents: its number, and bytes that follow from it.
pub(crate) fn contents(number: u32, bytes: usize) -> Vec<u8> {
    let mut contents = number.to_le_bytes().to_vec();
    contents.extend_from_slice(&PATTERN[number as usize % 9973..][..bytes]);
    contents.truncate(bytes);
    contents
}

/// Queues a frame, with a head and a body.
pub(crate) fn send(link: &mut DataLink, to: Destination, number: u32, bytes: usize) {
    let contents = contents(number, bytes);
    let (head, body) = contents.split_at(bytes.min(12));
    link.send(to, head, Bytes::copy_from_slice(body));
}

#[track_caller]
pub(crate) fn assert_is(frame: &Frame, number: u32, bytes: usize) {
    assert_eq!(frame.bytes.len(), bytes, "frame {number}");
    assert!(frame.bytes == contents(number, bytes), "frame {number} is damaged");
}

/// Receives until there are `count` data frames.
#[track_caller]
pub(crate) fn receive(link: &mut DataLink, count: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    until(|| {
        link.receive(Instant::now());
        while frames.len() < count
            && let Some(frame) = link.data()
        {
            frames.push(frame);
        }
        frames.len() == count
    });
    frames
}

/// Receives until there is a token.
#[track_caller]
pub(crate) fn receive_token(link: &mut DataLink) -> Frame {
    let mut token = None;
    until(|| {
        link.receive(Instant::now());
        token = link.token();
        token.is_some()
    });
    token.unwrap()
}

/// Nothing is received. Loopback delivers within the call that sends.
#[track_caller]
pub(crate) fn assert_silent(link: &mut DataLink) {
    for _ in 0..3 {
        assert_eq!(link.receive(Instant::now()), 0);
    }
}

#[track_caller]
pub(crate) fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "nothing comes any more");
        std::thread::yield_now();
    }
}
