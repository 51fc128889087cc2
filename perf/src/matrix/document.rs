//! What a matrix writes, and what is read again to compare two.

use serde::{Deserialize, Serialize};

use super::plan::Cell;
use crate::environment::Environment;
use crate::failover::outcome::Outcome;
use crate::figures::{Percentiles, Spread};
use crate::latencies::Latencies;
use crate::result::{self, Validity};

/// Name and version of the format.
pub(crate) const SCHEMA: &str = "roundel.matrix/1";

/// A whole matrix.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Document {
    pub(crate) schema: String,
    pub(crate) environment: Environment,
    pub(crate) options: Options,
    pub(crate) cells: Vec<CellResult>,
    /// Where rounds of it were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failover: Option<Outcome>,
}

/// What the matrix was asked for.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub(crate) struct Options {
    pub(crate) hosts: u16,
    pub(crate) quick: bool,
    pub(crate) only: Option<String>,
    pub(crate) runs: u32,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    /// Rounds of faults behind the cells.
    #[serde(default)]
    pub(crate) failover: u32,
}

impl Options {
    /// How long each run takes.
    pub(crate) fn span(&self) -> Span {
        Span { warmup: self.warmup, seconds: self.seconds }
    }
}

/// How long a run takes, in seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Span {
    /// Before what is measured.
    pub(crate) warmup: f64,
    /// What is measured.
    pub(crate) seconds: f64,
}

/// A cell and what came of it.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct CellResult {
    pub(crate) name: String,
    pub(crate) cell: Cell,
    /// Each sender's planned messages a second; `None` at the greatest possible.
    pub(crate) rate: Option<u64>,
    /// Medians of the valid runs.
    pub(crate) figures: Figures,
    /// Of planned rates: planned send to own delivery, of all members in all valid runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency_histogram: Option<Latencies>,
    pub(crate) runs: Vec<Run>,
    pub(crate) floors: Vec<FloorRun>,
    /// Valid when more than half of the runs are; the reason is of a run that is not, whether the
    /// cell is valid or not.
    #[serde(flatten)]
    pub(crate) validity: Validity,
}

/// One run of the load, as all its members saw it.
#[derive(Serialize, Deserialize, Clone, Default, Debug)]
pub(crate) struct Run {
    /// Of the member that saw the fewest.
    pub(crate) msgs_per_s: f64,
    pub(crate) payload_mbit_per_s: f64,
    /// Each the greatest of all members': planned send to own delivery.
    pub(crate) latency_us: Percentiles,
    /// The same to the delivery at the others, whose clock is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency_others_us: Option<Percentiles>,
    /// Of all members, until the cell has them.
    #[serde(skip)]
    pub(crate) latencies: Option<Latencies>,
    pub(crate) lateness_us: Percentiles,
    pub(crate) rotation_us: Percentiles,
    /// Of all members together.
    pub(crate) cpu_us_per_msg: f64,
    pub(crate) retransmits: u64,
    pub(crate) socket_drops: u64,
    /// Of processor time that the host of this virtual machine took, in percent.
    pub(crate) steal_percent: f64,
    #[serde(flatten)]
    pub(crate) validity: Validity,
}

/// One run of the floor.
#[derive(Serialize, Deserialize, Clone, Default, Debug)]
pub(crate) struct FloorRun {
    pub(crate) msgs_per_s: f64,
    pub(crate) packets_per_s: f64,
    pub(crate) rotation_us: Percentiles,
    pub(crate) cpu_us_per_msg: f64,
    pub(crate) lost: u64,
    pub(crate) steal_percent: f64,
    #[serde(flatten)]
    pub(crate) validity: Validity,
}

/// The figures of a cell.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Figures {
    pub(crate) msgs_per_s: Spread,
    pub(crate) payload_mbit_per_s: Spread,
    pub(crate) floor_msgs_per_s: Option<Spread>,
    /// Of the two medians.
    pub(crate) of_floor: Option<f64>,
    pub(crate) p50_us: Spread,
    pub(crate) p90_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) p999_us: Spread,
    pub(crate) max_us: Spread,
    /// Planned send to delivery at the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) others: Option<Others>,
    pub(crate) cpu_us_per_msg: Spread,
}

/// What the others wait for.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Others {
    pub(crate) p50_us: Spread,
    pub(crate) p99_us: Spread,
    pub(crate) p999_us: Spread,
}

impl Others {
    fn of(runs: &[Run]) -> Option<Self> {
        let valid = runs.iter().filter(|run| run.validity.valid);
        let told: Option<Vec<Percentiles>> = valid.map(|run| run.latency_others_us).collect();
        let told = told.filter(|told| !told.is_empty())?;
        let spread = |of: fn(&Percentiles) -> f64| Spread::of(told.iter().map(of));
        Some(Self {
            p50_us: spread(|it| it.p50),
            p99_us: spread(|it| it.p99),
            p999_us: spread(|it| it.p999),
        })
    }
}

impl Figures {
    fn of(runs: &[Run], floors: &[FloorRun]) -> Self {
        let spread =
            |of: fn(&Run) -> f64| Spread::of(runs.iter().filter(|run| run.validity.valid).map(of));
        let valid = floors.iter().filter(|run| run.validity.valid).map(|run| run.msgs_per_s);
        let floor_msgs_per_s =
            result::most(floors.iter().map(|run| &run.validity)).then(|| Spread::of(valid));
        let msgs_per_s = spread(|run| run.msgs_per_s);
        let of_floor = floor_msgs_per_s
            .filter(|floor| floor.median > 0.0)
            .map(|floor| msgs_per_s.median / floor.median);
        Self {
            msgs_per_s,
            payload_mbit_per_s: spread(|run| run.payload_mbit_per_s),
            floor_msgs_per_s,
            of_floor,
            p50_us: spread(|run| run.latency_us.p50),
            p90_us: spread(|run| run.latency_us.p90),
            p99_us: spread(|run| run.latency_us.p99),
            p999_us: spread(|run| run.latency_us.p999),
            max_us: spread(|run| run.latency_us.max),
            others: Others::of(runs),
            cpu_us_per_msg: spread(|run| run.cpu_us_per_msg),
        }
    }
}

