//! `roundel endpoint` and `roundel store` as their users run them: several processes on loopback, lines
//! in, events out.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

mod support;

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::{Ended, Running, check, roundel};

/// A cluster of one test: its name, its addresses and its files are no other's.
struct Cluster {
    name: String,
    network: u8,
    files: tempfile::TempDir,
}

impl Cluster {
    fn new(network: u8) -> Self {
        let name = format!("shells-{network}-{}", std::process::id());
        Self { name, network, files: tempfile::tempdir().unwrap() }
    }

    fn member(&self, id: u8, words: &[&str]) -> Command {
        let [high, low, ..] = std::process::id().to_le_bytes();
        let host = format!("127.{}.{high}.{}", 64 + (low & 63), self.network + id);
        let files = self.files.path();
        let mut command = roundel();
        command.args(words).args(["--json", "--cluster", &self.name, "--id", &id.to_string()]);
        command.args(["--interface", &host]).arg("--state-dir").arg(files);
        command.arg("--trace").arg(files.join(format!("{id}.jsonl")));
        command
    }

    fn start(&self, id: u8, words: &[&str]) -> Running {
        Running::start(&mut self.member(id, words))
    }

    fn traces_are_well(&self) {
        let checked = check(self.files.path());
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    }
}

fn is_view<'a>(group: &'a str, members: &'a Value) -> impl Fn(&Value) -> bool + 'a {
    move |it| it["event"] == "view" && it["group"] == group && it["members"] == *members
}

fn ended_with(running: Running, code: i32, schema: &str) -> Ended {
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    assert_eq!(
        (&ended.lines[0]["event"], &ended.lines[0]["schema"]),
        (&"start".into(), &schema.into())
    );
    assert_eq!(ended.summary()["schema"], schema);
    assert_eq!(
        (&ended.summary()["undelivered"], &ended.summary()["valid"]),
        (&0.into(), &true.into())
    );
    ended
}

/// A member that runs something else is named, and in nobody's way once it has gone.
#[test]
fn who_is_waited_for_is_told() {
    let cluster = Cluster::new(40);
    let other = cluster.start(2, &["cat"]);
    for (id, words) in [(1, &["endpoint", "desk", "--join", "news"][..]), (3, &["store"])] {
        let mut waiting = cluster.start(id, words);
        let told = waiting.wait_for(|it| it["event"] == "waiting");
        assert!(told["members"].as_array().is_some_and(|it| it.contains(&2.into())), "{told}");
        waiting.signal(Signal::SIGTERM);
        assert_eq!(waiting.end().status.code(), Some(130));
    }
    other.signal(Signal::SIGTERM);
    assert_eq!(other.end().status.code(), Some(130));
}

#[test]
fn endpoints_join_send_and_leave() {
    const SCHEMA: &str = "roundel.endpoint/1";
    let cluster = Cluster::new(10);
    let mut desk = cluster.start(1, &["endpoint", "desk", "--join", "prices.bonds,news"]);
    let mut risk = cluster.start(2, &["endpoint", "risk", "--join", "prices.bonds"]);
    let mut log = cluster.start(3, &["endpoint", "log", "--subscribe", "prices.>"]);
    let both = json!(["desk@1", "risk@2"]);
    for member in [&mut desk, &mut risk] {
        let view = member.wait_for(is_view("prices.bonds", &both));
        assert!(["join", "merge"].map(Value::from).contains(&view["cause"]), "{view}");
    }

    // From outside of the group, to the group and to one endpoint. What it sent to itself on their
    // ring is ordered behind the joins, so all that follows is, too.
    let ring = json!([1, 2, 3]);
    log.wait_for(|it| it["kind"] == "regular" && it["members"] == ring);
    log.write(b"send log@3 in step\nmembers prices.bonds\n");
    log.write(b"send prices.bonds,desk@1 99.5 and more\nsend a..b x\nfly\n");
    assert_eq!(log.wait_for(|it| it["event"] == "members")["members"], both);
    let in_step = log.wait_for(|it| it["event"] == "message");
    assert_eq!((&in_step["to"], &in_step["payload"]), (&json!(["log@3"]), &"in step".into()));
    for member in [&mut desk, &mut risk, &mut log] {
        let is_quote = |it: &Value| it["event"] == "message" && *it != in_step;
        let message = member.wait_for(is_quote);
        assert_eq!(message["sender"], "log@3");
        assert_eq!(message["to"], json!(["prices.bonds", "desk@1"]));
        assert_eq!(
            (&message["payload"], &message["service"]),
            (&"99.5 and more".into(), &"agreed".into())
        );
    }
    for line in [4, 5] {
        let refused = log.wait_for(|it| it["event"] == "refused" && it["line"] == line);
        assert!(refused["reason"].as_str().is_some_and(|reason| reason.len() > 10), "{refused}");
    }
    // Its endpoint says farewell: nobody takes it for cut off.
    risk.signal(Signal::SIGTERM);
    let left = desk.wait_for(|it| it["event"] == "view" && it["cause"] == "leave");
    assert_eq!((&left["group"], &left["left"]), (&"prices.bonds".into(), &json!(["risk@2"])));
    assert_eq!(left["transitional"], json!(["desk@1"]));
    assert_eq!(ended_with(risk, 130, SCHEMA).summary()["left_after"], "signal");
    desk.write(b"leave prices.bonds\n");
    desk.wait_for(is_view("prices.bonds", &json!([])));
    desk.close_stdin();
    log.close_stdin();
    let desk = ended_with(desk, 0, SCHEMA);
    assert_eq!((&desk.summary()["messages"], &desk.summary()["refused"]), (&1.into(), &0.into()));
    let log = ended_with(log, 1, SCHEMA);
    assert_eq!((&log.summary()["sent"], &log.summary()["refused"]), (&2.into(), &2.into()));
    cluster.traces_are_well();
}

