//! `roundel cat` as its users run it: several processes on loopback, lines in, events out.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

mod support;

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{Running, check, roundel};

/// A cluster of one test: its name, its addresses and its files are no other's.
struct Cluster {
    name: String,
    network: u8,
    files: tempfile::TempDir,
}

impl Cluster {
    fn new(network: u8) -> Self {
        let name = format!("cat-{network}-{}", std::process::id());
        Self { name, network, files: tempfile::tempdir().unwrap() }
    }

    fn member(&self, id: u8, options: &[&str]) -> Command {
        let [high, low, ..] = std::process::id().to_le_bytes();
        let host = format!("127.{}.{high}.{}", 64 + (low & 63), self.network + id);
        let files = self.files.path();
        let mut command = roundel();
        command.args(["cat", "--json", "--cluster", &self.name, "--id", &id.to_string()]);
        command.args(["--interface", &host]).arg("--state-dir").arg(files);
        command.arg("--trace").arg(files.join(format!("{id}.jsonl")));
        command.args(options);
        command
    }

    fn traces(&self) -> &Path {
        self.files.path()
    }
}

fn is_ring_of(members: &Value) -> impl Fn(&Value) -> bool + '_ {
    move |event| event["kind"] == "regular" && event["members"] == *members
}

/// Payloads whose lines are easily damaged.
const LINES: &[u8] =
    b"plain\n\n  spaced \t\n\"quoted\" \\ {}\ngr\xc3\xbc\xc3\x9fe \xf0\x9f\x8e\x89\n\
    \xff\xfe\0binary\ncarriage\r\nlast without newline";

const PAYLOADS: [&str; 8] = [
    "plain",
    "",
    "  spaced \t",
    "\"quoted\" \\ {}",
    "grüße 🎉",
    "//4AYmluYXJ5",
    "carriage\r",
    "last without newline",
];

#[test]
fn three_members_print_the_same_messages_in_the_same_order() {
    let cluster = Cluster::new(10);
    let options = ["--wait-members", "3", "--until-total", "24", "--service", "safe"];
    let mut members: Vec<Running> =
        (1..=3).map(|id| Running::start(&mut cluster.member(id, &options))).collect();
    for member in &mut members {
        member.write(LINES);
        member.close_stdin();
    }
    let ended: Vec<_> = members.into_iter().map(Running::end).collect();
    let first = ended[0].events("message");
    assert_eq!(first.len(), 24);
    for (id, end) in (1..=3).zip(&ended) {
        assert_eq!(end.status.code(), Some(0), "{end:?}");
        assert_eq!(end.lines[0]["schema"], "roundel.cat/1");
        assert_eq!(end.events("message"), first);
        let summary = end.summary();
        assert_eq!(summary["order_digest"], ended[0].summary()["order_digest"]);
        assert_eq!((&summary["delivered"], &summary["own"]), (&json!(24), &json!(8)));
        assert_eq!(summary["valid"], true);
        let own = first.iter().filter(|message| message["sender"] == id);
        let payload = |message: &Value| {
            let text = message.get("payload").or(message.get("payload_base64"));
            text.unwrap().as_str().unwrap().to_owned()
        };
        assert_eq!(own.map(|message| payload(message)).collect::<Vec<_>>(), PAYLOADS);
    }
    assert!(first.iter().all(|message| message["service"] == "safe"));
    assert_eq!(check(cluster.traces()).status.code(), Some(0));
}

#[test]
fn a_member_told_to_stop_leaves_and_the_others_are_told() {
    let cluster = Cluster::new(20);
    let options = ["--deliver-only", "--log", "info"];
    let mut stays = Running::start(&mut cluster.member(1, &options));
    let mut leaves = Running::start(&mut cluster.member(2, &[]));
    stays.wait_for(is_ring_of(&json!([1, 2])));
    leaves.wait_for(is_ring_of(&json!([1, 2])));
    leaves.write(b"before the end\n");
    stays.wait_for(|event| event["payload"] == "before the end");
    leaves.signal(Signal::SIGTERM);
    let left = leaves.end();
    assert_eq!(left.status.code(), Some(130), "{left:?}");
    assert_eq!(left.summary()["left_after"], "signal");
    assert_eq!(left.summary()["undelivered"], 0);
    stays.wait_for(is_ring_of(&json!([1])));
    stays.signal(Signal::SIGINT);
    let stayed = stays.end();
    assert_eq!(stayed.status.code(), Some(0), "being told to stop is its end: {stayed:?}");
    assert!(stayed.stderr.contains("member 2 leaves"), "not taken for dead: {}", stayed.stderr);
    assert_eq!(stayed.events("message").len(), 1);
    assert_eq!(stayed.summary()["accepted"], 0);
    assert_eq!(check(cluster.traces()).status.code(), Some(0));
}

