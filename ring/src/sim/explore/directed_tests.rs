//! Directed schedules: situations that no history shows, made on purpose. Each test asserts that the
//! situation arose, and that what came of it is right.

mod free;
mod receive;
mod services;

use std::time::Duration;

use bytes::Bytes;

use super::choice::kind_of;
use super::scenario::run_until;
use super::world::{Pending, What, World};
use crate::configuration::ConfigurationKind;
use crate::counters::Ignored;
use crate::handoff::{Directive, Report};
use crate::id::{NodeId, RingId};
use crate::params::Params;
use crate::primary::Policy;
use crate::service::Service;
use crate::sim::node::Life;
use crate::time::Time;
use crate::trace::{Entry, Event, History};
use crate::wire::Kind;
use crate::wire::commit::Commit;
use crate::wire::join::Join;
use crate::wire::token::{Token, requests_max};

/// Places of members; their ids are one more.
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;

/// Longer than anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What becomes of what arrives next.
enum Fate {
    Comes,
    Lost,
    Later(Duration),
}

/// A ring of so many members that has nothing to do.
fn ring(members: usize, params: Params) -> World {
    let mut world = World::new(members, params, Policy::None);
    for node in 0..members {
        world.push(world.now, node, What::Start);
    }
    run_until(&mut world, World::is_settled).unwrap();
    world
}

fn small_ring(members: usize) -> World {
    ring(members, super::scenario::params())
}

/// Runs on until something holds, with a fate for everything that arrives.
fn run_with(
    world: &mut World,
    fate: impl Fn(&World, &Pending) -> Fate,
    holds: impl Fn(&World) -> bool,
) {
    let deadline = world.now + PATIENCE;
    while !holds(world) {
        assert!(world.now < deadline, "it does not come to that: {}", world.describe());
        if world.next() == Some(super::world::Next::Arrival)
            && let Some(first) = world.first()
        {
            match fate(world, first) {
                Fate::Comes => {}
                Fate::Lost => {
                    world.take_first();
                    continue;
                }
                Fate::Later(span) => {
                    let Some(first) = world.take_first() else { continue };
                    world.push(first.at + span, first.node, first.what);
                    continue;
                }
            }
        }
        world.step().unwrap();
    }
}

/// Runs on until something holds, while frames that `lost` names are lost.
fn run_losing(
    world: &mut World,
    lost: impl Fn(&Arrival<'_>) -> bool,
    holds: impl Fn(&World) -> bool,
) {
    let fate = |_: &World, first: &Pending| match arrival(first) {
        Some(arrival) if lost(&arrival) => Fate::Lost,
        _ => Fate::Comes,
    };
    run_with(world, fate, holds);
}

/// A frame that arrives.
struct Arrival<'f> {
    kind: Kind,
    from: usize,
    to: usize,
    frame: &'f Bytes,
}

fn arrival(first: &Pending) -> Option<Arrival<'_>> {
    let What::Frame { from, frame, .. } = &first.what else { return None };
    Some(Arrival { kind: kind_of(frame)?, from: *from, to: first.node, frame })
}

fn publish(world: &mut World, node: usize, service: Service, payload: &'static str) {
    world.push(world.now, node, What::Publish(service, Bytes::from_static(payload.as_bytes())));
}

fn life(world: &World, node: usize) -> &Life {
    world.hosts[node].life.as_ref().expect("it is alive")
}

fn installed(world: &World, node: usize) -> RingId {
    life(world, node).data.ordering().installed().ring
}

fn running(world: &World, node: usize) -> RingId {
    life(world, node).data.ordering().running().ring
}

fn ids(world: &World, node: usize) -> Vec<u32> {
    life(world, node).data.ordering().running().ids().iter().map(|id| id.0).collect()
}

fn originated(world: &World, node: usize) -> u64 {
    life(world, node).data.ordering().counters().packets_originated
}

fn voids(world: &World, node: usize) -> u64 {
    life(world, node).data.ordering().counters().voids
}

