//! One rotation an iteration: a token visit at each member, with what each has to send.

use bytes::Bytes;
use roundel_ring::ordering::Ordering;
use roundel_ring::packing::{Messages, Packer};
use roundel_ring::service::Service;

use super::members::Members;
use super::{BODY_BYTES, payload};

/// Each member publishes so many 64-byte messages, alone each.
pub(super) fn one_by_one(messages: usize) -> impl FnMut(u64) {
    rotations(Members::new(3), vec![payload(64).into(); messages])
}

/// Each member publishes so many 64-byte messages, in packets already.
pub(super) fn packed(messages: usize) -> impl FnMut(u64) {
    rotations(Members::new(3), bodies(messages, &payload(64)))
}

/// Each member publishes so many messages; of the data frames for a member each so many-th is
/// lost, asked for on the token and sent again.
pub(super) fn under_loss(messages: usize, bytes: usize, lost_each: u64) -> impl FnMut(u64) {
    let mut members = Members::new(3);
    members.lost_each = Some(lost_each);
    let mut rotations_done = rotations(members, vec![payload(bytes).into(); messages]);
    // Into the state in which each rotation repairs what the ones before it lost.
    rotations_done(100);
    rotations_done
}

fn rotations(mut members: Members, published: Vec<Messages>) -> impl FnMut(u64) {
    move |iterations| {
        let before = count(&members, |member| member.counters().packets_retransmitted);
        let mut delivered = 0;
        for _ in 0..iterations {
            publish(&mut members, &published);
            delivered += members.rotate();
        }
        assert!(delivered > 0, "the ring runs");
        let after = count(&members, |member| member.counters().packets_retransmitted);
        assert_eq!(after > before, members.lost_each.is_some(), "what is lost is sent again");
    }
}

fn publish(members: &mut Members, published: &[Messages]) {
    let now = members.now;
    for member in &mut members.members {
        for messages in published {
            let submitted = member.submit(now, Service::Agreed, messages.clone());
            debug_assert!(submitted.is_ok(), "a rotation sends what is published in it");
        }
    }
}

fn count(members: &Members, of: impl Fn(&Ordering) -> u64) -> u64 {
    members.members.iter().map(of).sum()
}

/// So many messages side by side, in bodies of packets.
fn bodies(messages: usize, payload: &Bytes) -> Vec<Messages> {
    let mut packer = Packer::new(BODY_BYTES, true);
    let mut bodies = Vec::new();
    for _ in 0..messages {
        while !packer.push(payload) {
            bodies.extend(packer.take().map(Messages::from));
        }
    }
    bodies.extend(packer.take().map(Messages::from));
    bodies
}
