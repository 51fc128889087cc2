//! Who is on a ring, in ring order, and sets of them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::id::{Incarnation, NodeId, RingId};
use crate::wire::MEMBERS_MAX;

/// Where a member receives unicast frames. Told by the member itself in its joins; nobody
/// computes a peer's ports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Endpoint {
    /// Its IPv4 address.
    pub address: Ipv4Addr,
    /// UDP port of its data worker: token, hold-cancel.
    pub token_port: u16,
    /// UDP port of its control thread: commit token.
    pub control_port: u16,
}

/// One member of a ring, in one life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Member {
    /// Who.
    pub id: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Where it receives.
    pub endpoint: Endpoint,
}

/// The fixed facts of one ring: one ring id, one member list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Roster {
    /// The ring.
    pub ring: RingId,
    /// Ascending by id; the token visits them in this order. The first is the representative.
    pub members: Vec<Member>,
    /// The smallest IP MTU of all members: what a packet may fill.
    pub mtu_bytes: usize,
    ids: Arc<[NodeId]>,
}

impl Roster {
    /// A ring of `members`, which must be ascending and at most [`MEMBERS_MAX`].
    #[must_use]
    pub fn new(ring: RingId, members: Vec<Member>, mtu_bytes: usize) -> Self {
        debug_assert!(members.is_sorted_by(|a, b| a.id < b.id), "members ascend");
        debug_assert!(members.len() <= MEMBERS_MAX, "members are bounded");
        let ids = members.iter().map(|member| member.id).collect();
        Self { ring, members, mtu_bytes, ids }
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Never: a ring has at least its representative.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members' ids, ascending.
    #[must_use]
    pub const fn ids(&self) -> &Arc<[NodeId]> {
        &self.ids
    }

    /// Place of `node` in ring order.
    #[must_use]
    pub fn index_of(&self, node: NodeId) -> Option<usize> {
        self.members.binary_search_by_key(&node, |member| member.id).ok()
    }

    /// The member after place `index` in ring order.
    #[must_use]
    pub fn successor(&self, index: usize) -> &Member {
        &self.members[(index + 1) % self.members.len()]
    }

    /// The member before place `index` in ring order.
    #[must_use]
    pub fn predecessor(&self, index: usize) -> &Member {
        &self.members[(index + self.members.len() - 1) % self.members.len()]
    }

    /// The ids of the members in `mask`, ascending.
    pub fn select(&self, mask: MemberMask) -> impl Iterator<Item = NodeId> + '_ {
        self.ids.iter().enumerate().filter(move |(i, _)| mask.contains(*i)).map(|(_, id)| *id)
    }

    /// The mask of all members.
    #[must_use]
    pub fn everyone(&self) -> MemberMask {
        (0..self.len()).fold(MemberMask::default(), |mut mask, index| {
            mask.insert(index);
            mask
        })
    }
}

/// A set of members of one ring, by their place in its roster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct MemberMask(pub u128);

const _: () = assert!(MEMBERS_MAX <= 128, "a mask has a bit for every member");

impl MemberMask {
    /// Adds the member at place `index`.
    pub const fn insert(&mut self, index: usize) {
        self.0 |= 1 << index;
    }

    /// Whether the member at place `index` is in.
    #[must_use]
    pub const fn contains(self, index: usize) -> bool {
        index < 128 && self.0 & (1 << index) != 0
    }

    /// Members of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Members of both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// How many are in.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Nobody is in.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}
