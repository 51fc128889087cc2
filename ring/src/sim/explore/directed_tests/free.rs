//! Packets that leave without the token: delivered before they have a place, never twice, and agreed
//! upon by all who go on together.

use std::time::Duration;

use super::services::{REGULAR, deliveries};
use super::*;
use crate::sim::explore::world::Port;
use crate::wire::claim::Claim;

fn is_token(arrival: &Arrival<'_>) -> bool {
    arrival.kind == Kind::Token
}

/// A ring of three whose token is held: all have seen what the others take.
fn idle_ring() -> World {
    idle_ring_of(3)
}

fn idle_ring_of(members: usize) -> World {
    let mut world = small_ring(members);
    run_losing(&mut world, NONE, |world| counters(world, A).holds > 1);
    world
}

fn counters(world: &World, node: usize) -> crate::counters::DataCounters {
    *life(world, node).data.ordering().counters()
}

#[test]
fn a_fifo_message_is_delivered_while_no_token_moves_and_keeps_its_sender_s_order() {
    let mut world = idle_ring();
    publish(&mut world, B, Service::Fifo, "first");
    publish(&mut world, B, Service::Fifo, "second");
    publish(&mut world, B, Service::Agreed, "third");
    let has_two = |world: &World| (A..=C).all(|node| deliveries(world, node, B).len() == 2);
    run_losing(&mut world, is_token, has_two);
    assert_eq!(counters(&world, B).packets_originated, 0, "nobody gave it a place");
    run_losing(&mut world, NONE, |world| (A..=C).all(|node| deliveries(world, node, B).len() == 3));
    assert_eq!(deliveries(&world, A, B), [(1, REGULAR), (2, REGULAR), (3, REGULAR)]);
    assert!(counters(&world, A).packets_delivered_free >= 1);
    judged(world);
}

/// The third does not hold the second one's message: nothing that the second says behind it counts
/// as held there, so nobody can deliver a safe message that would be without its past.
#[test]
fn nothing_behind_a_missing_message_counts_as_held() {
    let mut world = idle_ring();
    publish(&mut world, B, Service::Fifo, "before");
    let is_free = |arrival: &Arrival<'_>| arrival.kind == Kind::Free && arrival.to == C;
    let is_lost = |arrival: &Arrival<'_>| {
        let data = crate::wire::data::Data::parse(arrival.frame, crate::sim::node::cluster());
        is_free(arrival) || arrival.to == C && data.is_ok_and(|data| data.seq.0 == 1)
    };
    let visits = counters(&world, A).tokens;
    run_losing(&mut world, is_lost, |world| counters(world, A).tokens > visits + 1);
    assert_eq!(deliveries(&world, A, B), [(1, REGULAR)]);
    assert_eq!(counters(&world, B).packets_free, 1);
    publish(&mut world, B, Service::Safe, "behind");
    let visits = counters(&world, A).tokens;
    run_losing(&mut world, is_lost, |world| counters(world, A).tokens > visits + 20);
    assert!(holds(&world, C, 2) && !holds(&world, C, 1));
    for node in A..=C {
        assert!(!deliveries(&world, node, B).iter().any(|it| it.0 == 2), "member {node}");
    }
    run_losing(&mut world, NONE, |world| (A..=C).all(|node| deliveries(world, node, B).len() == 2));
    assert_eq!(deliveries(&world, C, B), [(1, REGULAR), (2, REGULAR)]);
    judged(world);
}

/// A claim says that its packets left before it: who misses one asks at the next visit already.
#[test]
fn what_is_claimed_and_missing_is_asked_for_at_once() {
    let mut world = idle_ring();
    let visits = counters(&world, C).tokens;
    publish(&mut world, B, Service::Fifo, "lost once");
    let is_lost = |arrival: &Arrival<'_>| arrival.kind == Kind::Free && arrival.to == C;
    run_losing(&mut world, is_lost, |world| !deliveries(world, C, B).is_empty());
    assert_eq!(counters(&world, C).tokens, visits + 1, "asked for at the first visit");
    judged(world);
}

/// How long a packet of B's takes to its place that leaves while the token is held.
fn time_to_a_place(world: &mut World) -> Duration {
    let holds = counters(world, A).holds;
    run_losing(world, NONE, |world| counters(world, A).holds > holds);
    let (since, places) = (world.now, originated(world, B));
    publish(world, B, Service::Fifo, "of its own");
    run_losing(world, NONE, |world| originated(world, B) > places);
    world.now.since(since)
}

