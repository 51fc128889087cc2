//! Members that must not meet, and members that claim one name.

use std::thread;
use std::time::Duration;

use crate::judge;
use crate::run::{Run, Spec, ids};

#[test]
fn two_clusters_on_one_group_never_meet() {
    let Some(mut run) = Run::new("two_clusters_on_one_group_never_meet", 4) else { return };
    let group = ["--group", "239.192.7.7", "--port", "7411"];
    for id in 1..=4 {
        let cluster = if id % 2 == 1 { "odd" } else { "even" };
        run.start_as(&Spec { cluster, ..Spec::new(id).options(&group) });
    }
    let live = run.live();
    let (odd, even): (Vec<_>, Vec<_>) = live.into_iter().partition(|one| one.id() % 2 == 1);
    run.wait_ring(&odd);
    run.wait_ring(&even);
    for member in run.live() {
        member.publish(200, 64);
    }
    run.judge_quiet();
    for cluster in [odd, even] {
        let ids = ids(&cluster);
        for member in cluster {
            let log = member.log();
            assert!(log.confs().flat_map(|conf| &conf.members).all(|id| ids.contains(id)));
            assert!(log.heard().all(|heard| ids.contains(&heard.sender)));
            assert!(log.messages > 0);
        }
    }
    run.finish();
}

#[test]
fn the_later_of_two_members_with_one_id_stays() {
    let Some(mut run) = Run::new("the_later_of_two_members_with_one_id_stays", 3) else { return };
    let members = run.start_all(2);
    run.wait_ring(&members);
    for member in &members {
        member.load();
    }
    // The start epoch of a fresh state directory is from the clock's seconds.
    thread::sleep(Duration::from_millis(1_100));
    let second = run.start_as(&Spec { host: 3, state: "another", ..Spec::new(2) });
    let first = &members[1];
    run.wait("the end of the earlier one", || first.exit().is_some());
    assert!(!matches!(first.exit(), Some(Some(0)) | None), "{}", first.describe());
    let words = first.messages_to_people();
    assert!(words.contains("started later"), "not a clear error: {words}");
    run.wait_ring(&run.live());
    second.publish(50, 64);
    run.finish();
}

#[test]
fn a_second_member_with_one_state_directory_is_refused() {
    let name = "a_second_member_with_one_state_directory_is_refused";
    let Some(mut run) = Run::new(name, 2) else { return };
    let members = run.start_all(2);
    run.wait_ring(&members);
    let before = members[0].log().confs().count();
    let refused = run.start_as(&Spec { host: 1, ..Spec::new(2) });
    run.wait("the end of the second one", || refused.exit().is_some());
    assert!(!matches!(refused.exit(), Some(Some(0)) | None), "{}", refused.describe());
    let words = refused.messages_to_people();
    assert!(words.contains("already runs"), "not a clear error: {words}");
    assert!(!refused.trace.exists(), "it made a trace");
    members[0].publish(50, 64);
    run.judge_quiet();
    assert_eq!(members[0].log().confs().count(), before, "the ring took notice");
    judge::together(&members);
    run.finish();
}
