//! `roundel doctor` as its users run it.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

mod support;

use serde_json::json;
use support::{Ended, Running, roundel};

fn doctor(options: &[&str]) -> Ended {
    let state = tempfile::tempdir().unwrap();
    let mut command = roundel();
    command.args(["doctor", "--json", "--state-dir"]).arg(state.path()).args(options);
    Running::start(&mut command).end()
}

#[test]
fn every_finding_is_whole_and_the_exit_code_is_that_of_the_worst() {
    let ended = doctor(&["--interface", "127.0.0.1"]);
    let summary = ended.summary();
    assert_eq!(ended.lines[0]["schema"], "roundel.doctor/1");
    assert_eq!(summary["schema"], "roundel.doctor/1");
    let findings = ended.events("finding");
    let of = |level: &str| findings.iter().filter(|finding| finding["level"] == level).count();
    let counts = json!([of("ok"), of("warn"), of("fail")]);
    assert_eq!(counts, json!([summary["ok"], summary["warn"], summary["fail"]]));
    assert_eq!(of("ok") + of("warn") + of("fail"), findings.len());
    for finding in &findings {
        assert!(finding["cause"].is_string(), "{finding}");
        let is_ok = finding["level"] == "ok";
        assert_eq!(finding["fix"].is_null() && finding["consequence"].is_null(), is_ok);
    }
    let named = |name: &str| findings.iter().find(|finding| finding["name"] == name);
    assert_eq!(named("interface").unwrap()["level"], "warn", "loopback reaches no other host");
    assert_eq!(named("multicast").unwrap()["level"], "ok");
    assert_eq!(named("state_dir").unwrap()["level"], "ok");
    assert!(named("io_uring").is_some() && named("clock").is_some());
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
}

#[test]
fn what_keeps_a_member_from_running_is_a_failure() {
    let ended = doctor(&["--interface", "no-such-0"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!((&ended.summary()["fail"], &ended.summary()["valid"]), (&json!(1), &json!(false)));
    let refused = doctor(&["--mode", "unicast"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}
