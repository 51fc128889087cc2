//! Frames on the wire: one kind, one file.
//!
//! Every decoder is total: any byte string yields either a frame whose fields are within their
//! stated bounds or a named [`Malformed`] reason; none panics, and none allocates more than the
//! frame's own length can justify. Integers are little-endian. A frame is exactly as long as its
//! content: trailing bytes are malformed.

pub mod beacon;
pub mod claim;
pub mod commit;
pub mod data;
pub mod free;
pub mod header;
pub mod hold_cancel;
pub mod join;
pub mod letter;
pub mod token;

mod fields;
#[cfg(test)]
mod tests;

pub use header::{ClusterTag, Header, Kind};

/// Members of one ring at most. Bounds the token, the commit token and every set in a join;
/// sets of ring members travel as 128-bit masks.
pub const MEMBERS_MAX: usize = 128;

/// IPv4 and UDP headers in front of every frame.
pub const IP_UDP_HEADER_BYTES: usize = 20 + 8;

/// Room kept free in every datagram for authenticated encryption: key id (1), incarnation of the
/// sender (8), counter (8), tag (16).
pub const SECURITY_RESERVE_BYTES: usize = 1 + 8 + 8 + 16;

/// Smallest IP MTU a ring runs on: the least that a link with IPv6 has (RFC 8200 §5), so that
/// tunnels inside of tunnels will do. The token of [`MEMBERS_MAX`] members fits one datagram.
pub const MTU_MIN_BYTES: usize = 1280;

/// Largest IP MTU a ring uses.
pub const MTU_MAX_BYTES: usize = 9000;

/// Longest data body (packed messages or one fragment) on a ring whose smallest IP MTU is
/// `mtu_bytes`. The one place that derives the packet budget.
#[must_use]
pub const fn body_bytes_max(mtu_bytes: usize) -> usize {
    frame_bytes_max(mtu_bytes) - data::HEAD_BYTES
}

/// Longest frame that fits one unfragmented datagram of IP MTU `mtu_bytes`.
#[must_use]
pub const fn frame_bytes_max(mtu_bytes: usize) -> usize {
    mtu_bytes - IP_UDP_HEADER_BYTES - SECURITY_RESERVE_BYTES
}

/// Why a frame is not one of ours, or not well formed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// Shorter than its own fields.
    #[error("the frame ends within a field")]
    Truncated,
    /// Longer than its own fields.
    #[error("bytes follow the last field")]
    Trailing,
    /// Does not begin with our magic: some other program on this port.
    #[error("not a Roundel frame (another program uses this port?)")]
    Magic,
    /// A version this program does not speak.
    #[error("unknown protocol version (mixed program versions?)")]
    Version,
    /// An unknown frame kind, or a kind that does not belong on this socket.
    #[error("a frame kind that does not belong here")]
    Kind,
    /// Another cluster's name.
    #[error("another cluster's frame")]
    Cluster,
    /// A count beyond its bound.
    #[error("a count beyond its bound")]
    Count,
    /// Members or sets not strictly ascending.
    #[error("members not strictly ascending")]
    Order,
    /// A field outside its range, or two fields that contradict each other.
    #[error("a field out of range")]
    Range,
}
