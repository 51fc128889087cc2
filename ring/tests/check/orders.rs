//! Damaged histories of what is delivered where and in which order: EVS 4–7, the lecture's 6, 7
//! and 10.

use roundel_ring::service::Service;
use roundel_ring::sim::check::Clause;

use crate::script::Script;

const BOTH: [u32; 2] = [1, 2];
const ALL: [u32; 3] = [1, 2, 3];

#[test]
fn evs_4_rejects_different_sets_of_those_that_go_together() {
    let mut run = Script::together(2);
    run.multicast(1, Service::Reliable, &[1]);
    run.merge(&BOTH);
    assert_eq!(run.violated(), [Clause::Evs4, Clause::Lecture7]);
}

/// The union over the step is the same, the configurations are not.
#[test]
fn evs_4_rejects_different_sets_in_the_regular_configuration() {
    let mut run = Script::together(2);
    let message = run.send(1, Service::Reliable);
    run.deliver(1, message);
    let ring = run.new_ring(1);
    run.signal(ring, &BOTH);
    run.deliver(2, message);
    for node in BOTH {
        run.regular(node, ring, &BOTH);
    }
    assert_eq!(run.violated(), [Clause::Evs4]);
}

#[test]
fn evs_5_rejects_a_message_before_its_cause() {
    for service in [Service::Causal, Service::Agreed, Service::Safe] {
        let mut run = Script::together(3);
        let cause = run.send(1, Service::Causal);
        run.deliver_at(&BOTH, cause);
        run.multicast(2, service, &ALL);
        run.deliver(3, cause);
        assert_eq!(run.violated(), [Clause::Evs5]);
    }
}

#[test]
fn evs_5_rejects_a_message_without_its_cause() {
    let mut run = Script::together(3);
    let cause = run.send(1, Service::Causal);
    run.deliver_at(&BOTH, cause);
    run.multicast(2, Service::Causal, &ALL);
    assert_eq!(run.violated(), [Clause::Evs5]);
    assert_eq!(run.violated_when_cut_off(), [Clause::Evs5]);
}

#[test]
fn evs_5_rejects_a_message_before_an_earlier_one_of_its_sender() {
    for service in [Service::Fifo, Service::Causal] {
        let mut run = Script::together(2);
        let (a, b) = (run.send(1, service), run.send(1, service));
        run.deliver(1, a);
        run.deliver(1, b);
        run.deliver(2, b);
        run.deliver(2, a);
        assert_eq!(run.violated(), [Clause::Evs5], "{service:?}");
    }
}

#[test]
fn evs_6_1_and_6_2_reject_two_orders() {
    for service in [Service::Agreed, Service::Safe] {
        let mut run = Script::together(2);
        let (a, b) = (run.send(1, service), run.send(2, service));
        run.deliver(1, a);
        run.deliver(1, b);
        run.deliver(2, b);
        run.deliver(2, a);
        let one_order = [Clause::Evs6_1, Clause::Evs6_2, Clause::OrdinalsAscend];
        assert_eq!(run.violated(), one_order);
    }
}

#[test]
fn evs_6_3_rejects_a_gap_in_a_regular_configuration() {
    let mut run = Script::together(3);
    run.multicast(1, Service::Agreed, &BOTH);
    run.multicast(2, Service::Agreed, &[3]);
    run.fail(3);
    run.merge(&BOTH);
    // 1 and 2 go on with what 3 did not wait for; 3 has only the later one.
    let violated = run.violated();
    assert!(!violated.contains(&Clause::Evs6_3), "{violated:?}");

    let mut run = Script::together(2);
    let (a, b) = (run.send(1, Service::Agreed), run.send(2, Service::Agreed));
    run.deliver(1, a);
    run.deliver(1, b);
    run.deliver(2, b);
    assert_eq!(run.violated(), [Clause::Evs6_3]);
}

