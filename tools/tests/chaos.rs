//! `roundel chaos`: a minute of every kind of fault, its end by a signal, and what it refuses.
//!
//! Needs root, iproute2 and nftables; elsewhere what needs them says so in one line and is skipped.
//! One at a time: each is many processes that want to run in real time. Nothing here asserts
//! anything about time.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it expects")]

mod support;

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::Signal;
use roundel::lan;
use serde_json::Value;

use support::{Running, roundel};

/// Kinds that a run of a minute must have struck with, on however busy a host.
const KINDS_MIN: usize = 16;

/// Clauses that every run with churn and traffic gives the judge something for. The first sitting of
/// seed 1 has the dynamic policy.
const CLAUSES: [&str; 13] = [
    "EVS 1.3",
    "EVS 1.4",
    "EVS 2.1",
    "EVS 3",
    "EVS 4",
    "EVS 6.2",
    "EVS 6.3",
    "EVS 7.1",
    "ends in one ring",
    "accepted is delivered",
    "primary confirmation",
    "primary uniqueness",
    "primary continuity",
];

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The right to run; nothing, said in a line past the test harness, where there is no place for it.
fn turn(test: &str) -> Option<MutexGuard<'static, ()>> {
    if let Some(reason) = lan::missing() {
        let _ = writeln!(std::io::stderr(), "{test} skipped: {reason}");
        return None;
    }
    Some(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A directory of its own for what the command makes, so that it can be seen what stays.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = folder.join(format!("chaos-{}-{test}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("cargo's directory is writable");
    folder
}

fn chaos(folder: &Path) -> Command {
    let mut command = roundel();
    command.env("TMPDIR", folder).args(["chaos", "--json"]);
    command
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

/// Nothing of the command is left: files, namespaces, members.
fn nothing_stays(folder: &Path, process: u32) {
    assert_eq!(entries(folder), Vec::<PathBuf>::new());
    let ours = format!("roundel-net-{process}-");
    let named = entries(Path::new("/run/netns"));
    assert!(!named.iter().any(|name| name.to_string_lossy().contains(&ours)), "{named:?}");
    let folder = folder.to_string_lossy().into_owned();
    for process in entries(Path::new("/proc")) {
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&words).contains(&folder), "{}", process.display());
    }
}

#[test]
fn a_minute_of_everything_has_no_violation() {
    let Some(_turn) = turn("a_minute_of_everything_has_no_violation") else { return };
    let folder = folder("minute");
    let mut command = chaos(&folder);
    command.args(["--seconds", "55", "--seed", "1"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    let process = child.id();
    let output = child.wait_with_output().expect("it ends");
    let lines = lines(&output);
    let findings: Vec<&Value> = lines.iter().filter(|line| line["event"] == "violation").collect();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}\n{findings:?}\n{:?}", lines.last());
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["schema"], "roundel.chaos/1");
    assert_eq!((&summary["violations"], &summary["valid"]), (&0.into(), &true.into()));
    let faults = summary["faults"].as_object().expect("faults by kind");
    assert!(faults.len() >= KINDS_MIN, "{faults:?}");
    let idle: Vec<&String> =
        faults.iter().filter(|(_, struck)| **struck == 0).map(|(kind, _)| kind).collect();
    let missed: Vec<&Value> = lines.iter().filter(|one| one["event"] == "not_applied").collect();
    assert!(idle.is_empty(), "{idle:?} never struck: {missed:?}");
    for clause in CLAUSES {
        assert!(summary["clauses"][clause].as_u64() > Some(0), "{clause}: {summary}");
    }
    assert!(summary["policies"]["dynamic"].as_u64() > Some(0), "{summary}");
    for count in ["configuration_changes", "messages", "deliveries", "episodes", "sittings"] {
        assert!(summary[count].as_u64() > Some(0), "{count}: {summary}");
    }
    nothing_stays(&folder, process);
    let _ = fs::remove_dir(folder);
}

#[test]
fn an_interrupted_run_sums_up_and_leaves_nothing() {
    let Some(_turn) = turn("an_interrupted_run_sums_up_and_leaves_nothing") else { return };
    let folder = folder("interrupted");
    let mut running = Running::start(chaos(&folder).args(["--members", "3", "--seed", "5"]));
    running.wait_for(|line| line["event"] == "episode");
    running.signal(Signal::SIGINT);
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    assert_eq!(ended.summary()["violations"], 0);
    assert_eq!(ended.summary()["reason"], "interrupted");
    nothing_stays(&folder, 0);
    let _ = fs::remove_dir(folder);
}

#[test]
fn traces_are_kept_where_asked_for_and_are_judged_alike() {
    let Some(_turn) = turn("traces_are_kept_where_asked_for_and_are_judged_alike") else { return };
    let (folder, traces) = (folder("kept"), folder("traces"));
    let mut command = chaos(&folder);
    command.args(["--seconds", "6", "--members", "3", "--profile", "churn", "--trace-dir"]);
    let output = command.arg(&traces).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let kept = entries(&traces);
    assert!(kept.len() > 3 && kept.iter().all(|one| one.to_string_lossy().ends_with(".jsonl")));
    let checked = support::check(&traces);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    let _ = (fs::remove_dir_all(traces), fs::remove_dir(folder));
}

#[test]
fn wrong_options_and_no_root_are_told_with_the_fix() {
    for wrong in [["--members", "1"], ["--profile", "storms"], ["--seconds", "0"]] {
        let output = roundel().arg("chaos").args(wrong).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
    const NOBODY: u32 = 65_534;
    let mut command = roundel();
    if nix::unistd::Uid::effective().is_root() {
        command.uid(NOBODY);
    }
    match command.args(["chaos", "--seconds", "1"]).output() {
        // What others may not read they may not run either.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        output => {
            let output = output.expect("it runs");
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("fix:"), "{output:?}");
        }
    }
}
