//! Traces of members that did not get to end them.

use std::fs;
use std::path::Path;

use roundel_ring::sim::check::parse::parse;
use roundel_ring::trace::{Entry, Event, write_line};

/// Ends the history of a killed member: a torn last line goes, and a `fail` comes. One that ended
/// stays as it is.
pub(crate) fn end_killed(path: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut bytes = fs::read(path).map_err(|error| failed(&error))?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    bytes.truncate(whole);
    let histories = parse(&bytes).map_err(|error| failed(&error))?;
    let Some(history) = histories.last() else { return Ok(()) };
    let Some(last) = history.entries.last() else { return Ok(()) };
    if last.event != Event::Fail {
        let fail = Entry { time: last.time, event: Event::Fail };
        write_line(&mut bytes, history.node, history.incarnation, &fail);
    }
    fs::write(path, bytes).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_history_loses_its_torn_line_and_gets_an_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1.1.jsonl");
        let line = r#"{"node":1,"incarnation":1,"t":5,"ev":"submit","msg":"1.1.1"}"#;
        fs::write(&path, format!("{line}\n{{\"node\":1,\"inc")).unwrap();
        for _ in 0..2 {
            end_killed(&path).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!((lines.len(), lines[0]), (2, line));
            assert!(lines[1].contains(r#""t":5,"ev":"fail""#), "{text}");
        }
    }
}