/// In a transitional configuration gaps are for members outside of it.
#[test]
fn evs_6_3_rejects_a_gap_for_a_member_of_the_transitional_configuration() {
    for (sender, expected) in [(3, &[][..]), (2, &[Clause::Evs6_3])] {
        let mut run = Script::together(3);
        let gap = run.send(sender, Service::Agreed);
        let behind = run.send(1, Service::Agreed);
        run.deliver_at(&[3], gap);
        run.deliver_at(&[3], behind);
        run.fail(3);
        let pair = run.new_ring(1);
        run.signal(pair, &BOTH);
        run.deliver_at(&BOTH, behind);
        run.fail(1);
        run.fail(2);
        assert_eq!(run.violated(), expected, "sender {sender}");
    }
}

#[test]
fn evs_7_1_rejects_a_safe_message_that_a_member_leaves_behind() {
    let mut run = Script::together(3);
    run.multicast(1, Service::Safe, &BOTH);
    let (pair, single) = (run.new_ring(1), run.new_ring(3));
    run.signal(pair, &BOTH);
    run.regular(1, pair, &BOTH);
    run.regular(2, pair, &BOTH);
    run.signal(single, &[3]);
    run.regular(3, single, &[3]);
    run.merge(&ALL);
    assert_eq!(run.violated(), [Clause::Evs7_1, Clause::Lecture10]);
    assert_eq!(run.violated_when_cut_off(), [Clause::Evs7_1, Clause::Lecture10]);
}

#[test]
fn evs_7_1_excuses_a_member_that_failed() {
    let mut run = Script::together(3);
    run.multicast(1, Service::Safe, &BOTH);
    run.fail(3);
    run.merge(&BOTH);
    assert!(run.violated().is_empty(), "{:?}", run.verdict());
}

/// 2 shares the transitional configuration of 1 but fails to get as far as the next view.
#[test]
fn evs_7_1_rejects_a_safe_message_missing_in_a_transitional_configuration() {
    let mut run = Script::together(3);
    let safe = run.send(1, Service::Safe);
    let pair = run.new_ring(1);
    run.signal(pair, &BOTH);
    run.deliver(1, safe);
    run.regular(1, pair, &BOTH);
    run.fail(1);
    let other = run.new_ring(2);
    run.life(2).entries.pop();
    run.signal(other, &[2]);
    run.regular(2, other, &[2]);
    let violated = run.violated_when_cut_off();
    assert!(violated.contains(&Clause::Evs7_1), "{violated:?}");
}

#[test]
fn evs_7_2_rejects_a_safe_message_on_a_ring_that_a_member_never_installed() {
    let mut run = Script::alone(3);
    let ring = run.new_ring(1);
    run.signal(ring, &BOTH);
    for node in BOTH {
        run.regular(node, ring, &ALL);
    }
    run.multicast(1, Service::Safe, &BOTH);
    run.fail(3);
    run.merge(&BOTH);
    let violated = run.violated();
    assert_eq!(violated, [Clause::Evs7_1, Clause::Evs7_2, Clause::Lecture10]);
}

#[test]
fn lecture_6_rejects_delivery_in_two_views() {
    let mut run = Script::together(2);
    let late = run.multicast(1, Service::Reliable, &[1]);
    run.merge(&BOTH);
    run.deliver(2, late);
    let violated = run.violated();
    assert!(violated.contains(&Clause::Lecture6), "{violated:?}");
}

#[test]
fn lecture_7_rejects_different_sets_in_one_step() {
    let mut run = Script::together(2);
    let message = run.send(1, Service::Reliable);
    let ring = run.new_ring(1);
    run.signal(ring, &BOTH);
    run.deliver(1, message);
    for node in BOTH {
        run.regular(node, ring, &BOTH);
    }
    assert_eq!(run.violated(), [Clause::Evs4, Clause::Lecture7]);
}

/// Delivered by 1 after the signal and by 2 before it, though both have the same signal.
#[test]
fn lecture_10_rejects_a_safe_message_on_two_sides_of_the_signal() {
    let mut run = Script::together(2);
    let safe = run.send(1, Service::Safe);
    run.deliver(2, safe);
    let ring = run.new_ring(1);
    run.signal(ring, &BOTH);
    run.deliver(1, safe);
    for node in BOTH {
        run.regular(node, ring, &BOTH);
    }
    let violated = run.violated();
    assert!(violated.contains(&Clause::Lecture10), "{violated:?}");
    assert!(!violated.contains(&Clause::Evs7_1), "{violated:?}");
}
