//! The members' histories, judged while they are quiet.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use roundel::ConfigurationKind;
use roundel_ring::sim::check::parse::parse;
use roundel_ring::sim::check::{Options, Verdict, check};
use roundel_ring::trace::{Event, History};

use crate::traces::end_killed;

/// How long no member may write before its histories count as one cut.
const QUIET: Duration = Duration::from_millis(200);

/// How long to wait for that.
const PATIENCE: Duration = Duration::from_secs(15);

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

/// Judges the histories. `settled` says that the members have delivered all there is; only when
/// the histories show them at rest in one configuration, too, is "eventually" asked for.
pub(super) fn judge(traces: &[Trace], settled: bool) -> Result<Judged, String> {
    for trace in traces.iter().filter(|trace| trace.is_killed) {
        end_killed(&trace.path)?;
    }
    let since = Instant::now();
    loop {
        let cut = cut(traces, since)?;
        let histories = parse_all(traces, &cut.files)?;
        let is_at_rest = cut.is_quiet && are_in_one_configuration(&histories);
        if is_at_rest || since.elapsed() > PATIENCE {
            let is_quiescent = is_at_rest && settled;
            let verdict = check(&histories, Options { quiescent: is_quiescent });
            return Ok(Judged { verdict, is_quiescent });
        }
    }
}

/// What all members had written at one moment.
struct Cut {
    files: Vec<Vec<u8>>,
    /// Nobody wrote while it was read.
    is_quiet: bool,
}

/// Reads until nobody writes meanwhile.
fn cut(traces: &[Trace], since: Instant) -> Result<Cut, String> {
    loop {
        let before = sizes(traces)?;
        std::thread::sleep(QUIET);
        let read = |trace: &Trace| fs::read(&trace.path).map_err(|error| failed(trace, &error));
        let files: Vec<Vec<u8>> = traces.iter().map(read).collect::<Result<_, _>>()?;
        let is_quiet = sizes(traces)? == before;
        if is_quiet || since.elapsed() > PATIENCE {
            return Ok(Cut { files, is_quiet });
        }
    }
}

/// Whether every member that lives installed the same regular configuration last.
fn are_in_one_configuration(histories: &[History]) -> bool {
    let living = histories
        .iter()
        .filter(|history| history.entries.last().is_some_and(|last| last.event != Event::Fail));
    let mut last = living.map(|history| {
        history.entries.iter().rev().find_map(|entry| match &entry.event {
            Event::Configuration(conf) if conf.kind == ConfigurationKind::Regular => {
                Some(conf.ring)
            }
            _ => None,
        })
    });
    let first = last.next().flatten();
    first.is_some() && last.all(|ring| ring == first)
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

fn parse_all(traces: &[Trace], files: &[Vec<u8>]) -> Result<Vec<History>, String> {
    let mut histories = Vec::new();
    for (trace, bytes) in traces.iter().zip(files) {
        // A line that is being written while it is read counts when it is whole.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        histories.extend(parse(&bytes[..whole]).map_err(|error| failed(trace, &error))?);
    }
    Ok(histories)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(lines: &[&str]) -> History {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        parse(text.as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn only_the_living_must_agree() {
        let conf = |node: u8, ring: u8| {
            let head = format!(r#"{{"node":{node},"incarnation":1,"t":5,"ev":"conf","#);
            let ring = format!(r#""kind":"regular","ring":{{"rep":1,"seq":{ring}}},"#);
            format!(r#"{head}{ring}"members":[1,2,3],"prev_ring":null}}"#)
        };
        let fail = r#"{"node":3,"incarnation":1,"t":5,"ev":"fail"}"#;
        let (one, two) = (history(&[&conf(1, 7)]), history(&[&conf(2, 7)]));
        let dead = history(&[&conf(3, 4), fail]);
        let behind = history(&[&conf(3, 4)]);
        assert!(are_in_one_configuration(&[one.clone(), two.clone(), dead]));
        assert!(!are_in_one_configuration(&[one, two, behind]));
        assert!(!are_in_one_configuration(&[]));
    }
}
