//! A replicated map with locks, whose clients write while members die, are cut off and come back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::member::Member;
use crate::run::{Run, Spec, ids};

const MEMBERS: u32 = 5;

/// Three of five go on; whatever was answered is kept, as no three die before the others have the
/// state again.
#[test]
fn a_map_and_locks_through_crashes_partitions_and_merges() {
    let name = "a_map_and_locks_through_crashes_partitions_and_merges";
    live(name, &["--quorum", "majority:1,2,3,4,5"]);
}

/// Here two that are the primary component after the other three have gone do not go on either: no
/// majority holds the state.
#[test]
fn a_map_and_locks_in_a_dynamic_primary() {
    let name = "a_map_and_locks_in_a_dynamic_primary";
    live(name, &["--quorum", "primary", "--primary", "dynamic:1,2,3,4,5"]);
}

#[track_caller]
fn live(name: &'static str, options: &[&str]) {
    let start = |run: &mut Run, id| start(run, id, options);
    let Some(mut run) = Run::new(name, MEMBERS) else { return };
    for id in 1..=MEMBERS {
        start(&mut run, id);
    }
    let clients = Clients::start(&run);
    wait_answers(&run, &run.live(), 50);

    // One dies, and gets the state from the others.
    run.live()[1].kill();
    wait_answers(&run, &run.live(), 30);
    start(&mut run, 2);
    clients.follow(&run);
    wait_answers(&run, &run.live(), 30);

    // Two are cut off; one of the three dies, so that nobody goes on until all meet.
    run.lan.partition(&[&[1, 2, 3], &[4, 5]]).expect("the network changes");
    let by_id =
        |run: &Run, id| run.live().into_iter().find(|one| one.id() == id).expect("it lives");
    let three = [1, 2, 3].map(|id| by_id(&run, id));
    let two = [4, 5].map(|id| by_id(&run, id));
    wait_standing(&run, &two, "blocked");
    wait_answers(&run, &three, 30);
    three[2].kill();
    wait_standing(&run, &three[..2], "blocked");
    run.lan.heal().expect("the network changes");
    wait_answers(&run, &run.live(), 30);
    start(&mut run, 3);
    clients.follow(&run);
    wait_answers(&run, &run.live(), 30);

    // Two at once, the donor of the lowest id among them.
    let victims = [1, 4].map(|id| by_id(&run, id));
    for member in &victims {
        member.kill();
    }
    for id in [1, 4] {
        start(&mut run, id);
    }
    clients.follow(&run);
    wait_answers(&run, &run.live(), 30);
    let said = clients.end();
    let live = run.live();
    run.wait("the answers to all lines", || {
        live.iter().all(|one| answers(one) == said.get(&one.name.life).map_or(0, Vec::len))
    });
    wait_standing(&run, &live, "synced");
    let state = equal_states(&run, &live);
    let log = Log::of(&run.lives, &said);
    log.nothing_confirmed_is_lost(&state);
    log.fences_ascend();
    run.conclude();
}

fn start(run: &mut Run, id: u32, options: &[&str]) -> Arc<Member> {
    let spec = Spec { command: &["store"], ..Spec::new(id) };
    run.start_as(&spec.options(options))
}

/// Lines that have come to an end, whichever.
fn answers(member: &Arc<Member>) -> usize {
    let ends = ["applied", "passed", "lost", "refused"];
    member.log().told().filter(|told| ends.iter().any(|end| told["event"] == *end)).count()
}

fn applied(member: &Arc<Member>) -> usize {
    member.log().told_of("applied").count()
}

/// Waits until so many more lines were applied at each of these.
#[track_caller]
fn wait_answers(run: &Run, members: &[Arc<Member>], lines: usize) {
    let goals: Vec<usize> = members.iter().map(|member| applied(member) + lines).collect();
    run.wait(&format!("{lines} more lines applied at {:?}", ids(members)), || {
        members.iter().zip(&goals).all(|(member, goal)| applied(member) >= *goal)
    });
}

#[track_caller]
fn wait_standing(run: &Run, members: &[Arc<Member>], standing: &str) {
    run.wait(&format!("{standing} at {:?}", ids(members)), || {
        members.iter().all(|member| {
            let log = member.log();
            log.told_of("standing").next_back().is_some_and(|it| it["standing"] == standing)
        })
    });
}

/// Waits until all show the same state, and yields it.
#[track_caller]
fn equal_states(run: &Run, members: &[Arc<Member>]) -> Value {
    let dump = |member: &Arc<Member>| {
        let mut dump = member.log().told_of("dump").next_back().cloned().unwrap_or_default();
        if let Some(dump) = dump.as_object_mut() {
            dump.remove("line");
        }
        dump
    };
    let mut state = Value::Null;
    run.wait("equal replicas", || {
        let count = |member: &Arc<Member>| member.log().told_of("dump").count();
        let before: Vec<usize> = members.iter().map(count).collect();
        for member in members {
            member.say("dump\n".to_owned());
        }
        run.wait("dumps", || members.iter().zip(&before).all(|(one, old)| count(one) > *old));
        state = dump(&members[0]);
        members.iter().all(|member| dump(member) == state)
    });
    state
}

