//! What overtakes a hole and what does not, and that who goes on together agrees about it.

use super::*;

/// What a member delivered of another's first life, by the numbers of the messages, in order, and
/// in which kind of configuration.
pub(super) fn deliveries(
    world: &World,
    node: usize,
    sender: usize,
) -> Vec<(u64, ConfigurationKind)> {
    let sender = NodeId(u32::try_from(sender).unwrap() + 1);
    let entries = world.hosts[node].histories.iter().flat_map(|history| &history.entries);
    let of_it = entries.filter_map(|entry| match &entry.event {
        Event::Deliver { message, in_configuration, .. } if message.sender == sender => {
            Some((message.counter, *in_configuration))
        }
        _ => None,
    });
    of_it.collect()
}

pub(super) const REGULAR: ConfigurationKind = ConfigurationKind::Regular;

/// The first packet of a ring is the first member's, agreed, and the third lacks it. Behind it the
/// second, which has it, publishes one message of each service. All wait for the token.
fn overtaken(members: usize, lacks: &[usize]) -> World {
    let mut world = ring(members, Params { free_packets: 0, ..super::super::scenario::params() });
    publish(&mut world, A, Service::Agreed, "the hole");
    let is_hole = |arrival: &Arrival<'_>| is_first(arrival) && lacks.contains(&arrival.to);
    run_losing(&mut world, is_hole, |world| deliveries(world, B, A).len() == 1);
    for service in [Service::Reliable, Service::Fifo, Service::Causal, Service::Agreed] {
        publish(&mut world, B, service, service.name());
    }
    let is_lost = |arrival: &Arrival<'_>| {
        is_hole(arrival) || arrival.kind == Kind::Data && arrival.from == B && arrival.to == D
    };
    run_losing(&mut world, is_lost, |world| holds(world, C, 5));
    world
}

/// The first packet of its ring, whoever sends it.
fn is_first(arrival: &Arrival<'_>) -> bool {
    let data = crate::wire::data::Data::parse(arrival.frame, crate::sim::node::cluster());
    data.is_ok_and(|data| data.seq.0 == 1)
}

#[test]
fn reliable_and_fifo_messages_overtake_a_hole_causal_and_agreed_ones_do_not() {
    let mut world = overtaken(3, &[C]);
    assert_eq!(deliveries(&world, C, B), [(1, REGULAR), (2, REGULAR)]);
    assert_eq!(deliveries(&world, C, A), []);
    run_losing(&mut world, NONE, |world| deliveries(world, C, B).len() == 4);
    assert_eq!(deliveries(&world, C, A), [(1, REGULAR)]);
    let overtaken = life(&world, C).data.ordering().counters().packets_overtaken;
    assert_eq!(overtaken, 2, "each of them once");
    judged(world);
}

/// EVS 4: both senders are gone, and with them the packet before. One has delivered what overtook it
/// in the regular configuration; the other gets it in recovery, and delivers it there, too.
#[test]
fn what_overtook_at_one_member_is_delivered_in_the_regular_configuration_by_all() {
    let mut world = overtaken(4, &[C, D]);
    assert_eq!(deliveries(&world, C, B), [(1, REGULAR), (2, REGULAR)]);
    assert_eq!((deliveries(&world, D, B), holds(&world, D, 2)), (vec![], false));
    let old = installed(&world, C);
    world.kill(A);
    world.kill(B);
    run_losing(&mut world, NONE, |world| (C..=D).all(|node| installed(world, node) != old));
    assert_eq!(deliveries(&world, D, B), [(1, REGULAR), (2, REGULAR)]);
    assert_eq!(deliveries(&world, C, B), deliveries(&world, D, B));
    assert_eq!([voids(&world, C), voids(&world, D)], [1; 2], "nobody has the first packet");
    judged(world);
}

/// What waits for a packet that nobody has is discarded, like agreed messages behind it; its sender
/// would have delivered both.
#[test]
fn what_waits_for_a_lost_packet_is_lost_with_it() {
    let mut world = small_ring(3);
    publish(&mut world, A, Service::Agreed, "first");
    run_losing(&mut world, is_first, |world| originated(world, A) == 1);
    publish(&mut world, A, Service::Fifo, "behind the first");
    let has_second = |world: &World| holds(world, B, 2) && holds(world, C, 2);
    run_losing(&mut world, is_first, has_second);
    assert_eq!((deliveries(&world, B, A), deliveries(&world, C, A)), (vec![], vec![]));
    let old = installed(&world, B);
    world.kill(A);
    run_losing(&mut world, NONE, |world| (B..=C).all(|node| installed(world, node) != old));
    assert_eq!((deliveries(&world, B, A), deliveries(&world, C, A)), (vec![], vec![]));
    judged(world);
}
