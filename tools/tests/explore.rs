//! A small cluster explored: one fault anywhere, every pair of faults of one scenario, one path told.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::process::Command;

use serde_json::Value;

fn explore(options: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = Command::new(env!("CARGO_BIN_EXE_roundel"))
        .args(["explore", "--json"])
        .args(options)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code(), lines)
}

fn complete(options: &[&str]) -> Value {
    let (code, lines) = explore(options);
    let summary = lines.last().unwrap().clone();
    assert_eq!(code, Some(0), "{summary}");
    assert_eq!(lines[0]["schema"], "roundel.explore/1");
    assert_eq!(summary["event"], "summary");
    assert_eq!((&summary["complete"], &summary["failures"]), (&true.into(), &0.into()));
    summary
}

#[test]
fn one_fault_anywhere_violates_nothing() {
    let summary = complete(&["--faults", "1", "--kinds", "all"]);
    assert_eq!(summary["faults_complete"], 1);
    assert!(summary["states_distinct"].as_u64().unwrap() > 100_000, "{summary}");
    assert!(summary["histories_judged"].as_u64().unwrap() > 100, "{summary}");
    for fault in ["drop", "twice", "late", "crash", "restart", "cut"] {
        assert!(summary["struck"][fault].as_u64().unwrap() > 100, "{fault}: {summary}");
    }
}

#[test]
fn two_faults_soon_after_each_other_violate_nothing() {
    let summary = complete(&["--faults", "2", "--within", "6"]);
    assert_eq!((&summary["faults"], &summary["within"]), (&2.into(), &6.into()));
    assert!(summary["paths"].as_u64().unwrap() > 10_000, "{summary}");
    assert!(summary["struck"]["heal"].as_u64().unwrap() > 0, "{summary}");
}

#[test]
fn a_path_is_told_step_by_step() {
    let (code, lines) = explore(&["--path", "ring/9:cut2,130:heal"]);
    assert_eq!(code, Some(0));
    let told = |said: &str| {
        lines.iter().any(|line| line["text"].as_str().is_some_and(|text| text.contains(said)))
    };
    assert!(told("! cut2 strikes") && told("! heal strikes") && told("commit token"));
    assert_eq!(lines.last().unwrap()["path"], "ring/9:cut2,130:heal");
    let (code, lines) = explore(&["--path", "ring/9:cut"]);
    assert_eq!((code, lines.len()), (Some(2), 0));
}

#[test]
fn a_search_that_runs_out_of_time_says_so() {
    let (code, lines) = explore(&["--faults", "3", "--scenario", "hole", "--seconds", "1"]);
    let summary = lines.last().unwrap();
    assert_eq!((code, &summary["complete"]), (Some(0), &false.into()));
    assert!(summary["faults_complete"].as_u64().is_none_or(|faults| faults < 3), "{summary}");
}
