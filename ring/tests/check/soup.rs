//! The judge is total: it has a verdict on any events in any order. And its fast forms of EVS 5
//! and 6.3 find what the plain ones find.

use proptest::prelude::*;
use roundel_ring::configuration::ConfigurationKind;
use roundel_ring::id::{MessageId, NodeId, RingId};
use roundel_ring::service::Service;
use roundel_ring::sim::check::{Clause, Options, check};
use roundel_ring::trace::{Event, History};

use crate::legal::eventful;
use crate::script::Script;

const ALL: [u32; 3] = [1, 2, 3];

/// What may happen at a member, sensible or not.
#[derive(Clone, Copy, Debug)]
enum Step {
    Start,
    Merge { with: u8 },
    Signal { with: u8 },
    Send { service: usize },
    Deliver { message: usize },
    Confirm,
    Fail,
}

fn any_step() -> impl Strategy<Value = (u32, Step)> {
    let step = prop_oneof![
        1 => Just(Step::Start),
        2 => (0..8_u8).prop_map(|with| Step::Merge { with }),
        2 => (0..8_u8).prop_map(|with| Step::Signal { with }),
        6 => (0..5_usize).prop_map(|service| Step::Send { service }),
        20 => (0..100_usize).prop_map(|message| Step::Deliver { message }),
        1 => Just(Step::Confirm),
        1 => Just(Step::Fail),
    ];
    (1..=3_u32, step)
}

/// Members in the bits of `with`, and `node`.
fn company(node: u32, with: u8) -> Vec<u32> {
    let chosen = |n: &u32| *n == node || with & (1 << (n - 1)) != 0;
    ALL.into_iter().filter(chosen).collect()
}

proptest! {
    #[test]
    fn any_soup_of_events_has_a_verdict(
        steps in proptest::collection::vec(any_step(), 0..60),
        quiescent: bool,
    ) {
        let mut run = Script::together(3);
        let mut messages = Vec::new();
        for (node, step) in steps {
            match step {
                Step::Start => run.start(node),
                Step::Merge { with } => { run.merge(&company(node, with)); }
                Step::Signal { with } => {
                    let ring = run.new_ring(node);
                    run.signal(ring, &company(node, with));
                }
                Step::Send { service } => messages.push(run.send(node, Service::ALL[service])),
                Step::Deliver { message } if !messages.is_empty() => {
                    run.deliver(node, messages[message % messages.len()]);
                }
                Step::Deliver { .. } => {}
                Step::Confirm => run.confirm(&[node]),
                Step::Fail => run.fail(node),
            }
        }
        let verdict = check(&run.histories(), Options { quiescent });
        prop_assert_eq!(verdict.judgements().len(), Clause::ALL.len());
        prop_assert!(verdict.instances() > 0);
    }

    /// One event of a legal run lost, doubled or moved.
    #[test]
    fn any_damage_to_a_legal_run_has_a_verdict(
        life in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        keep: bool,
        put: bool,
    ) {
        let mut histories = eventful().histories();
        let i = life.index(histories.len());
        let entries = &mut histories[i].entries;
        let entry = entries[from.index(entries.len())].clone();
        if !keep {
            entries.remove(from.index(entries.len()));
        }
        if put {
            entries.insert(to.index(entries.len() + 1), entry);
        }
        let verdict = check(&histories, Options { quiescent: true });
        prop_assert!(verdict.instances() > 0);
    }

    /// Three members on one ring deliver some messages in some order, before and after a signal.
    #[test]
    fn fast_forms_find_what_plain_ones_find(
        steps in proptest::collection::vec((1..=3_u32, 0..5_usize, 0..8_usize), 1..24),
        cuts in proptest::collection::vec(0..24_usize, 3),
        with in proptest::collection::vec(0..8_u8, 3),
    ) {
        let mut run = Script::together(3);
        let mut messages: Vec<MessageId> = Vec::new();
        let mut delivered = Vec::new();
        for (i, (node, service, message)) in steps.into_iter().enumerate() {
            for signalled in ALL.into_iter().filter(|n| cuts[*n as usize - 1] == i) {
                let ring = run.new_ring(signalled);
                let members = company(signalled, with[signalled as usize - 1]);
                run.transitional(signalled, ring, &members);
            }
            let fresh = message >= messages.len();
            if fresh {
                messages.push(run.send(node, Service::ALL[service]));
            } else if !delivered.contains(&(node, message)) {
                delivered.push((node, message));
                run.deliver(node, messages[message]);
            }
        }
        let histories = run.histories();
        let verdict = check(&histories, Options { quiescent: false });
        let found = |clause| verdict.of(clause).unwrap().violation_count > 0;
        let seen: Vec<Seen> = histories.iter().map(Seen::new).collect();
        prop_assert_eq!(found(Clause::Evs5), !plain_evs_5(&seen), "EVS 5");
        prop_assert_eq!(found(Clause::Evs6_3), !plain_evs_6_3(&seen), "EVS 6.3");
    }
}

