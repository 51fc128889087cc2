//! What one member delivers, as digests, and what it can judge by itself.

use std::collections::{BTreeMap, VecDeque};

use roundel::{Configuration, ConfigurationKind, Incarnation, MessageId, NodeId, RingId};

use super::words::{Passage, Point, Ring, Told, numbers};
use crate::order::chain;
use crate::payload::Load;

/// Messages between two checkpoints.
pub(super) const CHECKPOINT: u64 = 1024;

/// A member's history.
///
/// Getters: [`History::place`]. Inputs: `handle_*`. Outputs: [`History::poll_told`].
#[derive(Default, Debug)]
pub(super) struct History {
    current: Option<Current>,
    /// The next counter of each life that was heard.
    next: BTreeMap<(NodeId, Incarnation), u64>,
    told: VecDeque<Told>,
}

/// The regular configuration in force, and the transitional one behind it.
#[derive(Debug)]
struct Current {
    ring: RingId,
    point: Point,
    transition: Option<Transition>,
}

#[derive(Debug)]
struct Transition {
    together: Vec<NodeId>,
    /// Where it began.
    at: Point,
}

impl History {
    /// The regular configuration in force, and how far it is delivered.
    pub(super) fn place(&self) -> (Ring, Point) {
        self.current.as_ref().map_or_else(Default::default, |it| (it.ring.into(), it.point))
    }

    /// What is to be told next.
    pub(super) fn poll_told(&mut self) -> Option<Told> {
        self.told.pop_front()
    }

    /// Takes a configuration change.
    pub(super) fn handle_configuration(&mut self, it: &Configuration) {
        if it.kind == ConfigurationKind::Transitional {
            if let Some(current) = &mut self.current {
                let together = it.members.to_vec();
                current.transition = Some(Transition { together, at: current.point });
            }
            return;
        }
        if let Some(before) = self.current.take() {
            let Current { ring, point, transition } = before;
            let (together, at) = transition.map_or((Vec::new(), point), |it| (it.together, it.at));
            self.told.push_back(Told::Passage(Passage {
                from: ring.into(),
                to: it.ring.into(),
                together: numbers(&together),
                regular: at,
                whole: point,
            }));
            // Of the others, messages may be delivered elsewhere alone.
            self.next.retain(|(sender, _), _| together.contains(sender));
        }
        self.current = Some(Current { ring: it.ring, point: Point::default(), transition: None });
        let members = numbers(&it.members);
        self.told.push_back(Told::Configuration { ring: it.ring.into(), members });
    }

    /// Takes a message that was originated in `ring`.
    pub(super) fn handle_message(
        &mut self,
        ring: RingId,
        id: MessageId,
        load: Load,
        payload: &[u8],
    ) {
        if let Err(what) = load.check_sender(id.sender) {
            return self.violation(what);
        }
        let Some(current) = &mut self.current else {
            return self.violation(format!("{load:?} came before any configuration"));
        };
        // EVS 2.2: a message is delivered in the configuration of its origin, or the transitional
        // one behind it.
        if ring != current.ring {
            let now = current.ring;
            return self.violation(format!("{load:?} of ring {ring} came in ring {now}"));
        }
        let Point { count, digest } = current.point;
        current.point = Point { count: count + 1, digest: chain(digest, load, payload) };
        let point = current.point;
        if point.count.is_multiple_of(CHECKPOINT) && current.transition.is_none() {
            self.told.push_back(Told::Checkpoint { ring: ring.into(), point });
        }
        self.follow(id.incarnation, load);
    }

    /// EVS 6.3 and 4: a sender's messages come without a gap in a regular configuration, and
    /// across changes as long as it comes along. EVS 6.3 excuses holes in a transitional one for
    /// those that do not, and even then the order of sending is kept (EVS 5). The member itself
    /// always comes along: what it published is delivered here (EVS 3).
    fn follow(&mut self, life: Incarnation, load: Load) {
        let Load { sender, counter, .. } = load;
        let transition = self.current.as_ref().and_then(|current| current.transition.as_ref());
        let may_skip = transition.is_some_and(|it| !it.together.contains(&sender));
        let expected = self.next.insert((sender, life), counter + 1);
        let Some(expected) = expected else { return };
        if counter != expected && !(may_skip && counter > expected) {
            self.violation(format!(
                "message {counter} of member {sender} came instead of its {expected}"
            ));
        }
    }