fn owes(world: &World, node: usize) -> Vec<u32> {
    life(world, node).data.ordering().obligations().map(|id| id.0).collect()
}

fn holds(world: &World, node: usize, seq: u64) -> bool {
    life(world, node).data.ordering().holds(crate::seq::Seq(seq))
}

/// In which kind of configuration a member delivered the first message of another's first life.
fn delivered(world: &World, node: usize, sender: usize) -> Option<ConfigurationKind> {
    let sender = NodeId(u32::try_from(sender).unwrap() + 1);
    let histories = &world.hosts[node].histories;
    histories.iter().flat_map(|history| &history.entries).find_map(|entry| match &entry.event {
        Event::Deliver { message, in_configuration, .. }
            if message.sender == sender && message.counter == 1 =>
        {
            Some(*in_configuration)
        }
        _ => None,
    })
}

/// Heals, demands one ring and judges everything.
fn judged(mut world: World) -> Vec<History> {
    world.heal().unwrap();
    world.demand_one_ring().unwrap();
    let verdict = world.judge();
    let violations: Vec<_> = verdict.violations().collect();
    assert!(violations.is_empty(), "{violations:?}");
    world.histories()
}

/// A ring on whose first place is a packet that only its sender `hole` and those in `has` hold; behind
/// it one of `of`, safe, that all hold. `hole` is dead then, and the others gather, but for those in
/// `late`, who do not notice and are apart.
fn behind_a_hole(members: usize, hole: usize, has: &[usize], of: usize, late: &[usize]) -> World {
    let mut world = small_ring(members);
    publish(&mut world, hole, Service::Agreed, "the hole");
    let is_hole = |arrival: &Arrival<'_>| {
        arrival.kind == Kind::Data && arrival.from == hole && !has.contains(&arrival.to)
    };
    run_losing(&mut world, is_hole, |world| originated(world, hole) == 1);
    publish(&mut world, of, Service::Safe, "behind it");
    run_losing(&mut world, is_hole, |world| originated(world, of) == 1);
    let others: Vec<usize> = (0..members).filter(|node| *node != hole).collect();
    let all_have = |world: &World| others.iter().all(|node| holds(world, *node, 2));
    let is_lost = |arrival: &Arrival<'_>| arrival.kind == Kind::Token || is_hole(arrival);
    run_losing(&mut world, is_lost, all_have);
    world.kill(hole);
    late.iter().for_each(|node| world.sides[*node] = 1);
    let gather = |world: &World| {
        let frozen = |node: &usize| life(world, *node).data.ordering().is_frozen();
        others.iter().all(|node| late.contains(node) || frozen(node))
    };
    run_with(&mut world, |_, first| slow_or_lost(first, late, is_lost), gather);
    for node in others {
        assert_eq!(holds(&world, node, 1), has.contains(&node), "who has the first packet");
    }
    world
}

