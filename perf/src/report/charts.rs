//! Which charts there are, from the cells of a matrix. A cell that is not valid has no point here;
//! the table names it.

use super::scale::Scale;
use super::svg::{Axis, Chart, Line, Point};
use crate::figures::Spread;
use crate::matrix::document::{CellResult, Document, Figures};
use crate::matrix::plan::{Cell, LOSS_LOAD_PERCENT, MTUS, RatePlan, percent};

/// All charts that have something to show.
pub(crate) fn all(document: &Document) -> Vec<Chart> {
    let cells = Cells(&document.cells);
    let charts = [
        size(&cells),
        percentiles(&cells),
        hockey_stick(&cells),
        loss(&cells),
        members(&cells),
        cpu_of_members(&cells),
        cpu(&cells),
    ];
    charts.into_iter().filter(|chart| !chart.is_empty()).collect()
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
}

/// A line through cells in order of `x`; those without a `y` are left out.
fn line(
    name: &str,
    colour: usize,
    results: &[&CellResult],
    x: impl Fn(&CellResult) -> f64,
    y: impl Fn(&Figures) -> Option<Spread>,
) -> Line {
    let point = |result: &&CellResult| {
        let Spread { median, min, max } = y(&result.figures)?;
        Some(Point { x: x(result), y: median, low: min, high: max })
    };
    let mut points: Vec<Point> = results.iter().filter_map(point).collect();
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    Line { name: name.to_owned(), colour, dashed: false, points }
}

fn dashed(line: Line) -> Line {
    Line { dashed: true, ..line }
}

/// Every value that the axis of `lines` must have room for.
fn heights(lines: &[Line]) -> Vec<f64> {
    lines.iter().flat_map(|line| &line.points).flat_map(|p| [p.y, p.low, p.high]).collect()
}

fn widths(lines: &[Line]) -> Vec<f64> {
    lines.iter().flat_map(|line| &line.points).map(|point| point.x).collect()
}

fn size(cells: &Cells<'_>) -> Chart {
    let mut lines = Vec::new();
    for (colour, mtu) in MTUS.into_iter().enumerate() {
        let around = Cell { mtu, ..Cell::base() };
        let found = cells.like(&around, |like, cell| like.size = cell.size);
        let x = |result: &CellResult| result.cell.size as f64;
        let (ring, floor) = (format!("ring, MTU {mtu}"), format!("floor, MTU {mtu}"));
        lines.push(line(&ring, colour, &found, x, |figures| Some(figures.msgs_per_s)));
        lines.push(dashed(line(&floor, colour, &found, x, |figures| figures.floor_msgs_per_s)));
    }
    Chart {
        title: "Throughput against size",
        note: "Ordered messages of all members, delivered at each; the floor is the same packets \
               without a protocol, measured in turn with it."
            .to_owned(),
        x: Axis { label: "bytes of a message", scale: Scale::log(widths(&lines)) },
        y: Axis { label: "messages a second", scale: Scale::log(heights(&lines)) },
        lines,
    }
}

fn percentiles(cells: &Cells<'_>) -> Chart {
    let names = ["50 %", "90 %", "99 %", "99.9 %", "all"].map(str::to_owned).to_vec();
    let wanted = |cell: &Cell| {
        let around = Cell { rate: cell.rate, service: cell.service.clone(), ..Cell::base() };
        let planned = matches!(
            cell.rate,
            RatePlan::PerSecond(1_000 | 10_000) | RatePlan::PercentOfMax(LOSS_LOAD_PERCENT)
        );
        *cell == around && planned
    };
    let found = cells.0.iter().filter(|result| result.validity.valid && wanted(&result.cell));
    let mut lines = Vec::new();
    for (colour, result) in found.enumerate() {
        let figures = &result.figures;
        let heights =
            [figures.p50_us, figures.p90_us, figures.p99_us, figures.p999_us, figures.max_us];
        let points = (0_u32..).zip(heights).map(|(x, Spread { median, min, max })| Point {
            x: f64::from(x),
            y: median,
            low: min,
            high: max,
        });
        let name = format!("{}, {}", result.cell.service, rate_name(result));
        let dashed = result.cell.service != Cell::base().service;
        lines.push(Line { name, colour, dashed, points: points.collect() });
    }
    Chart {
        title: "Latency by percentile",
        note: "Planned send to own delivery, open loop, the worst member's; 1 350 B, each a \
               median over the runs."
            .to_owned(),
        x: Axis { label: "of all messages", scale: Scale::Names(names) },
        y: Axis { label: "µs", scale: Scale::log(heights(&lines)) },
        lines,
    }
}

fn rate_name(result: &CellResult) -> String {
    match result.cell.rate {
        RatePlan::Max => "maximum".to_owned(),
        RatePlan::PerSecond(rate) => format!("{rate}/s each"),
        RatePlan::PercentOfMax(percent) => format!("{percent} % of the maximum"),
    }
}

/// The cells of a latency ladder.
fn ladder<'a>(cells: &Cells<'a>, size: usize, service: &str) -> Vec<&'a CellResult> {
    let around = Cell { size, service: service.to_owned(), ..Cell::base() };
    let mut found = cells.like(&around, |like, cell| like.rate = cell.rate);
    // At the maximum, latency is the length of the queues.
    found.retain(|result| result.cell.rate != RatePlan::Max);
    found
}

