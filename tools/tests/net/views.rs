//! Virtual synchrony (EVS §5) on real networks: members whose applications see views of the primary
//! component and nothing else, through partitions, crashes, merges and restarts, under load.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundel_ring::sim::check::{Clause, Verdict};
use serde_json::Value;

use crate::chatter::Chatter;
use crate::judge;
use crate::member::Member;
use crate::processes::{Process, Sight, compare};
use crate::run::{Run, Spec, ids};

const MEMBERS: u32 = 5;

/// What a life is given as its line of this number.
pub(crate) fn line(life: u32, number: u64) -> String {
    format!("{life}.{number}")
}

#[test]
fn views_through_partitions_crashes_merges_and_restarts() {
    let name = "views_through_partitions_crashes_merges_and_restarts";
    let Some(mut run) = Run::new(name, MEMBERS) else { return };
    for id in 1..=MEMBERS {
        start(&mut run, id);
    }
    wait_view(&run, &run.live(), &[1, 2, 3, 4, 5]);
    let chatter = Chatter::start(&run, line);
    wait_told(&run, &run.live(), 100);

    // Three go on by their names, two are blocked.
    let all = run.live();
    let (three, two) = all.split_at(3);
    let before = names(&all);
    run.lan.partition(&[&[1, 2, 3], &[4, 5]]).expect("the network changes");
    wait_view(&run, three, &[1, 2, 3]);
    wait_blocked(&run, two);
    wait_told(&run, three, 100);
    are_blocked(two);

    // They meet: the two come one after the other, as others than they were.
    run.lan.heal().expect("the network changes");
    wait_view(&run, &all, &[1, 2, 3, 4, 5]);
    wait_told(&run, &all, 100);
    let after = names(&all);
    assert_eq!(after[..3], before[..3], "who went on has its name");
    assert!(after[3] > before[3] && after[4] > before[4], "{before:?} {after:?}");
    assert_eq!(first_view(&all[3]), [1, 2, 3, 4], "the views before are not of the one that came");
    assert_eq!(first_view(&all[4]), [1, 2, 3, 4, 5]);

    // One dies, and another process of the same member comes.
    all[2].kill();
    wait_view(&run, &run.live(), &[1, 2, 4, 5]);
    wait_told(&run, &run.live(), 50);
    start(&mut run, 3);
    chatter.follow(&run);
    wait_view(&run, &run.live(), &[1, 2, 3, 4, 5]);
    wait_told(&run, &run.live(), 50);
    let third = names(&run.live());
    assert_eq!(third[..2], after[..2]);
    let back = third.last().expect("it was started last");
    assert!(back.node == 3 && *back > after[2], "{back:?} after {:?}", after[2]);

    // No side is the primary: all are blocked, until they meet as others than they were.
    run.lan.partition(&[&[1, 2, 3], &[4, 5]]).expect("the network changes");
    let rest = by_ids(&run, &[2, 3]);
    wait_view(&run, &rest, &[1, 2, 3]);
    all[0].kill();
    wait_blocked(&run, &run.live());
    run.lan.heal().expect("the network changes");
    wait_view(&run, &run.live(), &[2, 3, 4, 5]);
    let found = names(&run.live());
    assert!(found.iter().all(|it| !third.contains(it) && it.since == found[0].since), "{found:?}");
    start(&mut run, 1);
    chatter.follow(&run);
    wait_view(&run, &run.live(), &[1, 2, 3, 4, 5]);
    wait_told(&run, &run.live(), 100);
    let given = chatter.end();
    conclude(&run, &given);
}

fn start(run: &mut Run, id: u32) -> Arc<Member> {
    let mut options = vec!["--primary", "majority:1,2,3,4,5"];
    if id == 2 {
        options.extend(["--service", "safe"]);
    }
    let spec = Spec { command: &["cat", "--views"], ..Spec::new(id).options(&options) };
    run.start_as(&spec)
}

fn by_ids(run: &Run, ids: &[u32]) -> Vec<Arc<Member>> {
    let live = run.live();
    live.into_iter().filter(|member| ids.contains(&member.id())).collect()
}

/// The view a member is in.
fn view(member: &Member) -> Option<Value> {
    let log = member.log();
    let last = log.told().rev().find(|it| it["event"] == "view" || it["event"] == "stopped");
    last.filter(|it| it["event"] == "view").cloned()
}

