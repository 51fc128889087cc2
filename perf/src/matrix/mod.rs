//! `roundel-perf matrix`: loads and floors over many factors on hosts that it makes itself, and
//! one report.

mod args;
pub(crate) mod document;
pub(crate) mod plan;
pub(crate) mod runner;

use std::fs;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::Instant;

use roundel::lan;
use serde_json::json;

pub(crate) use args::Args;
use document::{CellResult, Document, FloorRun, Run, SCHEMA};
use plan::{Cell, RatePlan};
use runner::Runner;

use crate::environment::Environment;
use crate::exit::{self, Exit, Stop, fail};
use crate::report;

/// Runs all cells and writes the report.
pub(crate) fn run(args: &Args) -> Exit {
    if let Some(missing) = lan::missing() {
        return fail(Exit::Usage, missing);
    }
    let cells = args.cells();
    if cells.is_empty() {
        let pattern = args.only.as_deref().unwrap_or_default();
        return fail(
            Exit::Usage,
            &format!("no cell's name contains `{pattern}`; fix: one such as size=64 or rate="),
        );
    }
    let interrupted = match exit::interrupted() {
        Ok(interrupted) => interrupted,
        Err(cause) => return fail(Exit::Failed, &cause),
    };
    let options = args.options();
    let environment = Environment::here();
    if environment.debug_assertions {
        eprintln!("roundel-perf: built with debug assertions: figures count for nothing");
    }
    let runner = match Runner::new(options.hosts, options.span(), interrupted.clone()) {
        Ok(runner) => runner,
        Err(Stop::Failed(cause)) => return fail(Exit::Failed, &cause),
        Err(Stop::Interrupted) => return Exit::Interrupted,
    };
    let document = Document { schema: SCHEMA.to_owned(), environment, options, cells: Vec::new() };
    let mut matrix = Matrix { runner, document, json: args.json };
    let ended = matrix.run(&cells).and_then(|()| write(args, &matrix.document));
    if let Err(error) = ended {
        return fail(Exit::Failed, &format!("the result cannot be written: {error}"));
    }
    if interrupted.load(Ordering::Relaxed) {
        return fail(Exit::Interrupted, "interrupted: the report has what was measured");
    }
    let valid = matrix.document.cells.iter().filter(|cell| cell.valid).count();
    if valid == 0 { fail(Exit::Failed, "no cell is valid") } else { Exit::Ok }
}

struct Matrix {
    runner: Runner,
    document: Document,
    json: bool,
}

impl Matrix {
    /// Runs the cells, as far as nobody interrupts.
    fn run(&mut self, cells: &[Cell]) -> io::Result<()> {
        let Document { schema, environment, options, .. } = &self.document;
        self.tell(&json!({
            "event": "environment", "schema": schema, "environment": environment,
            "options": options, "cells": cells.len(),
        }))?;
        let started = Instant::now();
        for (index, cell) in cells.iter().enumerate() {
            let result = match self.run_cell(cell) {
                Ok(result) => result,
                Err(Stop::Interrupted) => break,
                Err(Stop::Failed(reason)) => CellResult::not_run(cell.clone(), reason),
            };
            progress(&result, index + 1, cells.len(), started);
            self.tell(&json!({"event": "cell", "result": result}))?;
            self.document.cells.push(result);
        }
        let (done, seconds) = (self.document.cells.len(), started.elapsed().as_secs());
        let valid = self.document.cells.iter().filter(|cell| cell.valid).count();
        self.tell(&json!({"event": "summary", "cells": done, "valid": valid, "seconds": seconds}))
    }

    fn run_cell(&mut self, cell: &Cell) -> Result<CellResult, Stop> {
        self.runner.prepare(cell)?;
        let rate = self.rate(cell)?;
        let (mut runs, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..self.document.options.runs {
            runs.push(match self.runner.load(cell, rate) {
                Err(Stop::Failed(reason)) => Run { reason: Some(reason), ..Run::default() },
                run => run?,
            });
            if cell.has_floor() {
                floors.push(match self.runner.floor(cell) {
                    Err(Stop::Failed(reason)) => {
                        FloorRun { reason: Some(reason), ..FloorRun::default() }
                    }
                    run => run?,
                });
            }
        }
        Ok(CellResult::new(cell.clone(), rate, runs, floors))
    }

    /// The planned messages a second of each sender.
    fn rate(&self, cell: &Cell) -> Result<Option<u64>, Stop> {
        let percent = match cell.rate {
            RatePlan::Max => return Ok(None),
            RatePlan::PerSecond(rate) => return Ok(Some(rate)),
            RatePlan::PercentOfMax(percent) => percent,
        };
        let maximum = cell.maximum();
        let is_maximum = |result: &&CellResult| Some(&result.cell) == maximum.as_ref();
        let measured = self.document.cells.iter().find(is_maximum).filter(|result| result.valid);
        let Some(measured) = measured else {
            let name = maximum.map(|cell| cell.name()).unwrap_or_default();
            return Err(Stop::Failed(format!("its maximum `{name}` was not measured")));
        };
        Ok(Some(rate_of(measured.figures.msgs_per_s.median, cell.members, percent)))
    }

    fn tell(&self, event: &serde_json::Value) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{event}")?;
        out.flush()
    }
}

/// A part of the throughput of all members, as the rate of one; a rate of none would be refused.
#[expect(clippy::cast_possible_truncation, reason = "a rate is far below 2^63")]
fn rate_of(msgs_per_s: f64, members: u16, percent: u64) -> u64 {
    (msgs_per_s / f64::from(members) * percent as f64 / 100.0).max(1.0) as u64
}

/// Says on stderr what came of a cell, and how long the rest will take.
fn progress(result: &CellResult, done: usize, cells: usize, started: Instant) {
    let left = started.elapsed() / u32::try_from(done).unwrap_or(1);
    let left = left * u32::try_from(cells - done).unwrap_or(0);
    let figures = &result.figures;
    let floor = figures.of_floor.map_or(String::new(), |part| format!(", {part:.2} of the floor"));
    let told = if result.valid {
        let (p50, p99) = (figures.p50_us.median, figures.p99_us.median);
        format!("{:.0} msg/s{floor}, p50 {p50:.0} µs, p99 {p99:.0} µs", figures.msgs_per_s.median)
    } else {
        format!("NOT VALID: {}", result.reason.as_deref().unwrap_or("no run"))
    };
    eprintln!("[{done}/{cells}, {} s left] {}: {told}", left.as_secs(), result.name);
}

/// Writes both files.
fn write(args: &Args, document: &Document) -> io::Result<()> {
    let (data, page) = (args.file("json"), args.file("html"));
    fs::write(&data, serde_json::to_vec(document)?)?;
    fs::write(&page, report::page(document))?;
    eprintln!("written: {} and {}", data.display(), page.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_maximum_is_shared_by_the_members() {
        assert_eq!(rate_of(3_000.0, 3, 50), 500);
        assert_eq!(rate_of(0.0, 3, 50), 1);
    }
}