/// A line that was applied.
#[derive(Debug)]
struct Applied {
    life: u32,
    line: String,
    told: Value,
}

/// What all members together saw of the log, by index.
#[derive(Debug)]
struct Log(BTreeMap<u64, Applied>);

impl Log {
    /// No place of the log is answered to two members.
    #[track_caller]
    fn of(lives: &[Arc<Member>], said: &BTreeMap<u32, Vec<String>>) -> Self {
        let mut log: BTreeMap<u64, Applied> = BTreeMap::new();
        for member in lives {
            let life = member.name.life;
            for told in member.log().told_of("applied") {
                let index = told["index"].as_u64().expect("a number");
                let line = told["line"].as_u64().and_then(|line| usize::try_from(line).ok());
                let line = said[&life][line.expect("a number") - 1].clone();
                let applied = Applied { life, line, told: told.clone() };
                if let Some(other) = log.insert(index, applied) {
                    panic!("entry {index} is {other:?} and {:?}", log[&index]);
                }
            }
        }
        Self(log)
    }

    /// Every key that a client knows to be written is there: no key is written twice.
    #[track_caller]
    fn nothing_confirmed_is_lost(&self, state: &Value) {
        let mut confirmed = 0;
        for Applied { life, line, told } in self.0.values() {
            let mut words = line.split(' ');
            if words.next() != Some("put") {
                continue;
            }
            let (key, value) = (words.next().expect("a key"), words.next().expect("a value"));
            assert_eq!(told["value"], Value::Null, "{line} of {life} was applied twice: {told}");
            assert_eq!(state["entries"][key], value, "{line} of {life} is lost: {told}");
            confirmed += 1;
        }
        let there = state["entries"].as_object().expect("a map").len();
        assert!(confirmed > 100 && there >= confirmed, "{confirmed} of {there}");
        println!("{confirmed} confirmed writes, {there} keys, entry {}", state["index"]);
    }

    /// Along the log each grant has a greater token than all before, and a token is one grant.
    #[track_caller]
    fn fences_ascend(&self) {
        let mut last: Option<Vec<u64>> = None;
        let mut owners: BTreeMap<Vec<u64>, (String, Value)> = BTreeMap::new();
        for (index, Applied { line, told, .. }) in &self.0 {
            if told["result"] != "granted" && told["result"] != "held" {
                continue;
            }
            let fence: Vec<u64> = serde_json::from_value(told["fence"].clone()).expect("a token");
            let holder = serde_json::json!([told["holder"], told["incarnation"]]);
            let owner = (line.clone(), holder);
            let known = owners.entry(fence.clone()).or_insert_with(|| owner.clone());
            assert_eq!(*known, owner, "the token {fence:?} was given twice");
            // Otherwise it is told of an earlier grant.
            if fence.last() == Some(index) {
                assert!(last.as_ref() < Some(&fence), "{fence:?} after {last:?}");
                last = Some(fence);
            }
        }
        assert!(owners.len() > 10, "{} grants", owners.len());
        println!("{} grants, the last {last:?}", owners.len());
    }
}

/// A client of each member: it writes a few lines, waits for their answers, and writes on.
#[derive(Debug)]
struct Clients {
    members: Arc<Mutex<Vec<Arc<Member>>>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<u32, Vec<String>>>,
}

const PAUSE: Duration = Duration::from_millis(4);

/// Lines without an answer, at most.
const OPEN_MAX: usize = 6;

impl Clients {
    fn start(run: &Run) -> Self {
        let members = Arc::new(Mutex::new(run.live()));
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, until) = (Arc::clone(&members), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut said: BTreeMap<u32, Vec<String>> = BTreeMap::new();
            while !until.load(Ordering::Acquire) {
                let live = theirs.lock().unwrap_or_else(PoisonError::into_inner).clone();
                for member in live.iter().filter(|member| !member.is_gone()) {
                    let lines = said.entry(member.name.life).or_default();
                    while lines.len() < answers(member) + OPEN_MAX {
                        let line = next_line(member.name.life, lines.len());
                        member.say(format!("{line}\n"));
                        lines.push(line);
                    }
                }
                thread::sleep(PAUSE);
            }
            said
        });
        Self { members, stop, thread }
    }

    /// Also those that were started since have a client.
    fn follow(&self, run: &Run) {
        *self.members.lock().unwrap_or_else(PoisonError::into_inner) = run.live();
    }

    /// What each life was told.
    fn end(self) -> BTreeMap<u32, Vec<String>> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("it does not panic")
    }
}

/// Writes keys of its own, and takes and gives back locks that all want.
fn next_line(life: u32, number: usize) -> String {
    let lock = number / 8 % 3;
    match number % 8 {
        0 => format!("acquire lock{lock}"),
        7 => format!("release lock{lock}"),
        3 => "sync".to_owned(),
        _ => format!("put {life}.{number} v{number}"),
    }
}
