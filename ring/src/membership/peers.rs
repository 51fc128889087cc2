//! Who was heard of late, in which life, and who is held down.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::{Incarnation, NodeId, RingId};
use crate::time::Time;
use crate::wire::MEMBERS_MAX;

/// Peers remembered at most; the one heard least of late gives way.
const PEERS_MAX: usize = 4 * MEMBERS_MAX;

/// A held-down member waits at most this many consensus timeouts.
const HOLD_DOWN_MAX: u32 = 64;

/// Another member, as far as its beacons and joins tell.
#[derive(Clone, Copy, Hash, Debug)]
struct Peer {
    incarnation: Incarnation,
    heard_at: Time,
    /// Its ring and when its beacon said so.
    beacon: Option<(RingId, Time)>,
    held_down: Option<HoldDown>,
}

/// Somebody excluded while alive: its frames open no gather for a while, doubling each time.
#[derive(Clone, Copy, Hash, Debug)]
struct HoldDown {
    until: Time,
    timeouts: u32,
}

/// All peers, bounded.
#[derive(Clone, Hash, Debug, Default)]
pub(super) struct Peers {
    by_id: BTreeMap<NodeId, Peer>,
}

impl Peers {
    /// Notes a frame of `node` in life `incarnation`; false when it is of an earlier life.
    pub(super) fn hear(&mut self, node: NodeId, incarnation: Incarnation, now: Time) -> bool {
        if let Some(peer) = self.by_id.get_mut(&node) {
            if incarnation < peer.incarnation {
                return false;
            }
            peer.heard_at = now;
            if incarnation > peer.incarnation {
                peer.incarnation = incarnation;
                peer.beacon = None;
            }
            return true;
        }
        if self.by_id.len() >= PEERS_MAX {
            let oldest = self.by_id.iter().min_by_key(|(_, peer)| peer.heard_at);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.by_id.remove(&oldest);
            }
        }
        let peer = Peer { incarnation, heard_at: now, beacon: None, held_down: None };
        self.by_id.insert(node, peer);
        true
    }

    /// Notes which ring a beacon of `node` named.
    pub(super) fn hear_beacon(&mut self, node: NodeId, ring: RingId, now: Time) {
        if let Some(peer) = self.by_id.get_mut(&node) {
            peer.beacon = Some((ring, now));
        }
    }

    /// Members of rings other than `mine` whose beacon was heard within `span` and that are not held
    /// down, ascending. Not to list a held-down member tells it not to try: else two members that
    /// hold each other down in turn would try in turn for ever.
    pub(super) fn heard_of_others(&self, mine: RingId, now: Time, span: Duration) -> Vec<NodeId> {
        let of_others = |peer: &Peer| {
            peer.beacon.is_some_and(|(ring, at)| ring != mine && now.since(at) <= span)
        };
        let heard = self.by_id.iter().filter(|(_, peer)| of_others(peer)).map(|(id, _)| *id);
        heard.filter(|id| !self.is_held_down(*id, now)).take(MEMBERS_MAX).collect()
    }

    /// Whether `node` was heard at or after `since`.
    pub(super) fn heard_since(&self, node: NodeId, since: Time) -> bool {
        self.by_id.get(&node).is_some_and(|peer| peer.heard_at >= since)
    }

    /// Holds `node` down for 1, 2, 4 … consensus timeouts; from 1 again after a long good time.
    pub(super) fn hold_down(&mut self, node: NodeId, now: Time, consensus: Duration) {
        let Some(peer) = self.by_id.get_mut(&node) else {
            return;
        };
        let forgiven = |held: &HoldDown| now.since(held.until) > HOLD_DOWN_MAX * consensus;
        let timeouts = match peer.held_down.filter(|held| !forgiven(held)) {
            Some(held) => (held.timeouts * 2).min(HOLD_DOWN_MAX),
            None => 1,
        };
        peer.held_down = Some(HoldDown { until: now + consensus * timeouts, timeouts });
    }

    /// Whether frames of `node` open no gather now.
    pub(super) fn is_held_down(&self, node: NodeId, now: Time) -> bool {
        let held = self.by_id.get(&node).and_then(|peer| peer.held_down);
        held.is_some_and(|held| now < held.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Epoch;

    #[test]
    fn hold_down_doubles_up_to_its_bound_and_is_forgiven() {
        let consensus = Duration::from_millis(100);
        let (node, mut now) = (NodeId(3), Time::ZERO);
        let mut peers = Peers::default();
        peers.hear(node, Epoch(1), now);
        for timeouts in [1, 2, 4, 8, 16, 32, 64, 64] {
            peers.hold_down(node, now, consensus);
            let end = now + consensus * timeouts;
            assert!(peers.is_held_down(node, now) && !peers.is_held_down(node, end));
            now = end;
        }
        now = now + consensus * 65;
        peers.hold_down(node, now, consensus);
        assert!(!peers.is_held_down(node, now + consensus));
    }

    #[test]
    fn an_earlier_life_is_not_heard() {
        let mut peers = Peers::default();
        assert!(peers.hear(NodeId(1), Epoch(5), Time::ZERO));
        assert!(!peers.hear(NodeId(1), Epoch(4), Time::ZERO));
        assert!(peers.hear(NodeId(1), Epoch(6), Time::ZERO));
    }
}
