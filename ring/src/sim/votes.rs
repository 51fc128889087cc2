//! Who may be the primary component in a simulated cluster, and the disks that remember votes.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::fault::Step;
use super::god::Violated;
use super::node::{Disk, Node};
use super::rng::Random;
use super::run::{Failure, patience};
use super::views::Glasses;
use super::world::{Happening, World};
use crate::cycle::DataHalf;
use crate::id::{Epoch, Incarnation, NodeId};
use crate::primary::{Policy, Primary, Record};
use crate::time::Time;
use crate::trace::{Entry, Event};

/// What a schedule says of primary components.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Primacy {
    policy: Admits,
    /// Applications look through the virtual synchrony filter.
    pub(super) filtered: bool,
}

/// A policy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Admits {
    Majority(Vec<u32>),
    Weighted(Vec<(u32, u32)>),
    Dynamic(Vec<u32>),
}

impl Primacy {
    /// Draws what hosts of these ids do; half of the clusters have no primary component.
    pub(super) fn draw(rng: &mut Random, ids: &[u32]) -> Option<Self> {
        if rng.chance(0.5) {
            return None;
        }
        // Mostly all of them; else some come and go without a say, or grow into it.
        let mut some = ids.to_vec();
        if rng.chance(0.3) {
            some.retain(|_| rng.chance(0.7));
        }
        if some.is_empty() {
            some.push(ids[0]);
        }
        // One disk may be lost; that of the whole initial set would make a new cluster.
        let mut initial = some.clone();
        initial
            .extend(ids.iter().filter(|id| !some.contains(id)).take(usize::from(some.len() < 2)));
        initial.sort_unstable();
        let policy = match rng.index(4) {
            0 => Admits::Majority(some),
            1 => {
                let weight = |id: u32, rng: &mut Random| (id, rng.one_of([0, 1, 1, 2, 5]));
                let mut weights: Vec<_> = some.iter().map(|id| weight(*id, rng)).collect();
                weights[0].1 += 1;
                Admits::Weighted(weights)
            }
            _ => Admits::Dynamic(initial),
        };
        Some(Self { policy, filtered: rng.chance(0.6) })
    }

    /// This policy, with no filters; `None` for none.
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        let ids = |nodes: &BTreeSet<NodeId>| nodes.iter().map(|node| node.0).collect();
        let policy = match policy {
            Policy::None => return None,
            Policy::Majority(of) => Admits::Majority(ids(of)),
            Policy::Weighted(weights) => {
                Admits::Weighted(weights.iter().map(|(node, weight)| (node.0, *weight)).collect())
            }
            Policy::Dynamic { initial } => Admits::Dynamic(ids(initial)),
        };
        Some(Self { policy, filtered: false })
    }

    pub(super) fn policy(&self) -> Policy {
        let nodes = |ids: &[u32]| ids.iter().copied().map(NodeId).collect();
        match &self.policy {
            Admits::Majority(of) => Policy::Majority(nodes(of)),
            Admits::Weighted(weights) => Policy::Weighted(
                weights.iter().map(|(id, weight)| (NodeId(*id), *weight)).collect(),
            ),
            Admits::Dynamic(initial) => Policy::Dynamic { initial: nodes(initial) },
        }
    }
}

impl Disk {
    /// Nothing is on it any more.
    pub(super) fn forget(&mut self) {
        (self.ceiling, self.record, self.was_lost) = (Epoch(0), None, true);
    }

    /// The record, which is made where there is none before the member does anything.
    fn record(&mut self, incarnation: Incarnation) -> Record {
        let fresh = Record::new(incarnation);
        let bytes = self.record.get_or_insert_with(|| fresh.encode());
        Record::decode(bytes).unwrap_or(fresh)
    }
}

impl Node {
    /// The data half of a life, with its primary component.
    pub(super) fn with_primary(
        &mut self,
        data: DataHalf,
        incarnation: Incarnation,
        now: Time,
    ) -> DataHalf {
        if self.policy == Policy::None {
            return data;
        }
        let record = match self.policy {
            Policy::Dynamic { .. } => self.disk.record(incarnation),
            _ => Record::new(incarnation),
        };
        data.with_primary(now, Primary::new(self.id(), self.policy.clone(), record))
    }
}

