//! Damaged histories of sends and deliveries: EVS 1, 3, and what a ring promises of its messages.

use roundel_ring::seq::Ordinal;
use roundel_ring::service::Service;
use roundel_ring::sim::check::Clause;
use roundel_ring::time::Time;
use roundel_ring::trace::Event;

use crate::script::Script;

const BOTH: [u32; 2] = [1, 2];

#[test]
fn evs_1_1_rejects_answers_before_their_questions() {
    let mut run = Script::together(2);
    let first = run.name(1, Service::Reliable);
    let second = run.name(2, Service::Reliable);
    run.deliver(1, second);
    run.originate(1, first);
    run.deliver(2, first);
    run.originate(2, second);
    run.deliver(1, first);
    run.deliver(2, second);
    assert_eq!(run.violated(), [Clause::Evs1_1]);
}

#[test]
fn evs_1_2_rejects_a_second_history_of_a_life() {
    let run = Script::together(2);
    let mut histories = run.histories();
    let mut twin = histories[0].clone();
    twin.entries.clear();
    histories.push(twin);
    let options = roundel_ring::sim::check::Options { quiescent: false };
    let verdict = roundel_ring::sim::check::check(&histories, options);
    assert_eq!(crate::script::violated(&verdict), [Clause::Evs1_2]);
}

#[test]
fn evs_1_2_rejects_events_after_a_failure() {
    let mut run = Script::alone(1);
    run.fail(1);
    run.multicast(1, Service::Fifo, &[1]);
    assert_eq!(run.violated(), [Clause::Evs1_2]);
}

#[test]
fn evs_1_2_rejects_a_clock_that_falls() {
    let mut run = Script::together(2);
    run.last(1).time = Time::ZERO;
    assert_eq!(run.violated(), [Clause::Evs1_2]);
}

#[test]
fn evs_1_3_rejects_a_message_that_nobody_sent() {
    let mut run = Script::together(2);
    let forged = run.name(1, Service::Reliable);
    run.deliver_at(&BOTH, forged);
    assert_eq!(run.violated(), [Clause::Evs1_3]);
}

#[test]
fn evs_1_3_rejects_own_messages_delivered_before_they_are_sent() {
    let mut run = Script::together(2);
    let early = run.name(1, Service::Reliable);
    run.deliver(1, early);
    run.originate(1, early);
    run.deliver(2, early);
    assert_eq!(run.violated(), [Clause::Evs1_1, Clause::Evs1_3]);
}

#[test]
fn evs_1_3_rejects_another_service() {
    let mut run = Script::together(2);
    run.multicast(1, Service::Reliable, &BOTH);
    if let Event::Deliver { service, .. } = &mut run.last(2).event {
        *service = Service::Fifo;
    }
    assert_eq!(run.violated(), [Clause::Evs1_3]);
}

#[test]
fn evs_1_3_rejects_delivery_off_the_ring() {
    let mut run = Script::together(3);
    let late = run.send(1, Service::Reliable);
    run.deliver_at(&[1, 2], late);
    run.fail(3);
    run.start(3);
    run.deliver(3, late);
    let wrong_ring = [Clause::Evs1_3, Clause::Evs2_1, Clause::Evs2_2, Clause::Lecture6];
    let violated = run.violated();
    for clause in wrong_ring {
        assert!(violated.contains(&clause), "{violated:?}");
    }
}

#[test]
fn evs_1_4_rejects_a_message_sent_twice() {
    let mut run = Script::together(2);
    let message = run.multicast(1, Service::Reliable, &BOTH);
    run.originate(1, message);
    assert_eq!(run.violated(), [Clause::Evs1_4]);
}

#[test]
fn evs_1_4_rejects_a_message_delivered_twice() {
    let mut run = Script::together(2);
    let message = run.multicast(1, Service::Reliable, &BOTH);
    run.deliver(2, message);
    assert_eq!(run.violated(), [Clause::Evs1_4]);
}

