//! What the simulated applications publish.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::rng::{Random, Stream};
use super::units::{micros, some_micros};
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

/// Bytes of a message that fills hundreds.
const MEGABYTES: (u64, u64) = (200_000, 2_000_000);

/// What is published, and how often.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shape {
    /// Mean time between two messages of one application; `None`: silence.
    #[serde(rename = "interval_us", with = "some_micros")]
    pub(super) interval: Option<Duration>,
    /// Everybody is silent for so long after each time that they publish for so long.
    #[serde(rename = "silence_us", with = "micros")]
    pub(super) silence: Duration,
    /// Only the application of this host publishes by itself.
    pub(super) only: Option<usize>,
    /// Messages that an application publishes by itself, at most.
    pub(super) messages_max: u64,
    /// Now and then messages are published together, packed.
    pub(super) packs: bool,
    /// Part of messages that ask for safe delivery.
    pub(super) safe: f64,
    /// Part of the others that ask for agreed delivery; the rest asks for less.
    pub(super) agreed: f64,
    /// Part of messages that are long.
    pub(super) large: f64,
    /// How many bytes those have.
    pub(super) large_bytes: (u64, u64),
    /// Messages of some hundred kilobytes and more that each application publishes.
    pub(super) huge: u64,
}

impl Shape {
    /// Small messages, agreed and safe ones, at about this distance.
    pub(super) const fn small(interval: Duration) -> Self {
        Self {
            interval: Some(interval),
            silence: Duration::ZERO,
            only: None,
            messages_max: u64::MAX,
            packs: false,
            safe: 0.2,
            agreed: 1.0,
            large: 0.0,
            large_bytes: SEVERAL_PACKETS,
            huge: 0,
        }
    }

    /// Draws what the applications of so many hosts publish.
    pub(super) fn draw(rng: &mut Random, nodes: usize) -> Self {
        let large = if rng.chance(0.3) { 0.03 } else { 0.0 };
        Self {
            interval: rng.chance(0.95).then(|| rng.micros(1_000, 20_000)),
            silence: rng.one_of([0, 0, 0, 100, 700]) * Duration::from_millis(1),
            only: rng.chance(0.15).then(|| rng.index(nodes)),
            messages_max: u64::MAX,
            packs: true,
            safe: rng.one_of([0.1, 0.5, 0.9]),
            agreed: rng.one_of([0.8, 0.8, 0.2, 0.0]),
            large,
            large_bytes: SEVERAL_PACKETS,
            huge: if rng.chance(0.03) { rng.between(1, 3) } else { 0 },
        }
    }
}

/// Publishes messages at random intervals, every payload unique.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) shape: Shape,
    applications: Vec<Application>,
}

#[derive(Debug)]
struct Application {
    id: u32,
    rng: Random,
    published: u64,
    /// Of those, what it published by itself.
    by_itself: u64,
    huge_left: u64,
    /// What it pads depends on what it packed before.
    packer: Packer,
}

impl Workload {
    pub(super) fn new(ids: &[u32], seed: u64, shape: Shape) -> Self {
        let application = |id: &u32| Application {
            id: *id,
            rng: Random::new(seed, Stream::Application(*id)),
            published: 0,
            by_itself: 0,
            huge_left: shape.huge,
            // Longer than any ring's: the backlog has to cut them.
            packer: Packer::new(PACKED_BYTES_MAX, true),
        };
        Self { applications: ids.iter().map(application).collect(), shape }
    }

    /// A usual one.
    #[cfg(test)]
    pub(super) fn usual(ids: &[u32], seed: u64) -> Self {
        let mut shape = Shape::draw(&mut Random::new(seed, Stream::Schedule), ids.len());
        (shape.only, shape.silence, shape.huge) = (None, Duration::ZERO, 0);
        Self::new(ids, seed, shape)
    }

    /// When an application publishes again after `now`, if it is to publish now.
    pub(super) fn next_submission(&mut self, node: usize, now: Time) -> Option<Time> {
        let shape = &self.shape;
        let application = &mut self.applications[node];
        if shape.only.is_some_and(|only| only != node)
            || application.by_itself >= shape.messages_max
        {
            return None;
        }
        application.by_itself += 1;
        let mean = shape.interval?;
        // Bursts and pauses: many short gaps, some long ones.
        let gap = if application.rng.chance(0.2) { mean * 4 } else { mean / 4 };
        let next = now + application.rng.duration(Duration::from_micros(1), 2 * gap);
        let since = next.since(Time::ZERO).as_micros();
        let silence = shape.silence.as_micros();
        // Even spans are for talking, odd ones for silence.
        let is_silent = silence > 0 && (since / silence) % 2 == 1;
        Some(if is_silent { next + shape.silence } else { next })
    }

    /// What `node` publishes next, and how many messages that are: one, or a few packed ones.
    pub(super) fn messages(&mut self, node: usize) -> (Service, Messages, u64) {
        let application = &mut self.applications[node];
        let (service, first) = application.message(&self.shape);
        let packs = self.shape.packs && application.published.is_multiple_of(PACKED_EVERY);
        if !(packs && application.packer.push(&first)) {
            return (service, Messages::One(first), 1);
        }
        for _ in 0..application.published % PACKED_MAX {
            // Its service is the first one's.
            let (_, payload) = application.message(&self.shape);
            if !application.packer.push(&payload) {
                break;
            }
        }
        let count = u64::from(application.packer.count());
        let messages = application.packer.take().map_or(Messages::One(first), Messages::Packed);
        (service, messages, count)
    }
}

impl Application {
    /// The next message.
    fn message(&mut self, shape: &Shape) -> (Service, Bytes) {
        self.published += 1;
        let service = if self.rng.chance(shape.safe) {
            Service::Safe
        } else if self.rng.chance(shape.agreed) {
            Service::Agreed
        } else {
            self.rng.one_of([Service::Reliable, Service::Fifo, Service::Causal])
        };
        let padding = if self.huge_left > 0 && self.rng.chance(0.1) {
            self.huge_left -= 1;
            self.rng.between(MEGABYTES.0, MEGABYTES.1)
        } else if self.rng.chance(shape.large) {
            self.rng.between(shape.large_bytes.0, shape.large_bytes.1)
        } else if self.rng.chance(0.05) {
            // Nothing at all: no payload tells it from others, its number does.
            return (service, Bytes::new());
        } else {
            self.rng.between(0, 60)
        };
        let mut payload = format!("{}:{}:", self.id, self.published).into_bytes();
        #[expect(clippy::cast_possible_truncation, reason = "at most 2 000 000")]
        payload.resize(payload.len() + padding as usize, b'.');
        (service, Bytes::from(payload))
    }
}
