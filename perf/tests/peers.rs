//! Roundel and those of its peers that are installed, once each. Needs root. Nothing here is about
//! how fast.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

mod support;

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use support::{alone, is_skipped, lines, perf};

const PEERS: [&str; 3] = ["corosync", "corosync-realtime", "nats"];

fn peers(args: &[&str], path: Option<&Path>) -> Output {
    let common = ["peers", "--runs", "1", "--seconds", "0.3", "--warmup", "0.1", "--rate", "200"];
    let mut command = perf(&[&common, args].concat());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.output().unwrap()
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
    let _alone = alone();
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
    let _alone = alone();
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
