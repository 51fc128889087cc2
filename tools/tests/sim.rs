//! `roundel sim`: two thousand simulated clusters without a violation, every kind of fault hit, every
//! clause judged; ranges that go on, schedules run step by step, a calm cluster.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Clauses of layers that this member does not have yet.
const NOT_JUDGED: [&str; 2] = ["primary", "VS"];

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundel"));
    command.args(["sim", "--json"]).args(arguments).output().unwrap()
}

fn summary(output: Output) -> (Value, String) {
    let text = String::from_utf8(output.stdout).unwrap();
    (serde_json::from_str(text.lines().last().unwrap()).unwrap(), text)
}

fn sim(seeds: &str) -> (Option<i32>, Value, String) {
    let output = run(&["--seeds", seeds]);
    let code = output.status.code();
    let (summary, text) = summary(output);
    (code, summary, text)
}

/// A directory of its own.
fn folder(test: &str) -> PathBuf {
    let name = format!("sim-{}-{test}", std::process::id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn two_thousand_seeds_hit_every_fault_and_violate_nothing() {
    let (code, summary, text) = sim("0..2000");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(summary["seeds"], 2000);
    for (fault, count) in summary["faults"].as_object().unwrap() {
        assert!(count.as_u64().unwrap() >= 100, "{fault} hit only {count} times");
    }
    for (clause, judged) in summary["clauses"].as_object().unwrap() {
        let of_later = NOT_JUDGED.iter().any(|layer| clause.starts_with(layer));
        assert!(of_later || judged.as_u64().unwrap() > 1_000, "{clause} judged {judged} times");
    }
}

#[test]
fn a_seed_reproduces_everything() {
    let (_, first, _) = sim("100..120");
    let (_, second, _) = sim("100..120");
    assert_eq!(first, second);
    let (_, other, _) = sim("120..140");
    assert_ne!(first["digest"], other["digest"]);
}

/// A range that is cut into two runs comes to the same as one run.
#[test]
fn a_range_goes_on_where_it_was_left() {
    let folder = folder("progress");
    let (whole, parts) = (folder.join("whole"), folder.join("parts"));
    let seeds = "495..505";
    let seeds_run = |file: &Path, seeds| {
        run(&["--seeds", seeds, "--nodes", "2", "--progress", file.to_str().unwrap()])
    };
    let (at_once, _) = summary(seeds_run(&whole, seeds));
    // Put down after seed 499, and once more at the end: the first is what a run that was killed
    // leaves.
    let put_down: Value = serde_json::from_slice(&fs::read(&whole).unwrap()).unwrap();
    assert_eq!(put_down["next"], 505);
    let first = seeds_run(&parts, "495..500");
    assert_eq!(first.status.code(), Some(0));
    let mut half: Value = serde_json::from_slice(&fs::read(&parts).unwrap()).unwrap();
    half["what"] = put_down["what"].clone();
    fs::write(&parts, half.to_string()).unwrap();
    let (gone_on, _) = summary(seeds_run(&parts, seeds));
    assert_eq!(gone_on, at_once);
    let other = seeds_run(&parts, "495..506");
    assert_eq!(other.status.code(), Some(2), "a file of another range is refused");
    fs::remove_dir_all(folder).unwrap();
}

/// A schedule of the repository: an event a line, and the same history each time.
#[test]
fn a_schedule_is_run_step_by_step() {
    let schedule = concat!(env!("CARGO_MANIFEST_DIR"), "/../ring/schedules/beacons-far-apart.json");
    let output = run(&["--replay", schedule]);
    assert_eq!(output.status.code(), Some(0));
    let (first, text) = summary(output);
    assert!(first["clause"].is_null() && first["events"].as_u64().unwrap() > 20, "{first}");
    let steps = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let steps: Vec<Value> = steps.filter(|line| line["event"] == "step").collect();
    assert!(steps.len() > 20 && steps.iter().all(|step| step["what"].is_string()));
    assert!(steps.is_sorted_by_key(|step| step["t_us"].as_u64()));
    assert_eq!(summary(run(&["--replay", schedule])).0, first);
}

#[test]
fn what_is_no_schedule_is_refused() {
    let folder = folder("refused");
    let file = folder.join("schedule.json");
    let schedule = concat!(env!("CARGO_MANIFEST_DIR"), "/../ring/schedules/beacons-far-apart.json");
    let mut good: Value = serde_json::from_slice(&fs::read(schedule).unwrap()).unwrap();
    good["hosts"] = Value::Array(Vec::new());
    for text in [good.to_string(), "{}".to_owned(), String::new()] {
        fs::write(&file, text).unwrap();
        let output = run(&["--replay", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    assert_eq!(run(&["--replay", "no/such/file"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_calm_cluster_is_simulated_and_judged() {
    let output = run(&["--calm", "25s", "--nodes", "3", "--rate", "100", "--hop", "200us"]);
    assert_eq!(output.status.code(), Some(0));
    let (summary, _) = summary(output);
    assert_eq!((&summary["violations"], &summary["gathers"]), (&0.into(), &0.into()), "{summary}");
    assert!(summary["delivered"].as_u64().unwrap() > 10_000, "{summary}");
    assert!(summary["clauses"]["EVS 6.2"].as_u64().unwrap() > 5_000, "{summary}");
}
