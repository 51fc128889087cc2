//! What changed between two measurements of a cell, and what is noise.

use serde::Serialize;

use crate::figures::Spread;
use crate::matrix::document::{CellResult, Figures};
use crate::matrix::plan::RatePlan;
use crate::result;

/// Changes below this part are noise whatever the runs say: the host differs by as much from hour
/// to hour.
const LEAST_PART: f64 = 0.03;

/// Fewer valid runs have no spread that could tell noise.
const RUNS_MIN: usize = 3;

/// What became of a figure.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The runs of both overlap, or nearly.
    Same,
    Better,
    Worse,
}

/// A figure of two measurements.
#[derive(Serialize, Clone, Copy, PartialEq, Debug)]
pub(crate) struct Change {
    pub(crate) figure: &'static str,
    pub(crate) before: Spread,
    pub(crate) after: Spread,
    /// Of the medians.
    pub(crate) change_percent: f64,
    pub(crate) verdict: Verdict,
}

/// Which way is better.
#[derive(Clone, Copy)]
enum Good {
    More,
    Less,
}

/// Why two valid results of one name are not of one thing, if so. A part of the maximum is a part of
/// each matrix's own, so its load may be another.
pub(crate) fn unequal(before: &CellResult, after: &CellResult) -> Option<String> {
    if before.cell != after.cell {
        return Some("the name stands for another cell".to_owned());
    }
    let told = |rate: Option<u64>| rate.map_or_else(|| "none".to_owned(), |it| it.to_string());
    let differ = match (before.rate, after.rate) {
        (Some(then), Some(now)) => (now as f64 / then as f64 - 1.0).abs() >= LEAST_PART,
        (then, now) => then != now,
    };
    differ.then(|| {
        let (then, now) = (told(before.rate), told(after.rate));
        format!("planned were {then} and {now} messages a second of each")
    })
}

/// All figures of a cell that both measured. What comes of a planned rate is the plan, and the
/// latency at the greatest rate is the length of queues: neither is a figure to compare.
pub(crate) fn changes(before: &CellResult, after: &CellResult) -> Vec<Change> {
    let (then, now): (&Figures, &Figures) = (&before.figures, &after.figures);
    let runs = [&before.runs, &after.runs];
    let enough = enough(runs.map(|runs| result::valid(runs.iter().map(|run| &run.validity))));
    let change = |figure, good, then, now| change(figure, good, enough, then, now);
    let cpu = change("cpu_us_per_msg", Good::Less, then.cpu_us_per_msg, now.cpu_us_per_msg);
    if after.cell.rate != RatePlan::Max {
        return vec![
            cpu,
            change("p50_us", Good::Less, then.p50_us, now.p50_us),
            change("p99_us", Good::Less, then.p99_us, now.p99_us),
        ];
    }
    let mut changes = vec![change("msgs_per_s", Good::More, then.msgs_per_s, now.msgs_per_s), cpu];
    if let (Some(then), Some(now)) = (then.floor_msgs_per_s, now.floor_msgs_per_s) {
        let floors = [&before.floors, &after.floors];
        let valid = floors.map(|runs| result::valid(runs.iter().map(|run| &run.validity)));
        let enough = self::enough(valid);
        changes.push(self::change(FLOOR, Good::More, enough, then, now));
    }
    changes
}

fn enough(runs: [usize; 2]) -> bool {
    runs.into_iter().all(|runs| runs >= RUNS_MIN)
}

/// The figure that is the host's and not the ring's.
pub(crate) const FLOOR: &str = "floor_msgs_per_s";

