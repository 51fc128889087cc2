//! Damaged histories with primaries: EVS §2.2, and virtual synchrony after the filter.

use roundel_ring::id::{Epoch, NodeId, RingId};
use roundel_ring::service::Service;
use roundel_ring::sim::check::Clause;
use roundel_ring::trace::Event;

use crate::script::Script;

const BOTH: [u32; 2] = [1, 2];
const ALL: [u32; 3] = [1, 2, 3];

fn primary(n: u32) -> Script {
    let mut run = Script::together(n);
    run.confirm(&(1..=n).collect::<Vec<_>>());
    run
}

fn assert_violates(run: &Script, clause: Clause) {
    let violated = run.violated();
    assert!(violated.contains(&clause), "{violated:?}");
}

#[test]
fn a_confirmation_names_the_ring_in_force() {
    let mut run = Script::together(2);
    let other = RingId::new(Epoch(99), NodeId(1));
    run.event(1, Event::Primary { ring: other });
    assert_eq!(run.violated(), [Clause::PrimaryConfirmation]);
}

#[test]
fn a_confirmation_is_of_a_regular_configuration() {
    let mut run = Script::together(2);
    let ring = run.new_ring(1);
    run.signal(ring, &BOTH);
    run.confirm(&BOTH);
    run.regular(1, ring, &BOTH);
    run.regular(2, ring, &BOTH);
    assert_eq!(run.violated(), [Clause::PrimaryConfirmation]);
}

#[test]
fn a_confirmation_needs_an_eligible_configuration() {
    let mut run = Script::together(2);
    for node in BOTH {
        let Event::Configuration(installed) = &mut run.last(node).event else {
            panic!("not a configuration")
        };
        installed.eligible = Some(false);
    }
    run.confirm(&BOTH);
    assert_eq!(run.violated(), [Clause::PrimaryConfirmation]);
}

/// Declared at installation: 1 installs the ring of all three alone.
#[test]
fn a_confirmation_proves_that_every_member_installed_it() {
    let mut run = Script::alone(3);
    let ring = run.new_ring(1);
    run.transitional(1, ring, &[1]);
    run.regular(1, ring, &ALL);
    run.confirm(&[1]);
    run.fail(1);
    run.merge(&[2, 3]);
    assert_eq!(run.violated(), [Clause::PrimaryConfirmation]);
}

#[test]
fn primaries_are_unique() {
    let mut run = Script::alone(4);
    run.merge(&[1, 2]);
    run.merge(&[3, 4]);
    run.confirm(&[1, 2, 3, 4]);
    run.merge(&[1, 2, 3, 4]);
    assert_violates(&run, Clause::PrimaryUniqueness);
}

/// The primaries are ordered by way of 2, which is in a ring between them that is none.
#[test]
fn primaries_share_a_member() {
    let mut run = primary(1);
    run.start(2);
    run.merge(&BOTH);
    run.merge(&[1]);
    run.merge(&[2]);
    run.confirm(&[2]);
    run.merge(&BOTH);
    assert_eq!(run.violated(), [Clause::PrimaryContinuity]);
}

/// Only the ring of the deliverer is a primary, so that the cause is discarded.
#[test]
fn vs_c1_rejects_a_delivery_whose_send_is_discarded() {
    let mut run = Script::together(2);
    let late = run.send(1, Service::Reliable);
    run.deliver(1, late);
    run.merge(&BOTH);
    run.confirm(&BOTH);
    run.deliver(2, late);
    assert_violates(&run, Clause::FilterC1);
}

#[test]
fn vs_c2_rejects_a_message_that_nobody_delivers() {
    let mut run = primary(2);
    run.send(1, Service::Reliable);
    run.merge(&BOTH);
    assert_eq!(run.violated(), [Clause::Evs3, Clause::FilterC2]);
}

#[test]
fn vs_c3_rejects_a_message_that_not_all_deliver() {
    let mut run = primary(2);
    run.multicast(1, Service::Reliable, &[1]);
    run.merge(&BOTH);
    run.confirm(&BOTH);
    assert_eq!(run.violated(), [Clause::Evs4, Clause::FilterC3, Clause::Lecture7]);

    let mut run = primary(2);
    run.multicast(1, Service::Reliable, &[1]);
    assert_eq!(run.violated(), [Clause::FilterC3]);
    assert!(run.violated_when_cut_off().is_empty());
}

#[test]
fn vs_c3_asks_nothing_of_a_member_that_left_the_primary() {
    let mut run = primary(3);
    run.multicast(1, Service::Agreed, &BOTH);
    run.merge(&BOTH);
    run.confirm(&BOTH);
    run.merge(&[3]);
    run.merge(&ALL);
    run.confirm(&ALL);
    assert!(run.violated().is_empty(), "{:?}", run.verdict());
}

#[test]
fn vs_l1_rejects_effects_before_causes() {
    let mut run = primary(2);
    let (a, b) = (run.name(1, Service::Reliable), run.name(2, Service::Reliable));
    run.deliver(1, b);
    run.originate(1, a);
    run.deliver(2, a);
    run.originate(2, b);
    run.deliver(1, a);
    run.deliver(2, b);
    let all_times = [Clause::Evs1_1, Clause::FilterL1, Clause::FilterL3];
    assert_eq!(run.violated(), all_times);
}

#[test]
fn vs_l2_rejects_one_event_twice() {
    let mut run = primary(2);
    let message = run.multicast(1, Service::Fifo, &BOTH);
    run.deliver(2, message);
    assert_violates(&run, Clause::FilterL2);
}

/// 2 has the message before the view in which 1 sends it.
#[test]
fn vs_l3_rejects_a_view_at_two_times() {
    let mut run = primary(2);
    let ring = run.new_ring(1);
    run.signal(ring, &BOTH);
    run.regular(1, ring, &BOTH);
    run.confirm(&[1]);
    let early = run.send(1, Service::Fifo);
    run.deliver(1, early);
    run.deliver(2, early);
    run.regular(2, ring, &BOTH);
    assert_violates(&run, Clause::FilterL3);
    assert!(!run.violated().contains(&Clause::FilterL1));
}

#[test]
fn vs_l4_rejects_a_message_in_two_views() {
    let mut run = primary(2);
    let message = run.multicast(1, Service::Fifo, &[1]);
    run.merge(&BOTH);
    run.confirm(&BOTH);
    run.deliver(2, message);
    assert_violates(&run, Clause::FilterL4);
}

#[test]
fn vs_l5_rejects_two_orders() {
    let mut run = primary(2);
    let (a, b) = (run.send(1, Service::Agreed), run.send(2, Service::Agreed));
    run.deliver(1, a);
    run.deliver(1, b);
    run.deliver(2, b);
    run.deliver(2, a);
    assert_violates(&run, Clause::FilterL5);
    assert!(!run.violated().contains(&Clause::FilterL3));
}
