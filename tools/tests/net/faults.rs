//! Members that die, stand still, come back or cannot hear each other, under load: the others go
//! on, all come together again, and what they delivered obeys extended virtual synchrony.

use std::thread;
use std::time::{Duration, Instant};

use crate::judge;
use crate::run::{Run, are_one_ring};

/// Longer than the token timeout and the consensus timeout together.
const LONGER_THAN_TIMEOUTS: Duration = Duration::from_secs(1);

#[test]
fn a_killed_member_and_its_return() {
    let Some(mut run) = Run::new("a_killed_member_and_its_return", 3) else { return };
    let members = run.start_all(3);
    run.wait_ring(&members);
    for member in &members {
        member.load();
    }
    run.wait_progress(&members, 200);
    members[1].kill();
    let others = [members[0].clone(), members[2].clone()];
    run.wait_ring(&others);
    run.wait_progress(&others, 200);
    let back = run.start(2);
    run.wait_ring(&run.live());
    back.load();
    run.wait_progress(&run.live(), 200);
    run.finish();
}

/// So quick that the others may not have noticed.
#[test]
fn a_killed_member_back_at_once() {
    let Some(mut run) = Run::new("a_killed_member_back_at_once", 3) else { return };
    let members = run.start_all(3);
    run.wait_ring(&members);
    for member in &members {
        member.load();
    }
    run.wait_progress(&members, 100);
    for id in [2, 1, 3] {
        let life = run.live().into_iter().find(|member| member.id() == id).unwrap();
        let killed_at = life.kill();
        let back = run.start(id);
        println!("{id} started again after {:?}", killed_at.elapsed());
        back.load();
        run.wait_ring(&run.live());
        run.wait_progress(&run.live(), 100);
    }
    run.finish();
}

#[test]
fn a_partition_in_two_and_three() {
    let Some(mut run) = Run::new("a_partition_in_two_and_three", 5) else { return };
    let members = run.start_all(5);
    run.wait_ring(&members);
    for member in &members {
        member.load();
    }
    run.wait_progress(&members, 200);
    run.lan.partition(&[&[1, 2], &[3, 4, 5]]).expect("the network changes");
    let (two, three) = members.split_at(2);
    run.wait("a ring on each side", || are_one_ring(two) && are_one_ring(three));
    run.wait_progress(&members, 200);
    run.lan.heal().expect("the network changes");
    run.wait_ring(&members);
    run.wait_progress(&members, 200);
    run.finish();
}

/// One member is heard by nobody, but hears all; then another is heard by all, but hears nobody.
#[test]
fn one_way_cuts() {
    let Some(mut run) = Run::new("one_way_cuts", 3) else { return };
    let members = run.start_all(3);
    run.wait_ring(&members);
    for member in &members {
        member.load();
    }
    run.wait_progress(&members, 100);
    for cut in [(&[1][..], &[2, 3][..]), (&[1, 3], &[2])] {
        run.lan.cut(&[cut]).expect("the network changes");
        thread::sleep(LONGER_THAN_TIMEOUTS);
        run.wait_progress(&members, 100);
        run.lan.heal().expect("the network changes");
        run.wait_ring(&members);
        run.wait_progress(&members, 100);
    }
    run.finish();
}

#[test]
fn a_member_that_stands_still() {
    let Some(mut run) = Run::new("a_member_that_stands_still", 3) else { return };
    let members = run.start_all(3);
    run.wait_ring(&members);
    for member in &members {
        member.load();
    }
    run.wait_progress(&members, 100);
    for id in [3, 1] {
        let (stopped, others): (Vec<_>, Vec<_>) =
            members.iter().cloned().partition(|member| member.id() == id);
        let missed = stopped[0].log().confs().count();
        stopped[0].pause();
        run.wait_ring(&others);
        run.wait_progress(&others, 200);
        stopped[0].resume();
        run.wait("its news of the change", || stopped[0].log().confs().count() > missed);
        run.wait_ring(&members);
        run.wait_progress(&members, 100);
    }
    run.finish();
}

#[test]
fn all_started_in_one_instant() {
    let Some(mut run) = Run::new("all_started_in_one_instant", 5) else { return };
    let members = run.start_all(5);
    run.wait_ring(&members);
    for member in &members {
        member.publish(50, 64);
    }
    run.finish();
}

/// The application does not read: the ring waits, nobody is taken for dead, memory stays bounded.
#[test]
fn a_consumer_that_stands_still() {
    const LINES: u64 = 4_000;
    const BYTES: usize = 8 << 10;
    const MEMORY_MAX_KIB: u64 = 400 << 10;
    let Some(mut run) = Run::new("a_consumer_that_stands_still", 3) else { return };
    let members = run.start_all(3);
    run.wait_ring(&members);
    let configurations =
        || -> Vec<usize> { members.iter().map(|member| member.log().confs().count()).collect() };
    let before = configurations();
    members[2].stand_still(true);
    for member in &members {
        member.publish(LINES, BYTES);
    }
    let (mut most, mut last, mut since) = (0, 0, Instant::now());
    run.wait("the ring to wait for its consumer", || {
        most = members.iter().map(|member| member.resident_kib()).max().unwrap().max(most);
        let delivered = members[0].log().messages;
        if delivered != last {
            (last, since) = (delivered, Instant::now());
        }
        delivered > 0 && since.elapsed() > LONGER_THAN_TIMEOUTS
    });
    assert!(last < LINES * 3, "all was delivered: the ring did not wait");
    println!("the ring waits after {last} of {} lines; {most} KiB at most", LINES * 3);
    assert_eq!(configurations(), before, "a slow consumer changed the configuration");
    members[2].stand_still(false);
    run.judge_quiet();
    most = members.iter().map(|member| member.resident_kib()).max().unwrap().max(most);
    assert!(most < MEMORY_MAX_KIB, "{most} KiB of memory");
    if judge::changes(&members) == 0 {
        judge::everything_everywhere(&members, LINES);
    }
    run.finish();
}
