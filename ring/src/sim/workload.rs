//! What the simulated applications publish.

use std::time::Duration;

use bytes::Bytes;

use super::rng::Random;
use crate::packing::{Messages, Packer};
use crate::service::Service;
use crate::time::Time;

/// One message in so many is published along with the next ones, packed.
const PACKED_EVERY: u64 = 4;

/// Messages packed with it, at most.
const PACKED_MAX: u64 = 7;

/// Bytes of packed messages.
const PACKED_BYTES_MAX: usize = 9_000;

/// Bytes of a message that fills several packets, most of the time.
pub(super) const SEVERAL_PACKETS: (u64, u64) = (1_300, 20_000);

/// Bytes of a message that fills most of one.
pub(super) const ONE_PACKET: (u64, u64) = (900, 1_400);

/// Publishes messages at random intervals, every payload unique.
#[derive(Debug)]
pub(super) struct Workload {
    rng: Random,
    published: Vec<u64>,
    /// One for each application: what it pads depends on what it packed before.
    packers: Vec<Packer>,
    /// Mean time between two messages of one application; `None`: silence.
    pub(super) interval: Option<Duration>,
    /// Part of messages that ask for safe delivery.
    pub(super) safe: f64,
    /// Part of messages that are long.
    pub(super) large: f64,
    /// How many bytes those have.
    pub(super) large_bytes: (u64, u64),
}

impl Workload {
    pub(super) fn new(nodes: usize, mut rng: Random) -> Self {
        let interval = Duration::from_micros(rng.between(1_000, 20_000));
        let safe = [0.1, 0.5, 0.9][rng.index(3)];
        let large = if rng.chance(0.3) { 0.03 } else { 0.0 };
        // Longer than any ring's: the backlog has to cut them.
        let packers = (0..nodes).map(|_| Packer::new(PACKED_BYTES_MAX, true)).collect();
        let published = vec![0; nodes];
        Self {
            rng,
            published,
            packers,
            interval: Some(interval),
            safe,
            large,
            large_bytes: SEVERAL_PACKETS,
        }
    }

    /// When an application publishes again after `now`.
    pub(super) fn next_submission(&mut self, now: Time) -> Option<Time> {
        let mean = self.interval?;
        // Bursts and pauses: many short gaps, some long ones.
        let gap = if self.rng.chance(0.2) { mean * 4 } else { mean / 4 };
        Some(now + self.rng.duration(Duration::from_micros(1), 2 * gap))
    }

    /// What `node` publishes next, and how many messages that are: one, or a few packed ones.
    pub(super) fn messages(&mut self, node: usize) -> (Service, Messages, u64) {
        let (service, first) = self.message(node);
        let packs = self.published[node].is_multiple_of(PACKED_EVERY);
        if !(packs && self.packers[node].push(&first)) {
            return (service, Messages::One(first), 1);
        }
        for _ in 0..self.published[node] % PACKED_MAX {
            // Its service is the first one's.
            let (_, payload) = self.message(node);
            if !self.packers[node].push(&payload) {
                break;
            }
        }
        let count = u64::from(self.packers[node].count());
        let messages = self.packers[node].take().map_or(Messages::One(first), Messages::Packed);
        (service, messages, count)
    }

    /// The next message of `node`.
    fn message(&mut self, node: usize) -> (Service, Bytes) {
        self.published[node] += 1;
        let mut payload = format!("{node}:{}:", self.published[node]).into_bytes();
        let padding = if self.rng.chance(self.large) {
            self.rng.between(self.large_bytes.0, self.large_bytes.1)
        } else {
            self.rng.between(0, 60)
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 20 000")]
        payload.resize(payload.len() + padding as usize, b'.');
        let service = if self.rng.chance(self.safe) {
            Service::Safe
        } else if self.rng.chance(0.8) {
            Service::Agreed
        } else {
            [Service::Reliable, Service::Fifo, Service::Causal][self.rng.index(3)]
        };
        (service, Bytes::from(payload))
    }
}