fn change(figure: &'static str, good: Good, enough: bool, before: Spread, after: Spread) -> Change {
    let part = if before.median > 0.0 { after.median / before.median - 1.0 } else { 0.0 };
    let apart = after.min > before.max || after.max < before.min;
    let verdict = match (enough && apart && part.abs() >= LEAST_PART, good) {
        (false, _) => Verdict::Same,
        (true, Good::More) if part > 0.0 => Verdict::Better,
        (true, Good::Less) if part < 0.0 => Verdict::Better,
        (true, _) => Verdict::Worse,
    };
    let change_percent = (part * 1000.0).round() / 10.0;
    Change { figure, before, after, change_percent, verdict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::document::{FloorRun, Run};
    use crate::matrix::plan::Cell;
    use crate::result::Validity;

    /// A cell with so many runs that are all alike.
    fn cell(plan: RatePlan, rate: Option<u64>, runs: usize, p50: f64) -> CellResult {
        let validity = Validity::of(None);
        let mut run = Run { msgs_per_s: p50, validity: validity.clone(), ..Run::default() };
        run.latency_us.p50 = p50;
        let floor = FloorRun { msgs_per_s: p50, validity, ..FloorRun::default() };
        let cell = Cell { rate: plan, ..Cell::base() };
        let floors = if cell.has_floor() { vec![floor; runs] } else { Vec::new() };
        CellResult::new(cell, rate, vec![run; runs], floors)
    }

    fn verdicts(before: &CellResult, after: &CellResult) -> Vec<(&'static str, Verdict)> {
        let told = changes(before, after).into_iter();
        told.filter(|it| it.figure != "cpu_us_per_msg").map(|it| (it.figure, it.verdict)).collect()
    }

    #[test]
    fn what_was_loaded_otherwise_is_not_compared() {
        let plan = RatePlan::PercentOfMax(85);
        let before = cell(plan, Some(1000), 3, 1.0);
        assert_eq!(unequal(&before, &cell(plan, Some(1029), 3, 1.0)), None);
        for rate in [Some(1030), Some(970), None] {
            let why = unequal(&before, &cell(plan, rate, 3, 1.0)).unwrap();
            assert!(why.contains("planned were 1000 and "), "{why}");
        }
        let other = cell(RatePlan::PerSecond(1000), Some(1000), 3, 1.0);
        assert!(unequal(&before, &other).unwrap().contains("another cell"));
        let maximum = cell(RatePlan::Max, None, 3, 1.0);
        assert_eq!(unequal(&maximum, &maximum), None);
    }

    #[test]
    fn throughput_is_compared_at_the_maximum_and_latency_below_it() {
        use Verdict::{Better, Same, Worse};
        let [before, after] = [1.0, 2.0].map(|value| cell(RatePlan::Max, None, 3, value));
        assert_eq!(verdicts(&before, &after), [("msgs_per_s", Better), (FLOOR, Better)]);
        let plan = RatePlan::PerSecond(9);
        let [before, after] = [1.0, 2.0].map(|value| cell(plan, Some(9), 3, value));
        assert_eq!(verdicts(&before, &after), [("p50_us", Worse), ("p99_us", Same)]);
    }

    #[test]
    fn fewer_than_three_runs_tell_nothing() {
        let (before, after) =
            (cell(RatePlan::Max, None, 3, 1.0), cell(RatePlan::Max, None, 2, 2.0));
        for (one, other) in [(&before, &after), (&after, &before)] {
            assert!(verdicts(one, other).iter().all(|(_, it)| *it == Verdict::Same));
        }
    }

    fn spread(min: f64, median: f64, max: f64) -> Spread {
        Spread { median, min, max }
    }

    #[test]
    fn what_the_spread_of_the_runs_covers_is_noise() {
        let before = spread(90.0, 100.0, 110.0);
        for (after, more, less) in [
            (spread(105.0, 120.0, 130.0), Verdict::Same, Verdict::Same),
            (spread(111.0, 120.0, 130.0), Verdict::Better, Verdict::Worse),
            (spread(50.0, 60.0, 70.0), Verdict::Worse, Verdict::Better),
        ] {
            assert_eq!(change("a", Good::More, true, before, after).verdict, more, "{after:?}");
            assert_eq!(change("a", Good::Less, true, before, after).verdict, less, "{after:?}");
        }
    }

    #[test]
    fn a_small_change_is_noise_however_steady_the_runs() {
        let (before, after) = (spread(100.0, 100.0, 100.0), spread(102.0, 102.0, 102.0));
        let small = change("a", Good::More, true, before, after);
        assert_eq!((small.verdict, small.change_percent), (Verdict::Same, 2.0));
        let nothing = change("a", Good::More, true, Spread::default(), Spread::default());
        assert_eq!((nothing.verdict, nothing.change_percent), (Verdict::Same, 0.0));
    }
}
