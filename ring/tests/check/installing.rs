//! Damaged histories of configuration changes: EVS 2.2–2.4, the lecture's 1, 2, 11 and 12.

use std::sync::Arc;

use roundel_ring::configuration::ConfigurationKind;
use roundel_ring::id::NodeId;
use roundel_ring::service::Service;
use roundel_ring::sim::check::Clause;
use roundel_ring::trace::Event;

use crate::script::Script;

const BOTH: [u32; 2] = [1, 2];
const ALL: [u32; 3] = [1, 2, 3];

#[test]
fn evs_2_2_rejects_an_event_before_any_configuration() {
    let mut run = Script::alone(2);
    let lost = run.name(1, Service::Reliable);
    run.start_empty(1);
    run.originate(1, lost);
    run.fail(1);
    assert!(run.violated_when_cut_off().contains(&Clause::Evs2_2));
}

#[test]
fn evs_2_2_rejects_a_delivery_in_the_wrong_kind_of_configuration() {
    let mut run = Script::together(2);
    run.multicast(1, Service::Reliable, &BOTH);
    let Event::Deliver { in_configuration, .. } = &mut run.last(2).event else {
        panic!("not a delivery")
    };
    *in_configuration = ConfigurationKind::Transitional;
    assert_eq!(run.violated(), [Clause::Evs2_2]);
}

#[test]
fn evs_2_2_rejects_a_life_that_begins_in_company() {
    let mut run = Script::default();
    for node in BOTH {
        run.start_empty(node);
    }
    let ring = run.new_ring(1);
    for node in BOTH {
        run.regular(node, ring, &BOTH);
    }
    assert_eq!(run.violated(), [Clause::Evs2_2]);
}

#[test]
fn evs_2_2_rejects_another_ring_than_announced() {
    let mut run = Script::together(2);
    let (announced, other) = (run.new_ring(1), run.new_ring(1));
    run.signal(announced, &BOTH);
    for node in BOTH {
        run.regular(node, other, &BOTH);
    }
    assert_eq!(run.violated(), [Clause::Evs2_2]);
}

/// 2 has the message before the configuration in which 1 sends it. The service is fifo: no other
/// clause about causes looks at it.
#[test]
fn evs_2_3_and_2_4_reject_what_is_on_two_sides_of_a_configuration() {
    let mut run = Script::together(2);
    let ring = run.new_ring(1);
    run.signal(ring, &[1]);
    run.regular(1, ring, &BOTH);
    let early = run.send(1, Service::Fifo);
    run.deliver(1, early);
    run.deliver(2, early);
    run.signal(ring, &[2]);
    run.regular(2, ring, &BOTH);
    let violated = run.violated();
    assert!(violated.contains(&Clause::Evs2_3), "{violated:?}");
    assert!(violated.contains(&Clause::Evs2_4), "{violated:?}");
    assert!(!violated.contains(&Clause::Evs1_1), "{violated:?}");
}

#[test]
fn evs_2_3_and_2_4_reject_configurations_in_two_orders() {
    let mut run = Script::together(2);
    let (a, b) = (run.new_ring(1), run.new_ring(2));
    for (node, rings) in [(1, [a, b]), (2, [b, a])] {
        for ring in rings {
            run.transitional(node, ring, &BOTH);
            run.regular(node, ring, &BOTH);
        }
    }
    let violated = run.violated();
    for clause in [Clause::Evs2_3, Clause::Evs2_4, Clause::Evs6_1, Clause::Lecture2] {
        assert!(violated.contains(&clause), "{violated:?}");
    }
}

#[test]
fn a_ring_id_has_one_member_list() {
    let mut run = Script::alone(3);
    run.merge(&BOTH);
    set_members(&mut run, 2, &ALL);
    assert_eq!(run.violated_when_cut_off(), [Clause::OneMemberList]);
}

#[test]
fn lecture_1_rejects_a_configuration_without_oneself() {
    let mut run = Script::together(2);
    run.fail(2);
    run.merge(&[1]);
    set_members(&mut run, 1, &[2]);
    let violated = run.violated_when_cut_off();
    assert!(violated.contains(&Clause::Lecture1), "{violated:?}");
}

#[test]
fn lecture_2_rejects_a_ring_that_is_older() {
    let mut run = Script::alone(2);
    let old = run.new_ring(1);
    run.merge(&BOTH);
    run.signal(old, &BOTH);
    for node in BOTH {
        run.regular(node, old, &BOTH);
    }
    assert_eq!(run.violated(), [Clause::Lecture2]);
}

#[test]
fn lecture_2_rejects_an_older_ring_after_a_restart() {
    let mut run = Script::alone(1);
    let old = run.new_ring(1);
    run.merge(&[1]);
    run.fail(1);
    run.start_empty(1);
    run.regular(1, old, &[1]);
    assert_eq!(run.violated(), [Clause::Lecture2]);
}

#[test]
fn lecture_11_rejects_a_set_without_oneself() {
    let mut run = Script::together(2);
    let ring = run.new_ring(1);
    for node in BOTH {
        run.transitional(node, ring, &[3 - node]);
        run.regular(node, ring, &BOTH);
    }
    let violated = run.violated();
    assert!(violated.contains(&Clause::Lecture11), "{violated:?}");
}

#[test]
fn lecture_11_rejects_one_that_comes_from_elsewhere() {
    let mut run = Script::alone(2);
    let ring = run.new_ring(1);
    for node in BOTH {
        run.transitional(node, ring, &BOTH);
        run.regular(node, ring, &BOTH);
    }
    assert_eq!(run.violated(), [Clause::Lecture11]);
}

#[test]
fn lecture_11_rejects_a_set_that_lacks_one_that_comes_along() {
    let mut run = Script::together(2);
    let ring = run.new_ring(1);
    for node in BOTH {
        run.transitional(node, ring, &[node]);
        run.regular(node, ring, &BOTH);
    }
    assert_eq!(run.violated(), [Clause::Lecture11]);
}

#[test]
fn lecture_12_rejects_a_view_without_signal() {
    let mut run = Script::together(2);
    let ring = run.new_ring(1);
    for node in BOTH {
        run.regular(node, ring, &BOTH);
    }
    assert_eq!(run.violated(), [Clause::Lecture12]);
}

#[test]
fn lecture_12_rejects_a_second_signal() {
    let mut run = Script::together(2);
    let ring = run.new_ring(1);
    run.signal(ring, &[1]);
    run.life(1).entries.pop();
    run.signal(ring, &BOTH);
    run.signal(ring, &BOTH);
    for node in BOTH {
        run.regular(node, ring, &BOTH);
    }
    let violated = run.violated();
    assert!(violated.contains(&Clause::Lecture12), "{violated:?}");
}

#[test]
fn lecture_12_rejects_different_messages_before_the_signal() {
    let mut run = Script::together(2);
    let message = run.send(1, Service::Agreed);
    let ring = run.new_ring(1);
    run.deliver(1, message);
    run.signal(ring, &BOTH);
    run.deliver(2, message);
    for node in BOTH {
        run.regular(node, ring, &BOTH);
    }
    let cycle = [Clause::Evs6_1, Clause::Evs6_2];
    let violated = run.violated();
    assert_eq!(violated, [Clause::Evs4, cycle[0], cycle[1], Clause::Lecture12]);
}

fn set_members(run: &mut Script, node: u32, members: &[u32]) {
    let Event::Configuration(configuration) = &mut run.last(node).event else {
        panic!("not a configuration")
    };
    configuration.members = members.iter().copied().map(NodeId).collect::<Arc<[_]>>();
}
