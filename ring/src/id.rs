//! Names: of members, of their lives, of rings and of messages.

use std::fmt;

/// A member of the cluster: 32 bits, kept across restarts.
///
/// The default is the IPv4 address of the member's interface, so the order of ids is the order
/// of addresses; the protocol uses only that they are distinct and totally ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that grows for ever: every start of a member takes a new one, every attempt at a
/// ring takes a new one. Never reused, whatever happens to the disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u64);

impl Epoch {
    /// No epoch reaches it: those of wall clocks (milliseconds shifted left by 7) do in
    /// 17 000 years. Frames that say so are not well formed and nothing is proposed there, so that
    /// no forged number brings rings to the edge of the type, where they would have to share an id.
    pub const END: Self = Self(1 << 56);

    /// The epoch after this one. Saturates far beyond [`Epoch::END`].
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of a member: the epoch it took at its start.
pub type Incarnation = Epoch;

/// Identifier of a ring, and so of a regular configuration. One ring id, one member list.
///
/// Ordered by epoch first: a member installs rings in ascending order only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RingId {
    /// Taken by the representative for this attempt.
    pub epoch: Epoch,
    /// The representative that proposed the ring.
    pub representative: NodeId,
}

impl RingId {
    /// The ring `representative` proposes with `epoch`.
    #[must_use]
    pub const fn new(epoch: Epoch, representative: NodeId) -> Self {
        Self { epoch, representative }
    }
}

impl fmt::Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.representative)
    }
}

/// Identifier of an application message, unique for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MessageId {
    /// Who accepted it from its application.
    pub sender: NodeId,
    /// The life in which it was accepted.
    pub incarnation: Incarnation,
    /// Counts the messages accepted in that life, from 1.
    pub counter: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.sender, self.incarnation, self.counter)
    }
}
