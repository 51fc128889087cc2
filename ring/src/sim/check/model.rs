//! The histories in the form the clauses read: every member life, configuration, ring and message
//! with a dense index, and for each ring who delivered what, when.

use std::ops::Range;

use crate::configuration::ConfigurationKind;
use crate::id::{Incarnation, MessageId, NodeId, RingId};
use crate::seq::Ordinal;
use crate::service::Service;
use crate::trace::Entry;

/// Not delivered; later than every position.
pub(super) const NEVER: u32 = u32::MAX;

/// `n` as the narrow number that the big tables keep. A history with more entries than that is
/// beyond what memory holds, so saturation is never seen.
pub(super) fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(NEVER)
}

/// One life of a member.
pub(super) struct Life<'h> {
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) entries: &'h [Entry],
    /// It stopped, or a later life of the same member shows that it did.
    pub(super) failed: bool,
    /// Number of its first event among the events of all lives.
    pub(super) first_event: usize,
    pub(super) segments: Range<usize>,
    pub(super) stays: Range<usize>,
    pub(super) sends: Range<usize>,
    pub(super) deliveries: Range<usize>,
    pub(super) submits: Range<usize>,
}

/// A configuration in force at one life, from its change message on.
pub(super) struct Segment<'h> {
    pub(super) life: usize,
    /// Of the change message, in the life.
    pub(super) position: usize,
    pub(super) kind: ConfigurationKind,
    pub(super) ring: usize,
    pub(super) previous: Option<usize>,
    pub(super) members: &'h [NodeId],
    pub(super) eligible: Option<bool>,
    /// The configuration: all segments of one regular ring, or of one transitional pair
    /// (previous ring, ring), have the same.
    pub(super) configuration: usize,
    /// The stay on a ring that it is part of; none before a first regular configuration.
    pub(super) stay: Option<usize>,
    pub(super) deliveries: Range<usize>,
}

/// How a stay on a ring ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StayEnd {
    /// By installing the next regular configuration.
    Left {
        /// Its ring.
        next: usize,
    },
    /// By failing.
    Failed,
    /// Not at all: the history ends before.
    Open,
}

/// A life's time on a ring: in the regular configuration and, after it, in the transitional one
/// that closes it (`com_p(c)` of the EVS paper).
pub(super) struct Stay {
    pub(super) life: usize,
    pub(super) ring: usize,
    pub(super) regular: usize,
    pub(super) transitional: Option<usize>,
    /// Position of the transitional configuration's change message; [`NEVER`] without one.
    pub(super) signal: u32,
    pub(super) end: StayEnd,
    pub(super) sends: Range<usize>,
    pub(super) deliveries: Range<usize>,
}

/// A `send` event.
pub(super) struct Send {
    pub(super) life: usize,
    pub(super) position: usize,
    pub(super) segment: Option<usize>,
    pub(super) message: usize,
    pub(super) ring: usize,
    pub(super) service: Service,
    pub(super) hash: u64,
}

/// A `deliver` event.
pub(super) struct Delivery {
    pub(super) life: usize,
    pub(super) position: usize,
    pub(super) segment: Option<usize>,
    pub(super) message: usize,
    pub(super) ring: usize,
    pub(super) kind: ConfigurationKind,
    pub(super) ordinal: Option<Ordinal>,
    pub(super) service: Service,
    pub(super) hash: u64,
}

/// A `submit` event.
pub(super) struct Submit {
    pub(super) position: usize,
    pub(super) message: usize,
}

/// A `primary` event.
pub(super) struct Confirmation {
    pub(super) life: usize,
    pub(super) segment: Option<usize>,
    pub(super) ring: usize,
}

/// A message, whether sent, delivered or only submitted.
pub(super) struct Message {
    pub(super) id: MessageId,
    /// Its first send.
    pub(super) send: Option<usize>,
    /// As its first send says, else its first delivery.
    pub(super) service: Service,
    /// The ring it belongs to, and its column there; from its first send, else its first delivery.
    pub(super) place: Option<(usize, usize)>,
    /// Into [`Model::delivered`].
    pub(super) deliveries: Range<usize>,
}

/// A ring.
pub(super) struct Ring<'h> {
    pub(super) id: RingId,
    /// As the first installation says; empty when nobody installed it.
    pub(super) members: &'h [NodeId],
    /// Stays on it, in order of lives.
    pub(super) stays: Vec<usize>,
    /// Messages that belong to it.
    pub(super) messages: Vec<usize>,
    /// Somebody confirmed it as the primary component.
    pub(super) primary: bool,
    /// Row by stay, column by message: position of the delivery.
    pub(super) positions: Vec<u32>,
}