impl CellResult {
    /// The result of all runs of a cell.
    pub(crate) fn new(
        cell: Cell,
        rate: Option<u64>,
        mut runs: Vec<Run>,
        floors: Vec<FloorRun>,
    ) -> Self {
        let valid = result::most(runs.iter().map(|run| &run.validity));
        let reason = runs.iter().find_map(|run| run.validity.reason.clone());
        let reason = reason.or_else(|| {
            let floor = floors.iter().find_map(|run| run.validity.reason.clone());
            floor.map(|reason| format!("the floor: {reason}"))
        });
        let figures = Figures::of(&runs, &floors);
        let latencies = runs.iter_mut().map(|run| (run.validity.valid, run.latencies.take()));
        let latencies: Vec<Latencies> =
            latencies.filter_map(|(valid, latencies)| latencies.filter(|_| valid)).collect();
        let latency_histogram = Latencies::merged(&latencies);
        let validity = Validity { valid, reason };
        Self { name: cell.name(), cell, rate, figures, latency_histogram, runs, floors, validity }
    }

    /// The result of a cell that could not be run.
    pub(crate) fn not_run(cell: Cell, reason: String) -> Self {
        let result = Self::new(cell, None, Vec::new(), Vec::new());
        Self { validity: Validity::refused(reason), ..result }
    }

    /// Whether anything was delivered in it.
    pub(crate) fn is_measured(&self) -> bool {
        self.runs.iter().any(|run| run.msgs_per_s > 0.0)
    }

    /// What one member uses of a processor, in percent.
    pub(crate) fn cpu_percent_of_member(&self) -> f64 {
        let Figures { cpu_us_per_msg, msgs_per_s, .. } = self.figures;
        cpu_us_per_msg.median * msgs_per_s.median / 1e4 / f64::from(self.cell.members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latencies::tests::rising;

    fn run(msgs_per_s: f64, reason: Option<&str>) -> Run {
        let validity = Validity::of(reason.map(str::to_owned));
        Run { msgs_per_s, validity, ..Run::default() }
    }

    #[test]
    fn a_cell_is_valid_when_most_of_its_runs_are() {
        let lost = Some("lost member 2");
        let floor =
            FloorRun { msgs_per_s: 10.0, validity: Validity::of(None), ..FloorRun::default() };
        let runs = vec![run(4.0, None), run(1.0, lost), run(6.0, None)];
        let most = CellResult::new(Cell::base(), None, runs, vec![floor]);
        assert!(most.validity.valid);
        assert_eq!(most.figures.msgs_per_s, Spread { median: 5.0, min: 4.0, max: 6.0 });
        assert_eq!(most.figures.of_floor, Some(0.5));
        assert_eq!(most.validity.reason.as_deref(), lost, "kept all the same");
        let half =
            CellResult::new(Cell::base(), None, vec![run(4.0, None), run(1.0, lost)], vec![]);
        assert!(!half.validity.valid);
        let not_run = CellResult::not_run(Cell::base(), "no".to_owned());
        assert!(!not_run.validity.valid && !not_run.is_measured() && half.is_measured());
        let dead = CellResult::new(Cell::base(), None, vec![run(0.0, lost)], vec![]);
        assert!(!dead.is_measured());
    }

    #[test]
    fn a_floor_counts_when_most_of_its_runs_do() {
        let floor = |reason: Option<&str>| {
            let validity = Validity::of(reason.map(str::to_owned));
            FloorRun { msgs_per_s: 10.0, validity, ..FloorRun::default() }
        };
        for (bad, counts) in [(1, true), (2, false)] {
            let mut floors = vec![floor(None), floor(None)];
            floors.extend((0..bad).map(|_| floor(Some("stalled"))));
            let cell = CellResult::new(Cell::base(), None, vec![run(4.0, None)], floors);
            assert_eq!(cell.figures.floor_msgs_per_s.is_some(), counts, "{bad} of {}", bad + 2);
            assert_eq!(cell.figures.of_floor.is_some(), counts);
            assert!(cell.validity.valid);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let run = Run { latencies: Some(rising(10)), ..run(4.0, None) };
        let result = CellResult::new(Cell::base(), Some(3), vec![run], vec![]);
        let mut text = serde_json::to_value(&result).unwrap();
        let read: CellResult = serde_json::from_value(text.clone()).unwrap();
        assert_eq!((read.cell, read.figures, read.rate), (result.cell, result.figures, Some(3)));
        assert_eq!(read.latency_histogram, Some(rising(10)));
        text.as_object_mut().unwrap().remove("latency_histogram");
        assert!(serde_json::from_value::<CellResult>(text).is_ok(), "of an earlier program");
    }

    #[test]
    fn latencies_are_those_of_all_valid_runs() {
        let run = |reason| Run { latencies: Some(rising(10)), ..run(4.0, reason) };
        let runs = vec![run(None), run(Some("lost member 2")), run(None)];
        let cell = CellResult::new(Cell::base(), Some(3), runs, vec![]);
        assert_eq!(cell.latency_histogram.unwrap().count(), 20);
    }
}
