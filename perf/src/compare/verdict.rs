//! What changed between two measurements of a cell, and what is noise.

use serde::Serialize;

use crate::figures::Spread;
use crate::matrix::document::{CellResult, Figures};
use crate::matrix::plan::RatePlan;

/// Changes below this part are noise whatever the runs say: the host differs by as much from hour
/// to hour.
const LEAST_PART: f64 = 0.03;

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

/// All figures of a cell that both measured. The latency at the greatest rate is the length of
/// queues and is no figure to compare.
pub(crate) fn changes(before: &CellResult, after: &CellResult) -> Vec<Change> {
    let (then, now): (&Figures, &Figures) = (&before.figures, &after.figures);
    let mut changes = vec![
        change("msgs_per_s", Good::More, then.msgs_per_s, now.msgs_per_s),
        change("cpu_us_per_msg", Good::Less, then.cpu_us_per_msg, now.cpu_us_per_msg),
    ];
    if let (Some(then), Some(now)) = (then.floor_msgs_per_s, now.floor_msgs_per_s) {
        changes.push(change(FLOOR, Good::More, then, now));
    }
    if after.cell.rate != RatePlan::Max {
        changes.push(change("p50_us", Good::Less, then.p50_us, now.p50_us));
        changes.push(change("p99_us", Good::Less, then.p99_us, now.p99_us));
    }
    changes
}

/// The figure that is the host's and not the ring's.
pub(crate) const FLOOR: &str = "floor_msgs_per_s";

fn change(figure: &'static str, good: Good, before: Spread, after: Spread) -> Change {
    let part = if before.median > 0.0 { after.median / before.median - 1.0 } else { 0.0 };
    let apart = after.min > before.max || after.max < before.min;
    let verdict = match (apart && part.abs() >= LEAST_PART, good) {
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
            assert_eq!(change("a", Good::More, before, after).verdict, more, "{after:?}");
            assert_eq!(change("a", Good::Less, before, after).verdict, less, "{after:?}");
        }
    }

    #[test]
    fn a_small_change_is_noise_however_steady_the_runs() {
        let (before, after) = (spread(100.0, 100.0, 100.0), spread(102.0, 102.0, 102.0));
        let small = change("a", Good::More, before, after);
        assert_eq!((small.verdict, small.change_percent), (Verdict::Same, 2.0));
        let nothing = change("a", Good::More, Spread::default(), Spread::default());
        assert_eq!((nothing.verdict, nothing.change_percent), (Verdict::Same, 0.0));
    }
}
