//! `roundel check`: judges the traces that members left behind.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use roundel_ring::sim::check::{Judgement, Options, Verdict, check, parse::parse};
use roundel_ring::trace::History;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::write_object;

const SCHEMA: &str = "roundel.check/1";

const EXAMPLES: &str = "\
Examples:
  roundel check run/                      judge a run that was healed and left quiet
  roundel check --not-quiescent 1.*.jsonl 2.*.jsonl
                                          judge a run that was cut off: nothing that may still
                                          come is asked for
  roundel check --json run/ | tail -n 1   only the summary

Give the traces of every life of every member. They are one run; but when a member has traces in
several directories (as with the seeds of a simulation), each directory is a run of its own.

Exit codes: 0 no violation, 1 nothing was judged, 2 a trace cannot be read, 6 a violation.";

/// Judge traces by extended virtual synchrony and its kin.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Trace files, or directories searched for *.jsonl.
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// The run was not healed and left quiet at its end: do not judge "eventually".
    #[arg(long)]
    not_quiescent: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Reads, judges and reports.
pub(crate) fn run(args: &Args) -> Exit {
    let runs = match read_runs(&args.traces) {
        Ok(runs) => runs,
        Err(text) => {
            eprintln!("roundel check: {text}");
            return Exit::Usage;
        }
    };
    let options = Options { quiescent: !args.not_quiescent };
    let mut report =
        Report { runs: runs.len(), histories: 0, events: 0, options, verdict: Verdict::empty() };
    for histories in &runs {
        report.histories += histories.len();
        report.events += histories.iter().map(|h| h.entries.len()).sum::<usize>();
        report.verdict.add(&check(histories, options));
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = if args.json { report.write_json(&mut out) } else { report.write_text(&mut out) };
    if written.and_then(|()| out.flush()).is_err() {
        return Exit::Failed;
    }
    let exit = report.exit();
    if exit == Exit::Failed {
        eprintln!("roundel check: nothing was judged; are these all traces of the run?");
    }
    exit
}

/// The histories of each run.
fn read_runs(traces: &[PathBuf]) -> Result<Vec<Vec<History>>, String> {
    let mut files = Vec::new();
    for trace in traces {
        find_traces(trace, true, &mut files).map_err(|e| format!("{}: {e}", trace.display()))?;
    }
    // One file given twice, or through two of its names, is still one trace.
    files.sort();
    files.dedup();
    let mut directories: BTreeMap<&Path, Vec<History>> = BTreeMap::new();
    for file in &files {
        let bytes = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let histories = parse(&bytes).map_err(|e| format!("{}: {e}", file.display()))?;
        let directory = file.parent().unwrap_or(Path::new(""));
        directories.entry(directory).or_default().extend(histories);
    }
    if !directories.is_empty() && one_run(&directories) {
        return Ok(vec![directories.into_values().flatten().collect()]);
    }
    Ok(directories.into_values().collect())
}

/// Whether no member has traces in two directories.
fn one_run(directories: &BTreeMap<&Path, Vec<History>>) -> bool {
    let mut homes = BTreeMap::new();
    for (directory, histories) in directories {
        for history in histories {
            if *homes.entry(history.node).or_insert(directory) != directory {
                return false;
            }
        }
    }
    true
}

/// Adds `path` itself, or the traces below it, to `files`. A file that was named is a trace
/// whatever its name.
fn find_traces(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.metadata()?.is_dir() {
        let is_trace = path.extension().is_some_and(|e| e == "jsonl");
        if named || is_trace {
            files.push(path.canonicalize()?);
        }
        return Ok(());
    }
    for entry in path.read_dir()? {
        find_traces(&entry?.path(), false, files)?;
    }
    Ok(())
}

/// What was found, in all runs together.
struct Report {
    runs: usize,
    histories: usize,
    events: usize,
    options: Options,
    verdict: Verdict,
}

#[derive(Serialize)]
struct Start {
    schema: &'static str,
    event: &'static str,
    runs: usize,
    histories: usize,
    events: usize,
    quiescent: bool,
}

#[derive(Serialize)]
struct ClauseCount {
    event: &'static str,
    clause: &'static str,
    applicable: bool,
    instances: u64,
    violations: u64,
}

#[derive(Serialize)]
struct ViolationText<'v> {
    event: &'static str,
    clause: &'static str,
    text: &'v str,
}

#[derive(Serialize)]
struct Summary {
    event: &'static str,
    schema: &'static str,
    runs: usize,
    histories: usize,
    events: usize,
    clauses: usize,
    instances: u64,
    violations: u64,
    valid: bool,
}

impl Report {
    fn exit(&self) -> Exit {
        if self.verdict.violation_count() > 0 {
            Exit::Violation
        } else if self.verdict.instances() == 0 {
            Exit::Failed
        } else {
            Exit::Ok
        }
    }

    /// Clauses that were judged at least once.
    fn clauses_judged(&self) -> usize {
        let judgements = self.verdict.judgements().iter();
        judgements.filter(|j| j.instances > 0).count()
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let start = Start {
            schema: SCHEMA,
            event: "start",
            runs: self.runs,
            histories: self.histories,
            events: self.events,
            quiescent: self.options.quiescent,
        };
        write_object(out, &start)?;
        for judgement in self.verdict.judgements() {
            let count = ClauseCount {
                event: "clause",
                clause: judgement.clause.name(),
                applicable: judgement.applicable,
                instances: judgement.instances,
                violations: judgement.violation_count,
            };
            write_object(out, &count)?;
        }
        for violation in self.verdict.violations() {
            let text = ViolationText {
                event: "violation",
                clause: violation.clause.name(),
                text: &violation.text,
            };
            write_object(out, &text)?;
        }
        let summary = Summary {
            event: "summary",
            schema: SCHEMA,
            runs: self.runs,
            histories: self.histories,
            events: self.events,
            clauses: self.clauses_judged(),
            instances: self.verdict.instances(),
            violations: self.verdict.violation_count(),
            valid: self.exit() == Exit::Ok,
        };
        write_object(out, &summary)
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        for judgement in self.verdict.judgements() {
            writeln!(out, "{}", clause_line(judgement))?;
        }
        for violation in self.verdict.violations() {
            writeln!(out, "{}: {}", violation.clause.name(), violation.text)?;
        }
        writeln!(
            out,
            "{} runs, {} histories, {} events: {} clauses judged {} times, {} violations",
            self.runs,
            self.histories,
            self.events,
            self.clauses_judged(),
            self.verdict.instances(),
            self.verdict.violation_count(),
        )
    }
}

fn clause_line(judgement: &Judgement) -> String {
    let name = judgement.clause.name();
    if !judgement.applicable {
        return format!("{name:<22} not applicable");
    }
    let Judgement { instances, violation_count, .. } = judgement;
    format!("{name:<22} {instances:>10} judged {violation_count:>6} violated")
}
