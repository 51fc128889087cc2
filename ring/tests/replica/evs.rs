//! Histories of extended virtual synchrony, played to whoever asks: members with windows, holes, stable
//! prefixes, obligations and attempts at new configurations that some install and others do not.
//!
//! All messages are safe. What a member delivers at an installation follows EVS step 6, as in
//! `ordering/install.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use roundel_ring::configuration::{Configuration, ConfigurationKind};
use roundel_ring::delivery::Message;
use roundel_ring::id::{Epoch, MessageId, NodeId, RingId};
use roundel_ring::layer::Publication;
use roundel_ring::seq::{Ordinal, Seq};

/// Randomness from a seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end.max(1) as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What a member is told.
pub(crate) enum Told {
    Configuration(Configuration),
    Message(Message),
}

struct Ring {
    id: RingId,
    log: Vec<Message>,
    /// What each member has acknowledged, of those it has; frozen when it goes.
    aru: BTreeMap<NodeId, usize>,
}

struct Member {
    incarnation: Epoch,
    counter: u64,
    ring: usize,
    held: BTreeSet<usize>,
    delivered: usize,
    stable: usize,
    obligations: BTreeSet<NodeId>,
    /// An attempt has begun: nothing happens on the old ring any more.
    frozen: bool,
    queue: VecDeque<Publication>,
}

/// The world of rings.
#[derive(Default)]
pub(crate) struct Evs {
    rings: Vec<Ring>,
    members: BTreeMap<NodeId, Member>,
    /// Survives crashes.
    highest: BTreeMap<NodeId, u64>,
}

impl Evs {
    pub(crate) fn live(&self) -> Vec<NodeId> {
        self.members.keys().copied().collect()
    }

    pub(crate) fn is_live(&self, node: NodeId) -> bool {
        self.members.contains_key(&node)
    }

    pub(crate) fn are_together(&self, a: NodeId, b: NodeId) -> bool {
        match (self.members.get(&a), self.members.get(&b)) {
            (Some(a), Some(b)) => a.ring == b.ring,
            _ => false,
        }
    }

    /// A member starts, alone. Its incarnation, and what it is told.
    pub(crate) fn start(&mut self, node: NodeId) -> (Epoch, Told) {
        let highest = self.highest.entry(node).or_default();
        *highest += 1;
        let incarnation = Epoch(*highest);
        let id = RingId::new(incarnation, node);
        let ring = self.rings.len();
        self.rings.push(Ring { id, log: Vec::new(), aru: BTreeMap::from([(node, 0)]) });
        let member = Member {
            incarnation,
            counter: 0,
            ring,
            held: BTreeSet::new(),
            delivered: 0,
            stable: 0,
            obligations: BTreeSet::new(),
            frozen: false,
            queue: VecDeque::new(),
        };
        self.members.insert(node, member);
        let told = configuration(ConfigurationKind::Regular, id, None, [node].into());
        (incarnation, told)
    }

    pub(crate) fn crash(&mut self, node: NodeId) {
        self.members.remove(&node);
    }

    pub(crate) fn publish(&mut self, node: NodeId, publication: Publication) {
        self.members.get_mut(&node).unwrap().queue.push_back(publication);
    }

    /// The member gives its next message a place. Whether there was one.
    pub(crate) fn originate(&mut self, node: NodeId) -> bool {
        let member = self.members.get_mut(&node).unwrap();
        if member.frozen {
            return false;
        }
        let Some(publication) = member.queue.pop_front() else { return false };
        member.counter += 1;
        let (sender, incarnation, counter) = (node, member.incarnation, member.counter);
        let ring = &mut self.rings[member.ring];
        let at = ring.log.len();
        ring.log.push(Message {
            id: MessageId { sender, incarnation, counter },
            ring: ring.id,
            ordinal: Some(Ordinal::new(Seq(at as u64 + 1), 0)),
            in_configuration: ConfigurationKind::Regular,
            service: publication.class.service,
            channel: publication.class.channel,
            payload: publication.payload,
        });
        member.held.insert(at);
        self.acknowledge(node);
        true
    }

    fn acknowledge(&mut self, node: NodeId) {
        let member = &self.members[&node];
        let ring = &mut self.rings[member.ring];
        let aru = ring.aru.get_mut(&node).unwrap();
        while member.held.contains(aru) {
            *aru += 1;
        }
    }

    /// The member receives one of the first messages it misses. Whether there was one.
    pub(crate) fn receive(&mut self, dice: &mut Dice, node: NodeId, spread: usize) -> bool {
        let member = self.members.get_mut(&node).unwrap();
        if member.frozen {
            return false;
        }
        let count = self.rings[member.ring].log.len();
        let from = self.rings[member.ring].aru[&node];
        let missing: Vec<usize> =
            (from..count).filter(|at| !member.held.contains(at)).take(spread).collect();
        if missing.is_empty() {
            return false;
        }
        member.held.insert(missing[dice.below(missing.len())]);
        self.acknowledge(node);
        true
    }

