//! How long messages take, from histograms merged over all members and valid runs of a cell.

use super::{Cells, dashed, heights, line, msgs_per_s, widths};
use crate::figures::Spread;
use crate::latencies::Latencies;
use crate::matrix::document::CellResult;
use crate::matrix::plan::{
    Cell, LADDER_LOSSES, LADDER_SERVICES, LINK, LOSS_LOAD_PERCENT, MTUS, PORT_BUFFER_BYTES,
    RatePlan, SERVICE_LOSSES, SERVICE_RATE, SERVICES, SIZE, percent,
};
use crate::report::bytes;
use crate::report::scale::Scale;
use crate::report::svg::{Axis, Chart, Line, Point};

/// The loads of the percentile curve.
const CURVES: [RatePlan; 3] = [
    RatePlan::PerSecond(1_000),
    RatePlan::PerSecond(10_000),
    RatePlan::PercentOfMax(LOSS_LOAD_PERCENT),
];

pub(super) fn percentiles(cells: &Cells<'_>) -> Chart {
    let mut lines = Vec::new();
    for service in LADDER_SERVICES {
        for (colour, rate) in CURVES.into_iter().enumerate() {
            let cell = Cell { service: service.to_owned(), rate, ..Cell::base() };
            let found = cells.like(&cell, |_, _| ());
            let Some(merged) = found.first().and_then(|it| it.latency_histogram.as_ref()) else {
                continue;
            };
            let name = format!("{service}, {}", rate_name(rate));
            let line = Line { name, colour, points: curve(merged), ..Line::default() };
            lines.push(if service == Cell::base().service { line } else { dashed(line) });
        }
    }
    let most = widths(&lines).into_iter().fold(0.0, f64::max);
    Chart {
        title: "Latency by percentile",
        note: format!(
            "Planned send to own delivery, open loop, {}; all members and valid runs in one \
             histogram. The last point is the longest of all.",
            bytes(SIZE)
        ),
        x: Axis { label: "of all messages", scale: Scale::Quantiles { max: most } },
        y: Axis { label: "µs", scale: Scale::log(heights(&lines)) },
        lines,
    }
}

/// From the half up to the last message; each power of ten of the rest has as many points.
fn curve(merged: &Latencies) -> Vec<Point> {
    let last = 1.0 - 1.0 / merged.count().max(2) as f64;
    let point = |x: f64, quantile: f64| {
        let y = merged.at(quantile);
        Point { x, y, low: y, high: y }
    };
    let mut points = Vec::new();
    let mut rest = 1.0;
    while rest > 1.0 - last {
        let parts = [0.5, 0.25, 0.1].map(|part| 1.0 - rest * part);
        points.extend(parts.into_iter().filter(|at| *at < last).map(|at| point(at, at)));
        rest /= 10.0;
    }
    points.push(point(last, 1.0));
    points
}

fn rate_name(rate: RatePlan) -> String {
    match rate {
        RatePlan::Max => "maximum".to_owned(),
        RatePlan::PerSecond(rate) => format!("{rate}/s each"),
        RatePlan::PercentOfMax(percent) => format!("{percent} % of the maximum"),
    }
}

/// The merged latency at a quantile. It is of all runs, so it has no spread over them.
fn at(quantile: f64) -> impl Fn(&CellResult) -> Option<Spread> {
    move |result| Some(Spread::of([result.latency_histogram.as_ref()?.at(quantile)]))
}

/// The hockey stick.
pub(super) fn of_load(cells: &Cells<'_>, title: &'static str, quantile: f64) -> Chart {
    let mut lines = Vec::new();
    for loss_per_mille in LADDER_LOSSES {
        for (colour, service) in LADDER_SERVICES.into_iter().enumerate() {
            let cell = Cell { service: service.to_owned(), loss_per_mille, ..Cell::base() };
            let found = cells.ladder(&cell);
            let lossy = format!("{service}, {} lost", percent(loss_per_mille));
            lines.push(match loss_per_mille {
                0 => line(service, colour, &found, msgs_per_s, at(quantile)),
                _ => dashed(line(&lossy, colour, &found, msgs_per_s, at(quantile))),
            });
        }
    }
    let inline = cells.ladder(&Cell { drive: "inline".to_owned(), ..Cell::base() });
    let colour = LADDER_SERVICES.len();
    lines.push(line("agreed, inline", colour, &inline, msgs_per_s, at(quantile)));
    let note = format!(
        "{} at rates that stay the same, the last ones parts of the maximum without loss: where \
         it bends up is what the ring takes. All members and valid runs in one histogram.",
        bytes(SIZE)
    );
    hockey_stick(title, note, lines)
}

