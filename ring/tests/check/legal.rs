//! Legal histories pass.

use roundel_ring::service::Service;
use roundel_ring::sim::check::{Clause, Options, check};

use crate::script::Script;

const ALL: [u32; 3] = [1, 2, 3];

/// Three members merge, exchange messages of all services, part with messages under way, one
/// restarts, and all merge again: a run that every clause has something to judge in.
pub(crate) fn eventful() -> Script {
    let mut run = Script::together(3);
    run.confirm(&ALL);
    for service in Service::ALL {
        for from in ALL {
            let message = run.name(from, service);
            run.submit(from, message);
            run.originate(from, message);
            run.deliver_at(&ALL, message);
        }
    }
    // 3 is cut off. Of its messages, the others miss `lost`, so `behind` is discarded there; of
    // theirs, it misses `kept`.
    let lost = run.send(3, Service::Agreed);
    let behind = run.send(3, Service::Agreed);
    let kept = run.send(1, Service::Safe);
    let pair = run.new_ring(1);
    let single = run.new_ring(3);
    run.signal(pair, &[1, 2]);
    run.deliver_at(&[1, 2], kept);
    run.deliver(3, lost);
    run.signal(single, &[3]);
    run.deliver(3, behind);
    run.regular(1, pair, &[1, 2]);
    run.regular(2, pair, &[1, 2]);
    run.regular(3, single, &[3]);
    run.confirm(&[1, 2]);
    run.multicast(1, Service::Safe, &[1, 2]);
    // 3 fails with a message of its own undelivered, and comes back.
    run.send(3, Service::Safe);
    run.fail(3);
    run.start(3);
    run.merge(&ALL);
    run.confirm(&ALL);
    for from in ALL {
        run.multicast(from, Service::Safe, &ALL);
    }
    run
}

#[test]
fn every_clause_judges_a_legal_run_and_finds_nothing() {
    let verdict = eventful().verdict();
    for judgement in verdict.judgements() {
        assert!(judgement.applicable, "{judgement:?}");
        assert!(judgement.instances > 0, "{judgement:?}");
        assert!(judgement.violations.is_empty(), "{judgement:?}");
        assert_eq!(judgement.violation_count, 0, "{judgement:?}");
    }
    assert_eq!(verdict.violation_count(), 0);
}

#[test]
fn the_order_in_which_histories_are_given_does_not_matter() {
    let mut histories = eventful().histories();
    let options = Options { quiescent: true };
    let verdict = check(&histories, options);
    histories.reverse();
    assert_eq!(check(&histories, options), verdict);
}

#[test]
fn nothing_is_judged_of_no_histories() {
    let verdict = check(&[], Options { quiescent: true });
    assert_eq!(verdict.instances(), 0);
    assert_eq!(verdict.violation_count(), 0);
}

#[test]
fn clauses_about_primaries_need_primaries() {
    let mut run = Script::together(2);
    run.multicast(1, Service::Safe, &[1, 2]);
    let verdict = run.verdict();
    for clause in [Clause::PrimaryUniqueness, Clause::FilterC1, Clause::FilterL5] {
        let judgement = verdict.of(clause).unwrap();
        assert!(!judgement.applicable);
        assert_eq!(judgement.instances, 0);
    }
    assert!(run.violated().is_empty());
}

/// EVS §3.1: p misses what q and r send and the other way round; all deliver their own.
#[test]
fn the_example_of_the_paper_is_legal() {
    let mut run = Script::alone(5);
    run.merge(&[1, 2, 3]);
    run.merge(&[4, 5]);
    let _l = run.send(1, Service::Agreed);
    let m = run.send(1, Service::Agreed);
    let n = run.send(3, Service::Safe);
    let alone = run.new_ring(1);
    let joined = run.new_ring(2);
    run.signal(alone, &[1]);
    run.deliver_at(&[1], _l);
    run.deliver_at(&[1], m);
    run.regular(1, alone, &[1]);
    run.signal(joined, &[2, 3, 4, 5]);
    run.deliver_at(&[2, 3], n);
    for node in [2, 3, 4, 5] {
        run.regular(node, joined, &[2, 3, 4, 5]);
    }
    run.merge(&[1, 2, 3, 4, 5]);
    assert!(run.violated().is_empty(), "{:?}", run.verdict());
}

/// Reliable, fifo and causal messages are outside of the total order.
#[test]
fn early_messages_may_be_delivered_in_different_orders() {
    let mut run = Script::together(2);
    let reliable = [run.send(1, Service::Reliable), run.send(1, Service::Reliable)];
    let fifo = [run.send(1, Service::Fifo), run.send(2, Service::Fifo)];
    let causal = [run.send(1, Service::Causal), run.send(2, Service::Causal)];
    for [a, b] in [reliable, fifo, causal] {
        run.deliver(1, a);
        run.deliver(1, b);
        run.deliver(2, b);
        run.deliver(2, a);
    }
    assert!(run.violated().is_empty(), "{:?}", run.verdict());
}

/// Causality does not pass through a reliable message: what answers it may overtake it.
#[test]
fn an_answer_may_overtake_a_reliable_message() {
    let mut run = Script::together(3);
    let question = run.send(1, Service::Reliable);
    run.deliver_at(&[1, 2], question);
    let _answer = run.multicast(2, Service::Agreed, &[1, 2, 3]);
    run.deliver(3, question);
    assert!(run.violated().is_empty(), "{:?}", run.verdict());
}

/// Obligations: a member that acknowledged a safe message, and then went on with others than
/// those that delivered it, delivers it in another transitional configuration.
#[test]
fn a_safe_message_may_be_delivered_in_different_transitional_configurations() {
    let mut run = Script::together(3);
    let safe = run.send(1, Service::Safe);
    let pair = run.new_ring(1);
    run.signal(pair, &[1, 2]);
    run.deliver_at(&[1, 2], safe);
    run.regular(1, pair, &[1, 2]);
    run.regular(2, pair, &[1, 2]);
    let single = run.new_ring(3);
    run.signal(single, &[3]);
    run.deliver(3, safe);
    run.regular(3, single, &[3]);
    run.merge(&ALL);
    assert!(run.violated().is_empty(), "{:?}", run.verdict());
}

#[test]
fn a_member_killed_before_its_first_event_is_no_violation() {
    let mut run = Script::together(2);
    run.start_empty(3);
    run.fail(3);
    assert!(run.violated().is_empty(), "{:?}", run.verdict());
}

/// A long run of five members with many configurations, most of its messages under way at once.
pub(crate) fn long(rounds: usize) -> Script {
    let everyone = [1, 2, 3, 4, 5];
    let mut run = Script::together(5);
    for round in 0..rounds {
        let under_way: Vec<_> =
            (0..100).map(|i| run.send(everyone[i % 5], Service::ALL[i % 7 % 5])).collect();
        for node in everyone {
            for &message in &under_way {
                run.deliver(node, message);
            }
        }
        if round % 5 == 4 {
            run.merge(&everyone[..3]);
            run.multicast(2, Service::Safe, &everyone[..3]);
            run.fail(5);
            run.start(5);
            run.merge(&everyone);
            run.confirm(&everyone);
        }
    }
    run
}

#[test]
fn a_long_run_is_legal() {
    let run = long(20);
    assert!(run.violated().is_empty(), "{:?}", run.verdict());
}
