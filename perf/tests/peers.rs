//! Roundel and those of its peers that are installed, once each. Needs root. Nothing here is about
//! how fast.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use serde_json::Value;

/// Two at once would only disturb each other.
static TURN: Mutex<()> = Mutex::new(());

const PEERS: [&str; 3] = ["corosync", "corosync-realtime", "nats"];

/// Whether there is no network; says so then.
fn is_skipped(test: &str) -> bool {
    let missing = roundel::lan::missing();
    if let Some(reason) = missing {
        // Not `eprintln!`, which the test harness swallows.
        let _ = writeln!(std::io::stderr(), "{test} skipped: {reason}");
    }
    missing.is_some()
}

fn peers(args: &[&str], path: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundel-perf"));
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let common = ["peers", "--runs", "1", "--seconds", "0.3", "--warmup", "0.1", "--rate", "200"];
    command.args(common).args(args).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|entry| entry[key].as_str().unwrap()).collect()
}

/// A tool as a shell finds it.
fn which(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.exists())
}

#[test]
fn those_that_are_there_are_measured() {
    if is_skipped("those_that_are_there_are_measured") {
        assert_eq!(peers(&[], None).status.code(), Some(2));
        return;
    }
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("peers.json");
    let ended = peers(&["--sizes", "64", "--output", file.to_str().unwrap()], None);
    let told = String::from_utf8_lossy(&ended.stderr);
    // On a busy host nothing may be valid.
    assert!(matches!(ended.status.code(), Some(0 | 1)), "{told}");
    assert!(String::from_utf8_lossy(&ended.stdout).contains("roundel,size=64"));
    let document: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(document["schema"], "roundel.peers/1");
    for skipped in document["skipped"].as_array().unwrap() {
        let _ = writeln!(std::io::stderr(), "skipped: {skipped}");
    }
    let (there, missing) =
        (names(&document["systems"], "name"), names(&document["skipped"], "name"));
    for peer in PEERS {
        assert!(there.contains(&peer) != missing.contains(&peer), "{peer}");
    }
    for system in document["systems"].as_array().unwrap() {
        let order = if system["name"] == "nats" { "per publisher" } else { "total" };
        assert_eq!(system["order"], order);
    }
    assert_eq!(names(&document["cells"], "system"), there);
    for cell in document["cells"].as_array().unwrap() {
        // A busy host may miss the planned rate: that is said, and the cell is there.
        assert!(cell["valid"] == true || cell["reason"].is_string(), "{cell}");
        let reason = cell["reason"].as_str().unwrap_or_default();
        assert!(!reason.contains("order") && !reason.contains("no result"), "{cell}");
    }
}

#[test]
fn those_that_are_missing_are_named() {
    if is_skipped("those_that_are_missing_are_named") {
        return;
    }
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    for tool in ["ip", "nft", "sh"] {
        symlink(which(tool).unwrap(), folder.path().join(tool)).unwrap();
    }
    let ended = peers(&["--sizes", "64", "--json"], Some(folder.path()));
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(matches!(ended.status.code(), Some(0 | 1)), "{told}");
    let events = lines(&ended);
    assert_eq!(events[0]["schema"], "roundel.peers/1");
    assert_eq!(names(&events[0]["skipped"], "name"), PEERS);
    for skipped in events[0]["skipped"].as_array().unwrap() {
        assert!(skipped["reason"].as_str().unwrap().contains("does not start"), "{skipped}");
        assert!(skipped["fix"].as_str().unwrap().contains("apt-get install"), "{skipped}");
    }
    let cells: Vec<&Value> = events.iter().filter(|event| event["event"] == "cell").collect();
    assert_eq!(cells.len(), 1);
    assert_eq!(cells[0]["result"]["system"], "roundel");
    assert_eq!(events[events.len() - 1]["event"], "summary");
}

#[test]
fn what_cannot_be_used_is_refused() {
    for args in [["--members", "1"], ["--sizes", "16"], ["--only", "no-such-system"]] {
        assert_eq!(peers(&args, None).status.code(), Some(2), "{args:?}");
    }
}
