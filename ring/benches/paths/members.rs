//! Members on one ring and the network between them: one thread, no sockets.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roundel_ring::handoff::{Directive, Recover};
use roundel_ring::id::{Incarnation, NodeId};
use roundel_ring::ordering::{DataDestination, Identity, Ordering, Recovery};
use roundel_ring::params::Params;
use roundel_ring::roster::{Endpoint, Member, MemberMask, Roster};
use roundel_ring::seq::Seq;
use roundel_ring::slots::SlotMap;
use roundel_ring::time::Time;

use super::{MTU_BYTES, RING, cluster};

pub(super) struct Members {
    pub(super) members: Vec<Ordering>,
    pub(super) now: Time,
    /// Of the data frames for a member each so many-th is lost.
    pub(super) lost_each: Option<u64>,
    /// Data frames for a member so far.
    data_frames: u64,
    head: Vec<u8>,
}

impl Members {
    /// Forms the ring of `count` members as control would.
    pub(super) fn new(count: u32) -> Self {
        let now = Time::default();
        let all: Vec<Member> = (1..=count).map(member).collect();
        let roster = Arc::new(Roster::new(RING, all.clone(), MTU_BYTES));
        let alone = |member: Member| {
            let identity = Identity { member, cluster: cluster(), mtu_bytes: MTU_BYTES };
            Ordering::new(identity, Params::default(), false, now)
        };
        let mut members: Vec<Ordering> = all.into_iter().map(alone).collect();
        for (index, ordering) in members.iter_mut().enumerate() {
            let id = ordering.installed().ring;
            ordering.handle_directive(now, Directive::Freeze { ring: id });
            let recover = Recover {
                roster: Arc::clone(&roster),
                slots: SlotMap::empty(),
                transitional: MemberMask(1),
                transitional_ids: Arc::from([NodeId(u32::try_from(index).unwrap_or(0) + 1)]),
                obligations: MemberMask::default(),
                stable: Seq::ZERO,
                complete: roster.everyone(),
            };
            let recovery = Box::new(Recovery::new(recover, index, &Params::default()));
            ordering.handle_directive(now, Directive::Recover(recovery));
        }
        let head = Vec::with_capacity(9_000);
        let mut members = Self { members, now, lost_each: None, data_frames: 0, head };
        members.members[0].handle_directive(now, Directive::Originate { ring: RING });
        for _ in 0..4 {
            members.rotate();
        }
        assert!(members.members.iter().all(|member| member.installed().ring == RING));
        members
    }

    /// Carries every frame of each member in turn, and takes what is delivered; yields how many
    /// packets that were. Frames are copied on the way, as a network would.
    pub(super) fn rotate(&mut self) -> u64 {
        let mut delivered = 0;
        for from in 0..self.members.len() {
            self.now = self.now + Duration::from_micros(10);
            self.members[from].advance(self.now);
            while let Some(transmit) = self.members[from].poll_transmit(&mut self.head) {
                let frame = Bytes::from([&self.head[..], &transmit.body].concat());
                let is_data = !transmit.body.is_empty();
                for to in 0..self.members.len() {
                    let is_for = match transmit.to {
                        DataDestination::Group => to != from,
                        DataDestination::Member(endpoint) => endpoint.address == address(to),
                    };
                    if is_for && !(is_data && self.loses()) {
                        self.members[to].handle_frame(self.now, &frame);
                    }
                }
            }
            while self.members[from].poll_delivery().is_some() {
                delivered += 1;
            }
            while self.members[from].poll_report().is_some() {}
        }
        delivered
    }

    /// Whether the next data frame for a member is lost.
    fn loses(&mut self) -> bool {
        self.data_frames += 1;
        self.lost_each.is_some_and(|each| self.data_frames.is_multiple_of(each))
    }
}

fn member(id: u32) -> Member {
    let address = Ipv4Addr::from_bits(0x7f00_0000 + id);
    let endpoint = Endpoint { address, token_port: 7401, control_port: 7402 };
    Member { id: NodeId(id), incarnation: Incarnation::default(), endpoint }
}

/// Of the member at `index`.
fn address(index: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x7f00_0001 + u32::try_from(index).unwrap_or(0))
}
