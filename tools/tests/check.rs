//! `roundel check` as scripts see it.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot set up its files has failed"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A fresh directory for one test.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn write(path: &Path, lines: &[String]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, lines.concat()).unwrap();
}

/// A member alone, which sends and delivers one message.
fn alone(node: u32) -> Vec<String> {
    let begin = format!(r#"{{"node":{node},"incarnation":7,"t":1,"#);
    let ring = format!(r#""ring":{{"rep":{node},"seq":8}}"#);
    let message = format!(r#""msg":"{node}.7.1",{ring},"service":"safe""#);
    let kind = r#""kind":"regular","#;
    vec![
        format!("{begin}\"ev\":\"conf\",{kind}{ring},\"members\":[{node}],\"prev_ring\":null}}\n"),
        format!("{begin}\"ev\":\"send\",{message}}}\n"),
        format!(
            "{begin}\"ev\":\"deliver\",\"sender\":{node},\"conf_kind\":\"regular\",{message}}}\n"
        ),
    ]
}

fn roundel(arguments: &[&str], trace: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundel"));
    let command = command.arg("check").args(arguments).arg(trace);
    command.output().unwrap()
}

fn lines(output: &Output) -> Vec<serde_json::Value> {
    let text = str::from_utf8(&output.stdout).unwrap();
    let objects = text.lines().map(serde_json::from_str);
    objects.map(Result::unwrap).collect()
}

#[test]
fn a_legal_run_is_valid() {
    let traces = directory("legal");
    write(&traces.join("1.7.jsonl"), &alone(1));
    let output = roundel(&["--json"], &traces);
    assert_eq!(output.status.code(), Some(0));
    let lines = lines(&output);
    assert_eq!(lines[0]["schema"], "roundel.check/1");
    assert_eq!(lines[1]["clause"], "EVS 1.1");
    let summary = lines.last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["violations"], 0);
    assert_eq!(summary["valid"], true);
    assert!(summary["instances"].as_u64().unwrap() > 10);
    assert!(output.stderr.is_empty());
}

#[test]
fn a_violation_has_its_exit_code_and_text() {
    let traces = directory("violation");
    let mut twice = alone(1);
    twice.push(twice[2].clone());
    let file = traces.join("named-as-you-like");
    write(&file, &twice);
    let output = roundel(&["--json"], &file);
    assert_eq!(output.status.code(), Some(6));
    let lines = lines(&output);
    let violation = lines.iter().find(|line| line["event"] == "violation");
    let violation = violation.unwrap();
    assert_eq!(violation["clause"], "EVS 1.4");
    assert_eq!(violation["text"], "1.7 delivered 1.7.1 again");
    assert_eq!(lines.last().unwrap()["valid"], false);
    let output = roundel(&[], &file);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("EVS 1.4: 1.7 delivered 1.7.1 again\n"), "{text}");
}

#[test]
fn eventually_is_not_asked_of_a_run_that_was_cut_off() {
    let traces = directory("apart");
    for node in [1, 2] {
        write(&traces.join(format!("{node}.7.jsonl")), &alone(node));
    }
    assert_eq!(roundel(&[], &traces).status.code(), Some(6));
    let cut_off = roundel(&["--not-quiescent"], &traces);
    assert_eq!(cut_off.status.code(), Some(0));
}

#[test]
fn a_check_of_nothing_has_failed() {
    let output = roundel(&["--json"], &directory("nothing"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output).last().unwrap()["instances"], 0);
}

#[test]
fn what_cannot_be_read_is_named() {
    let traces = directory("unreadable");
    assert_eq!(roundel(&[], &traces.join("absent")).status.code(), Some(2));
    let file = traces.join("deep").join("1.7.jsonl");
    write(&file, &["nonsense\n".to_owned()]);
    let output = roundel(&[], &traces);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("1.7.jsonl: line 1: not an event"), "{text}");
    assert_eq!(roundel(&["--no-such"], &traces).status.code(), Some(2));
}

/// Members in directories of their own are one run; seeds in directories of their own are many.
#[test]
fn directories_are_runs_when_members_recur() {
    let seeds = directory("seeds");
    for seed in ["0", "1", "2"] {
        write(&seeds.join(seed).join("1.7.jsonl"), &alone(1));
    }
    let output = roundel(&["--json"], &seeds);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(lines(&output).last().unwrap()["runs"], 3);

    let homes = directory("homes");
    for node in [1, 2] {
        let home = homes.join(node.to_string());
        write(&home.join("trace.jsonl"), &alone(node));
    }
    let output = roundel(&["--json", "--not-quiescent"], &homes);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(lines(&output).last().unwrap()["runs"], 1);
}
