//! What `roundel-perf peers` writes.

use serde::Serialize;

use crate::environment::Environment;
use crate::figures::{Percentiles, Spread, rounded};
use crate::matrix::document as matrix;
use crate::result::{self, Validity};

/// Name and version of the format.
pub(crate) const SCHEMA: &str = "roundel.peers/1";

/// The system that the others are compared with.
pub(crate) const ROUNDEL: &str = "roundel";

/// All of it.
#[derive(Serialize, Debug)]
pub(crate) struct Document {
    pub(crate) schema: &'static str,
    pub(crate) environment: Environment,
    pub(crate) options: Options,
    pub(crate) systems: Vec<System>,
    pub(crate) skipped: Vec<Missing>,
    pub(crate) cells: Vec<Cell>,
}

/// What was asked for.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct Options {
    pub(crate) members: u16,
    pub(crate) sizes: Vec<usize>,
    pub(crate) runs: u32,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    /// Of each member where latency is measured.
    pub(crate) rate: u64,
    /// Of each link, in Mbit/s; as fast as the machine without.
    pub(crate) link: Option<u32>,
    pub(crate) only: Option<String>,
}

impl Options {
    /// How long each run takes.
    pub(crate) fn span(&self) -> matrix::Span {
        matrix::Span { warmup: self.warmup, seconds: self.seconds }
    }
}

/// What is measured.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct System {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) order: Order,
    /// What was chosen for it.
    pub(crate) settings: String,
}

/// What a system promises of the order of messages, and what is checked of it.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// One at all members.
    #[serde(rename = "total")]
    Total,
    /// That of each sender.
    #[serde(rename = "per publisher")]
    PerPublisher,
}

impl Order {
    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::PerPublisher => "per publisher",
        }
    }
}

/// A peer that is left out.
#[derive(Serialize, Clone, Debug)]
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    pub(crate) reason: String,
    pub(crate) fix: &'static str,
}

/// One run.
#[derive(Serialize, Clone, Default, Debug)]
pub(crate) struct Run {
    /// Of the member that saw the fewest.
    pub(crate) msgs_per_s: f64,
    /// Of all processes of the system together.
    pub(crate) cpu_us_per_msg: f64,
    /// Each the greatest of all members', planned send to own delivery; of planned rates alone.
    pub(crate) latency_us: Option<Percentiles>,
    /// Of processor time that the host of this virtual machine took, in percent.
    pub(crate) steal_percent: f64,
    #[serde(flatten)]
    pub(crate) validity: Validity,
}

impl Run {
    /// One that did not come to an end.
    pub(crate) fn failed(reason: String) -> Self {
        Self { validity: Validity::refused(reason), ..Self::default() }
    }

    /// That of a ring.
    pub(crate) fn of_ring(run: matrix::Run, is_paced: bool) -> Self {
        Self {
            msgs_per_s: run.msgs_per_s,
            cpu_us_per_msg: rounded(run.cpu_us_per_msg, 1e4),
            latency_us: is_paced.then_some(run.latency_us),
            steal_percent: run.steal_percent,
            validity: run.validity,
        }
    }

    fn latency(&self) -> Percentiles {
        self.latency_us.unwrap_or_default()
    }
}

/// A system at a size, and what came of it.
#[derive(Serialize, Debug)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) system: &'static str,
    pub(crate) size: usize,
    /// Over the valid runs.
    pub(crate) figures: Figures,
    /// Of Roundel's figures to these, in each round.
    pub(crate) ratio: Option<Figures>,
    /// At the greatest rate, one in each round.
    pub(crate) maximum: Vec<Run>,
    /// At the planned rate.
    pub(crate) paced: Vec<Run>,
    /// Valid when more than half of both are; the reason is of a run that is not, whether the cell
    /// is valid or not.
    #[serde(flatten)]
    pub(crate) validity: Validity,
}

/// Figures of a cell.
#[derive(Serialize, Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Figures {
    /// At the greatest rate.
    pub(crate) msgs_per_s: Spread,
    pub(crate) cpu_us_per_msg: Spread,
    /// At the planned rate.
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) paced_cpu_us_per_msg: Spread,
}

