//! Which charts there are, from the cells of a matrix. A cell that is not valid has no point here;
//! the table names it.

mod cost;
mod failover;
mod latency;
mod throughput;

use super::scale::Scale;
use super::svg::{Chart, Line, Point, Stroke};
use crate::figures::Spread;
use crate::matrix::document::{CellResult, Document};
use crate::matrix::plan::{Cell, RatePlan};

/// All charts that have something to show.
pub(crate) fn all(document: &Document) -> Vec<Chart> {
    let cells = Cells(&document.cells);
    let valid = document.failover.as_ref().filter(|outcome| outcome.validity.valid);
    let charts = [
        throughput::of_size(&cells),
        throughput::of_members(&cells),
        latency::percentiles(&cells),
        latency::of_load(&cells, "Latency against load, half of all messages", 0.5),
        latency::of_load(&cells, "Latency against load, 99 % of all messages", 0.99),
        latency::of_load_on_link(&cells),
        latency::of_loss(&cells),
        latency::of_services(&cells),
        cost::of_members(&cells),
        cost::of_size(&cells),
        cost::of_rate(&cells),
    ];
    charts.into_iter().chain(valid.map(failover::gaps)).filter(Chart::says_something).collect()
}

/// The valid cells among which charts look for theirs.
struct Cells<'a>(&'a [CellResult]);

impl<'a> Cells<'a> {
    /// Those that differ from `around` in nothing but what `varied` makes equal.
    fn like(&self, around: &Cell, varied: impl Fn(&mut Cell, &Cell)) -> Vec<&'a CellResult> {
        let is_like = |result: &&CellResult| {
            let mut like = around.clone();
            varied(&mut like, &result.cell);
            result.validity.valid && like == result.cell
        };
        self.0.iter().filter(is_like).collect()
    }

    /// Those that differ from `around` in their rate alone. At the maximum, latency is the length
    /// of the queues: it is not among them.
    fn ladder(&self, around: &Cell) -> Vec<&'a CellResult> {
        let mut found = self.like(around, |like, cell| like.rate = cell.rate);
        found.retain(|result| result.cell.rate != RatePlan::Max);
        found
    }
}

/// A line through cells in order of `x`; those without a `y` are left out.
fn line(
    name: &str,
    colour: usize,
    results: &[&CellResult],
    x: impl Fn(&CellResult) -> f64,
    y: impl Fn(&CellResult) -> Option<Spread>,
) -> Line {
    let point = |result: &&CellResult| {
        let Spread { median, min, max } = y(result)?;
        Some(Point { x: x(result), y: median, low: min, high: max })
    };
    let mut points: Vec<Point> = results.iter().filter_map(point).collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    Line { name: name.to_owned(), colour, stroke: Stroke::Solid, points }
}

fn dashed(line: Line) -> Line {
    Line { stroke: Stroke::Dashed, ..line }
}

/// Every value that the axis of `lines` must have room for.
fn heights(lines: &[Line]) -> Vec<f64> {
    lines.iter().flat_map(|line| &line.points).flat_map(|p| [p.y, p.low, p.high]).collect()
}

fn widths(lines: &[Line]) -> Vec<f64> {
    lines.iter().flat_map(|line| &line.points).map(|point| point.x).collect()
}

/// Fewer make no ring worth the name.
const MEMBERS_MIN: u16 = 2;

/// A place for each number of members up to the most that there are.
fn members_scale(found: &[&CellResult]) -> Scale {
    let most = found.iter().map(|result| result.cell.members).max().unwrap_or(MEMBERS_MIN);
    Scale::Names((MEMBERS_MIN..=most).map(|members| members.to_string()).collect())
}

/// Where a cell is on [`members_scale`].
fn at_members(result: &CellResult) -> f64 {
    f64::from(result.cell.members) - f64::from(MEMBERS_MIN)
}

/// Of all members together.
fn msgs_per_s(result: &CellResult) -> f64 {
    result.figures.msgs_per_s.median
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::document;

    #[test]
    fn every_chart_that_people_expect_is_there() {
        let document = document();
        let charts = all(&document);
        assert_eq!(charts.len(), 12);
        for chart in charts {
            for line in &chart.lines {
                assert!(line.points.len() > 1, "{}: {}", chart.title, line.name);
            }
        }
    }

    #[test]
    fn cells_that_are_not_valid_have_no_point() {
        let mut document = document();
        for result in &mut document.cells {
            result.validity.valid = false;
        }
        document.failover.as_mut().unwrap().validity.valid = false;
        assert!(all(&document).is_empty());
    }
}
