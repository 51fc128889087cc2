//! A matrix of two cells on hosts of its own, and what compare says of it. Needs root. Nothing here
//! is about how fast.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use support::{alone, is_skipped, lines, perf};

/// Measures a throughput and a rate, and gives what was written.
fn measure(output: &Path, failover_rounds: &str) -> (Value, String) {
    let file = output.to_str().unwrap();
    let args = ["matrix", "--quick", "--hosts", "3", "--only", "rate=1000", "--runs", "1"];
    let options = ["--seconds", "0.2", "--failover", failover_rounds, "--json", "--output", file];
    let ended = perf(&[&args[..], &options].concat()).output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{told}");
    let events = lines(&ended);
    assert_eq!(events[0]["schema"], "roundel.matrix/1");
    assert_eq!(events[events.len() - 1]["event"], "summary");
    let data = fs::read(format!("{file}.json")).unwrap();
    let page = fs::read_to_string(format!("{file}.html")).unwrap();
    (serde_json::from_slice(&data).unwrap(), page)
}

#[test]
fn two_cells_on_hosts_of_its_own() {
    if is_skipped("two_cells_on_hosts_of_its_own") {
        let refused = perf(&["matrix", "--quick"]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("fix:"));
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let before = folder.path().join("before");
    let (document, page) = measure(&before, "1");
    let cells = document["cells"].as_array().unwrap();
    let names: Vec<&str> = cells.iter().map(|cell| cell["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["rate=1000", "rate=10000"]);
    for cell in cells {
        // A busy host may miss the planned rate: that is said, and the cell is there.
        assert!(cell["valid"] == true || cell["reason"].is_string(), "{cell}");
        assert_eq!(cell["runs"].as_array().unwrap().len(), 1);
        assert_eq!(cell["latency_histogram"].is_string(), cell["valid"] == true, "{cell}");
    }
    assert!(page.contains("rate=10000") && page.contains("<svg"));
    let failover = &document["failover"];
    assert_eq!((&failover["valid"], &failover["rounds"]), (&true.into(), &1.into()), "{failover}");
    assert!(page.contains("Gap at failover"));

    let after = folder.path().join("after");
    let (without_faults, _) = measure(&after, "0");
    assert!(without_faults.get("failover").is_none());
    let files = [before, after].map(|file| format!("{}.json", file.display()));
    let compared = perf(&["compare", "--json", &files[0], &files[1]]).output().unwrap();
    assert!(compared.status.success());
    assert_eq!(lines(&compared)[0]["schema"], "roundel.compare/1");
}

/// A matrix in the background, in a process group of its own as on a terminal.
fn start(output: &Path, seconds: &str) -> Child {
    let args = ["matrix", "--quick", "--hosts", "3", "--only", "rate=1000", "--runs", "1"];
    perf(&args)
        .args(["--json", "--seconds", seconds, "--output", output.to_str().unwrap()])
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn an_interrupt_before_the_first_cell_leaves_older_files_alone() {
    if is_skipped("an_interrupt_before_the_first_cell_leaves_older_files_alone") {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.json");
    fs::write(&file, "older").unwrap();
    let mut matrix = start(&folder.path().join("kept"), "20");
    sleep(Duration::from_secs(2));
    killpg(Pid::from_raw(matrix.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(matrix.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_to_string(&file).unwrap(), "older");
}

#[test]
fn a_reader_that_goes_away_takes_no_result_with_it() {
    if is_skipped("a_reader_that_goes_away_takes_no_result_with_it") {
        return;
    }
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let mut matrix = start(&folder.path().join("kept"), "0.2");
    let mut first = String::new();
    BufReader::new(matrix.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("roundel.matrix/1"), "{first}");
    assert_eq!(matrix.wait().unwrap().code(), Some(1));
    let document = fs::read(folder.path().join("kept.json")).unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    assert_eq!(document["cells"].as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_used_is_refused() {
    for [option, value] in [["--hosts", "2"], ["--hosts", "9"], ["--seconds", "0"]] {
        let refused = perf(&["matrix", option, value]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{option} {value}");
    }
    let missing = perf(&["compare", "no-such.json", "no-such.json"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("fix:"));
}
