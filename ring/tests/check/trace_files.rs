//! Traces as files: written, read back, torn and spoilt.

use roundel_ring::sim::check::parse::{ParseError, ParseReason, parse};
use roundel_ring::trace::{History, write_line};

use crate::legal::eventful;

fn written(history: &History) -> Vec<u8> {
    let mut lines = Vec::new();
    for entry in &history.entries {
        write_line(&mut lines, history.node, history.incarnation, entry);
    }
    lines
}

#[test]
fn what_is_written_is_read_back() {
    let histories = eventful().histories();
    for history in &histories {
        assert_eq!(parse(&written(history)).unwrap().as_slice(), std::slice::from_ref(history));
    }
    let all: Vec<u8> = histories.iter().flat_map(written).collect();
    assert_eq!(parse(&all).unwrap(), histories);
}

/// Cut at each byte: all whole lines are read, and the rest is no error.
#[test]
fn a_torn_last_line_is_cut() {
    let history = &eventful().histories()[0];
    let lines = written(history);
    for length in 0..=lines.len() {
        let read = parse(&lines[..length]).unwrap();
        let whole = lines[..length].iter().filter(|b| **b == b'\n').count();
        let entries = read.first().map_or(0, |history| history.entries.len());
        // All of a line but its newline is a whole event.
        assert!((whole..=whole + 1).contains(&entries));
    }
}

#[test]
fn fields_beyond_the_format_are_ignored() {
    let line = br#"{"v":1,"node":1,"incarnation":7,"t":5,"ev":"fail","why":{"killed":[true]}}"#;
    assert_eq!(parse(line).unwrap().len(), 1);
}

#[test]
fn lines_that_are_no_events_are_named() {
    let ring = r#""ring":{"rep":1,"seq":2}"#;
    let send = |rest: &str| with(&format!(r#""ev":"send","msg":"1.2.3",{ring},{rest}"#));
    let odd = with(&format!(r#""ev":"conf","kind":"odd",{ring},"members":[1]"#));
    let missing = |event, field| ParseReason::MissingField { event, field };
    let message = |id: &str| ParseReason::MessageId(id.to_owned());
    let cases = [
        (with(r#""ev":"party""#), ParseReason::UnknownEvent("party".to_owned())),
        (with(r#""ev":"send","msg":"1.2.3""#), missing("send", "ring")),
        (with(r#""ev":"submit""#), missing("submit", "msg")),
        (with(r#""ev":"submit","msg":"m1""#), message("m1")),
        (with(r#""ev":"submit","msg":"1.2.+3""#), message("1.2.+3")),
        (with(r#""ev":"submit","msg":"1.2.3.4""#), message("1.2.3.4")),
        (send(r#""service":"agreed","h":"xy""#), ParseReason::Hash("xy".to_owned())),
        (send(r#""service":"best""#), ParseReason::UnknownService("best".to_owned())),
        (odd, ParseReason::UnknownKind("odd".to_owned())),
    ];
    let good = with(r#""ev":"fail""#);
    for (bad, reason) in cases {
        let error = parse(format!("{good}\n{bad}\n").as_bytes()).unwrap_err();
        assert_eq!(error, ParseError { line: 2, reason });
    }
}

#[test]
fn lines_that_are_no_objects_are_named() {
    let good = with(r#""ev":"fail""#);
    for bad in ["nonsense", r#"{"node":1}"#, "[]", "\u{0}"] {
        let error = parse(format!("{good}\n{bad}\n{good}\n").as_bytes()).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(matches!(error.reason, ParseReason::Json(_)), "{error}");
        assert!(error.to_string().starts_with("line 2: not an event: "), "{error}");
    }
}

fn with(fields: &str) -> String {
    format!(r#"{{"node":1,"incarnation":7,"t":5,{fields}}}"#)
}

/// A delivery whose sender is not the one in the message's id is for EVS 1.3 to reject.
#[test]
fn another_sender_makes_it_another_message() {
    let line = concat!(
        r#"{"node":1,"incarnation":7,"t":5,"ev":"deliver","msg":"1.7.3","sender":2,"#,
        r#""ring":{"rep":1,"seq":9},"conf_kind":"regular","service":"safe"}"#,
    );
    let histories = parse(line.as_bytes()).unwrap();
    let verdict =
        roundel_ring::sim::check::check(&histories, roundel_ring::sim::check::Options::default());
    let violated = crate::script::violated(&verdict);
    assert!(violated.contains(&roundel_ring::sim::check::Clause::Evs1_3));
}