#[test]
fn a_store_answers_everywhere_and_refuses_without_its_quorum() {
    const SCHEMA: &str = "roundel.store/1";
    let cluster = Cluster::new(20);
    let words = ["store", "--quorum", "majority:1,2,3", "--linger", "0ms"];
    let mut members: Vec<Running> = (1..=3).map(|id| cluster.start(id, &words)).collect();
    // Lines wait until the state is there.
    members[0]
        .write(b"put colour dark blue\nacquire disk\ncas colour red green\nget colour\nsteal x\n");
    let line = |number: u64| move |it: &Value| it["line"] == number;
    assert_eq!(members[0].wait_for(line(1))["value"], Value::Null);
    let granted = members[0].wait_for(line(2));
    assert_eq!((&granted["result"], &granted["holder"]), (&"granted".into(), &1.into()));
    let differs = members[0].wait_for(line(3));
    assert_eq!((&differs["result"], &differs["value"]), (&"differs".into(), &"dark blue".into()));
    assert_eq!(members[0].wait_for(line(4))["value"], "dark blue");
    assert_eq!(members[0].wait_for(line(5))["event"], "refused");

    members[1].write(b"sync\ndump\nacquire disk\nrelease disk\n");
    assert_eq!(members[1].wait_for(line(1))["event"], "passed");
    let held = members[1].wait_for(line(3));
    assert_eq!((&held["result"], &held["fence"]), (&"held".into(), &granted["fence"]));
    assert_eq!(members[1].wait_for(line(4))["event"], "refused");
    // In step with what was answered to the other before; asked for too early it may be older.
    members[1].write(b"dump\n");
    let dump = members[1].wait_for(line(5));
    assert_eq!(dump["entries"], json!({"colour": "dark blue"}));
    assert_eq!((&dump["locks"]["disk"]["holder"], &dump["leader"]), (&1.into(), &1.into()));

    // The holder goes: its lock is free. Then one of three is left, which takes nothing more.
    let mut first = members.remove(0);
    first.close_stdin();
    let first = ended_with(first, 1, SCHEMA);
    assert_eq!((&first.summary()["answered"], &first.summary()["refused"]), (&4.into(), &1.into()));
    members[0].wait_for(|it| it["event"] == "view" && it["synced"] == json!([2, 3]));
    members[0].write(b"acquire disk\n");
    let granted_again = members[0].wait_for(line(6));
    assert_eq!(granted_again["result"], "granted", "{granted_again}");
    let token = |it: &Value| serde_json::from_value::<Vec<u64>>(it["fence"].clone()).unwrap();
    assert!(token(&granted) < token(&granted_again));
    let mut last = members.remove(1);
    members[0].close_stdin();
    ended_with(members.remove(0), 1, SCHEMA);
    last.wait_for(|it| it["standing"] == "blocked");
    last.write(b"put colour red\ndump\n");
    assert_eq!(last.wait_for(line(1))["event"], "refused");
    assert_eq!(last.wait_for(line(2))["entries"]["colour"], "dark blue");
    last.signal(Signal::SIGINT);
    ended_with(last, 130, SCHEMA);
    cluster.traces_are_well();
}

#[test]
fn what_no_member_can_be_started_with_is_refused() {
    let refused = |words: &[&str]| {
        let ended = Running::start(roundel().args(words)).end();
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        ended.stderr
    };
    assert!(refused(&["store", "--quorum", "most"]).contains("majority:1,2,3"));
    assert!(refused(&["store", "--quorum", "primary"]).contains("with --primary"));
    assert!(refused(&["endpoint", "a@1"]).contains("leave it out"));
    assert!(refused(&["endpoint", "desk", "--join", "a..b"]).contains("between dots"));
}
