//! One round of faults on hosts of its own. Needs root. Nothing here is about how fast.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

mod support;

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use support::{alone, is_skipped, perf};

#[test]
fn one_round_of_every_fault() {
    if is_skipped("one_round_of_every_fault") {
        return;
    }
    let _alone = alone();
    let output = perf(&["failover", "--runs", "1", "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["schema"], "roundel.failover/1");
    assert_eq!((&result["valid"], &result["rounds"]), (&true.into(), &1.into()));
    for fault in ["crash", "rejoin", "partition", "merge"] {
        let agreed = &result[fault]["agreed_ms"];
        // What several tools make may be over, on a busy host, before the last of them has ended.
        let is_made_by_tools = ["partition", "merge"].contains(&fault);
        let least = if is_made_by_tools { 0.0 } else { f64::MIN_POSITIVE };
        assert!(agreed["median"].as_f64().unwrap() >= least, "{fault}: {result}");
        assert!(result[fault]["gap_ms"]["max"].is_f64(), "{fault}: {result}");
    }
}

#[test]
fn what_cannot_be_used_is_refused() {
    for args in [["failover", "--rate", "999"], ["failover-member", "--rate", "0"]] {
        let output = perf(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn an_interrupt_is_told_from_a_failure() {
    if is_skipped("an_interrupt_is_told_from_a_failure") {
        return;
    }
    let _alone = alone();
    // The first moments are those of the tools that make the network.
    for wait in [60, 1500] {
        let mut command = perf(&["failover", "--hosts", "9", "--json"]);
        command.process_group(0);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(wait));
        killpg(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.signal() == Some(Signal::SIGINT as i32) {
            // On a busy host it had not begun.
            continue;
        }
        assert_eq!(output.status.code(), Some(130), "after {wait} ms: {output:?}");
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(result["reason"], "interrupted");
    }
}
