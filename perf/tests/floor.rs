//! Three processes measure the floor on loopback addresses. Nothing here is about how fast.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// Starts a member on a loopback address that ends in `host`.
fn member(cluster: &str, host: u8, options: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_roundel-perf"))
        .args(["floor", "--json", "--seconds", "0.2", "--warmup", "0.1"])
        .args(["--cluster", &format!("{cluster}-{}", std::process::id())])
        .args(["--interface", &format!("127.72.{}.{host}", std::process::id() % 250)])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn three(cluster: &str, first_host: u8, options: &[&str]) -> Vec<Value> {
    let members: Vec<Child> =
        (first_host..first_host + 3).map(|host| member(cluster, host, options)).collect();
    members.into_iter().map(|member| result(&member.wait_with_output().unwrap())).collect()
}

fn result(output: &Output) -> Value {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text:?}");
    serde_json::from_str(&text).unwrap()
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
    let members = [("64", 41), ("65", 42)]
        .map(|(size, host)| member("other", host, &["--members", "2", "--size", size]));
    for member in members {
        let output = member.wait_with_output().unwrap();
        // The first that sees it ends; another may then wait for members that are gone.
        assert!(matches!(output.status.code(), Some(2 | 5)), "{output:?}");
    }
}
