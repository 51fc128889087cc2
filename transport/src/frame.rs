//! What passes through a link.

use std::net::SocketAddrV4;

use bytes::Bytes;

/// Longest payload of a UDP datagram over IPv4, in bytes.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_507;

/// A received frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The payload: a slice of a receive buffer, which it keeps from being used again.
    pub bytes: Bytes,
    /// The socket address it was sent from.
    pub from: SocketAddrV4,
}

/// Where a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// To all members but the sender: the multicast group, or each of the peers in turn.
    Group,
    /// To one address.
    Member(SocketAddrV4),
}