/// The reports of those in `late` come late, and what `is_lost` names is lost.
fn slow_or_lost(first: &Pending, late: &[usize], is_lost: impl Fn(&Arrival<'_>) -> bool) -> Fate {
    let is_report = matches!(first.what, What::Report(Report::TokenLost { .. }));
    match arrival(first) {
        Some(arrival) if is_lost(&arrival) => Fate::Lost,
        None if is_report && late.contains(&first.node) => Fate::Later(Duration::from_millis(1)),
        _ => Fate::Comes,
    }
}

const NONE: fn(&Arrival<'_>) -> bool = |_| false;

const TRANSITIONAL: Option<ConfigurationKind> = Some(ConfigurationKind::Transitional);

/// EVS 7.1: the first to install has delivered and is gone; the other has acknowledged, and owes what
/// the first delivered, although its sender is gone and a hole lies before it.
#[test]
fn a_crash_right_after_the_first_installation() {
    let mut world = behind_a_hole(3, C, &[], B, &[]);
    let old = installed(&world, A);
    run_losing(&mut world, NONE, |world| installed(world, B) != old);
    assert_eq!(ids(&world, B), [1, 2]);
    assert_eq!(delivered(&world, B, B), TRANSITIONAL, "the first to install has delivered");
    assert_eq!(installed(&world, A), old, "the other has not");
    assert_eq!((owes(&world, A), delivered(&world, A, B)), (vec![1, 2], None));
    world.kill(B);
    let from_b = |arrival: &Arrival<'_>| arrival.from == B;
    run_losing(&mut world, from_b, |world| installed(world, A) != old);
    assert_eq!(ids(&world, A), [1]);
    assert_eq!(delivered(&world, A, B), TRANSITIONAL);
    assert_eq!(delivered(&world, A, C), None, "nobody has the packet before it");
    judged(world);
}

/// The first attempt has the members 1 and 2, the second 1 and 3: what 1 owes since the first one, 3
/// owes from the second one on, or the two would differ in what they deliver.
#[test]
fn a_second_failure_with_another_subset() {
    let mut world = behind_a_hole(4, D, &[], B, &[C]);
    let old = installed(&world, A);
    let late = |_: &World, first: &Pending| slow_or_lost(first, &[C], NONE);
    run_with(&mut world, late, |world| installed(world, B) != old);
    assert_eq!(ids(&world, B), [1, 2]);
    assert_eq!(delivered(&world, B, B), TRANSITIONAL);
    assert_eq!((owes(&world, A), owes(&world, C)), (vec![1, 2], vec![]));
    world.kill(B);
    world.sides.fill(0);
    let from_b = |arrival: &Arrival<'_>| arrival.from == B;
    run_losing(&mut world, from_b, |world| ids(world, C) == [1, 3]);
    assert_eq!((installed(&world, A), installed(&world, C)), (old, old));
    assert_eq!((owes(&world, C), holds(&world, C, 1)), (vec![], false));
    run_losing(&mut world, from_b, |world| {
        installed(world, A) != old && installed(world, C) != old
    });
    assert_eq!(installed(&world, A), installed(&world, C));
    assert_eq!((delivered(&world, A, B), delivered(&world, C, B)), (TRANSITIONAL, TRANSITIONAL));
    judged(world);
}

/// Who misses nothing acknowledges with its adoption: the first to install delivers before a token
/// has come to the others, and they owe it from then on.
#[test]
fn an_acknowledgement_before_the_installation() {
    let mut world = small_ring(3);
    publish(&mut world, A, Service::Safe, "held by all");
    run_losing(&mut world, NONE, |world| originated(world, A) == 1);
    let is_token = |arrival: &Arrival<'_>| arrival.kind == Kind::Token;
    let old = installed(&world, A);
    run_losing(&mut world, is_token, |world| (A..=C).all(|node| running(world, node) != old));
    let tokens = |world: &World, node| life(world, node).data.ordering().counters().tokens;
    let before = [tokens(&world, B), tokens(&world, C)];
    run_losing(&mut world, NONE, |world| installed(world, A) != old);
    assert_eq!(delivered(&world, A, A), TRANSITIONAL, "not known to be stable in the old ring");
    assert_eq!([tokens(&world, B), tokens(&world, C)], before, "no token of the new ring came");
    for node in [B, C] {
        assert_eq!((installed(&world, node), owes(&world, node)), (old, vec![1, 2, 3]));
    }
    world.kill(A);
    let from_a = |arrival: &Arrival<'_>| arrival.from == A;
    run_losing(&mut world, from_a, |world| {
        [B, C].iter().all(|node| installed(world, *node) != old)
    });
    assert_eq!((ids(&world, B), ids(&world, C)), (vec![2, 3], vec![2, 3]));
    assert_eq!((delivered(&world, B, A), delivered(&world, C, A)), (TRANSITIONAL, TRANSITIONAL));
    judged(world);
}

/// EVS 5: adopted, but not complete. Who is parted now owes the others nothing: what it holds of
/// them may depend on what it misses.
#[test]
fn no_obligation_before_all_is_held() {
    let mut world = behind_a_hole(3, C, &[B], B, &[]);
    let old = installed(&world, A);
    run_losing(&mut world, NONE, |world| running(world, A) != old);
    assert_eq!(ids(&world, A), [1, 2], "the first has adopted a ring with the second");
    assert_eq!(owes(&world, A), [0; 0], "and misses a packet that the second has");
    world.sides[B] = 1;
    run_losing(&mut world, NONE, |world| [A, B].iter().all(|node| installed(world, *node) != old));
    assert_eq!((ids(&world, A), ids(&world, B)), (vec![1], vec![2]));
    assert_eq!(delivered(&world, A, B), None, "it lies behind what the first has never got");
    assert!(delivered(&world, B, C).is_some() && delivered(&world, B, B).is_some());
    judged(world);
}

/// EVS 7.1: with the token that says that it misses nothing, a member owes the others, whether they
/// got that token and have installed the ring or not.
#[test]
fn an_obligation_as_soon_as_it_is_said_that_all_is_held() {
    let mut world = behind_a_hole(3, C, &[], B, &[]);
    let old = installed(&world, A);
    let says_so = |arrival: &Arrival<'_>| {
        let mut token = Token::default();
        let is_token = token.parse_into(arrival.frame, crate::sim::node::cluster()).is_ok();
        is_token && arrival.from == A && token.promises.first().is_some_and(|it| it.aru.0 == 2)
    };
    run_losing(&mut world, says_so, |world| !owes(world, A).is_empty());
    assert_eq!((owes(&world, A), voids(&world, A)), (vec![1, 2], 1));
    assert_eq!((installed(&world, A), installed(&world, B)), (old, old), "nobody has installed");
    // The token is on its way, and is lost with its receiver.
    assert!(world.under_way().filter_map(arrival).any(|arrival| says_so(&arrival)));
    world.kill(B);
    run_losing(&mut world, NONE, |world| installed(world, A) != old);
    assert_eq!(ids(&world, A), [1]);
    assert_eq!(delivered(&world, A, B), TRANSITIONAL, "the other may have delivered it");
    judged(world);
}

/// More holes than a token can ask for: the rest is asked for later, and is not taken to be held by
/// nobody meanwhile.
#[test]
fn a_hole_list_longer_than_a_frame() {
    let params = Params { window_packets: 1024, personal_packets: 256, ..Params::default() };
    let params = Params { global_packets: 512, pad_packets: false, ..params };
    let mut world = ring(3, params);
    let packets = 3 * requests_max(3) as u64;
    for packet in 0..packets {
        // Two do not fit one packet.
        let payload = Bytes::from(vec![u8::try_from(packet % 251).unwrap(); 1_000]);
        world.push(world.now, A, What::Publish(Service::Agreed, payload));
    }
    // Every other packet is lost on its way to the second, and every token then.
    let is_odd = |arrival: &Arrival<'_>| {
        let data = crate::wire::data::Data::parse(arrival.frame, crate::sim::node::cluster());
        data.is_ok_and(|data| data.seq.0 % 2 == 1) && arrival.to == B
    };
    run_losing(&mut world, is_odd, |world| originated(world, A) == packets);
    let is_lost = |arrival: &Arrival<'_>| arrival.kind == Kind::Token || is_odd(arrival);
    run_losing(&mut world, is_lost, |world| life(world, B).data.ordering().is_frozen());
    let old = installed(&world, A);
    let holes = (1..=packets).filter(|seq| !holds(&world, B, *seq)).count();
    assert!(holes > requests_max(3), "{holes} holes");
    let full = std::cell::Cell::new(0);
    let count_full = |arrival: &Arrival<'_>| {
        let mut token = Token::default();
        let is_token = token.parse_into(arrival.frame, crate::sim::node::cluster()).is_ok();
        let is_full = is_token && token.requests.len() == requests_max(3);
        full.set(full.get() + u64::from(is_full));
        false
    };
    run_losing(&mut world, count_full, |world| (A..=C).all(|node| installed(world, node) != old));
    assert!(full.get() > 0, "no token was as full as it can be");
    assert_eq!(ids(&world, A), [1, 2, 3]);
    assert_eq!([voids(&world, A), voids(&world, B), voids(&world, C)], [0; 3]);
    let histories = judged(world);
    let is_of_a = |entry: &&Entry| match &entry.event {
        Event::Deliver { message, .. } => message.sender == NodeId(1),
        _ => false,
    };
    let deliveries = |it: &History| it.entries.iter().filter(is_of_a).count() as u64;
    // And the one that is published when all is healed.
    assert!(histories.iter().all(|history| deliveries(history) == packets + 1));
}