impl Ring<'_> {
    /// When the stay of row `row` delivered each message of the ring.
    pub(super) fn row(&self, row: usize) -> &[u32] {
        let width = self.messages.len();
        &self.positions[row * width..(row + 1) * width]
    }
}

/// All histories.
pub(super) struct Model<'h> {
    /// In order of (node, incarnation).
    pub(super) lives: Vec<Life<'h>>,
    pub(super) segments: Vec<Segment<'h>>,
    pub(super) stays: Vec<Stay>,
    pub(super) sends: Vec<Send>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) submits: Vec<Submit>,
    pub(super) confirmations: Vec<Confirmation>,
    pub(super) messages: Vec<Message>,
    /// In order of ring ids.
    pub(super) rings: Vec<Ring<'h>>,
    /// Number of distinct configurations.
    pub(super) configuration_count: usize,
    /// Deliveries by message, each message's in order of lives.
    pub(super) delivered: Vec<usize>,
    /// Number of events of all lives.
    pub(super) event_count: usize,
}

impl Model<'_> {
    /// `node.incarnation` of a life.
    pub(super) fn who(&self, life: usize) -> String {
        let life = &self.lives[life];
        format!("{}.{}", life.node, life.incarnation)
    }

    pub(super) fn ring_id(&self, ring: usize) -> RingId {
        self.rings[ring].id
    }

    pub(super) fn message_id(&self, message: usize) -> MessageId {
        self.messages[message].id
    }

    /// The configuration of a segment, in words.
    pub(super) fn configuration_name(&self, segment: usize) -> String {
        let segment = &self.segments[segment];
        let ring = self.ring_id(segment.ring);
        match (segment.kind, segment.previous) {
            (ConfigurationKind::Regular, _) => format!("ring {ring}"),
            (ConfigurationKind::Transitional, Some(previous)) => {
                format!("transition {} to {ring}", self.ring_id(previous))
            }
            (ConfigurationKind::Transitional, None) => format!("transition from nothing to {ring}"),
        }
    }

    /// The stay during which something happened, given its segment.
    pub(super) fn stay_of(&self, segment: Option<usize>) -> Option<usize> {
        self.segments[segment?].stay
    }

    /// The deliveries of a message, in order of lives.
    pub(super) fn deliveries_of(&self, message: usize) -> impl Iterator<Item = &Delivery> {
        self.delivered[self.messages[message].deliveries.clone()]
            .iter()
            .map(|&delivery| &self.deliveries[delivery])
    }

    /// The stays of member `node` on a ring, with their rows. One in every sound history.
    pub(super) fn stays_on(
        &self,
        ring: usize,
        node: NodeId,
    ) -> impl Iterator<Item = (usize, &Stay)> {
        // Stays are in order of lives, and so of nodes.
        let stays = &self.rings[ring].stays;
        let node_of = |stay: usize| self.lives[self.stays[stay].life].node;
        let first = stays.partition_point(|stay| node_of(*stay) < node);
        let rows = stays.iter().enumerate().skip(first);
        rows.map(|(row, &stay)| (row, &self.stays[stay]))
            .take_while(move |(_, stay)| self.lives[stay.life].node == node)
    }

    /// The last life of member `node`.
    pub(super) fn last_life(&self, node: NodeId) -> Option<&Life<'_>> {
        let after = self.lives.partition_point(|life| life.node <= node);
        let life = self.lives.get(after.checked_sub(1)?)?;
        (life.node == node).then_some(life)
    }

    /// Whether `node` may yet install `ring` when the history goes on: it is alive, and the ring
    /// is later than the one it is on.
    pub(super) fn may_install(&self, node: NodeId, ring: usize) -> bool {
        self.last_life(node).is_some_and(|life| {
            let last = life.stays.clone().last();
            // Ring indices are in the order of ring ids.
            !life.failed && last.is_none_or(|stay| self.stays[stay].ring < ring)
        })
    }

    /// The last configuration of each member that is alive at the end, in order of nodes; none
    /// for one that never installed any.
    pub(super) fn live_ends(&self) -> impl Iterator<Item = (usize, Option<usize>)> {
        self.lives
            .iter()
            .enumerate()
            .filter(|(_, life)| !life.failed)
            .map(|(i, life)| (i, life.segments.clone().last()))
    }
}
