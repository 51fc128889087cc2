//! The primary component through crashes, partitions and merges: members that were cut off know that
//! they are none, and of all configurations that were there beside each other at most one was it.
//!
//! "At the same time" is what the order of the stream says, not a clock: who was cut off learns that
//! its configuration is over when it has missed the token for long enough.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundel_ring::sim::check::{Clause, Verdict};

use crate::log::{Item, RingName};
use crate::member::Member;
use crate::run::{Run, Spec, are_one_ring, ids};

const MEMBERS: u32 = 5;

#[test]
fn a_majority_through_crashes_partitions_and_merges() {
    let name = "a_majority_through_crashes_partitions_and_merges";
    run_policy(name, "majority:1,2,3,4,5", false);
}

#[test]
fn a_dynamic_primary_through_crashes_partitions_and_merges() {
    let name = "a_dynamic_primary_through_crashes_partitions_and_merges";
    run_policy(name, "dynamic:1,2,3,4,5", true);
}

/// `two_go_on`: that of three that were the primary two are left, the policy admits.
#[track_caller]
fn run_policy(name: &'static str, policy: &'static str, two_go_on: bool) {
    let Some(mut run) = Run::new(name, MEMBERS) else { return };
    let start = |run: &mut Run, id| {
        let member = run.start_as(&Spec::new(id).options(&["--primary", policy]));
        member.load();
        member
    };
    let members: Vec<Arc<Member>> = (1..=MEMBERS).map(|id| start(&mut run, id)).collect();
    wait_primary(&run, &members);

    run.lan.partition(&[&[1, 2, 3], &[4, 5]]).expect("the network changes");
    let (three, two) = members.split_at(3);
    wait_primary(&run, three);
    wait_none(&run, two);
    members[2].kill();
    let left = &members[..2];
    if two_go_on {
        wait_primary(&run, left);
    } else {
        wait_none(&run, left);
    }

    run.lan.heal().expect("the network changes");
    wait_primary(&run, &run.live());
    start(&mut run, 3);
    wait_primary(&run, &run.live());

    // All at once; their disks stay.
    for member in run.live() {
        member.kill();
    }
    for id in 1..=MEMBERS {
        start(&mut run, id);
    }
    let live = run.live();
    wait_primary(&run, &live);
    for member in &live {
        member.rest();
    }
    primaries_follow_each_other(&run.lives);
    judged(&run.conclude());
}

/// Waits until these are one ring, and all know that it is the primary component.
#[track_caller]
fn wait_primary(run: &Run, members: &[Arc<Member>]) {
    run.wait(&format!("a primary component of {:?}", ids(members)), || {
        are_one_ring(members) && members.iter().all(|member| member.log().primary.is_some())
    });
    run.wait_progress(members, 50);
}

/// Waits until these are one ring, which orders messages, and sees that none of them takes it for
/// the primary component.
#[track_caller]
fn wait_none(run: &Run, members: &[Arc<Member>]) {
    run.wait_ring(members);
    run.wait_progress(members, 100);
    run.wait_ring(members);
    for member in members {
        let log = member.log();
        assert_eq!(log.primary, None, "cut off: {:?}", log.current);
        let eligible = log.regular().and_then(|conf| conf.eligible);
        assert_ne!(eligible, Some(true), "cut off: {:?}", log.current);
    }
}

/// In the order of their rings, any two primaries that follow each other share a member, which was
/// in the one before it came to the other; and nobody confirms what its members are not in.
#[track_caller]
fn primaries_follow_each_other(lives: &[Arc<Member>]) {
    let mut primaries: BTreeMap<RingName, Vec<u32>> = BTreeMap::new();
    for member in lives {
        let log = member.log();
        let (mut current, mut last) = (None, None);
        for item in &log.items {
            match item {
                Item::Conf(conf) => current = Some(conf),
                Item::Primary(ring) => {
                    let conf = current.expect("a start begins with a configuration");
                    assert!(conf.regular && conf.ring == *ring, "{ring:?} is not in force");
                    assert!(last < Some(*ring), "{} went back to {ring:?}", member.describe());
                    last = Some(*ring);
                    let known = primaries.entry(*ring).or_insert_with(|| conf.members.clone());
                    assert_eq!(*known, conf.members, "{ring:?}");
                }
                Item::Message(_) | Item::Told(_) => {}
            }
        }
    }
    assert!(primaries.len() >= 5, "{primaries:?}");
    let all: Vec<(&RingName, &Vec<u32>)> = primaries.iter().collect();
    for pair in all.windows(2) {
        let shared = pair[0].1.iter().any(|member| pair[1].1.contains(member));
        assert!(shared, "{pair:?} share nobody");
    }
    println!("{} primary components: {primaries:?}", primaries.len());
}

#[track_caller]
fn judged(verdict: &Verdict) {
    let clauses =
        [Clause::PrimaryConfirmation, Clause::PrimaryUniqueness, Clause::PrimaryContinuity];
    for clause in clauses {
        let judgement = verdict.of(clause).expect("every clause has one");
        let (name, instances) = (clause.name(), judgement.instances);
        assert!(judgement.applicable && instances > 0, "{name} was not judged");
        println!("{name}: {instances} judged");
    }
}