    /// The next message that is safe and, as far as the member knows, stable.
    pub(crate) fn deliver(&mut self, node: NodeId) -> Option<Told> {
        let member = self.members.get_mut(&node).unwrap();
        let ring = &self.rings[member.ring];
        if !member.frozen {
            member.stable = *ring.aru.values().min().unwrap();
        }
        if member.frozen || member.delivered >= member.stable {
            return None;
        }
        let message = ring.log[member.delivered].clone();
        member.delivered += 1;
        Some(Told::Message(message))
    }

    /// Those of `nodes` attempt a ring and fail before anybody installs it; some recover something.
    pub(crate) fn attempt_in_vain(&mut self, dice: &mut Dice, nodes: &[NodeId]) {
        self.begin_attempt(nodes);
        for (group, _) in self.groups(nodes) {
            let union = self.union(&group);
            for node in &group {
                let member = self.members.get_mut(node).unwrap();
                member.held.extend(union.iter().filter(|_| !dice.one_in(3)));
            }
        }
    }

    /// Those of `nodes` recover; `installing` of them install. What each of these is told.
    pub(crate) fn install(
        &mut self,
        nodes: &[NodeId],
        installing: &BTreeSet<NodeId>,
    ) -> BTreeMap<NodeId, Vec<Told>> {
        let id = self.begin_attempt(nodes);
        let mut told = BTreeMap::new();
        let groups = self.groups(nodes);
        for (group, _) in &groups {
            let union = self.union(group);
            let mut obliged: BTreeSet<NodeId> = group.iter().copied().collect();
            for node in group {
                obliged.extend(&self.members[node].obligations);
            }
            let stable = group.iter().map(|node| self.members[node].stable).max().unwrap();
            for node in group {
                let member = self.members.get_mut(node).unwrap();
                member.held.clone_from(&union);
                member.obligations.clone_from(&obliged);
                member.stable = stable;
            }
            for node in group.iter().filter(|node| installing.contains(node)) {
                told.insert(*node, self.deliveries(*node, id, group, nodes));
            }
        }
        let ring = self.rings.len();
        let aru = nodes.iter().map(|node| (*node, 0)).collect();
        self.rings.push(Ring { id, log: Vec::new(), aru });
        for node in installing {
            let member = self.members.get_mut(node).unwrap();
            member.ring = ring;
            member.held.clear();
            (member.delivered, member.stable, member.frozen) = (0, 0, false);
            member.obligations.clear();
        }
        told
    }

    fn begin_attempt(&mut self, nodes: &[NodeId]) -> RingId {
        let epoch = nodes.iter().map(|node| self.highest[node]).max().unwrap() + 1;
        for node in nodes {
            self.highest.insert(*node, epoch);
            self.members.get_mut(node).unwrap().frozen = true;
        }
        RingId::new(Epoch(epoch), *nodes.iter().min().unwrap())
    }

    /// Those that come from one ring.
    fn groups(&self, nodes: &[NodeId]) -> Vec<(Vec<NodeId>, usize)> {
        let mut by_ring: BTreeMap<usize, Vec<NodeId>> = BTreeMap::new();
        for node in nodes {
            by_ring.entry(self.members[node].ring).or_default().push(*node);
        }
        by_ring.into_iter().map(|(ring, group)| (group, ring)).collect()
    }

    fn union(&self, group: &[NodeId]) -> BTreeSet<usize> {
        group.iter().flat_map(|node| self.members[node].held.iter().copied()).collect()
    }

    /// EVS step 6 at one member.
    fn deliveries(&self, node: NodeId, id: RingId, group: &[NodeId], all: &[NodeId]) -> Vec<Told> {
        let member = &self.members[&node];
        let ring = &self.rings[member.ring];
        let void = (0..).find(|at| !member.held.contains(at)).unwrap();
        let regular = member.stable.min(void).max(member.delivered);
        let mut told: Vec<Told> =
            ring.log[member.delivered..regular].iter().cloned().map(Told::Message).collect();
        let kind = ConfigurationKind::Transitional;
        told.push(configuration(kind, id, Some(ring.id), sorted(group)));
        for at in member.held.range(regular..) {
            let message = &ring.log[*at];
            if *at < void || member.obligations.contains(&message.id.sender) {
                let in_configuration = ConfigurationKind::Transitional;
                told.push(Told::Message(Message { in_configuration, ..message.clone() }));
            }
        }
        told.push(configuration(ConfigurationKind::Regular, id, Some(ring.id), sorted(all)));
        told
    }
}

fn sorted(nodes: &[NodeId]) -> Arc<[NodeId]> {
    let set: BTreeSet<NodeId> = nodes.iter().copied().collect();
    set.into_iter().collect()
}

fn configuration(
    kind: ConfigurationKind,
    ring: RingId,
    previous: Option<RingId>,
    members: Arc<[NodeId]>,
) -> Told {
    Told::Configuration(Configuration { kind, ring, previous, members, eligible: None })
}
