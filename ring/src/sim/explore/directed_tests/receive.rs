//! Members that receive nothing of what they ask for, and packets in a member's own name.

use super::*;
use crate::packet::{Content, Packet, Waits};
use crate::seq::Seq;
use crate::sim::explore::world::Port;
use crate::wire::data::Data;

/// One member gets the token and nothing else, and asks again and again: it is failed by the others,
/// whoever of them answers it.
fn a_deaf_member_is_failed(members: usize, in_recovery: bool) {
    let mut world = small_ring(members);
    let deaf = members - 1 - usize::from(in_recovery);
    let is_lost = |arrival: &Arrival<'_>| arrival.to == deaf && arrival.kind == Kind::Data;
    publish(&mut world, A, Service::Agreed, "for all but one");
    run_losing(&mut world, is_lost, |world| originated(world, A) == 1);
    let old = installed(&world, A);
    if in_recovery {
        world.kill(members - 1);
    }
    run_losing(&mut world, is_lost, |world| installed(world, A) != old);
    assert!(!ids(&world, A).contains(&(u32::try_from(deaf).unwrap() + 1)));
    judged(world);
}

#[test]
fn a_deaf_member_of_two_is_failed() {
    a_deaf_member_is_failed(2, false);
}

#[test]
fn a_deaf_member_of_some_is_failed() {
    a_deaf_member_is_failed(3, false);
    a_deaf_member_is_failed(4, false);
}

#[test]
fn a_member_that_is_deaf_in_recovery_is_failed() {
    a_deaf_member_is_failed(3, true);
    a_deaf_member_is_failed(4, true);
}

/// A packet in my own name for a slot of which nobody in T holds anything: it is not mine, and I do not
/// count it as delivered.
#[test]
fn nothing_is_stored_at_a_void_slot() {
    let mut world = behind_a_hole(3, C, &[], A, &[]);
    let old = installed(&world, A);
    run_losing(&mut world, NONE, |world| voids(world, A) > 0);
    assert_eq!(installed(&world, A), old);
    let body = Bytes::from_static(&[1, 0, b'x', 1, 0, b'y']);
    let (class, waits) = (Service::Agreed.into(), Waits::default());
    let (originator, content) = (NodeId(1), Content::Messages { count: 2 });
    let packet = Packet { originator, first_message: 7, class, waits, content, body: body.clone() };
    let (transmitter, ring) = (NodeId(2), running(&world, A));
    let data = Data { transmitter, ring, seq: Seq(1), hop: 0, post_token: false, packet };
    let mut frame = Vec::new();
    data.emit_head(crate::sim::node::cluster(), &mut frame);
    frame.extend_from_slice(&body);
    world.push(world.now, A, What::Frame { from: B, port: Port::Data, frame: frame.into() });
    run_losing(&mut world, NONE, |world| installed(world, A) != old);
    assert_eq!(life(&world, A).data.undelivered(), 0);
    judged(world);
}