/// The same where the network is what there is too little of.
pub(super) fn of_load_on_link(cells: &Cells<'_>) -> Chart {
    let found = cells.ladder(&Cell { link: Some(LINK), mtu: MTUS[1], ..Cell::base() });
    let quantiles = [("p50", 0.5), ("p99", 0.99)].into_iter().enumerate();
    let lines = quantiles
        .map(|(colour, (name, quantile))| line(name, colour, &found, msgs_per_s, at(quantile)))
        .collect();
    let note = format!(
        "{} agreed, MTU {}, a switch that keeps {PORT_BUFFER_BYTES} bytes for a port.",
        bytes(SIZE),
        MTUS[1]
    );
    hockey_stick("Latency against load, links of 1 Gbit/s", note, lines)
}

fn hockey_stick(title: &'static str, note: String, lines: Vec<Line>) -> Chart {
    Chart {
        title,
        note,
        x: Axis { label: "messages a second, of all members", scale: Scale::log(widths(&lines)) },
        y: Axis { label: "µs", scale: Scale::log(heights(&lines)) },
        lines,
    }
}

pub(super) fn of_loss(cells: &Cells<'_>) -> Chart {
    let around = Cell { rate: RatePlan::PercentOfMax(LOSS_LOAD_PERCENT), ..Cell::base() };
    let found = cells.like(&around, |like, cell| like.loss_per_mille = cell.loss_per_mille);
    let mut losses: Vec<u32> = found.iter().map(|result| result.cell.loss_per_mille).collect();
    losses.sort_unstable();
    let x = |result: &CellResult| {
        let index = losses.iter().position(|loss| *loss == result.cell.loss_per_mille);
        index.unwrap_or(0) as f64
    };
    let lines = vec![
        line("50 %", 0, &found, x, at(0.5)),
        line("99 %", 1, &found, x, at(0.99)),
        line("99.9 %", 2, &found, x, at(0.999)),
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

/// What each service waits for when packets are lost.
pub(super) fn of_services(cells: &Cells<'_>) -> Chart {
    let x = |result: &CellResult| {
        let is_its = |loss: &u32| *loss == result.cell.loss_per_mille;
        SERVICE_LOSSES.iter().position(is_its).unwrap_or(0) as f64
    };
    let mut lines = Vec::new();
    for (colour, service) in SERVICES.into_iter().enumerate() {
        let around = Cell { service: service.to_owned(), rate: SERVICE_RATE, ..Cell::base() };
        let found = cells.like(&around, |like, cell| like.loss_per_mille = cell.loss_per_mille);
        let p50 = |result: &CellResult| Some(result.figures.others?.p50_us);
        let p99 = |result: &CellResult| Some(result.figures.others?.p99_us);
        lines.push(line(&format!("{service}, 99 %"), colour, &found, x, p99));
        lines.push(dashed(line(&format!("{service}, 50 %"), colour, &found, x, p50)));
    }
    Chart {
        title: "Latency of services against loss",
        note: format!(
            "Planned send to delivery at the others, {}, {}; lost are datagrams at each receiver.",
            bytes(SIZE),
            rate_name(SERVICE_RATE)
        ),
        x: Axis {
            label: "loss",
            scale: Scale::Names(SERVICE_LOSSES.iter().map(|loss| percent(*loss)).collect()),
        },
        y: Axis { label: "µs", scale: Scale::log(heights(&lines)) },
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latencies::tests::rising;

    #[test]
    fn a_curve_rises_to_the_longest_of_all() {
        let points = curve(&rising(1000));
        assert!(points.windows(2).all(|two| two[0].x < two[1].x && two[0].y <= two[1].y));
        let (first, last) = (points[0], points[points.len() - 1]);
        assert!((first.x, first.y.round()) == (0.5, 500.0), "{first:?}");
        assert!((last.x - 0.999).abs() < 1e-9 && (last.y - 1000.0).abs() < 1.0, "{last:?}");
        assert_eq!(curve(&rising(0)).len(), 1, "nothing has an end, too");
    }
}
