//! The report of a matrix: one HTML page that needs nothing else.

mod charts;
mod grid;
mod scale;
mod svg;

use std::fmt::Write as _;

use svg::escape;

use crate::environment::Environment;
use crate::figures::{Spread, short};
use crate::matrix::document::{CellResult, Document, Options, Run};
use crate::result;

const STYLE: &str = include_str!("style.css");

/// The page.
pub(crate) fn page(document: &Document) -> String {
    let mut to = String::new();
    let valid = result::valid(document.cells.iter().map(|cell| &cell.validity));
    let _ = write!(
        to,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Roundel: what it does here</title><style>{STYLE}</style></head><body>\
         <h1>Roundel: what it does here</h1><p class=\"lead\">{valid} of {} cells are valid.</p>",
        document.cells.len()
    );
    environment(&document.environment, &document.options, &mut to);
    not_valid(document, &mut to);
    to.push_str("<h2>Charts</h2><div class=\"charts\">");
    for chart in charts::all(document) {
        to.push_str(&chart.html());
    }
    to.push_str("</div>");
    grid::table(&document.cells, &mut to);
    table(&document.cells, &mut to);
    to.push_str("</body></html>\n");
    to
}

fn environment(environment: &Environment, options: &Options, to: &mut String) {
    let Environment { kernel, cpu, cores, memory_mib, load_average, version, .. } = environment;
    let commit = environment.tree_commit.as_deref().unwrap_or("unknown");
    let Options { hosts, runs, seconds, warmup, .. } = options;
    let rows = [
        ("Processor", format!("{cpu}, {cores} cores")),
        ("Memory", format!("{memory_mib} MiB")),
        ("Kernel", kernel.clone()),
        ("Program", format!("{version}; its tree was at {commit} then")),
        ("Hosts", format!("{hosts} network namespaces on one bridge of this machine")),
        ("Each cell", format!("{runs} runs of {seconds} s after {warmup} s of load")),
        ("Load average before", format!("{load_average}")),
        ("Measured", environment.utc()),
    ];
    to.push_str("<dl>");
    for (name, value) in rows {
        let _ = write!(to, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    }
    to.push_str("</dl>");
    if environment.debug_assertions {
        to.push_str(
            "<p class=\"bad\">Built with debug assertions: these figures count for nothing. Fix: \
             cargo build --release.</p>",
        );
    }
}

fn not_valid(document: &Document, to: &mut String) {
    let cells = document.cells.iter();
    let mut told =
        cells.filter(|cell| cell.validity.reason.is_some() || !cell.validity.valid).peekable();
    let failover = document.failover.as_ref().and_then(|it| it.validity.reason.as_ref());
    if told.peek().is_none() && failover.is_none() {
        return;
    }
    to.push_str("<h2>Runs that are not valid</h2><ul class=\"reasons\">");
    for cell in told {
        let all = cell.runs.iter().map(|run| &run.validity);
        let all = all.chain(cell.floors.iter().map(|run| &run.validity));
        let runs = cell.runs.len() + cell.floors.len();
        let bad = runs - result::valid(all);
        let what = if cell.validity.valid { "counts all the same" } else { "counts for nothing" };
        let _ = write!(
            to,
            "<li><code>{}</code> {what}; not valid: {bad} of {runs} runs: {}</li>",
            escape(&cell.name),
            escape(cell.validity.reason.as_deref().unwrap_or("no run"))
        );
    }
    if let Some(reason) = failover {
        let _ = write!(to, "<li>failover counts for nothing: {}</li>", escape(reason));
    }
    to.push_str("</ul>");
}

fn table(cells: &[CellResult], to: &mut String) {
    to.push_str(
        "<h2>All cells</h2><p>Medians, with the least and the greatest of the valid runs. Base: 3 \
         members, agreed, 1 350 B, MTU 9 000, all send as fast as they can; a name says what \
         differs. Latency is that of the member that fared worst in each run, from the planned \
         send; at the greatest rate from the submit, and mostly the queues' length.</p>\
         <div class=\"wide\"><table><thead><tr><th>cell<th>messages/s<th>Gbit/s<th>of the floor\
         <th>p50 µs<th>p99 µs<th>CPU µs<th>sent again<th>drops<th>steal %</tr></thead><tbody>",
    );
    for cell in cells {
        row(cell, to);
    }
    to.push_str("</tbody></table></div>");
}

fn row(cell: &CellResult, to: &mut String) {
    let name = escape(&cell.name);
    if !cell.validity.valid {
        let reason = escape(cell.validity.reason.as_deref().unwrap_or("no run"));
        let _ = write!(
            to,
            "<tr class=\"bad\"><td>{name}\
             <td colspan=\"9\" class=\"reason\">not valid: {reason}</tr>"
        );
        return;
    }
    let figures = &cell.figures;
    let _ = write!(
        to,
        "<tr><td>{name}{}<td>{}{}",
        spread(figures.msgs_per_s),
        short(figures.payload_mbit_per_s.median / 1e3),
        part_of_floor(figures.of_floor)
    );
    for latency in [figures.p50_us, figures.p99_us, figures.cpu_us_per_msg] {
        to.push_str(&spread(latency));
    }
    let sum = |of: fn(&Run) -> u64| cell.runs.iter().map(of).sum::<u64>();
    let steal = cell.runs.iter().map(|run| run.steal_percent).fold(0.0, f64::max);
    let _ = write!(
        to,
        "<td>{}<td>{}<td>{}</tr>",
        sum(|run| run.retransmits),
        sum(|run| run.socket_drops),
        short(steal)
    );
}

fn spread(Spread { median, min, max }: Spread) -> String {
    format!("<td>{}<small>{} – {}</small>", short(median), short(min), short(max))
}

/// A size for people: `1 350 B`.
fn bytes(size: usize) -> String {
    match size {
        0..1000 => format!("{size} B"),
        _ => format!("{} {:03} B", size / 1000, size % 1000),
    }
}

/// The part of the floor as a number and a bar.
fn part_of_floor(part: Option<f64>) -> String {
    part.map_or_else(
        || "<td>–".to_owned(),
        |part| {
            let width = part.clamp(0.0, 1.0) * 100.0;
            format!("<td>{part:.2}<span class=\"bar\"><i style=\"width:{width:.0}%\"></i></span>")
        },
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::failover::outcome::tests::outcome;
    use crate::figures::Percentiles;
    use crate::latencies::tests::rising;
    use crate::matrix::document::{FloorRun, SCHEMA};
    use crate::matrix::plan::{self, RatePlan};
    use crate::result::Validity;

    /// A full matrix with made-up figures.
    pub(crate) fn document() -> Document {
        let cells = (1_u32..).zip(plan::full(8)).map(|(index, cell)| {
            let msgs_per_s = f64::from(index) * 1000.0;
            let latency_us = Percentiles::by(|quantile| 10.0 + quantile * 100.0);
            let validity = Validity::of(None);
            let run = Run {
                msgs_per_s,
                latency_us,
                latency_others_us: Some(latency_us),
                latencies: (cell.rate != RatePlan::Max).then(|| rising(100)),
                cpu_us_per_msg: 0.5,
                validity: validity.clone(),
                ..Run::default()
            };
            let floor = FloorRun { msgs_per_s: msgs_per_s * 1.5, validity, ..FloorRun::default() };
            let floors = if cell.has_floor() { vec![floor; 3] } else { Vec::new() };
            CellResult::new(cell, None, vec![run; 3], floors)
        });
        let options = Options {
            hosts: 8,
            quick: false,
            only: None,
            runs: 3,
            seconds: 1.0,
            warmup: 0.0,
            failover: 3,
        };
        Document {
            schema: SCHEMA.to_owned(),
            environment: Environment::here(),
            options,
            cells: cells.collect(),
            failover: Some(outcome(3)),
        }
    }

    #[test]
    fn sizes_are_read_easily() {
        assert_eq!([64, 1350, 65_536].map(bytes), ["64 B", "1 350 B", "65 536 B"]);
    }

    #[test]
    fn the_page_has_every_cell_and_needs_nothing_else() {
        let mut document = document();
        let reason = "the ring <lost> a member";
        document.cells.push(CellResult::not_run(plan::Cell::base(), reason.to_owned()));
        document.failover.as_mut().unwrap().validity = Validity::refused("no way".to_owned());
        let page = page(&document);
        assert!(page.contains("failover counts for nothing: no way"));
        for cell in &document.cells {
            assert!(page.contains(&escape(&cell.name)), "{}", cell.name);
        }
        assert!(page.contains(&escape(reason)) && !page.contains(reason));
        for outside in ["http://", "https://", "src=", "href=", "<script", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
