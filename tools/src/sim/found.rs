//! Failing runs: made as small as they go, kept as schedules, and run again step by step.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};

use roundel_ring::sim::{Line, Outcome, Schedule, play, play_aloud, shrink};
use serde::Serialize;

use super::{SCHEMA, write_traces};
use crate::exit::{Exit, fail};
use crate::output::write_object;

/// The clause of a run that an assertion of the protocol ended.
pub(super) const ASSERTION: &str = "run";

/// What a run violated; an assertion of the protocol's own that failed is a failure too.
pub(super) fn outcome(run: impl FnOnce() -> Outcome) -> Result<Outcome, (String, String)> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
        (ASSERTION.to_owned(), "an assertion of the protocol failed; see above".to_owned())
    })
}

/// Makes the least schedule of which one still fails by `clause`, and writes it.
pub(super) fn keep_least(schedule: &Schedule, clause: &str, path: &Path) -> io::Result<()> {
    // Each try that panics would say so.
    let hook = take_hook();
    set_hook(Box::new(|_| {}));
    let mut least = shrink(schedule, &mut |candidate| {
        let violated = match outcome(|| play(candidate)) {
            Ok(outcome) => outcome.failure.map(|failure| failure.clause),
            Err((clause, _)) => Some(clause),
        };
        violated.as_deref() == Some(clause)
    });
    set_hook(hook);
    least.violated = Some(clause.to_owned());
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut file = BufWriter::new(fs::File::create(path)?);
    serde_json::to_writer_pretty(&mut file, &least)?;
    file.write_all(b"\n")?;
    file.flush()
}

#[derive(Serialize)]
struct StepLine<'t> {
    event: &'static str,
    schema: &'static str,
    t_us: u64,
    host: u32,
    what: &'t str,
}

#[derive(Serialize)]
struct ReplaySummary {
    event: &'static str,
    schema: &'static str,
    events: u64,
    simulated_s: f64,
    digest: String,
    clause: Option<String>,
    detail: Option<String>,
}

/// Runs the schedule in `path`, with a line for each event.
pub(super) fn replay(path: &Path, trace_dir: Option<&PathBuf>, json: bool) -> Exit {
    let read = fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let schedule = read.and_then(|text| {
        let schedule: Schedule = serde_json::from_slice(&text)
            .map_err(|error| format!("{} is no schedule: {error}", path.display()))?;
        let usable = schedule.validate();
        usable.map_err(|error| format!("{} cannot be run: {error}", path.display()))?;
        Ok(schedule)
    });
    let schedule = match schedule {
        Ok(schedule) => schedule,
        Err(reason) => return fail(Exit::Usage, &reason),
    };
    let tell = move |line: Line| {
        let mut out = io::stdout().lock();
        // A reader that is gone does not change what happens.
        let _ = if json {
            let (event, schema, t_us) = ("step", SCHEMA, line.time.as_ns() / 1_000);
            write_object(
                &mut out,
                &StepLine { event, schema, t_us, host: line.host.0, what: &line.what },
            )
        } else {
            writeln!(out, "{line}")
        };
    };
    let ended = outcome(|| play_aloud(&schedule, Box::new(tell)));
    let (violated, summary) = match ended {
        Ok(outcome) => {
            if let Some(directory) = trace_dir
                && let Err(error) = write_traces(directory, &outcome)
            {
                return fail(Exit::Failed, &format!("{}: {error}", directory.display()));
            }
            let violated =
                outcome.failure.as_ref().map(|it| (it.clause.clone(), it.detail.clone()));
            (violated, (outcome.stats.events, outcome.simulated, outcome.digest()))
        }
        Err(violated) => (Some(violated), Default::default()),
    };
    tell_end(violated, summary, json)
}

fn tell_end(
    violated: Option<(String, String)>,
    (events, simulated, digest): (u64, std::time::Duration, u64),
    json: bool,
) -> Exit {
    let exit = if violated.is_some() { Exit::Violation } else { Exit::Ok };
    if json {
        let (clause, detail) = violated.unzip();
        let summary = ReplaySummary {
            event: "summary",
            schema: SCHEMA,
            events,
            simulated_s: simulated.as_secs_f64(),
            digest: format!("{digest:016x}"),
            clause,
            detail,
        };
        let _ = write_object(&mut io::stdout().lock(), &summary);
    } else {
        let seconds = simulated.as_secs_f64();
        let end = match violated {
            Some((clause, detail)) => format!("{clause}: {detail}"),
            None => format!("{events} events in {seconds:.3} s simulated, no failure"),
        };
        let _ = writeln!(io::stdout().lock(), "{end}");
    }
    exit
}