#[test]
fn alone_it_leaves_after_its_input() {
    let cluster = Cluster::new(30);
    let mut member = Running::start(&mut cluster.member(1, &["--linger", "0s"]));
    member.write(b"one\ntwo\n");
    let ended = member.end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.events("message").len(), 2);
    assert_eq!(ended.summary()["left_after"], "input");
    assert!(ended.stderr.contains("member 1 of"), "{}", ended.stderr);
}

#[test]
fn with_views_lines_wait_for_the_first_one_and_are_refused_without() {
    let cluster = Cluster::new(70);
    let options = ["--views", "--primary", "majority:1,2,3", "--linger", "0s"];
    let mut one = Running::start(&mut cluster.member(1, &options));
    one.write(b"early\n");
    let mut two = Running::start(&mut cluster.member(2, &options));
    for member in [&mut one, &mut two] {
        let view = member.wait_for(|it| it["event"] == "view" && it["processes"][1]["node"] == 2);
        assert_eq!(view["processes"][0]["node"], 1);
    }
    one.wait_for(|it| it["event"] == "accepted" && it["line"] == 1);
    one.wait_for(|it| it["payload"] == "early");
    two.write(b"late\n");
    two.close_stdin();
    let left = two.end();
    assert_eq!(left.status.code(), Some(0), "{left:?}");
    let summary = left.summary();
    assert_eq!((&summary["left_after"], &summary["own"]), (&json!("input"), &json!(1)));

    // One of three is no primary component.
    one.wait_for(|it| it["event"] == "stopped");
    one.write(b"alone\n");
    let refused = one.wait_for(|it| it["event"] == "refused" && it["line"] == 2);
    assert!(refused["reason"].as_str().is_some_and(|it| it.contains("view")), "{refused}");
    one.close_stdin();
    let ended = one.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.lines[0]["schema"], "roundel.views/1");
    let summary = ended.summary();
    let counts = ["accepted", "refused", "delivered", "own", "stopped"].map(|it| &summary[it]);
    assert_eq!(counts.map(Value::as_u64), [1, 1, 2, 1, 1].map(Some), "{summary}");
    assert!(ended.events("configuration").is_empty(), "it knows of no parts");
    assert_eq!(check(cluster.traces()).status.code(), Some(0));
}

#[test]
fn a_line_longer_than_a_message_is_an_error() {
    let cluster = Cluster::new(40);
    let options = ["--message-size", "1KiB", "--linger", "0s"];
    let mut member = Running::start(&mut cluster.member(1, &options));
    member.write(b"fits\n");
    member.write(&[b'x'; 1100]);
    let ended = member.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.events("message").len(), 1, "what was accepted is delivered");
    assert_eq!(ended.summary()["valid"], false);
    assert!(ended.stderr.contains("1024 bytes"), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_is_refused_with_a_fix() {
    let cluster = Cluster::new(50);
    let config = cluster.traces().join("config.toml");
    std::fs::write(&config, "token_timeout = '1s'\n").unwrap();
    for (options, variable, fix) in [
        (vec!["--peer", "10.0.0.1"], None, "--mode unicast"),
        (vec!["--interface", "no-such-0"], None, "use one of"),
        (vec!["--hold", "1s"], None, "lower it"),
        (vec!["--config", config.to_str().unwrap()], None, "`token-timeout`"),
        (vec![], Some("ROUNDEL_CLUSTR"), "ROUNDEL_CLUSTER"),
        (vec!["--mtu", "900"], None, "1500"),
        (vec!["--views"], None, "with --primary"),
    ] {
        let mut command = roundel();
        command.arg("cat").args(&options);
        command.envs(variable.map(|name| (name, "x")));
        let ended = Running::start(&mut command).end();
        assert_eq!(ended.status.code(), Some(2), "{options:?}: {ended:?}");
        assert!(ended.stderr.contains(fix), "{options:?}: {}", ended.stderr);
        assert!(ended.lines.is_empty());
    }
}

#[test]
fn a_second_member_of_one_id_is_refused() {
    let cluster = Cluster::new(60);
    let mut first = Running::start(&mut cluster.member(1, &["--deliver-only"]));
    first.wait_for(|event| event["event"] == "start");
    let second = Running::start(&mut cluster.member(1, &[])).end();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(second.stderr.contains("already runs"), "{}", second.stderr);
}
