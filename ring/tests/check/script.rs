//! Writes histories by saying what happened, legal or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use roundel_ring::configuration::{Configuration, ConfigurationKind};
use roundel_ring::id::{Epoch, MessageId, NodeId, RingId};
use roundel_ring::seq::{Ordinal, Seq};
use roundel_ring::service::Service;
use roundel_ring::sim::check::{Clause, Options, Verdict, check};
use roundel_ring::time::Time;
use roundel_ring::trace::{Entry, Event, History};

/// A run being written. Members are numbers from 1; whatever happens at one happens after
/// everything written for it before. Nothing is checked: that is the judge's work.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// By member, its lives.
    lives: BTreeMap<u32, Vec<History>>,
    /// The ring and the kind in force at each member.
    in_force: BTreeMap<u32, (RingId, ConfigurationKind)>,
    sent: BTreeMap<MessageId, Sent>,
    epoch: u64,
    clock: u64,
}

#[derive(Clone, Copy)]
struct Sent {
    ring: RingId,
    service: Service,
    ordinal: Ordinal,
    hash: u64,
}

impl Script {
    /// Members `1..=n`, each on its ring of one.
    pub(crate) fn alone(n: u32) -> Self {
        let mut script = Self::default();
        for node in 1..=n {
            script.start(node);
        }
        script
    }

    /// Members `1..=n`, merged into one ring.
    pub(crate) fn together(n: u32) -> Self {
        let mut script = Self::alone(n);
        script.merge(&(1..=n).collect::<Vec<_>>());
        script
    }

    /// A new life, which begins on the ring of the member alone.
    pub(crate) fn start(&mut self, node: u32) {
        self.start_empty(node);
        let ring = self.new_ring(node);
        self.regular(node, ring, &[node]);
    }

    /// A new life that has not written anything.
    pub(crate) fn start_empty(&mut self, node: u32) {
        self.epoch += 1;
        let life = History::new(NodeId(node), Epoch(self.epoch));
        self.lives.entry(node).or_default().push(life);
        self.in_force.remove(&node);
    }

    /// A ring id greater than all before.
    pub(crate) fn new_ring(&mut self, representative: u32) -> RingId {
        self.epoch += 1;
        RingId::new(Epoch(self.epoch), NodeId(representative))
    }

    /// All of `nodes` go into one new ring.
    pub(crate) fn merge(&mut self, nodes: &[u32]) -> RingId {
        let ring = self.new_ring(nodes[0]);
        self.signal(ring, nodes);
        for &node in nodes {
            self.regular(node, ring, nodes);
        }
        ring
    }

    /// All of `nodes` get the transitional configuration towards `ring`.
    pub(crate) fn signal(&mut self, ring: RingId, nodes: &[u32]) {
        let rings: Vec<RingId> = nodes.iter().map(|n| self.in_force[n].0).collect();
        for (i, &node) in nodes.iter().enumerate() {
            let along = nodes.iter().zip(&rings);
            let along = along.filter(|(_, r)| **r == rings[i]).map(|(n, _)| *n);
            let along: Vec<u32> = along.collect();
            self.transitional(node, ring, &along);
        }
    }

    pub(crate) fn transitional(&mut self, node: u32, ring: RingId, members: &[u32]) {
        let previous = self.in_force[&node].0;
        self.install(node, ConfigurationKind::Transitional, ring, members);
        self.in_force.insert(node, (previous, ConfigurationKind::Transitional));
    }

    pub(crate) fn regular(&mut self, node: u32, ring: RingId, members: &[u32]) {
        self.install(node, ConfigurationKind::Regular, ring, members);
        self.in_force.insert(node, (ring, ConfigurationKind::Regular));
    }

    fn install(&mut self, node: u32, kind: ConfigurationKind, ring: RingId, members: &[u32]) {
        let configuration = Configuration {
            kind,
            ring,
            previous: self.in_force.get(&node).map(|(ring, _)| *ring),
            members: members.iter().copied().map(NodeId).collect::<Arc<[_]>>(),
            eligible: None,
        };
        self.event(node, Event::Configuration(configuration));
    }