/// Every commit token comes twice, the second time after the ring's first token: each member adopts
/// once, and there is one first token.
#[test]
fn a_duplicated_commit_token() {
    let mut world = small_ring(3);
    publish(&mut world, B, Service::Safe, "under way");
    run_losing(&mut world, NONE, |world| originated(world, B) == 1);
    let is_token = |arrival: &Arrival<'_>| arrival.kind == Kind::Token;
    let old = installed(&world, A);
    let (copies, adoptions) = (std::cell::RefCell::new(Vec::new()), std::cell::Cell::new(0));
    let firsts = std::cell::Cell::new(0);
    let fate = |_: &World, first: &Pending| {
        match &first.what {
            What::Directive(Directive::Recover(_)) => adoptions.set(adoptions.get() + 1),
            What::Directive(Directive::Originate { .. }) => firsts.set(firsts.get() + 1),
            _ => {}
        }
        match arrival(first) {
            Some(arrival) if arrival.kind == Kind::Commit => {
                copies.borrow_mut().push(first.clone());
                Fate::Comes
            }
            Some(arrival) if is_token(&arrival) && copies.borrow().is_empty() => Fate::Lost,
            _ => Fate::Comes,
        }
    };
    run_with(&mut world, fate, |world| (A..=C).all(|node| running(world, node) != old));
    assert!(copies.borrow().len() >= 5, "twice around, but for the last hop");
    let before = ignored_as_stale(&world);
    // Again, while the ring is recovered on, and once more when it runs.
    again(&mut world, &copies.borrow());
    run_with(&mut world, fate, |world| (A..=C).all(|node| installed(world, node) != old));
    let after = ignored_as_stale(&world);
    assert!(
        before.iter().zip(&after).all(|(before, after)| before < after),
        "{before:?} {after:?}"
    );
    let (ring, gathers) = (installed(&world, A), gathers(&world));
    again(&mut world, &copies.borrow());
    run_losing(&mut world, NONE, World::is_settled);
    assert_eq!((adoptions.get(), firsts.get()), (3, 1));
    assert!((A..=C).all(|node| installed(&world, node) == ring));
    assert_eq!(self::gathers(&world), gathers, "nothing follows from them");
    judged(world);
}

