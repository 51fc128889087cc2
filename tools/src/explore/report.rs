//! What `roundel explore` prints.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use roundel_ring::sim::Failure;
use roundel_ring::sim::explore::{Kinds, Path, Replayed, Tally};
use serde::Serialize;

use super::{Args, Level, Outcome};
use crate::exit::Exit;
use crate::output::write_object;

const SCHEMA: &str = "roundel.explore/1";

#[derive(Serialize)]
struct LevelLine {
    event: &'static str,
    schema: &'static str,
    scenario: &'static str,
    faults: u8,
    complete: bool,
    pieces: usize,
    pieces_complete: usize,
    states_visited: u64,
    states_new: u64,
    states_distinct: usize,
    steps: u64,
    paths: u64,
    paths_merged: u64,
    paths_ended: u64,
    histories_judged: u64,
    failures: usize,
    seconds: f64,
}

#[derive(Serialize)]
struct FailureLine<'t> {
    event: &'static str,
    schema: &'static str,
    path: String,
    clause: &'t str,
    detail: &'t str,
    replay: String,
}

#[derive(Serialize)]
struct TellLine<'t> {
    event: &'static str,
    schema: &'static str,
    text: &'t str,
}

#[derive(Serialize)]
struct Summary {
    event: &'static str,
    schema: &'static str,
    members: u8,
    messages: u8,
    faults: u8,
    within: Option<u32>,
    /// All levels of all starts.
    complete: bool,
    /// All starts are complete with so many faults.
    faults_complete: Option<u8>,
    states_visited: u64,
    states_distinct: usize,
    steps: u64,
    paths: u64,
    paths_merged: u64,
    paths_ended: u64,
    paths_unsettled: u64,
    histories_judged: u64,
    failures: usize,
    violations: u64,
    invariants_judged: u64,
    struck: BTreeMap<&'static str, u64>,
    clauses: BTreeMap<&'static str, u64>,
    seconds: f64,
}

#[derive(Serialize)]
struct PathSummary {
    event: &'static str,
    schema: &'static str,
    path: String,
    failures: usize,
    clause: Option<String>,
    detail: Option<String>,
}

/// Gathers all levels.
pub(super) struct Report<'a> {
    args: &'a Args,
    tally: Tally,
    distinct: BTreeMap<&'static str, usize>,
    failures: usize,
    complete: bool,
    faults_complete: Option<u8>,
}

impl<'a> Report<'a> {
    pub(super) fn new(args: &'a Args) -> Self {
        let (tally, distinct) = (Tally::default(), BTreeMap::new());
        Self { args, tally, distinct, failures: 0, complete: true, faults_complete: None }
    }

