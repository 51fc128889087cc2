//! A few seconds of stress on hosts of its own, without and with faults. Needs root. Nothing here
//! is about how fast.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

mod support;

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{alone, is_skipped, lines, perf};

fn stress(args: &[&str]) -> Command {
    let common = ["stress", "--json", "--interval", "1s", "--rate", "2000"];
    perf(&[&common, args].concat())
}

fn run(args: &[&str]) -> (Vec<Value>, Value) {
    let _alone = alone();
    let output = stress(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = lines(&output);
    let summary = lines[lines.len() - 1].clone();
    assert_eq!((&summary["event"], &summary["valid"]), (&"summary".into(), &true.into()));
    assert_eq!(summary["findings"], Value::Array(Vec::new()));
    (lines, summary)
}

#[test]
fn a_ring_without_faults_stays_one() {
    if is_skipped("a_ring_without_faults_stays_one") {
        return;
    }
    // A busy host may stop a process for longer than a token may take.
    let (lines, summary) = run(&["--seconds", "3", "--", "--token-timeout", "1s"]);
    assert_eq!(lines[0]["schema"], "roundel.stress/1");
    let samples: Vec<&Value> = lines.iter().filter(|it| it["event"] == "sample").collect();
    assert!(samples.len() >= 2, "{lines:?}");
    let member = &samples[samples.len() - 1]["members"][0];
    assert!(member["rss_kib"].as_u64() > Some(1000) && member["threads"].as_u64() > Some(1));
    assert!(summary["accepted"].as_u64() > Some(1000), "{summary}");
    assert!(summary["compared"]["checkpoints"].as_u64() > Some(0), "{summary}");
    assert_eq!((&summary["crashes"], &summary["partitions"]), (&0.into(), &0.into()));
}

#[test]
fn faults_of_all_kinds_and_loss_break_nothing() {
    if is_skipped("faults_of_all_kinds_and_loss_break_nothing") {
        return;
    }
    let (_, summary) = run(&["--seconds", "10", "--faults", "all", "--loss", "1", "--seed", "3"]);
    let faults = ["crashes", "partitions"].map(|kind| summary[kind].as_u64().unwrap());
    assert!(faults.iter().sum::<u64>() > 0, "{summary}");
    assert!(summary["compared"]["passages"].as_u64() > Some(0), "{summary}");
    assert!(summary["configurations"].as_u64() > Some(3), "{summary}");
}

#[test]
fn an_interrupted_run_says_what_it_saw() {
    if is_skipped("an_interrupted_run_says_what_it_saw") {
        return;
    }
    let _alone = alone();
    let child = stress(&[]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    sleep(Duration::from_secs(2));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let lines = lines(&output);
    let summary = &lines[lines.len() - 1];
    assert_eq!((&summary["event"], &summary["valid"]), (&"summary".into(), &false.into()));
}

#[test]
fn what_cannot_be_used_is_refused() {
    for args in [["--loss", "60"], ["--members", "1"], ["--interval", "1ms"]] {
        assert_eq!(stress(&args).output().unwrap().status.code(), Some(2));
    }
}
