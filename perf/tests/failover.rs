//! One round of faults on hosts of its own. Needs root. Nothing here is about how fast.

use std::io::Write as _;
use std::process::Command;

use serde_json::Value;

#[test]
fn one_round_of_every_fault() {
    if let Some(reason) = roundel::lan::missing() {
        // Not `eprintln!`, which the test harness swallows.
        let _ = writeln!(std::io::stderr(), "one_round_of_every_fault skipped: {reason}");
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_roundel-perf"));
    let output = command.args(["failover", "--runs", "1", "--json"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["schema"], "roundel.failover/1");
    assert_eq!((&result["valid"], &result["rounds"]), (&true.into(), &1.into()));
    for fault in ["crash", "rejoin", "partition", "merge"] {
        let agreed = &result[fault]["agreed_ms"];
        assert!(agreed["median"].as_f64().unwrap() > 0.0, "{fault}: {result}");
        assert!(result[fault]["gap_ms"]["max"].is_f64(), "{fault}: {result}");
    }
}
