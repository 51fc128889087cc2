//! Lightweight groups: endpoints that join, leave, die, are cut off and come together, under load.
//! What each was told of its groups is compared with what the others were told.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::chatter::Chatter;
use crate::member::Member;
use crate::run::{Run, Spec, ids};
use crate::stories::compare;

const MEMBERS: u32 = 5;

/// What every endpoint is called at its node.
pub(crate) const NAME: &str = "e";

#[test]
fn groups_through_joins_crashes_partitions_and_merges() {
    let name = "groups_through_joins_crashes_partitions_and_merges";
    let Some(mut run) = Run::new(name, MEMBERS) else { return };
    for id in 1..=MEMBERS {
        start(&mut run, id);
    }
    let members = run.live();
    run.wait_ring(&members);
    wait_view(&run, &members, "all", &[1, 2, 3, 4, 5]);
    wait_view(&run, &members[..3], "low", &[1, 2, 3]);
    wait_view(&run, &members[2..], "deep.x", &[3, 4, 5]);
    let chatter = Chatter::start(&run, send);
    run_told(&run, 100);

    members[2].say("leave low\n".to_owned());
    wait_view(&run, &members[..3], "low", &[1, 2]);
    members[3].say("join low\n".to_owned());
    wait_view(&run, &[0, 1, 3].map(|at| Arc::clone(&members[at])), "low", &[1, 2, 4]);

    members[4].kill();
    wait_view(&run, &run.live(), "all", &[1, 2, 3, 4]);
    start(&mut run, 5);
    chatter.follow(&run);
    wait_view(&run, &run.live(), "all", &[1, 2, 3, 4, 5]);

    run.lan.partition(&[&[1, 2], &[3, 4, 5]]).expect("the network changes");
    let live = run.live();
    wait_view(&run, &live[..2], "all", &[1, 2]);
    wait_view(&run, &live[2..], "all", &[3, 4, 5]);
    run_told(&run, 100);
    // Both sides have a group of one name, which neither knows of the other.
    for at in [0, 4] {
        live[at].say("join new\n".to_owned());
    }
    wait_view(&run, &live[..1], "new", &[1]);
    wait_view(&run, &live[4..], "new", &[5]);
    live[3].kill();
    run.lan.heal().expect("the network changes");
    wait_view(&run, &run.live(), "all", &[1, 2, 3, 5]);
    wait_view(&run, &[Arc::clone(&live[0]), Arc::clone(&live[4])], "new", &[1, 5]);

    // So quick that the others may see nothing but another life.
    live[2].kill();
    start(&mut run, 3);
    chatter.follow(&run);
    wait_view(&run, &run.live(), "all", &[1, 2, 3, 5]);
    run_told(&run, 100);
    let sent = chatter.end();
    all_own_came_back(&run, &sent);
    equal_tables(&run);
    let compared = compare(&run.lives);
    println!("{compared:?}");
    assert!(compared.views > 20 && compared.messages > 300, "{compared:?}");
    assert!(compared.transitions > 30 && compared.merges > 5, "{compared:?}");
    run.conclude();
}

fn start(run: &mut Run, id: u32) -> Arc<Member> {
    let groups = match id {
        1 | 2 => "all,low",
        3 => "all,low,deep.x",
        _ => "all,deep.x",
    };
    let mut options = vec!["--join", groups];
    if id == 2 {
        // Follows a group that it is not in, and what it sends is safe.
        options.extend(["--subscribe", "deep.>", "--service", "safe"]);
    }
    let spec = Spec { command: &["endpoint", NAME], ..Spec::new(id).options(&options) };
    run.start_as(&spec)
}

/// What each life is told to send.
fn send(life: u32, count: u64) -> String {
    let to = if count.is_multiple_of(3) { "all,deep.x" } else { "all" };
    format!("send {to} {life}.{count}")
}

/// Waits until the last view of a group at each of these has exactly the endpoints of these nodes.
#[track_caller]
fn wait_view(run: &Run, members: &[Arc<Member>], group: &str, nodes: &[u32]) {
    let wanted: Vec<String> = nodes.iter().map(|node| format!("{NAME}@{node}")).collect();
    let wanted = Value::from(wanted);
    run.wait(&format!("{group} of {wanted} at {:?}", ids(members)), || {
        members.iter().all(|member| {
            let log = member.log();
            let last = log.told_of("view").rev().find(|view| view["group"] == group);
            last.is_some_and(|view| view["members"] == wanted)
        })
    });
}

/// Waits until each member that lives was told so many more messages.
#[track_caller]
fn run_told(run: &Run, messages: usize) {
    let told = |member: &Arc<Member>| member.log().told_of("message").count();
    let goals: Vec<(Arc<Member>, usize)> = run
        .live()
        .into_iter()
        .map(|member| (Arc::clone(&member), told(&member) + messages))
        .collect();
    run.wait("more messages", || goals.iter().all(|(member, goal)| told(member) >= *goal));
}

/// Every message of a member that still lives came back to itself: its groups always have it.
#[track_caller]
fn all_own_came_back(run: &Run, sent: &BTreeMap<u32, u64>) {
    for member in run.live() {
        let own = format!("{NAME}@{}", member.id());
        let life = format!("{}.", member.name.life);
        let wanted = sent.get(&member.name.life).copied().unwrap_or(0);
        assert!(wanted > 0, "{} sent nothing", member.describe());
        run.wait("all own messages", || {
            let log = member.log();
            let is_own = |message: &&Value| {
                let text = message["payload"].as_str().unwrap_or_default();
                message["sender"] == *own && text.starts_with(&life)
            };
            log.told_of("message").filter(is_own).count() as u64 == wanted
        });
    }
}

/// Asked for the same group, all say the same.
#[track_caller]
fn equal_tables(run: &Run) {
    for group in ["all", "low", "deep.x", "new", "nobody's"] {
        let live = run.live();
        let count = |member: &Arc<Member>| member.log().told_of("members").count();
        let before: Vec<usize> = live.iter().map(count).collect();
        for member in &live {
            member.say(format!("members {group}\n"));
        }
        run.wait("answers", || {
            live.iter().zip(&before).all(|(one, count_was)| count(one) > *count_was)
        });
        let answer = |member: &Arc<Member>| member.log().told_of("members").next_back().cloned();
        let first = answer(&live[0]);
        assert!(live.iter().all(|member| answer(member) == first), "{group}: {first:?}");
    }
}