/// The commit token comes back to its maker many times before the ring's first token has gone round:
/// the worker, which may stand still meanwhile, is told once to make that one.
#[test]
fn a_commit_token_that_ends_its_second_pass_again() {
    let mut world = small_ring(3);
    let old = installed(&world, A);
    let last = std::cell::RefCell::new(None);
    let firsts = std::cell::Cell::new(0);
    let fate = |_: &World, first: &Pending| {
        firsts.set(firsts.get() + u32::from(is_originate(first)));
        match arrival(first) {
            Some(arrival) if arrival.kind == Kind::Commit => {
                let commit = Commit::parse(arrival.frame, crate::sim::node::cluster()).unwrap();
                if usize::from(commit.hop) == 2 * commit.members.len() {
                    last.replace(Some(first.clone()));
                }
                Fate::Comes
            }
            Some(arrival) if arrival.kind == Kind::Token && arrival.from == C => Fate::Lost,
            _ => Fate::Comes,
        }
    };
    run_with(&mut world, fate, |_| last.borrow().is_some());
    let last = last.borrow().clone().unwrap();
    assert_eq!(firsts.get(), 0, "the worker knows nothing of it yet");
    again(&mut world, &vec![last; 40]);
    let before = ignored_as_stale(&world)[A];
    let fate = |_: &World, first: &Pending| {
        firsts.set(firsts.get() + u32::from(is_originate(first)));
        Fate::Comes
    };
    run_with(&mut world, fate, |world| (A..=C).all(|node| installed(world, node) != old));
    run_with(&mut world, fate, World::is_settled);
    assert!(ignored_as_stale(&world)[A] >= before + 40, "they came too late to say anything");
    assert_eq!(firsts.get(), 1);
    judged(world);
}