    /// Names a message of `node` with a place in the order of the ring in force there.
    pub(crate) fn name(&mut self, node: u32, service: Service) -> MessageId {
        let message = MessageId {
            sender: NodeId(node),
            incarnation: self.life(node).incarnation,
            counter: self.sent.len() as u64 + 1,
        };
        let sent = Sent {
            ring: self.in_force[&node].0,
            service,
            ordinal: Ordinal::new(Seq(self.sent.len() as u64 + 1), 0),
            hash: 0xabc + message.counter,
        };
        self.sent.insert(message, sent);
        message
    }

    pub(crate) fn submit(&mut self, node: u32, message: MessageId) {
        self.event(node, Event::Submit { message });
    }

    pub(crate) fn originate(&mut self, node: u32, message: MessageId) {
        let sent = self.sent[&message];
        let send = Event::Send { message, ring: sent.ring, service: sent.service, hash: sent.hash };
        self.event(node, send);
    }

    /// A new message, originated.
    pub(crate) fn send(&mut self, node: u32, service: Service) -> MessageId {
        let message = self.name(node, service);
        self.originate(node, message);
        message
    }

    /// Delivers, in the kind of configuration in force.
    pub(crate) fn deliver(&mut self, node: u32, message: MessageId) {
        let sent = self.sent[&message];
        let delivery = Event::Deliver {
            message,
            ring: sent.ring,
            in_configuration: self.in_force.get(&node).map_or(ConfigurationKind::Regular, |f| f.1),
            ordinal: Some(sent.ordinal),
            service: sent.service,
            hash: sent.hash,
        };
        self.event(node, delivery);
    }

    pub(crate) fn deliver_at(&mut self, nodes: &[u32], message: MessageId) {
        for &node in nodes {
            self.deliver(node, message);
        }
    }

    /// `from` sends and all of `to` deliver.
    pub(crate) fn multicast(&mut self, from: u32, service: Service, to: &[u32]) -> MessageId {
        let message = self.send(from, service);
        self.deliver_at(to, message);
        message
    }

    /// Confirms the ring in force as the primary component.
    pub(crate) fn confirm(&mut self, nodes: &[u32]) {
        for &node in nodes {
            let ring = self.in_force[&node].0;
            self.event(node, Event::Primary { ring });
        }
    }

    pub(crate) fn fail(&mut self, node: u32) {
        self.event(node, Event::Fail);
    }

    pub(crate) fn event(&mut self, node: u32, event: Event) {
        self.clock += 1;
        let time = Time::from_ns(self.clock);
        self.life(node).entries.push(Entry { time, event });
    }

    /// The current life of a member, to damage it.
    pub(crate) fn life(&mut self, node: u32) -> &mut History {
        self.lives.get_mut(&node).unwrap().last_mut().unwrap()
    }

    /// The last event of a member, to damage it.
    pub(crate) fn last(&mut self, node: u32) -> &mut Entry {
        self.life(node).entries.last_mut().unwrap()
    }

    pub(crate) fn histories(&self) -> Vec<History> {
        self.lives.values().flatten().cloned().collect()
    }

    /// The verdict on a run that was healed and left quiet.
    pub(crate) fn verdict(&self) -> Verdict {
        check(&self.histories(), Options { quiescent: true })
    }

    /// The clauses that the run violates, as one that was healed and left quiet.
    pub(crate) fn violated(&self) -> Vec<Clause> {
        violated(&self.verdict())
    }

    /// The clauses that the run violates, as one that was cut off.
    pub(crate) fn violated_when_cut_off(&self) -> Vec<Clause> {
        violated(&check(&self.histories(), Options { quiescent: false }))
    }
}

pub(crate) fn violated(verdict: &Verdict) -> Vec<Clause> {
    let judgements = verdict.judgements().iter();
    let violated = judgements.filter(|j| j.violation_count > 0);
    violated.map(|j| j.clause).collect()
}
