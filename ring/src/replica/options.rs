//! Bounds and times of a replica, each with its reason.

use std::time::Duration;

use super::progress::Progress;

/// What a replica is told at its start. The same [`Progress`] at every member.
///
/// Memory, beside the machine and its first snapshot: `tail_bytes_max` twice (own tail; entries since
/// the instant), `pending_max · command_bytes_max` for requests, and snapshots: a donor keeps two at
/// most, a joiner one, each of at most `snapshot_bytes_max`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// Which part goes on.
    pub progress: Progress,
    /// Requests accepted and not answered, or answered and not polled.
    pub pending_max: usize,
    /// Commands published and not yet delivered here.
    pub in_flight_max: usize,
    /// Longest command.
    pub command_bytes_max: usize,
    /// Longest snapshot that is fetched.
    pub snapshot_bytes_max: usize,
    /// Entries kept that must not be applied yet. A joiner with more asks for a new instant; a member with
    /// more forgets its state, as a crash would.
    pub tail_bytes_max: usize,
    /// Chunks asked for and not come, at most: 1 KiB each, so that they fit a receive buffer.
    pub window_chunks: u32,
    /// A chunk that has not come for so long is asked for again.
    pub retry: Duration,
    /// A donor from whom nothing came for so long is left for the next.
    pub silence: Duration,
}

impl Options {
    /// The usual bounds: 1 024 requests of 60 kB, 64 in flight, snapshots up to 1 GiB, 64 MiB of
    /// entries, 64 KiB of chunks under way, asked for again after 20 ms, the next donor after 200 ms.
    #[must_use]
    pub const fn new(progress: Progress) -> Self {
        Self {
            progress,
            pending_max: 1_024,
            in_flight_max: 64,
            command_bytes_max: 60_000,
            snapshot_bytes_max: 1 << 30,
            tail_bytes_max: 64 << 20,
            window_chunks: 64,
            retry: Duration::from_millis(20),
            silence: Duration::from_millis(200),
        }
    }
}
