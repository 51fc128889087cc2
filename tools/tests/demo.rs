//! `roundel demo` as its users run it. One at a time: each is several processes that want to run
//! in real time.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

mod support;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{PATIENCE, Running, check, roundel};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn demo(options: &[&str]) -> Running {
    Running::start(roundel().args(["demo", "--json"]).args(options))
}

/// Processes of this demo's members, whoever their parent is.
fn members_of(cluster: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let line = |process: fs::DirEntry| fs::read(process.path().join("cmdline")).ok();
    let is_member = |line: &Vec<u8>| {
        let mut words = line.split(|byte| *byte == 0);
        words.any(|word| word == cluster.as_bytes())
    };
    processes.filter_map(line).filter(is_member).count()
}

fn await_no_members_of(cluster: &str) {
    let since = Instant::now();
    while members_of(cluster) > 0 {
        assert!(since.elapsed() < PATIENCE, "members of {cluster} live on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until there is traffic; the cluster's name.
fn await_traffic(demo: &mut Running) -> String {
    let start = demo.wait_for(|event| event["event"] == "start");
    demo.wait_for(|event| event["event"] == "first_ordered");
    let cluster = start["cluster"].as_str().unwrap().to_owned();
    assert!(members_of(&cluster) > 0);
    cluster
}

fn is_spread(value: &Value) -> bool {
    ["p50", "p90", "p99", "p999", "max"].iter().all(|key| value[key].as_f64().is_some())
}

#[test]
fn a_member_is_killed_and_comes_back_and_the_histories_are_judged() {
    let _alone = alone();
    let files = tempfile::tempdir().unwrap();
    let ended = demo(&["--seconds", "2", "--state-dir", files.path().to_str().unwrap()]).end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.lines[0]["schema"], "roundel.demo/1");
    let summary = ended.summary();
    assert_eq!(summary["nodes"], 3);
    assert!(["uring", "mmsg"].iter().any(|io| summary["io"] == *io), "{summary}");
    assert!(summary["messages"].as_u64().unwrap() > 1_000, "{summary}");
    assert!(summary["msgs_per_s"].as_f64().unwrap() > 0.0);
    assert!(summary["first_ordered_ms"].as_f64().is_some());
    assert!(is_spread(&summary["latency_us"]) && is_spread(&summary["rotation_us"]), "{summary}");
    let configurations = summary["configurations"].as_array().unwrap();
    for members in [3, 2] {
        assert!(configurations.contains(&json!({ "members": members })), "{summary}");
    }
    assert_eq!(summary["checked"]["violations"], 0);
    assert!(summary["checked"]["clauses"].as_u64().unwrap() > 20, "{summary}");
    assert_eq!((&summary["valid"], summary.get("reason")), (&json!(true), None));
    assert_eq!(ended.events("kill").len(), 1);
    let kept = fs::read_dir(files.path()).unwrap().next().unwrap().unwrap().path();
    let again = check(&kept.join("traces"));
    assert_eq!(again.status.code(), Some(0), "{:?}", again.summary());
    assert_eq!(again.summary()["histories"], 4, "three members, one of them twice");
}

#[test]
fn two_demos_at_once_do_not_meet() {
    let _alone = alone();
    let (mut first, mut second) = (demo(&["--seconds", "30"]), demo(&["--seconds", "30"]));
    let names = [await_traffic(&mut first), await_traffic(&mut second)];
    assert_ne!(names[0], names[1]);
    for demo in [first, second] {
        demo.signal(Signal::SIGTERM);
        let ended = demo.end();
        assert_eq!(ended.status.code(), Some(130), "{ended:?}");
        assert_eq!(ended.summary()["valid"], false);
        assert_eq!(ended.summary()["reason"], "interrupted");
        for configuration in ended.events("configuration") {
            assert!(configuration["members"].as_array().unwrap().len() <= 3);
        }
    }
    names.iter().for_each(|name| await_no_members_of(name));
}

#[test]
fn no_member_survives_a_killed_demo() {
    let _alone = alone();
    let mut demo = demo(&["--nodes", "2", "--seconds", "30"]);
    let cluster = await_traffic(&mut demo);
    demo.signal(Signal::SIGKILL);
    await_no_members_of(&cluster);
}

#[test]
fn a_ring_of_one_is_no_demo() {
    let ended = demo(&["--nodes", "1"]).end();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--nodes"), "{}", ended.stderr);
}
