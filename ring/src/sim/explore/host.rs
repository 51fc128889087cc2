//! One member of the explored cluster, its disk and its histories.

use std::hash::{Hash, Hasher};

use bytes::Bytes;

use super::state::chain;
use crate::id::{Epoch, NodeId, RingId};
use crate::params::Params;
use crate::primary::{Policy, Record};
use crate::sim::node::{ControlSide, DataSide, HalfState, Life, Node};
use crate::time::Time;
use crate::trace::{Entry, Event, History};

/// A host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) index: usize,
    /// What is on its disk.
    pub(super) ceiling: Epoch,
    /// The same, of primary components.
    pub(super) record: Option<Bytes>,
    pub(super) life: Option<Life>,
    pub(super) histories: Vec<History>,
    /// Stands for all that the histories say, but for when.
    digest: u64,
}

impl Host {
    pub(super) fn new(index: usize) -> Self {
        Self {
            index,
            ceiling: Epoch(0),
            record: None,
            life: None,
            histories: Vec::new(),
            digest: 0,
        }
    }

    pub(super) fn id(&self) -> NodeId {
        NodeId(u32::try_from(self.index).unwrap_or(0) + 1)
    }

    /// Starts a life; the first writes of ceiling and record are already done.
    pub(super) fn start(&mut self, params: &Params, policy: &Policy, now: Time) {
        let mut node = Node::new(self.index, self.id().0, 0);
        node.disk.ceiling = self.ceiling;
        node.disk.record = self.record.take();
        node.policy = policy.clone();
        node.start(params, now);
        self.ceiling = node.disk.ceiling;
        self.record = node.disk.record.take();
        self.life = node.life;
        self.histories.append(&mut node.histories);
        self.digest = chain(self.digest, &self.ceiling);
    }

    /// Whether its disk has a vote for the configuration of `ring`, or what came of a newer one.
    pub(super) fn has_voted(&self, ring: RingId) -> bool {
        let record = self.record.as_ref().and_then(|record| Record::decode(record).ok());
        record.is_some_and(|record| record.has_voted(ring) != Some(false))
    }

    /// Ends the life.
    pub(super) fn stop(&mut self, now: Time) {
        if self.life.take().is_some() {
            self.record(vec![Entry { time: now, event: Event::Fail }]);
        }
    }

    /// Puts events behind its history.
    pub(super) fn record(&mut self, entries: Vec<Entry>) {
        for entry in &entries {
            self.digest = chain(self.digest, &entry.event);
        }
        if let Some(history) = self.histories.last_mut() {
            history.entries.extend(entries);
        }
    }

    /// Stands for all that its histories say, but for when.
    pub(super) const fn said(&self) -> u64 {
        self.digest
    }
}

impl Clone for Host {
    fn clone(&self) -> Self {
        Self {
            index: self.index,
            ceiling: self.ceiling,
            record: self.record.clone(),
            life: self.life.as_ref().map(copy),
            histories: self.histories.clone(),
            digest: self.digest,
        }
    }
}

impl Hash for Host {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.ceiling, &self.record).hash(state);
        self.digest.hash(state);
        self.life.is_some().hash(state);
        if let Some(life) = &self.life {
            (&life.data, &life.control).hash(state);
        }
    }
}

/// Between two steps nothing waits at a half or in what it put out.
fn copy(life: &Life) -> Life {
    debug_assert!(life.data_side.commands.is_empty(), "there is room for what is published");
    Life {
        identity: life.identity.clone(),
        data: life.data.clone(),
        control: life.control.clone(),
        data_side: DataSide::default(),
        control_side: ControlSide::default(),
        data_half: HalfState::default(),
        control_half: HalfState::default(),
        reads: life.reads,
        leaving: life.leaving,
        drained: life.drained,
        layer_wake_at: None,
        adopted: life.adopted,
        installed: life.installed,
        glasses: None,
    }
}