fn is_originate(first: &Pending) -> bool {
    matches!(first.what, What::Directive(Directive::Originate { .. }))
}

/// Frames of control that each member took for repeated ones.
fn ignored_as_stale(world: &World) -> Vec<u64> {
    let membership = |node| life(world, node).control.membership().ignored();
    (0..world.hosts.len()).map(|node| membership(node).of(Ignored::StaleToken)).collect()
}

/// Joins of a gather that is over come when its ring is proposed, and again when it runs: they are
/// late, and nothing follows from them.
#[test]
fn a_join_overtaken_by_a_ring() {
    let mut world = small_ring(3);
    let old = installed(&world, A);
    let is_token = |arrival: &Arrival<'_>| arrival.kind == Kind::Token;
    let copies = std::cell::RefCell::new(Vec::new());
    let fate = |_: &World, first: &Pending| match arrival(first) {
        Some(arrival) if arrival.kind == Kind::Join => {
            copies.borrow_mut().push(first.clone());
            Fate::Comes
        }
        Some(arrival) if is_token(&arrival) && copies.borrow().is_empty() => Fate::Lost,
        _ => Fate::Comes,
    };
    let proposed = |world: &World| {
        (A..=C).all(|node| life(world, node).control.membership().state_name() == "commit")
    };
    run_with(&mut world, fate, proposed);
    let epochs = |copies: &[Pending]| -> Vec<u64> {
        let joins = copies.iter().filter_map(arrival);
        let parsed = joins.map(|it| Join::parse(it.frame, crate::sim::node::cluster()).unwrap());
        parsed.map(|join| join.epoch.0).collect()
    };
    assert!(!copies.borrow().is_empty());
    assert!(epochs(&copies.borrow()).iter().all(|epoch| *epoch <= old.epoch.0));
    let before = (gathers(&world), late(&world));
    again(&mut world, &copies.borrow());
    run_losing(&mut world, NONE, |world| (A..=C).all(|node| installed(world, node) != old));
    let during = late(&world);
    assert!(
        during.iter().zip(&before.1).all(|(now, before)| now > before),
        "{before:?} {during:?}"
    );
    let ring = installed(&world, A);
    again(&mut world, &copies.borrow());
    run_losing(&mut world, NONE, World::is_settled);
    let after = late(&world);
    assert!(after.iter().zip(&during).all(|(after, during)| after > during));
    assert_eq!(gathers(&world), before.0, "no gather follows");
    assert!((A..=C).all(|node| installed(&world, node) == ring));
    judged(world);
}

/// Lets frames come once more, soon.
fn again(world: &mut World, frames: &[Pending]) {
    let at: Time = world.now + Duration::from_micros(1);
    for frame in frames {
        world.push(at, frame.node, frame.what.clone());
    }
}

fn gathers(world: &World) -> u64 {
    (0..world.hosts.len()).map(|node| life(world, node).control.membership().gathers()).sum()
}

fn late(world: &World) -> Vec<u64> {
    let ignored = |node| life(world, node).control.membership().ignored().of(Ignored::Late);
    (0..world.hosts.len()).map(ignored).collect()
}