    /// Takes in a level and says what it came to.
    pub(super) fn level(&mut self, level: &Level<'_>, mut outcome: Outcome) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for (path, failure) in std::mem::take(&mut outcome.tally.failures) {
            self.failures += 1;
            self.failure(&mut out, &path, &failure)?;
        }
        let complete = outcome.done == outcome.pieces;
        let (start, faults) = (level.start.name(), level.scope.faults);
        self.complete &= complete;
        if self.complete && Some(&level.start) == self.args.starts().last() {
            self.faults_complete = Some(faults);
        }
        self.distinct.insert(start, level.states.len());
        let line = line(level, &outcome, complete);
        if self.args.json {
            write_object(&mut out, &line)?;
        } else {
            write_level(&mut out, &line)?;
        }
        self.tally.add(outcome.tally);
        out.flush()
    }

    fn failure(&self, out: &mut impl Write, path: &Path, failure: &Failure) -> io::Result<()> {
        let size = format!("--members {} --messages {}", self.args.members, self.args.messages);
        let replay = format!("roundel explore {size} --path {path}");
        let (clause, detail) = (failure.clause.as_str(), failure.detail.as_str());
        if self.args.json {
            let (event, schema, path) = ("failure", SCHEMA, path.to_string());
            write_object(out, &FailureLine { event, schema, path, clause, detail, replay })
        } else {
            writeln!(out, "{path}: {clause}: {detail}\n  replay: {replay}")
        }
    }

    /// The summary.
    pub(super) fn finish(self, took: Duration) -> io::Result<Exit> {
        let mut out = io::stdout().lock();
        let summary = self.summary(took);
        if self.args.json {
            write_object(&mut out, &summary)?;
        } else {
            self.write_text(&mut out, &summary)?;
        }
        out.flush()?;
        Ok(if self.failures > 0 { Exit::Violation } else { Exit::Ok })
    }

    fn summary(&self, took: Duration) -> Summary {
        let (args, tally) = (self.args, &self.tally);
        let judged = tally.verdict.judgements().iter();
        Summary {
            event: "summary",
            schema: SCHEMA,
            members: args.members,
            messages: args.messages,
            faults: args.faults,
            within: args.within,
            complete: self.complete,
            faults_complete: self.faults_complete,
            states_visited: tally.states,
            states_distinct: self.distinct.values().sum(),
            steps: tally.steps,
            paths: tally.paths,
            paths_merged: tally.merged,
            paths_ended: tally.ended,
            paths_unsettled: tally.unsettled,
            histories_judged: tally.judged,
            failures: self.failures,
            violations: tally.verdict.violation_count(),
            invariants_judged: tally.invariants,
            struck: tally.struck.clone(),
            clauses: judged.map(|it| (it.clause.name(), it.instances)).collect(),
            seconds: took.as_secs_f64(),
        }
    }

    fn write_text(&self, out: &mut impl Write, summary: &Summary) -> io::Result<()> {
        for (fault, count) in &summary.struck {
            writeln!(out, "{fault:<24} {count:>12}")?;
        }
        for (clause, instances) in &summary.clauses {
            writeln!(out, "{clause:<24} {instances:>12} judged")?;
        }
        let kinds =
            if self.args.kinds == Kinds::All { "of all kinds" } else { "of the usual kinds" };
        let complete = match summary.faults_complete {
            Some(faults) => format!("complete with up to {faults} faults {kinds}"),
            None => "not complete".to_owned(),
        };
        writeln!(
            out,
            "{} distinct states ({} visits), {} steps, {} paths ({} merged, {} ended), \
             {} invariants and {} clause instances judged on {} different histories; \
             {complete}; {} failures; {:.0} s",
            summary.states_distinct,
            summary.states_visited,
            summary.steps,
            summary.paths,
            summary.paths_merged,
            summary.paths_ended,
            summary.invariants_judged,
            self.tally.verdict.instances(),
            summary.histories_judged,
            summary.failures,
            summary.seconds,
        )
    }
}

fn line(level: &Level<'_>, outcome: &Outcome, complete: bool) -> LevelLine {
    let tally = &outcome.tally;
    LevelLine {
        event: "level",
        schema: SCHEMA,
        scenario: level.start.name(),
        faults: level.scope.faults,
        complete,
        pieces: outcome.pieces,
        pieces_complete: outcome.done,
        states_visited: tally.states,
        states_new: tally.fresh,
        states_distinct: level.states.len(),
        steps: tally.steps,
        paths: tally.paths,
        paths_merged: tally.merged,
        paths_ended: tally.ended,
        histories_judged: tally.judged,
        failures: tally.failures.len(),
        seconds: outcome.took.as_secs_f64(),
    }
}

fn write_level(out: &mut impl Write, line: &LevelLine) -> io::Result<()> {
    let how_far = if line.complete {
        "complete".to_owned()
    } else {
        format!("not complete: {} of {} first faults", line.pieces_complete, line.pieces)
    };
    writeln!(
        out,
        "{:<8} {} faults: {} distinct states, {} steps, {} paths ({} merged, {} ended), \
         {how_far}, {:.1} s",
        line.scenario,
        line.faults,
        line.states_distinct,
        line.steps,
        line.paths,
        line.paths_merged,
        line.paths_ended,
        line.seconds,
    )
}

/// What a replayed path came to.
pub(super) fn path(
    out: &mut impl Write,
    args: &Args,
    path: &Path,
    lines: &[String],
    replayed: &Replayed,
) -> io::Result<()> {
    let failure = replayed.failure.as_ref();
    if !args.json {
        lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        return match failure {
            Some(failure) => writeln!(out, "{path}: {}: {}", failure.clause, failure.detail),
            None => writeln!(out, "{path}: no violation"),
        };
    }
    for text in lines {
        write_object(out, &TellLine { event: "step", schema: SCHEMA, text })?;
    }
    let summary = PathSummary {
        event: "summary",
        schema: SCHEMA,
        path: path.to_string(),
        failures: failure.iter().count(),
        clause: failure.map(|it| it.clause.clone()),
        detail: failure.map(|it| it.detail.clone()),
    };
    write_object(out, &summary)
}
