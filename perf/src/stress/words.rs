//! What the members of a stress run tell their parent, and what it tells them.

use roundel::{NodeId, RingId};
use serde::{Deserialize, Serialize};

/// To a member: publish nothing more, and deliver what was accepted.
pub(super) const STOP: &str = "stop";

/// To a member: leave the ring.
pub(super) const LEAVE: &str = "leave";

/// A configuration's name: epoch and representative.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) struct Ring(pub(super) u64, pub(super) u32);

impl From<RingId> for Ring {
    fn from(ring: RingId) -> Self {
        Self(ring.epoch.0, ring.representative.0)
    }
}

/// A place in the order of a configuration.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Point {
    /// Messages delivered in it up to here.
    pub(super) count: u64,
    /// The chain over them.
    pub(super) digest: u64,
}

/// The way of a member from one regular configuration to the next.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub(super) struct Passage {
    pub(super) from: Ring,
    pub(super) to: Ring,
    /// Members of the transitional configuration between.
    pub(super) together: Vec<u32>,
    /// Where the regular configuration ended.
    pub(super) regular: Point,
    /// Where the transitional one did; counts on from there.
    pub(super) whole: Point,
}

/// A line of a member.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Told {
    /// It installed a regular configuration.
    Configuration { ring: Ring, members: Vec<u32> },
    /// It delivered so much of one.
    Checkpoint { ring: Ring, point: Point },
    /// It went from one to the next.
    Passage(Passage),
    /// It saw by itself what must not be.
    Violation { what: String },
    /// How it is doing.
    Tally(Tally),
}

/// A member's figures, since its start where nothing else is said.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Tally {
    /// The regular configuration in force, and how far it is delivered.
    pub(super) ring: Ring,
    pub(super) point: Point,
    /// It publishes nothing more, and everything is accepted.
    pub(super) is_done: bool,
    pub(super) accepted: u64,
    /// Planned and left out, as the ring was slower.
    pub(super) skipped: u64,
    pub(super) own_delivered: u64,
    pub(super) delivered: u64,
    pub(super) delivered_bytes: u64,
    pub(super) retransmits: u64,
    pub(super) token_retransmits: u64,
    pub(super) socket_drops: u64,
    pub(super) cpu_ns: u64,
    /// The longest time without a delivery since the tally before.
    pub(super) gap_ns: u64,
}

/// Members as numbers.
pub(super) fn numbers(members: &[NodeId]) -> Vec<u32> {
    members.iter().map(|member| member.0).collect()
}