/// Who misses a packet learns so from its claim: while packets are being lost nothing is held before
/// it. With three it is the holder of idle tokens that repairs, with four it hears a repair.
#[test]
fn a_claim_waits_for_nothing_while_packets_are_lost() {
    [3, 4].into_iter().for_each(claim_waits_for_nothing_while_packets_are_lost);
}

fn claim_waits_for_nothing_while_packets_are_lost(members: usize) {
    let mut world = idle_ring_of(members);
    let without_loss = time_to_a_place(&mut world);
    publish(&mut world, B, Service::Fifo, "lost once");
    let is_lost = |arrival: &Arrival<'_>| arrival.kind == Kind::Free && arrival.to == C;
    run_losing(&mut world, is_lost, |world| deliveries(world, C, B).len() == 2);
    let with_loss = time_to_a_place(&mut world);
    assert!(3 * with_loss < without_loss, "{with_loss:?} {without_loss:?}");
    let long_after = world.now + Duration::from_secs(1);
    run_losing(&mut world, NONE, |world| world.now > long_after);
    assert_eq!(time_to_a_place(&mut world), without_loss);
    judged(world);
}

/// Nobody is asked for places that no token has given: the next member would refuse that token.
#[test]
fn a_claim_of_places_beyond_the_token_is_not_asked_for() {
    let mut world = idle_ring();
    let (old, visits) = (installed(&world, C), counters(&world, C).tokens);
    let (sender, waits) = (NodeId(2), [0; crate::free::FREE_PACKETS_MAX as usize]);
    let (ring, first_seq, hop) = (running(&world, C), crate::seq::Seq(9), 0);
    let claim = Claim { sender, ring, first_seq, hop, first_number: 1, count: 3, waits };
    let mut frame = Vec::new();
    claim.emit(crate::sim::node::cluster(), &mut frame);
    world.push(world.now, C, What::Frame { from: B, port: Port::Data, frame: frame.into() });
    run_losing(&mut world, NONE, |world| counters(world, C).tokens > visits + 5);
    assert_eq!(installed(&world, C), old);
    judged(world);
}

/// EVS 4: the sender is gone and nobody gave its message a place. One has delivered it in the
/// regular configuration; the other gets it in recovery, and delivers it there, too.
#[test]
fn what_one_delivered_without_a_place_is_delivered_in_the_regular_configuration_by_all() {
    let mut world = idle_ring();
    publish(&mut world, B, Service::Fifo, "of a member that dies");
    let is_lost =
        |arrival: &Arrival<'_>| is_token(arrival) || arrival.kind == Kind::Free && arrival.to == C;
    run_losing(&mut world, is_lost, |world| counters(world, A).token_retransmits > 0);
    assert_eq!(deliveries(&world, A, B), [(1, REGULAR)]);
    assert_eq!(deliveries(&world, C, B), []);
    let old = installed(&world, A);
    world.kill(B);
    run_losing(&mut world, NONE, |world| [A, C].iter().all(|node| installed(world, *node) != old));
    assert_eq!(deliveries(&world, C, B), [(1, REGULAR)]);
    assert_eq!(deliveries(&world, A, B), [(1, REGULAR)]);
    assert_eq!(counters(&world, A).packets_recovered_free, 1);
    judged(world);
}

/// EVS 4: one misses the first of two packets, the other misses the claim of both; then their sender
/// is gone. Who knows the place of the second must not take it as placed: its past has none.
#[test]
fn a_claim_counts_up_to_the_first_packet_that_is_missing() {
    let mut world = idle_ring();
    let is_lost = |arrival: &Arrival<'_>| match arrival.kind {
        Kind::Free => arrival.to == C && is_number(arrival, 1),
        Kind::Claim | Kind::Data => arrival.to == A,
        Kind::Token => arrival.from == B,
        _ => false,
    };
    publish(&mut world, B, Service::Fifo, "first");
    run_losing(&mut world, is_lost, |world| deliveries(world, A, B).len() == 1);
    publish(&mut world, B, Service::Fifo, "second");
    run_losing(&mut world, is_lost, |world| counters(world, B).token_retransmits > 0);
    assert_eq!(deliveries(&world, A, B), [(1, REGULAR), (2, REGULAR)]);
    assert_eq!((deliveries(&world, C, B), originated(&world, B)), (vec![], 2));
    let old = installed(&world, A);
    world.kill(B);
    run_losing(&mut world, NONE, |world| [A, C].iter().all(|node| installed(world, *node) != old));
    assert_eq!(deliveries(&world, C, B), [(1, REGULAR), (2, REGULAR)]);
    judged(world);
}