    fn violation(&mut self, what: String) {
        self.told.push_back(Told::Violation { what });
    }
}

#[cfg(test)]
mod tests {
    use roundel::Epoch;

    use super::*;

    const fn ring(epoch: u64) -> RingId {
        RingId::new(Epoch(epoch), NodeId(1))
    }

    fn configuration(kind: ConfigurationKind, epoch: u64, members: &[u32]) -> Configuration {
        let members: Vec<NodeId> = members.iter().copied().map(NodeId).collect();
        let members = members.into();
        Configuration { kind, ring: ring(epoch), previous: None, members, eligible: None }
    }

    /// In ring 1 of three.
    fn begun() -> History {
        let mut history = History::default();
        let first = configuration(ConfigurationKind::Regular, 1, &[1, 2, 3]);
        history.handle_configuration(&first);
        history
    }

    fn message(history: &mut History, epoch: u64, sender: u32, counter: u64) {
        let load = Load { sender: NodeId(sender), counter, planned_ns: 0, lateness_ns: 0 };
        let id = MessageId { sender: NodeId(sender), incarnation: Epoch(1), counter };
        history.handle_message(ring(epoch), id, load, b"");
    }

    fn violations(history: &mut History) -> Vec<String> {
        let told = std::iter::from_fn(|| history.poll_told());
        let what = told.filter_map(|told| match told {
            Told::Violation { what } => Some(what),
            _ => None,
        });
        what.collect()
    }

    #[test]
    fn a_gap_is_found_and_a_sender_that_stays_behind_is_excused() {
        let mut history = begun();
        message(&mut history, 1, 2, 0);
        message(&mut history, 1, 3, 0);
        assert!(violations(&mut history).is_empty());
        message(&mut history, 1, 2, 2);
        assert!(violations(&mut history)[0].contains("instead of its 1"));

        history.handle_configuration(&configuration(ConfigurationKind::Transitional, 2, &[1, 2]));
        message(&mut history, 1, 3, 7);
        message(&mut history, 1, 2, 3);
        assert!(violations(&mut history).is_empty());
        message(&mut history, 1, 3, 5);
        assert_eq!(violations(&mut history).len(), 1, "the order of sending is kept");
        history.handle_configuration(&configuration(ConfigurationKind::Regular, 2, &[1, 2]));
        message(&mut history, 2, 2, 5);
        assert!(violations(&mut history)[0].contains("instead of its 4"));
        message(&mut history, 2, 3, 90);
        assert!(violations(&mut history).is_empty(), "it did not come along");
    }

    #[test]
    fn a_passage_tells_where_each_part_ended() {
        let mut history = begun();
        (0..CHECKPOINT).for_each(|counter| message(&mut history, 1, 2, counter));
        let (_, regular) = history.place();
        history.handle_configuration(&configuration(ConfigurationKind::Transitional, 2, &[1, 2]));
        message(&mut history, 1, 2, CHECKPOINT);
        let (_, whole) = history.place();
        history.handle_configuration(&configuration(ConfigurationKind::Regular, 2, &[1, 2]));
        assert_eq!((regular.count, whole.count), (CHECKPOINT, CHECKPOINT + 1));
        let (from, to) = (ring(1).into(), ring(2).into());
        let passage = Passage { from, to, together: vec![1, 2], regular, whole };
        let told: Vec<Told> = std::iter::from_fn(|| history.poll_told()).collect();
        assert!(told.contains(&Told::Checkpoint { ring: ring(1).into(), point: regular }));
        assert!(told.contains(&Told::Passage(passage)));
        assert_eq!(history.place(), (ring(2).into(), Point::default()));
    }

    #[test]
    fn a_message_that_comes_as_one_of_another_member_is_found() {
        let mut history = begun();
        let load = Load { sender: NodeId(2), counter: 0, planned_ns: 0, lateness_ns: 0 };
        let id = MessageId { sender: NodeId(3), incarnation: Epoch(1), counter: 1 };
        history.handle_message(ring(1), id, load, b"");
        assert!(violations(&mut history)[0].contains("came as one of member 3"));
    }

    #[test]
    fn a_message_of_another_ring_is_found() {
        let mut history = begun();
        message(&mut history, 2, 2, 0);
        assert!(violations(&mut history)[0].contains("came in ring"));
    }
}
