//! What a replica tells its application, and what it counts.

use super::machine::{RestoreError, View};
use super::requests::{Lost, RequestId};

/// Where a replica stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Between two configurations, or before all statuses of the new one have come: nothing is
    /// applied. Short. Requests are accepted where the state was held.
    Changing,
    /// Holds the state; commands are applied.
    Synced,
    /// Holds the state; commands are not applied, since too few hold it (or this member's word that it
    /// does is under way), or since the configuration is not the primary component, where it must be.
    Waiting,
    /// Gets the state.
    Joining {
        /// Bytes of the checkpoint that came in order.
        bytes: u64,
        /// Of how many, once that is known.
        of: Option<u64>,
    },
    /// In a part that does not go on, or without a way to get the state here. What the machine shows is
    /// old.
    Blocked,
}

impl Standing {
    /// Whether it is the same but for how far it got.
    pub(super) fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Something a replica tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<O> {
    /// A request of this member was applied, here as well.
    Applied {
        /// Which.
        request: RequestId,
        /// Its place in the log.
        index: u64,
        /// What the machine said.
        output: O,
    },
    /// A barrier of this member was passed: the machine here has applied everything that was answered
    /// anywhere before the barrier was asked for.
    Passed {
        /// Which.
        request: RequestId,
        /// Its place in the log.
        index: u64,
    },
    /// A request of this member will have no output.
    Lost {
        /// Which.
        request: RequestId,
        /// What is known of it.
        why: Lost,
    },
    /// The machine was told of another view.
    View {
        /// Its place in the log.
        index: u64,
        /// It.
        view: View,
    },
    /// This member stands otherwise than before.
    Standing(Standing),
    /// The state came by transfer, and is the machine's now.
    Restored {
        /// Entries of the log that it stands for.
        index: u64,
        /// Length of the checkpoint.
        bytes: u64,
    },
    /// The machine did not take a checkpoint; it is in its first state. Tried again in the next
    /// configuration.
    RestoreFailed(RestoreError),
    /// The checkpoint is longer than `snapshot_bytes_max`. Tried again in the next configuration.
    TooLong,
}

/// What a replica counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReplicaCounters {
    /// Ordered messages that are not well formed, by others than replicas of this version.
    pub malformed_messages: u64,
    /// Ordered messages of an earlier configuration, doubled, or by those whom they do not concern.
    pub stale_messages: u64,
    /// Letters that are not well formed.
    pub malformed_letters: u64,
    /// Letters of strangers, doubled, late, or about a checkpoint that is not here.
    pub stale_letters: u64,
    /// Chunks sent.
    pub chunks_sent: u64,
    /// Chunks taken.
    pub chunks_taken: u64,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// States forgotten, since more could not be applied yet than `tail_bytes_max`.
    pub forgotten: u64,
    /// Events dropped, answers never: nobody polled.
    pub dropped_events: u64,
}
