//! Commit: a proposed ring on its two ways around.

use std::sync::Arc;

use crate::id::RingId;
use crate::roster::{Endpoint, Roster};
use crate::time::Time;
use crate::wire::ClusterTag;
use crate::wire::commit::{Commit, Entry};

/// A proposed ring, as one of its members sees it.
#[derive(Clone, Hash, Debug)]
pub(super) struct Proposal {
    pub(super) roster: Arc<Roster>,
    /// My place in ring order.
    pub(super) me: usize,
    /// What I wrote at the first pass; unchanged at the second.
    pub(super) entry: Entry,
    /// The hop at which I handle the commit token next.
    pub(super) next_hop: u16,
    pub(super) step: Step,
    /// What I sent last, for repetition.
    sent: Vec<u8>,
    pub(super) repeat_at: Option<Time>,
    /// Given up then, unless this member has adopted it: from there on the ring's own token
    /// timeout watches.
    pub(super) lost_at: Option<Time>,
}

/// How far this member is with a proposed ring.
#[derive(Clone, Hash, Debug)]
pub(super) enum Step {
    /// My entry is written and on its way (at the representative: not before its epoch is
    /// durable).
    FirstPass,
    /// The commit token is here the second time, or about to leave the first time: nothing
    /// happens before the epoch is durable.
    AwaitDurable(Commit),
    /// The worker adopts the ring; the commit token leaves when it has.
    AwaitAdopted(Commit),
    /// Adopted and passed on: waiting for the ring's first token, and for `Installed`.
    Adopted,
    /// The representative's worker has been told to make the first token.
    Originating,
}

impl Proposal {
    pub(super) fn new(roster: Arc<Roster>, me: usize, entry: Entry, lost_at: Time) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "members are at most 128")]
        let next_hop = me as u16;
        let (sent, step) = (Vec::new(), Step::FirstPass);
        Self { roster, me, entry, next_hop, step, sent, repeat_at: None, lost_at: Some(lost_at) }
    }

    pub(super) fn ring(&self) -> RingId {
        self.roster.ring
    }

    pub(super) fn is_representative(&self) -> bool {
        self.me == 0
    }

    /// Members, as commit hops count them.
    #[expect(clippy::cast_possible_truncation, reason = "members are at most 128")]
    pub(super) fn members(&self) -> u16 {
        self.roster.len() as u16
    }

    /// Keeps the frame that leaves now, for repetition until there is progress.
    pub(super) fn send(&mut self, commit: &Commit, cluster: ClusterTag, repeat_at: Time) {
        self.sent.clear();
        commit.emit(cluster, &mut self.sent);
        self.repeat_at = Some(repeat_at);
    }

    /// The frame that left last, and where it goes.
    pub(super) fn sent(&self) -> (Endpoint, &[u8]) {
        (self.roster.successor(self.me).endpoint, &self.sent)
    }
}
