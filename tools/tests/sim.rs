//! Two thousand simulated clusters: no violation, every kind of fault hit, every clause judged.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::process::Command;

use serde_json::Value;

/// Clauses of layers that this member does not have yet.
const NOT_JUDGED: [&str; 2] = ["primary", "VS"];

fn sim(seeds: &str) -> (Option<i32>, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_roundel"))
        .args(["sim", "--json", "--seeds", seeds])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let summary = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    (output.status.code(), summary, text)
}

#[test]
fn two_thousand_seeds_hit_every_fault_and_violate_nothing() {
    let (code, summary, text) = sim("0..2000");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(summary["seeds"], 2000);
    for (fault, count) in summary["faults"].as_object().unwrap() {
        assert!(count.as_u64().unwrap() >= 100, "{fault} hit only {count} times");
    }
    for (clause, judged) in summary["clauses"].as_object().unwrap() {
        let of_later = NOT_JUDGED.iter().any(|layer| clause.starts_with(layer));
        assert!(of_later || judged.as_u64().unwrap() > 1_000, "{clause} judged {judged} times");
    }
}

#[test]
fn a_seed_reproduces_everything() {
    let (_, first, _) = sim("100..120");
    let (_, second, _) = sim("100..120");
    assert_eq!(first, second);
    let (_, other, _) = sim("120..140");
    assert_ne!(first["digest"], other["digest"]);
}
