//! How long traffic stands still at faults.

use super::heights;
use crate::failover::outcome::{FAULTS, Figures, Outcome};
use crate::figures::Spread;
use crate::report::scale::Scale;
use crate::report::svg::{Axis, Chart, Line, Point, Stroke};

pub(super) fn gaps(outcome: &Outcome) -> Chart {
    // Side by side, so that no spread hides another.
    let lines = vec![
        points("no delivery", 0, -0.07, outcome, |figures| figures.gap_ms),
        points("until all agreed", 1, 0.07, outcome, |figures| figures.agreed_ms),
    ];
    let Outcome { hosts, rate, rounds, .. } = outcome;
    Chart {
        title: "Gap at failover",
        note: format!(
            "{hosts} members, each {rate} messages a second; medians over {rounds} rounds with the \
             least and the greatest, each of the member that fared worst. A rejoin contains the start \
             of the process, and a gap below 3 ms counts as 0."
        ),
        x: Axis { label: "fault", scale: Scale::Names(FAULTS.map(str::to_owned).to_vec()) },
        y: Axis { label: "ms", scale: Scale::linear(heights(&lines)) },
        lines,
    }
}

fn points(
    name: &str,
    colour: usize,
    aside: f64,
    outcome: &Outcome,
    of: impl Fn(Figures) -> Spread,
) -> Line {
    let faults = (0_u32..).zip(outcome.figures());
    let points = faults.map(|(index, figures)| {
        let Spread { median, min, max } = of(figures);
        Point { x: f64::from(index) + aside, y: median, low: min, high: max }
    });
    Line { name: name.to_owned(), colour, stroke: Stroke::Points, points: points.collect() }
}