/// Sends and deliveries of one member, in its order.
struct Seen {
    events: Vec<(bool, MessageId, Service, RingId)>,
    /// Where among them the signal is, and for whom.
    signal: Option<(usize, Vec<NodeId>)>,
}

impl Seen {
    fn new(history: &History) -> Self {
        let mut seen = Self { events: Vec::new(), signal: None };
        for entry in &history.entries {
            match &entry.event {
                Event::Send { message, ring, service, .. } => {
                    seen.events.push((true, *message, *service, *ring));
                }
                Event::Deliver { message, ring, service, .. } => {
                    seen.events.push((false, *message, *service, *ring));
                }
                Event::Configuration(c) if c.kind == ConfigurationKind::Regular => {
                    seen.signal = None;
                }
                Event::Configuration(c) => {
                    seen.signal = Some((seen.events.len(), c.members.to_vec()));
                }
                _ => {}
            }
        }
        seen
    }

    fn delivery(&self, message: MessageId) -> Option<usize> {
        let found = |(sent, m, ..): &(bool, MessageId, Service, RingId)| !sent && *m == message;
        self.events.iter().position(found)
    }
}

/// For all m → m' by one member's order, and all that deliver m'.
fn plain_evs_5(seen: &[Seen]) -> bool {
    let weak = |service| matches!(service, Service::Reliable | Service::Fifo);
    for sender in seen {
        for (j, (sent, later, service, _)) in sender.events.iter().enumerate() {
            for (was_sent, earlier, other, _) in &sender.events[..j] {
                let causal = !weak(*service) && !weak(*other);
                let fifo = *service == Service::Fifo && *other == Service::Fifo && *was_sent;
                if !sent || earlier == later || !(causal || fifo) {
                    continue;
                }
                for deliverer in seen {
                    let before = deliverer.delivery(*earlier);
                    match (before, deliverer.delivery(*later)) {
                        (Some(before), Some(after)) if before < after => {}
                        (_, None) => {}
                        _ => return false,
                    }
                }
            }
        }
    }
    true
}

/// For all p and q, and all pairs in the order of p.
fn plain_evs_6_3(seen: &[Seen]) -> bool {
    for p in seen {
        let ordered = p.events.iter().filter(|e| !e.0 && e.2.is_totally_ordered());
        let order: Vec<MessageId> = ordered.map(|e| e.1).collect();
        for (j, later) in order.iter().enumerate() {
            for earlier in &order[..j] {
                for q in seen {
                    let Some(at) = q.delivery(*later) else {
                        continue;
                    };
                    let obliged = match &q.signal {
                        Some((signal, members)) if at >= *signal => {
                            members.contains(&earlier.sender)
                        }
                        _ => true,
                    };
                    if obliged && q.delivery(*earlier).is_none() {
                        return false;
                    }
                }
            }
        }
    }
    true
}