fn nodes(view: &Value) -> Vec<u64> {
    let processes = view["processes"].as_array().expect("a list").iter();
    processes.map(|process| process["node"].as_u64().expect("an id")).collect()
}

/// Waits until each of these is in a view of exactly these nodes.
#[track_caller]
fn wait_view(run: &Run, members: &[Arc<Member>], wanted: &[u64]) {
    run.wait(&format!("a view of {wanted:?} at {:?}", ids(members)), || {
        members.iter().all(|member| view(member).is_some_and(|view| nodes(&view) == wanted))
    });
}

/// Waits until each of these has stopped and refused lines since.
#[track_caller]
fn wait_blocked(run: &Run, members: &[Arc<Member>]) {
    run.wait(&format!("{:?} are blocked", ids(members)), || {
        members.iter().all(|member| {
            let last = |log: &crate::log::Log| log.told().next_back().cloned();
            view(member).is_none() && last(&member.log()).is_some_and(|it| it["event"] == "refused")
        })
    });
}

/// Since they have stopped, none of these had a view, delivered or accepted anything.
#[track_caller]
fn are_blocked(members: &[Arc<Member>]) {
    for member in members {
        let log = member.log();
        let since: Vec<&Value> =
            log.told().rev().take_while(|it| it["event"] != "stopped").collect();
        let strange = since.iter().find(|it| it["event"] != "refused");
        assert!(strange.is_none() && !since.is_empty(), "{}: {strange:?}", member.id());
    }
}

/// Waits until each of these was told so many more messages.
#[track_caller]
fn wait_told(run: &Run, members: &[Arc<Member>], messages: usize) {
    let told = |member: &Arc<Member>| member.log().told_of("message").count();
    let goals: Vec<usize> = members.iter().map(|member| told(member) + messages).collect();
    run.wait(&format!("{messages} more messages at {:?}", ids(members)), || {
        members.iter().zip(&goals).all(|(member, goal)| told(member) >= *goal)
    });
}

/// The last process of each of these.
fn names(members: &[Arc<Member>]) -> Vec<Process> {
    let last = |member: &Arc<Member>| {
        let (sights, _) = Sight::all(member);
        let last = sights.last().expect("it was in a view");
        assert!(!last.ended, "{} is in none", member.id());
        last.process()
    };
    members.iter().map(last).collect()
}

/// The nodes of the first view of a member's last process.
fn first_view(member: &Arc<Member>) -> Vec<u32> {
    let (sights, _) = Sight::all(member);
    sights.last().expect("it was in a view").stays[0].nodes()
}

/// Waits for the end of all that was given, compares, judges the traces at rest, lets everybody
/// leave, and judges them whole.
#[track_caller]
fn conclude(run: &Run, given: &BTreeMap<u32, u64>) {
    let live = run.live();
    let is_taken = |member: &Arc<Member>| {
        let log = member.log();
        let taken = log.told_of("accepted").count() + log.told_of("refused").count();
        given.get(&member.name.life).is_some_and(|lines| taken as u64 == *lines)
    };
    let mut cut = None;
    run.wait("rest, and an answer to every line", || {
        cut = judge::cut_at_rest(&run.lives, || live.iter().all(is_taken));
        cut.is_some()
    });
    let compared = compare(&run.lives);
    println!("{compared:?}");
    assert!(compared.processes >= 13 && compared.views >= 15, "{compared:?}");
    assert!(compared.merges >= 10 && compared.losses >= 3, "{compared:?}");
    assert!(compared.stays > 20 && compared.messages > 500, "{compared:?}");
    let refused: u64 = run.lives.iter().map(|member| Sight::all(member).1).sum();
    println!("{refused} lines refused");
    is_virtually_synchronous(&judge::traces(&cut.expect("waited for"), true));
    run.leave_all();
    is_virtually_synchronous(&judge::traces(&judge::ended_histories(&run.lives), false));
}

/// The members' own histories, behind the checker's filter.
#[track_caller]
fn is_virtually_synchronous(verdict: &Verdict) {
    for clause in [Clause::FilterC1, Clause::FilterC3, Clause::FilterL4, Clause::FilterL5] {
        let judgement = verdict.of(clause).expect("every clause has one");
        let (name, instances) = (clause.name(), judgement.instances);
        assert!(judgement.applicable && instances > 0, "{name} was not judged");
        println!("{name}: {instances} judged");
    }
}
