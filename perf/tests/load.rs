//! Three members under load on loopback addresses: one order, and the result that scripts read.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

mod support;

use std::path::Path;
use std::process::{Child, Output};

use support::{alone, result};

/// Starts a member on a loopback address that ends in `host`.
fn member(cluster: &str, state: &Path, host: u8, options: &[&str]) -> Child {
    let state = state.to_str().unwrap();
    // Many busy processes on few processors: a member that waits for one is not lost.
    let own = ["--members", "3", "--token-timeout", "1s", "--state-dir", state];
    support::member("load", 71, cluster, host, &[&own, options].concat())
}

/// Runs three members to their ends.
fn three(cluster: &str, first_host: u8, options: &[&str]) -> Vec<Output> {
    let _alone = alone();
    let state = tempfile::tempdir().unwrap();
    support::three(|host| member(cluster, state.path(), host, options), first_host)
}

/// Judges what holds for every valid run, and gives the digest of the order.
fn judge(output: &Output, size: u64, service: &str, open_loop: bool) -> (String, u64) {
    let told = String::from_utf8_lossy(&output.stderr);
    let result = result(output);
    // A busy host may miss the planned rate, which is said and is no defect of the ring.
    let late = result["reason"].as_str().is_some_and(|why| why.contains("missed the planned rate"));
    assert_eq!(output.status.success(), !late, "{result} {told}");
    assert_eq!(result["schema"], "roundel.load/1");
    assert_eq!(result["members"], 3);
    assert_eq!(result["size"], size);
    assert_eq!(result["service"], service);
    assert_eq!(result["open_loop"], open_loop);
    assert_eq!(result["valid"], !late, "{result} {told}");
    for number in [
        "seconds",
        "msgs_per_s",
        "payload_mbit_per_s",
        "cpu_us_per_msg",
        "system_calls_per_msg",
        "retransmits",
        "socket_drops",
    ] {
        assert!(result[number].is_number(), "{number}: {result}");
    }
    for histogram in ["latency_us", "latency_others_us", "rotation_us"] {
        let at = |name: &str| result[histogram][name].as_f64().unwrap();
        assert!(at("p50") <= at("p90") && at("p90") <= at("p99"), "{histogram}: {result}");
        assert!(at("p99") <= at("p999") && at("p999") <= at("max"), "{histogram}: {result}");
    }
    let digest = result["order_digest"].as_str().unwrap().to_owned();
    (digest, result["delivered_msgs"].as_u64().unwrap())
}

fn assert_one_order(outputs: &[Output], size: u64, service: &str, open_loop: bool) {
    let orders: Vec<_> =
        outputs.iter().map(|output| judge(output, size, service, open_loop)).collect();
    assert!(orders[0].1 > 0, "nothing was delivered");
    assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
}

#[test]
fn as_fast_as_it_goes() {
    let outputs = three("max", 31, &["--seconds", "1", "--warmup", "0.2"]);
    assert_one_order(&outputs, 64, "agreed", false);
}

#[test]
fn at_planned_times_safe_and_in_fragments() {
    let options = [
        "--seconds",
        "1",
        "--warmup",
        "0.2",
        "--rate",
        "50",
        "--size",
        "20KiB",
        "--service",
        "safe",
        "--histogram",
    ];
    let outputs = three("rate", 41, &options);
    assert_one_order(&outputs, 20 << 10, "safe", true);
    for output in &outputs {
        let histogram = &result(output)["latency_histogram"];
        assert!(histogram.as_str().unwrap().starts_with("HISTFAA"), "V2, deflated: {histogram}");
    }
}

#[test]
fn one_sender() {
    let options = [
        "--seconds",
        "1",
        "--warmup",
        "0.2",
        "--senders",
        "one",
        "--rate",
        "200",
        "--size",
        "1350",
    ];
    let outputs = three("one", 51, &options);
    assert_one_order(&outputs, 1350, "agreed", true);
    let from_others = result(&outputs[0])["latency_others_us"]["max"].as_f64();
    assert_eq!(from_others, Some(0.0), "the lowest id alone sends");
    assert!(result(&outputs[0]).get("latency_histogram").is_none(), "nobody asked");
}

#[test]
fn a_lost_member_makes_the_run_invalid_and_nobody_hangs() {
    let _alone = alone();
    let state = tempfile::tempdir().unwrap();
    let options = ["--seconds", "30", "--warmup", "0", "--rate", "100"];
    let mut members: Vec<Child> =
        (61..64).map(|host| member("lost", state.path(), host, &options)).collect();
    std::thread::sleep(std::time::Duration::from_secs(5));
    let mut victim = members.pop().unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    for member in members {
        let output = member.wait_with_output().unwrap();
        let result = result(&output);
        assert_eq!(output.status.code(), Some(1), "{result}");
        assert_eq!(result["valid"], false);
        assert!(result["reason"].as_str().unwrap().starts_with("lost member "), "{result}");
    }
}

#[test]
fn members_with_other_options_are_told_so() {
    let _alone = alone();
    let state = tempfile::tempdir().unwrap();
    let members: Vec<Child> = [(71, "64"), (72, "64"), (73, "65")]
        .into_iter()
        .map(|(host, size)| member("other", state.path(), host, &["--size", size]))
        .collect();
    for member in members {
        let output = member.wait_with_output().unwrap();
        let code = output.status.code();
        // The first that sees it leaves; another may then wait for members that are gone.
        assert!(matches!(code, Some(2 | 5)), "{code:?} {}", result(&output));
        assert_eq!(result(&output)["valid"], false);
    }
}

#[test]
fn no_time_to_measure_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let refused = member("none", state.path(), 81, &["--seconds", "0"]);
    let output = refused.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing is measured"));
}