#[test]
fn evs_1_4_rejects_a_send_in_a_transitional_configuration() {
    let mut run = Script::together(2);
    let ring = run.new_ring(1);
    run.signal(ring, &BOTH);
    run.multicast(1, Service::Reliable, &BOTH);
    run.regular(1, ring, &BOTH);
    run.regular(2, ring, &BOTH);
    assert_eq!(run.violated(), [Clause::Evs1_4]);
}

#[test]
fn evs_1_4_rejects_a_message_of_another_life() {
    let mut run = Script::together(2);
    let message = run.name(1, Service::Reliable);
    run.originate(2, message);
    run.deliver_at(&BOTH, message);
    let violated = run.violated();
    assert!(violated.contains(&Clause::Evs1_4), "{violated:?}");
}

#[test]
fn evs_3_rejects_an_own_message_left_behind() {
    let mut run = Script::together(2);
    run.send(1, Service::Reliable);
    run.merge(&BOTH);
    assert_eq!(run.violated(), [Clause::Evs3]);
    assert_eq!(run.violated_when_cut_off(), [Clause::Evs3]);
}

#[test]
fn an_ordinal_is_of_one_message() {
    let mut run = Script::together(2);
    run.multicast(1, Service::Reliable, &BOTH);
    let twice = ordinal(&mut run, 2);
    run.multicast(1, Service::Reliable, &BOTH);
    set_ordinal(&mut run, 1, twice);
    set_ordinal(&mut run, 2, twice);
    assert_eq!(run.violated(), [Clause::OrdinalNamesMessage]);
}

#[test]
fn a_message_has_one_ordinal() {
    let mut run = Script::together(2);
    run.multicast(1, Service::Reliable, &BOTH);
    set_ordinal(&mut run, 2, Ordinal(1));
    assert_eq!(run.violated(), [Clause::OrdinalNamesMessage]);
}

#[test]
fn ordinals_of_ordered_messages_ascend() {
    let mut run = Script::together(2);
    let (a, b) = (run.send(1, Service::Agreed), run.send(2, Service::Agreed));
    run.deliver_at(&BOTH, b);
    run.deliver_at(&BOTH, a);
    assert_eq!(run.violated(), [Clause::OrdinalsAscend]);
}

#[test]
fn content_is_kept() {
    let mut run = Script::together(2);
    run.multicast(1, Service::Safe, &BOTH);
    if let Event::Deliver { hash, .. } = &mut run.last(2).event {
        *hash ^= 1;
    }
    assert_eq!(run.violated(), [Clause::ContentKept]);
}

#[test]
fn content_that_was_not_written_down_is_not_judged() {
    let mut run = Script::together(2);
    run.multicast(1, Service::Safe, &BOTH);
    if let Event::Deliver { hash, .. } = &mut run.last(2).event {
        *hash = 0;
    }
    assert!(run.violated().is_empty());
}

#[test]
fn sends_of_a_class_follow_acceptance() {
    for (early, late, ordered) in [
        (Service::Fifo, Service::Causal, true),
        (Service::Agreed, Service::Safe, true),
        (Service::Agreed, Service::Fifo, false),
    ] {
        let mut run = Script::together(2);
        let (a, b) = (run.name(1, early), run.name(1, late));
        run.submit(1, b);
        run.submit(1, a);
        for message in [a, b] {
            run.originate(1, message);
            run.deliver_at(&BOTH, message);
        }
        let expected: &[Clause] = if ordered { &[Clause::SubmitOrder] } else { &[] };
        assert_eq!(run.violated(), expected);
    }
}

#[test]
fn acceptance_precedes_sending() {
    let mut run = Script::together(2);
    let message = run.multicast(1, Service::Fifo, &BOTH);
    run.submit(1, message);
    assert_eq!(run.violated(), [Clause::SubmitOrder]);
}

fn ordinal(run: &mut Script, node: u32) -> Ordinal {
    match run.last(node).event {
        Event::Deliver { ordinal, .. } => ordinal.unwrap(),
        _ => panic!("not a delivery"),
    }
}

fn set_ordinal(run: &mut Script, node: u32, new: Ordinal) {
    if let Event::Deliver { ordinal, .. } = &mut run.last(node).event {
        *ordinal = Some(new);
    }
}