fn hockey_stick(cells: &Cells<'_>) -> Chart {
    let mut lines = Vec::new();
    for (index, service) in ["agreed", "safe"].into_iter().enumerate() {
        let found = ladder(cells, Cell::base().size, service);
        let x = |result: &CellResult| result.figures.msgs_per_s.median;
        let (p50, p99) = (format!("{service}, 50 %"), format!("{service}, 99 %"));
        lines.push(line(&p50, index, &found, x, |figures| Some(figures.p50_us)));
        lines.push(dashed(line(&p99, index, &found, x, |figures| Some(figures.p99_us))));
    }
    Chart {
        title: "Latency against load",
        note: "1 350 B at rates that stay the same, the last ones parts of the measured maximum: \
               where it bends up is what the ring takes."
            .to_owned(),
        x: Axis { label: "messages a second, of all members", scale: Scale::log(widths(&lines)) },
        y: Axis { label: "µs", scale: Scale::log(heights(&lines)) },
        lines,
    }
}

fn loss(cells: &Cells<'_>) -> Chart {
    let around = Cell { rate: RatePlan::PercentOfMax(LOSS_LOAD_PERCENT), ..Cell::base() };
    let found = cells.like(&around, |like, cell| like.loss_per_mille = cell.loss_per_mille);
    let mut losses: Vec<u32> = found.iter().map(|result| result.cell.loss_per_mille).collect();
    losses.sort_unstable();
    let x = |result: &CellResult| {
        let index = losses.iter().position(|loss| *loss == result.cell.loss_per_mille);
        index.unwrap_or(0) as f64
    };
    let lines = vec![
        line("50 %", 0, &found, x, |figures| Some(figures.p50_us)),
        line("99 %", 1, &found, x, |figures| Some(figures.p99_us)),
        line("99.9 %", 2, &found, x, |figures| Some(figures.p999_us)),
    ];
    Chart {
        title: "Latency against loss",
        note: format!(
            "At {LOSS_LOAD_PERCENT} % of the maximum; lost are datagrams at each receiver, and a \
             super-packet of up to 64 packets is one of them."
        ),
        x: Axis {
            label: "loss",
            scale: Scale::Names(losses.iter().map(|loss| percent(*loss)).collect()),
        },
        y: Axis { label: "µs", scale: Scale::log(heights(&lines)) },
        lines,
    }
}

/// Fewer make no ring worth the name.
const MEMBERS_MIN: u16 = 2;

fn by_members<'a>(cells: &Cells<'a>) -> (Vec<&'a CellResult>, Scale) {
    let found = cells.like(&Cell::base(), |like, cell| like.members = cell.members);
    let most = found.iter().map(|result| result.cell.members).max().unwrap_or(MEMBERS_MIN);
    (found, Scale::Names((MEMBERS_MIN..=most).map(|members| members.to_string()).collect()))
}

/// Where a cell is on the scale of [`by_members`].
fn at_members(result: &CellResult) -> f64 {
    f64::from(result.cell.members) - f64::from(MEMBERS_MIN)
}

fn members(cells: &Cells<'_>) -> Chart {
    let (found, scale) = by_members(cells);
    let lines = vec![
        line("ring", 0, &found, at_members, |figures| Some(figures.msgs_per_s)),
        dashed(line("floor", 0, &found, at_members, |figures| figures.floor_msgs_per_s)),
    ];
    Chart {
        title: "Throughput against members",
        note: "All members share the processors of this one machine, so that each message costs \
               more the more members receive it."
            .to_owned(),
        x: Axis { label: "members", scale },
        y: Axis { label: "messages a second", scale: Scale::linear(heights(&lines)) },
        lines,
    }
}

fn cpu_of_members(cells: &Cells<'_>) -> Chart {
    let (found, scale) = by_members(cells);
    let mut whole =
        line("all members", 0, &found, at_members, |figures| Some(figures.cpu_us_per_msg));
    let mut each = Line { name: "each delivery".to_owned(), colour: 1, ..whole.clone() };
    for point in &mut each.points {
        let members = point.x + f64::from(MEMBERS_MIN);
        let Point { y, low, high, .. } = *point;
        (point.y, point.low, point.high) = (y / members, low / members, high / members);
    }
    whole.dashed = true;
    let lines = vec![whole, each];
    Chart {
        title: "Processor time against members",
        note: "Of a message at the greatest rate: by all members together, and by each that \
               delivers it. The second should stay level."
            .to_owned(),
        x: Axis { label: "members", scale },
        y: Axis { label: "µs of a message", scale: Scale::linear(heights(&lines)) },
        lines,
    }
}

fn cpu(cells: &Cells<'_>) -> Chart {
    let mut lines = Vec::new();
    for (colour, (size, service)) in
        [(64, "agreed"), (Cell::base().size, "agreed"), (Cell::base().size, "safe")]
            .into_iter()
            .enumerate()
    {
        let found = ladder(cells, size, service);
        let points = found.iter().map(|result| {
            let y = result.cpu_percent_of_member();
            Point { x: result.figures.msgs_per_s.median, y, low: y, high: y }
        });
        let mut points: Vec<Point> = points.collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        lines.push(Line { name: format!("{size} B, {service}"), colour, dashed: false, points });
    }
    Chart {
        title: "Processor time against rate",
        note: "Of one member: the ring's threads, the load's sender and its receiver.".to_owned(),
        x: Axis { label: "messages a second, of all members", scale: Scale::log(widths(&lines)) },
        y: Axis { label: "% of a processor", scale: Scale::linear(heights(&lines)) },
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::document;

    #[test]
    fn every_chart_that_people_expect_is_there() {
        let document = document();
        let charts = all(&document);
        assert_eq!(charts.len(), 7);
        for chart in charts {
            for line in &chart.lines {
                assert!(!line.points.is_empty(), "{}: {}", chart.title, line.name);
            }
        }
    }

    #[test]
    fn cells_that_are_not_valid_have_no_point() {
        let mut document = document();
        for result in &mut document.cells {
            result.validity.valid = false;
        }
        assert!(all(&document).is_empty());
    }
}