impl World {
    /// A member's disk begins to write its record.
    pub(super) fn store(&mut self, node: usize, record: Bytes) {
        self.reached(node, Step::Writes);
        let Node { life: Some(life), disk, rng, .. } = &mut self.nodes[node] else { return };
        let refused = disk.refuses;
        life.control_side.storing = (!refused).then(|| record.clone());
        self.stats.storage_writes_failed += u64::from(refused);
        let delay = rng.duration(self.disk_delay.0, self.disk_delay.1);
        self.after(delay, node, Happening::Stored((!refused).then_some(record)));
    }

    /// A member's disk has written its record, or refused to.
    pub(super) fn stored(&mut self, node: usize, record: Option<Bytes>) -> Result<(), Violated> {
        let Node { life: Some(life), disk, .. } = &mut self.nodes[node] else { return Ok(()) };
        life.control_side.storing = None;
        life.control_side.stored = Some(record.is_some());
        if record.is_some() {
            disk.record = record;
            self.stats.records_stored += 1;
            self.reached(node, Step::Written);
        }
        self.run_control(node)
    }

    /// Primary ⇒ all votes for it are on disk.
    pub(super) fn votes_are_durable(&mut self, recorded: &[Entry]) -> Result<(), Violated> {
        let confirmed = recorded.iter().filter_map(|entry| match entry.event {
            Event::Primary { ring } => Some(ring),
            _ => None,
        });
        for ring in confirmed {
            if !matches!(self.nodes[0].policy, Policy::Dynamic { .. }) {
                continue;
            }
            for member in self.god.members_of(ring) {
                let node = self.nodes.iter().find(|node| node.id() == member);
                let disk = node.and_then(|node| node.disk.record.as_ref());
                let record = disk.and_then(|bytes| Record::decode(bytes).ok());
                self.god.judged += 1;
                if record.and_then(|record| record.has_voted(ring)) == Some(false) {
                    let detail = format!("{ring} is confirmed; {member} has no vote on disk");
                    return Err(Violated { invariant: "primary ⇒ votes on disk", detail });
                }
            }
        }
        Ok(())
    }

    /// A member is killed: the record that was being written is there then, or is not.
    pub(super) fn cut_store(&mut self, node: usize) {
        let Node { life: Some(life), disk, rng, .. } = &mut self.nodes[node] else { return };
        let Some(record) = life.control_side.storing.take() else { return };
        if rng.chance(0.5) {
            disk.record = Some(record);
            self.stats.storage_writes_landed += 1;
        } else {
            self.stats.storage_writes_lost += 1;
        }
    }

    /// With all members back, a cluster that its policy admits has a confirmed primary, and all its
    /// applications are in its view. Lost disks may have had the majority that is needed.
    pub(super) fn demand_primary(&mut self) -> Result<(), Failure> {
        let ids: Vec<NodeId> = self.nodes.iter().map(Node::id).collect();
        let is_owed = match &self.nodes[0].policy {
            Policy::Dynamic { initial } => {
                let all_there = initial.iter().all(|node| ids.binary_search(node).is_ok());
                all_there && !self.nodes.iter().any(|node| node.disk.was_lost)
            }
            policy => policy.admits(&ids) == Some(true),
        };
        if !is_owed {
            return Ok(());
        }
        let deadline = self.now + patience(&self.params);
        while !self.nodes.iter().all(is_primary) {
            if self.now >= deadline {
                return Err(Failure::new("an eligible cluster has a primary", self.describe()));
            }
            self.run_for(Duration::from_millis(5))?;
        }
        Ok(())
    }
}

/// Whether a member knows to be in the primary, and its application is in the view of it.
fn is_primary(node: &Node) -> bool {
    let Some(life) = &node.life else { return false };
    let ordering = life.data.ordering();
    let ring = ordering.primary().and_then(Primary::primary);
    let in_view = life.glasses.as_ref().is_none_or(|Glasses { filter, .. }| {
        filter.may_publish() && filter.view().is_some_and(|view| Some(view.id.ring) == ring)
    });
    ring == Some(ordering.installed().ring) && in_view
}
