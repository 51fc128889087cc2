//! `roundel-perf matrix`: loads and floors over many factors on hosts that it makes itself, and
//! one report.

mod args;
pub(crate) mod document;
pub(crate) mod plan;
pub(crate) mod runner;

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use roundel::lan;
use serde_json::json;

pub(crate) use args::Args;
use document::{CellResult, Document, FloorRun, Run, SCHEMA};
use plan::{Cell, RatePlan};
use runner::Runner;

use crate::environment::Environment;
use crate::exit::{self, Exit, Stop, fail};
use crate::failover;
use crate::report;
use crate::result::{self, Validity, written};
use crate::talk;

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
    match measure(args, &cells) {
        Ok(exit) => exit,
        Err(stop) => stop.fail(),
    }
}

/// Runs the cells on hosts of its own, and writes the report of what was measured.
fn measure(args: &Args, cells: &[Cell]) -> Result<Exit, Stop> {
    let interrupted = exit::interrupted()?;
    let options = args.options();
    let environment = Environment::here();
    if environment.debug_assertions {
        eprintln!("roundel-perf: built with debug assertions: figures count for nothing");
    }
    let runner = Runner::new(options.hosts, options.span(), interrupted.clone())?;
    let schema = SCHEMA.to_owned();
    let document = Document { schema, environment, options, cells: Vec::new(), failover: None };
    let mut matrix = Matrix { runner, document, json: args.json, interrupted };
    // Whoever reads the lines may be gone; the report is for others.
    let told = matrix.run(cells);
    let Matrix { document, interrupted, .. } = matrix;
    // What other runs left in the files is worth more than nothing.
    let is_measured = document.cells.iter().any(CellResult::is_measured);
    let kept = if is_measured { write(args, &document) } else { Ok(()) };
    let exit = if interrupted.load(Ordering::Relaxed) {
        let what =
            if is_measured { "the report has what was measured" } else { "nothing is written" };
        fail(Exit::Interrupted, &format!("interrupted: {what}"))
    } else if result::valid(document.cells.iter().map(|cell| &cell.validity)) == 0 {
        let what = if is_measured { "" } else { ", none was measured: nothing is written" };
        fail(Exit::Failed, &format!("no cell is valid{what}"))
    } else {
        Exit::Ok
    };
    Ok(written(kept.and(told), exit))
}

struct Matrix {
    runner: Runner,
    document: Document,
    json: bool,
    interrupted: Arc<AtomicBool>,
}

impl Matrix {
    /// Runs the cells, as far as nobody interrupts or stops to listen.
    fn run(&mut self, cells: &[Cell]) -> io::Result<()> {
        let Document { schema, environment, options, .. } = &self.document;
        self.tell(&json!({
            "event": "environment", "schema": schema, "environment": environment,
            "options": options, "cells": cells.len(),
        }))?;
        let started = Instant::now();
        for (index, cell) in cells.iter().enumerate() {
            let ran = self.run_cell(cell).map_err(|stop| stop.or_interrupted(&self.interrupted));
            let result = match ran {
                Ok(result) => result,
                Err(Stop::Interrupted) => break,
                Err(stop) => CellResult::not_run(cell.clone(), stop.exit().1),
            };
            progress(&result, index + 1, cells.len(), started);
            let line = json!({"event": "cell", "result": result});
            self.document.cells.push(result);
            self.tell(&line)?;
        }
        self.run_failover()?;
        let (done, seconds) = (self.document.cells.len(), started.elapsed().as_secs());
        let valid = result::valid(self.document.cells.iter().map(|cell| &cell.validity));
        self.tell(&json!({"event": "summary", "cells": done, "valid": valid, "seconds": seconds}))
    }

    /// Runs the rounds of faults that are asked for.
    fn run_failover(&mut self) -> io::Result<()> {
        let rounds = self.document.options.failover;
        if rounds == 0 || self.interrupted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (_, outcome) = failover::measure(failover::Plan::usual(rounds), &self.interrupted);
        outcome.validity.warn();
        let line = json!({"event": "failover", "result": outcome});
        self.document.failover = Some(outcome);
        self.tell(&line)
    }

    fn run_cell(&mut self, cell: &Cell) -> Result<CellResult, Stop> {
        self.runner.prepare(cell)?;
        let rate = self.rate(cell)?;
        let (mut runs, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..self.document.options.runs {
            runs.push(match self.runner.load(cell, rate) {
                Err(Stop::Failed(reason)) => {
                    Run { validity: Validity::refused(reason), ..Run::default() }
                }
                run => run?,
            });
            if cell.has_floor() {
                floors.push(match self.runner.floor(cell) {
                    Err(Stop::Failed(reason)) => {
                        FloorRun { validity: Validity::refused(reason), ..FloorRun::default() }
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
        let measured =
            self.document.cells.iter().find(is_maximum).filter(|result| result.validity.valid);
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
        talk::tell(&[event])
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
    let told = if result.validity.valid {
        let (p50, p99) = (figures.p50_us.median, figures.p99_us.median);
        format!("{:.0} msg/s{floor}, p50 {p50:.0} µs, p99 {p99:.0} µs", figures.msgs_per_s.median)
    } else {
        result.validity.to_string()
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