fn is_number(arrival: &Arrival<'_>, number: u64) -> bool {
    let free = crate::wire::free::Free::parse(arrival.frame, crate::sim::node::cluster());
    free.is_ok_and(|free| free.number == number)
}

/// The claim is lost on its way to one that has delivered the packet: it comes again as a packet of
/// the ring, and is not delivered again.
#[test]
fn a_lost_claim_costs_a_repair_and_nothing_is_delivered_twice() {
    let mut world = idle_ring();
    publish(&mut world, B, Service::Reliable, "once");
    let is_claim = |arrival: &Arrival<'_>| arrival.kind == Kind::Claim && arrival.to == C;
    run_losing(&mut world, is_claim, |world| originated(world, B) == 1 && holds(world, C, 1));
    let repairs: u64 = (A..=C).map(|node| counters(&world, node).packets_retransmitted).sum();
    assert!(repairs >= 1);
    run_losing(&mut world, NONE, World::is_settled);
    assert_eq!(deliveries(&world, C, B), [(1, REGULAR)]);
    judged(world);
}

/// A fifo message without a place waits for its sender's agreed one that nobody else has, and is
/// lost with it.
#[test]
fn what_waits_for_a_lost_packet_is_lost_with_it_without_a_place_too() {
    let mut world = idle_ring();
    publish(&mut world, A, Service::Agreed, "first");
    let is_data = |arrival: &Arrival<'_>| arrival.kind == Kind::Data;
    run_losing(&mut world, is_data, |world| originated(world, A) == 1);
    // The token is away: what follows leaves without it.
    publish(&mut world, A, Service::Fifo, "behind the first");
    let is_lost = |arrival: &Arrival<'_>| is_data(arrival) || is_token(arrival);
    let frees = |world: &World, node| counters(world, node).packets_received;
    run_losing(&mut world, is_lost, |world| frees(world, B) == 1 && frees(world, C) == 1);
    let old = installed(&world, B);
    world.kill(A);
    run_losing(&mut world, NONE, |world| (B..=C).all(|node| installed(world, node) != old));
    assert_eq!((deliveries(&world, B, A), deliveries(&world, C, A)), (vec![], vec![]));
    assert_eq!(counters(&world, B).packets_discarded, 1);
    judged(world);
}

/// The same where the claim is lost at both, and the second packet comes again without the first.
#[test]
fn a_packet_that_comes_again_counts_behind_those_before_it() {
    let mut world = idle_ring();
    let is_first = |arrival: &Arrival<'_>| {
        let data = crate::wire::data::Data::parse(arrival.frame, crate::sim::node::cluster());
        is_number(arrival, 1) || data.is_ok_and(|data| data.seq.0 == 1)
    };
    let is_lost = |arrival: &Arrival<'_>| match arrival.kind {
        Kind::Claim => true,
        Kind::Free => arrival.to == C && is_first(arrival),
        Kind::Data => arrival.to == A || is_first(arrival),
        _ => false,
    };
    publish(&mut world, B, Service::Fifo, "first");
    run_losing(&mut world, is_lost, |world| deliveries(world, A, B).len() == 1);
    publish(&mut world, B, Service::Fifo, "second");
    let repaired = |world: &World| counters(world, B).packets_retransmitted > 5;
    run_losing(&mut world, is_lost, |world| originated(world, B) == 2 && repaired(world));
    assert_eq!(deliveries(&world, A, B), [(1, REGULAR), (2, REGULAR)]);
    let out_of_turn = counters(&world, C).ignored.of(Ignored::OutOfTurn);
    assert!(out_of_turn > 0 && deliveries(&world, C, B).is_empty());
    let old = installed(&world, A);
    world.kill(B);
    run_losing(&mut world, NONE, |world| [A, C].iter().all(|node| installed(world, *node) != old));
    assert_eq!(deliveries(&world, C, B), [(1, REGULAR), (2, REGULAR)]);
    judged(world);
}
