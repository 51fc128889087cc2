//! What the parent and its members say to each other: one JSON object a line over pipes.

use roundel::RingId;
use serde::{Deserialize, Serialize};

/// From the parent.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Publish like this from now on.
    Load(Load),
    /// Wait so long between two batches of events that are read; 0 reads as fast as it can.
    Read { pause_ms: u64 },
    /// Leave the ring and end.
    Leave,
}

/// What a member publishes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
pub(super) struct Load {
    /// Which order this is; progress repeats it.
    pub(super) number: u64,
    /// Messages a second; 0 publishes nothing.
    pub(super) pace: u32,
    /// So many milliseconds' messages leave at once.
    pub(super) burst_ms: u32,
    /// How many of a thousand messages are large.
    pub(super) large_per_mille: u32,
}

/// From a member.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// It runs, alone.
    Ready { incarnation: u64 },
    /// It installed a regular configuration.
    Ring { ring: Ring, members: Vec<u32> },
    /// That configuration is the primary component.
    Primary,
    /// How it does, several times a second.
    Progress(Progress),
    /// It left.
    Left { undelivered: u64 },
}

/// How a member does.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
pub(super) struct Progress {
    /// The number of the load order that it follows.
    pub(super) load: u64,
    /// Its last regular configuration.
    pub(super) ring: Ring,
    /// Messages delivered since that was installed.
    pub(super) delivered_in_ring: u64,
    /// Own messages that were accepted and not delivered yet.
    pub(super) outstanding: u64,
}

/// A ring's identity: its epoch and its representative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, Debug)]
pub(super) struct Ring(pub(super) u64, pub(super) u32);

pub(super) const fn ring_words(ring: RingId) -> Ring {
    Ring(ring.epoch.0, ring.representative.0)
}