impl Cell {
    /// Without a run.
    pub(crate) fn new(system: &'static str, size: usize) -> Self {
        Self {
            name: format!("{system},size={size}"),
            system,
            size,
            figures: Figures::default(),
            ratio: None,
            maximum: Vec::new(),
            paced: Vec::new(),
            validity: Validity::default(),
        }
    }

    /// Takes the runs of one round.
    pub(crate) fn push(&mut self, [maximum, paced]: [Run; 2]) {
        self.maximum.push(maximum);
        self.paced.push(paced);
        let most = |runs: &[Run]| result::most(runs.iter().map(|run| &run.validity));
        self.validity.valid = most(&self.maximum) && most(&self.paced);
        let mut reasons = self.maximum.iter().chain(&self.paced).map(|run| &run.validity.reason);
        self.validity.reason = reasons.find_map(Clone::clone);
        self.figures = Figures::by(|is_paced, figure| {
            let valid = self.runs(is_paced).iter().filter(|run| run.validity.valid);
            Spread::of(valid.map(figure))
        });
    }

    /// Compares with the ring in the same rounds.
    pub(crate) fn compare(&mut self, ring: &Self) {
        let ratio = Figures::by(|is_paced, figure| {
            let pairs = self.runs(is_paced).iter().zip(ring.runs(is_paced));
            let valid = pairs.filter(|(its, ours)| its.validity.valid && ours.validity.valid);
            let values = valid.map(|(its, ours)| (figure(its), figure(ours)));
            Spread::of(values.filter(|(its, _)| *its > 0.0).map(|(its, ours)| ours / its))
        });
        self.ratio = (self.validity.valid && ring.validity.valid).then_some(ratio);
    }

    fn runs(&self, is_paced: bool) -> &[Run] {
        if is_paced { &self.paced } else { &self.maximum }
    }
}

impl Figures {
    /// Each from the runs that it is of, those at the planned rate or not, and what it is there.
    fn by(of: impl Fn(bool, fn(&Run) -> f64) -> Spread) -> Self {
        Self {
            msgs_per_s: of(false, |run| run.msgs_per_s),
            cpu_us_per_msg: of(false, |run| run.cpu_us_per_msg),
            p50_us: of(true, |run| run.latency().p50),
            p99_us: of(true, |run| run.latency().p99),
            paced_cpu_us_per_msg: of(true, |run| run.cpu_us_per_msg),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(msgs_per_s: f64, valid: bool) -> Run {
        let validity = Validity::of((!valid).then(|| "lost".to_owned()));
        Run { msgs_per_s, cpu_us_per_msg: 2.0, validity, ..Run::default() }
    }

    fn cell(rates: [f64; 3], valid: [bool; 3]) -> Cell {
        let mut cell = Cell::new(ROUNDEL, 64);
        for (rate, valid) in rates.into_iter().zip(valid) {
            cell.push([run(rate, valid), run(5.0, true)]);
        }
        cell
    }

    #[test]
    fn ratios_are_of_the_same_rounds() {
        let ring = cell([100.0, 900.0, 300.0], [true, false, true]);
        let mut peer = cell([10.0, 10.0, 20.0], [true; 3]);
        peer.compare(&ring);
        assert_eq!(peer.figures.msgs_per_s, Spread { median: 10.0, min: 10.0, max: 20.0 });
        let ratio = peer.ratio.unwrap();
        assert_eq!(ratio.msgs_per_s, Spread { median: 12.5, min: 10.0, max: 15.0 });
        assert_eq!(ratio.cpu_us_per_msg.median, 1.0);
        assert_eq!(ratio.p50_us, Spread::default(), "nothing is said of what was not measured");
    }

    #[test]
    fn what_is_not_valid_is_not_compared() {
        let (ring, mut peer) = (cell([1.0; 3], [true; 3]), cell([1.0; 3], [false, false, true]));
        peer.compare(&ring);
        assert!(!peer.validity.valid && peer.ratio.is_none());
        assert_eq!(peer.validity.reason.as_deref(), Some("lost"));
    }
}
