//! Damaged ends of runs that were healed and left quiet.

use roundel_ring::service::Service;
use roundel_ring::sim::check::Clause;

use crate::script::Script;

const BOTH: [u32; 2] = [1, 2];

#[test]
fn evs_2_1_rejects_a_member_that_is_not_alive_at_the_end() {
    let mut run = Script::together(2);
    run.fail(2);
    assert_eq!(run.violated(), [Clause::Evs2_1]);
    assert!(run.violated_when_cut_off().is_empty());
}

#[test]
fn evs_2_1_rejects_a_member_that_went_elsewhere() {
    let mut run = Script::together(2);
    run.merge(&[2]);
    assert_eq!(run.violated(), [Clause::Evs2_1, Clause::EndsInOneRing]);
    assert!(run.violated_when_cut_off().is_empty());
}

#[test]
fn a_healed_run_ends_in_one_ring() {
    let run = Script::alone(2);
    assert_eq!(run.violated(), [Clause::EndsInOneRing]);
    assert!(run.violated_when_cut_off().is_empty());
}

#[test]
fn a_healed_run_ends_in_a_regular_configuration() {
    let mut run = Script::together(2);
    let ring = run.new_ring(1);
    run.signal(ring, &BOTH);
    assert_eq!(run.violated(), [Clause::EndsInOneRing]);
    assert!(run.violated_when_cut_off().is_empty());
}

#[test]
fn an_accepted_message_is_originated() {
    let mut run = Script::together(2);
    let message = run.name(1, Service::Agreed);
    run.submit(1, message);
    assert_eq!(run.violated(), [Clause::AcceptedIsDelivered]);
    assert!(run.violated_when_cut_off().is_empty());
}

#[test]
fn an_accepted_message_is_delivered_at_its_sender() {
    let mut run = Script::together(2);
    let message = run.name(1, Service::Reliable);
    run.submit(1, message);
    run.originate(1, message);
    run.deliver(2, message);
    assert_eq!(run.violated(), [Clause::Evs3, Clause::AcceptedIsDelivered]);
    assert!(run.violated_when_cut_off().is_empty());
}

#[test]
fn what_a_failed_member_accepted_is_not_owed() {
    let mut run = Script::together(2);
    let message = run.name(2, Service::Reliable);
    run.submit(2, message);
    run.fail(2);
    run.merge(&[1]);
    assert!(run.violated().is_empty(), "{:?}", run.verdict());
}
