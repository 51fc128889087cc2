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

/// What a received frame occupies of a receive buffer: the kernel's record of it, and memory in
/// powers of two for the frame, its headers and what is told of its memory.
pub(crate) const fn kernel_bytes(frame_bytes: usize) -> usize {
    const RECORD_BYTES: usize = 256;
    const AROUND_BYTES: usize = 320 + 64;
    RECORD_BYTES + (frame_bytes + AROUND_BYTES).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_occupy_what_was_seen_of_the_kernel() {
        // Read from SO_MEMINFO: datagrams that came alone, by veth.
        for (frame_bytes, seen_bytes) in [(64, 832), (1_350, 2_304), (8_900, 16_640)] {
            let bytes = kernel_bytes(frame_bytes);
            assert!((seen_bytes * 9 / 10..=seen_bytes * 11 / 10).contains(&bytes), "{bytes}");
        }
    }
}
