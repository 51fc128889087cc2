//! What a member's links are made from.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::interface::Interface;
use crate::raw::RawProtocol;

/// How the members of a cluster reach all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// By IP multicast: data on `group`:P, control on `group`:P+2, P being [`Settings::port`].
    Multicast {
        /// The group.
        group: Ipv4Addr,
    },
    /// By one datagram to each peer. Data and tokens then come on one socket, the token's, so
    /// that a peer is known by one data address; the socket keeps them in order.
    Unicast,
}

/// What carries the data.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum SocketKind {
    /// UDP.
    #[default]
    Udp,
    /// Raw IP sockets, in multicast mode only: without super-packets, hence slower. Tokens and
    /// control go by UDP. Needs `CAP_NET_RAW`.
    Raw(RawProtocol),
}

/// Which way to the kernel is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Io {
    /// io_uring where it works, else mmsg with a notice.
    #[default]
    Auto,
    /// io_uring, or an error that says why not.
    Uring,
    /// `recvmmsg` and `sendmmsg`.
    Mmsg,
}

/// Which way to the kernel a link uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoInUse {
    /// io_uring.
    Uring,
    /// `recvmmsg` and `sendmmsg`.
    Mmsg,
    /// None: the link is in memory.
    Memory,
}

impl fmt::Display for IoInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Mmsg => "mmsg",
            Self::Memory => "memory",
        })
    }
}

/// How much memory received frames may keep.
///
/// A link keeps at least the buffers it is receiving into, whatever is asked for here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryBounds {
    /// Receive buffers whose slices are handed out without a copy, in bytes.
    pub buffers_bytes: usize,
    /// Copies made when all receive buffers are held, in bytes. When these are held too,
    /// receiving stops, and the kernel drops and counts what its own buffer cannot keep.
    pub copies_bytes: usize,
}

impl Default for MemoryBounds {
    fn default() -> Self {
        Self { buffers_bytes: 64 << 20, copies_bytes: 16 << 20 }
    }
}

/// What [`open`](crate::open) makes links from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The interface to send and receive on.
    pub interface: Interface,
    /// Multicast or unicast.
    pub mode: Mode,
    /// P: data on group:P, control on group:P+2, the token on own:P+1, control to one member on
    /// own:P+2.
    pub port: u16,
    /// The token's port U where it is not P+1; control to one member is U+1 then. 0 takes any
    /// free pair. For several members on one address.
    pub unicast_port: Option<u16>,
    /// Whether other members on this host hear what this one multicasts. On `lo` they always do.
    pub multicast_loop: bool,
    /// What carries the data.
    pub socket: SocketKind,
    /// The way to the kernel.
    pub io: Io,
    /// How long a receive without data polls the device for some (`SO_BUSY_POLL`); zero for not
    /// at all.
    pub busy_poll: Duration,
    /// Send consecutive frames of one size as one super-packet (UDP GSO).
    pub gso: bool,
    /// Let the kernel hand over super-packets (UDP GRO).
    pub gro: bool,
    /// Longest frame that peers may send, in bytes.
    pub frame_bytes_max: usize,
    /// The kernel's buffer of received data that this process has not taken yet, in bytes. It
    /// counts what a datagram occupies, not what it carries.
    pub receive_buffer_bytes: usize,
    /// Bounds for what received frames keep.
    pub memory: MemoryBounds,
}

impl Settings {
    /// Largest IP MTU of a ring, less the IP and UDP headers.
    const FRAME_BYTES_MAX: usize = 9000 - 28;

    /// The usual settings on an interface.
    #[must_use]
    pub fn new(interface: Interface, mode: Mode) -> Self {
        Self {
            multicast_loop: interface.loopback,
            interface,
            mode,
            port: 7400,
            unicast_port: None,
            socket: SocketKind::Udp,
            io: Io::Auto,
            busy_poll: Duration::ZERO,
            gso: true,
            gro: true,
            frame_bytes_max: Self::FRAME_BYTES_MAX,
            receive_buffer_bytes: 16 << 20,
            memory: MemoryBounds::default(),
        }
    }
}
