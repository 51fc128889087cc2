//! What the demo's parent and its members say to each other: lines over pipes.

use roundel::{RingId, Rotations};
use serde::{Deserialize, Serialize};

/// From the parent, one word a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// Publish at the pace.
    Go,
    /// Publish nothing more.
    Stop,
    /// Say what was measured, leave the ring, end.
    Leave,
}

impl Order {
    const ALL: [Self; 3] = [Self::Go, Self::Stop, Self::Leave];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Stop => "stop",
            Self::Leave => "leave",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.word() == word)
    }
}

/// From a member, one JSON object a line.
#[derive(Clone, Serialize, Deserialize, Debug)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Report {
    /// It runs, alone.
    Ready { io: String, notices: Vec<String> },
    /// It installed a regular configuration.
    Ring { ring: (u64, u32), members: Vec<u32> },
    /// The first message since it was told to go was delivered to it.
    Ordered,
    /// How it goes, several times a second.
    Progress(Progress),
    /// What it measured while there was traffic.
    Measured { latency_us: Vec<(u64, u64)>, rotation_us: Option<Spread> },
}

/// How a member does.
#[derive(Clone, Copy, Default, Serialize, Deserialize, Debug)]
pub(super) struct Progress {
    /// Its last regular configuration.
    pub(super) ring: (u64, u32),
    /// Messages delivered since that was installed.
    pub(super) delivered_in_ring: u64,
    /// Messages delivered since its start.
    pub(super) delivered: u64,
    /// It publishes nothing more, and everything it published was delivered to it.
    pub(super) is_idle: bool,
    /// Since the last progress.
    pub(super) latency_us: Option<Spread>,
    /// Since the last progress.
    pub(super) rotation_us: Option<Spread>,
}

/// A distribution by its percentiles, in microseconds.
#[derive(Clone, Copy, PartialEq, Default, Serialize, Deserialize, Debug)]
pub(super) struct Spread {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

impl Spread {
    /// From a function of percents, 0 to 100, that gives microseconds.
    fn from_percentiles(at: impl Fn(f64) -> f64) -> Self {
        let at = |percent| (at(percent) * 10.0).round() / 10.0;
        Self { p50: at(50.0), p90: at(90.0), p99: at(99.0), p999: at(99.9), max: at(100.0) }
    }

    /// Of latencies in microseconds.
    pub(super) fn of_latencies(latencies: &hdrhistogram::Histogram<u64>) -> Option<Self> {
        let at = |percent| latencies.value_at_percentile(percent) as f64;
        (!latencies.is_empty()).then(|| Self::from_percentiles(at))
    }

    /// Of token rotations.
    pub(super) fn of_rotations(rotations: &Rotations) -> Option<Self> {
        rotations.percentile(0.0)?;
        let us = |percent| rotations.percentile(percent).unwrap_or_default().as_secs_f64() * 1e6;
        Some(Self::from_percentiles(us))
    }
}

/// A ring's identity on the pipe.
pub(super) const fn ring_words(ring: RingId) -> (u64, u32) {
    (ring.epoch.0, ring.representative.0)
}
