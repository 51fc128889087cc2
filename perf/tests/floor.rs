//! Three processes measure the floor on loopback addresses. Nothing here is about how fast.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

mod support;

use std::process::{Child, Output};

use serde_json::Value;
use support::alone;

/// Starts a member on a loopback address that ends in `host`.
fn member(cluster: &str, host: u8, options: &[&str]) -> Child {
    let own = ["--seconds", "0.2", "--warmup", "0.1"];
    support::member("floor", 72, cluster, host, &[&own, options].concat())
}

fn three(cluster: &str, first_host: u8, options: &[&str]) -> Vec<Value> {
    let _alone = alone();
    let outputs = support::three(|host| member(cluster, host, options), first_host);
    let result = |output: &Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        support::result(output)
    };
    outputs.iter().map(result).collect()
}

#[test]
fn each_way_to_the_kernel_has_a_floor() {
    // Auto is io_uring where it works.
    for (io, host) in [("auto", 1), ("mmsg", 11)] {
        for result in three(io, host, &["--members", "3", "--size", "1350", "--io", io]) {
            assert_eq!(result["schema"], "roundel.floor/1");
            assert_eq!((&result["members"], &result["size"]), (&3.into(), &1350.into()));
            assert_eq!(result["valid"], true, "{result}");
            assert!(io == "auto" || result["io"] == io, "{result}");
            for figure in ["msgs_per_s", "packets_per_s", "cpu_us_per_msg"] {
                assert!(result[figure].as_f64().unwrap() > 0.0, "{figure}: {result}");
            }
            assert!(result["lost"].is_u64() && result["rotation_us"]["p50"].is_f64());
        }
    }
}

#[test]
fn packets_are_those_of_a_ring() {
    let small = three("small", 21, &["--members", "3", "--size", "64", "--mtu", "1500"]);
    assert!(small.iter().all(|result| result["msgs_per_packet"].as_f64().unwrap() > 15.0));
    let large = three("large", 31, &["--members", "3", "--size", "64KiB", "--mtu", "1500"]);
    assert!(large.iter().all(|result| result["msgs_per_packet"].as_f64().unwrap() < 0.05));
}

#[test]
fn members_with_other_options_are_told_so() {
    let _alone = alone();
    let members = [("64", 41), ("65", 42)]
        .map(|(size, host)| member("other", host, &["--members", "2", "--size", size]));
    for member in members {
        let output = member.wait_with_output().unwrap();
        // The first that sees it ends; another may then wait for members that are gone.
        assert!(matches!(output.status.code(), Some(2 | 5)), "{output:?}");
    }
}
