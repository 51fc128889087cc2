//! The members' histories, judged while they are quiet.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use roundel_ring::sim::check::parse::parse;
use roundel_ring::sim::check::{Options, Verdict, check};
use roundel_ring::trace::{Entry, Event, History, write_line};

/// How long no member may write before its histories count as one cut.
const QUIET: Duration = Duration::from_millis(200);

/// How long to wait for that.
const PATIENCE: Duration = Duration::from_secs(5);

/// The history of one life.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    pub(super) path: PathBuf,
    /// It was ended by a `kill -9` and has no last line.
    pub(super) is_killed: bool,
}

/// What the judge found.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// The run was healed and quiet, so that "eventually" was judged.
    pub(super) is_quiescent: bool,
}

/// Judges the histories. `settled` says that the members have delivered all there is; they are
/// read when nobody writes any more, and only then is "eventually" asked for.
pub(super) fn judge(traces: &[Trace], settled: bool) -> Result<Judged, String> {
    for trace in traces.iter().filter(|trace| trace.is_killed) {
        end_killed(trace)?;
    }
    let since = Instant::now();
    loop {
        let before = sizes(traces)?;
        std::thread::sleep(QUIET);
        let histories = read(traces);
        let is_quiet = sizes(traces)? == before;
        if is_quiet || since.elapsed() > PATIENCE {
            let is_quiescent = is_quiet && settled;
            let verdict = check(&histories?, Options { quiescent: is_quiescent });
            return Ok(Judged { verdict, is_quiescent });
        }
    }
}

fn failed(trace: &Trace, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", trace.path.display())
}

fn sizes(traces: &[Trace]) -> Result<Vec<u64>, String> {
    let size = |trace: &Trace| {
        trace.path.metadata().map(|meta| meta.len()).map_err(|error| failed(trace, &error))
    };
    traces.iter().map(size).collect()
}

fn read(traces: &[Trace]) -> Result<Vec<History>, String> {
    let mut histories = Vec::new();
    for trace in traces {
        let bytes = fs::read(&trace.path).map_err(|error| failed(trace, &error))?;
        histories.extend(parse(&bytes).map_err(|error| failed(trace, &error))?);
    }
    Ok(histories)
}

/// Ends the history of a killed member: a torn last line goes, and a `fail` comes.
fn end_killed(trace: &Trace) -> Result<(), String> {
    let mut bytes = fs::read(&trace.path).map_err(|error| failed(trace, &error))?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    bytes.truncate(whole);
    let histories = parse(&bytes).map_err(|error| failed(trace, &error))?;
    let Some(history) = histories.last() else { return Ok(()) };
    let Some(last) = history.entries.last() else { return Ok(()) };
    if last.event != Event::Fail {
        let fail = Entry { time: last.time, event: Event::Fail };
        write_line(&mut bytes, history.node, history.incarnation, &fail);
    }
    let written: io::Result<()> = fs::write(&trace.path, bytes);
    written.map_err(|error| failed(trace, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_history_loses_its_torn_line_and_gets_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let trace = Trace { path: directory.path().join("1.1.jsonl"), is_killed: true };
        let line = r#"{"node":1,"incarnation":1,"t":5,"ev":"submit","msg":"1.1.1"}"#;
        fs::write(&trace.path, format!("{line}\n{{\"node\":1,\"inc")).unwrap();
        for _ in 0..2 {
            end_killed(&trace).unwrap();
            let text = fs::read_to_string(&trace.path).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!((lines.len(), lines[0]), (2, line));
            assert!(lines[1].contains(r#""t":5,"ev":"fail""#), "{text}");
        }
    }
}
