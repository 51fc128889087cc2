//! Machines in small clusters that live EVS histories from a seed: far denser in configuration
//! changes, crashes and lost disks than a ring can be.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::delivery::Message as Delivered;
use crate::id::{Epoch, Incarnation, MessageId};
use crate::seq::Ordinal;

/// A message of a ring.
#[derive(Clone)]
struct Sent {
    sender: NodeId,
    incarnation: Incarnation,
    service: Service,
    payload: Bytes,
}

/// A ring: its order, and what each member has received of it.
struct Ring {
    members: Vec<NodeId>,
    order: Vec<Sent>,
    received: BTreeMap<NodeId, usize>,
}

struct Life {
    machine: Primary,
    incarnation: Incarnation,
    ring: RingId,
    delivered: usize,
    writing: Option<Write>,
}

#[derive(Default)]
struct Host {
    disk: Option<Bytes>,
    life: Option<Life>,
}

struct Cluster {
    random: u64,
    epoch: u64,
    policy: Policy,
    hosts: BTreeMap<NodeId, Host>,
    rings: BTreeMap<RingId, Ring>,
    confirmed: BTreeMap<RingId, Vec<NodeId>>,
    wiped: u32,
}

impl Cluster {
    fn new(seed: u64, hosts: u32, policy: Policy) -> Self {
        let mut cluster = Self {
            random: seed,
            epoch: 0,
            policy,
            hosts: (1..=hosts).map(|id| (NodeId(id), Host::default())).collect(),
            rings: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            wiped: 0,
        };
        let ids: Vec<NodeId> = cluster.hosts.keys().copied().collect();
        ids.into_iter().for_each(|id| cluster.start(id));
        cluster
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    fn live(&self) -> Vec<NodeId> {
        let live = self.hosts.iter().filter(|(_, host)| host.life.is_some());
        live.map(|(id, _)| *id).collect()
    }

    fn start(&mut self, id: NodeId) {
        self.epoch += 1;
        let incarnation = Epoch(self.epoch);
        let ring = RingId::new(incarnation, id);
        let received = [(id, 0)].into();
        self.rings.insert(ring, Ring { members: vec![id], order: Vec::new(), received });
        let policy = self.policy.clone();
        let host = self.hosts.get_mut(&id).unwrap();
        let disk = host.disk.get_or_insert_with(|| Record::new(incarnation).encode());
        let mut machine = Primary::new(id, policy, Record::decode(disk).unwrap());
        machine.handle_configuration(&regular(ring, &[id]));
        host.life = Some(Life { machine, incarnation, ring, delivered: 0, writing: None });
        self.drain(id);
    }

    fn crash(&mut self, id: NodeId) {
        let landed = self.below(2) == 0;
        let host = self.hosts.get_mut(&id).unwrap();
        let Some(life) = host.life.take() else { return };
        if let Some(write) = life.writing.filter(|_| landed) {
            host.disk = Some(write.record);
        }
    }

    fn written(&mut self, id: NodeId) {
        let host = self.hosts.get_mut(&id).unwrap();
        let Some(life) = &mut host.life else { return };
        let Some(write) = life.writing.take() else { return };
        host.disk = Some(write.record);
        life.machine.handle_written(write.number);
        self.drain(id);
    }

    /// Takes out what a machine has to say.
    fn drain(&mut self, id: NodeId) {
        let Some(life) = &mut self.hosts.get_mut(&id).unwrap().life else { return };
        let ring = self.rings.get_mut(&life.ring).unwrap();
        while let Some(Publication { class, payload }) = life.machine.poll_publish() {
            let (service, incarnation) = (class.service, life.incarnation);
            ring.order.push(Sent { sender: id, incarnation, service, payload });
        }
        if life.writing.is_none() {
            life.writing = life.machine.poll_write();
        }
        if let Some(confirmed) = life.machine.poll_confirmed() {
            assert_eq!(life.machine.primary(), Some(confirmed));
            self.confirmed.insert(confirmed, ring.members.clone());
        }
    }

    /// A member receives the next message, and delivers what it may.
    fn receive(&mut self, id: NodeId) {
        let Some(life) = &self.hosts[&id].life else { return };
        let ring = self.rings.get_mut(&life.ring).unwrap();
        let received = ring.received.get_mut(&id).unwrap();
        *received = (*received + 1).min(ring.order.len());
        for member in ring.members.clone() {
            let here = self.hosts[&member].life.as_ref().map(|it| it.ring);
            if here == self.hosts[&id].life.as_ref().map(|it| it.ring) {
                self.deliver(member, ConfigurationKind::Regular);
            }
        }
    }

    /// Delivers what is received; in a regular configuration up to the first safe message that
    /// somebody has not.
    fn deliver(&mut self, id: NodeId, kind: ConfigurationKind) {
        loop {
            let life = self.hosts.get_mut(&id).unwrap().life.as_mut().unwrap();
            let ring = &self.rings[&life.ring];
            let by_all = ring.received.values().copied().min().unwrap_or(0);
            if life.delivered >= ring.received[&id] {
                return;
            }
            let sent = ring.order[life.delivered].clone();
            let regular = kind == ConfigurationKind::Regular;
            if regular && sent.service == Service::Safe && life.delivered >= by_all {
                return;
            }
            life.delivered += 1;
            let message = Delivered {
                id: MessageId { sender: sent.sender, incarnation: sent.incarnation, counter: 1 },
                ring: life.ring,
                ordinal: Some(Ordinal(1)),
                in_configuration: kind,
                service: sent.service,
                channel: Channel::PRIMARY,
                payload: sent.payload,
            };
            life.machine.handle_message(&message.as_ref());
            self.drain(id);
        }
    }

    /// A new ring of these; not all of them need get so far as to install it.
    fn form(&mut self, members: &[NodeId], installers: &[NodeId]) {
        self.epoch += 1;
        let new = RingId::new(Epoch(self.epoch), members[0]);
        let old_of = |cluster: &Self, id| cluster.hosts[&id].life.as_ref().unwrap().ring;
        // Who comes from one ring has recovered all that any of them received.
        for id in members {
            let old = old_of(self, *id);
            let together: Vec<NodeId> =
                members.iter().copied().filter(|other| old_of(self, *other) == old).collect();
            let ring = self.rings.get_mut(&old).unwrap();
            let most = together.iter().map(|other| ring.received[other]).max().unwrap();
            ring.received.insert(*id, most);
        }
        // What everybody is known to have is known alike to all that go on together.
        for id in installers {
            self.deliver(*id, ConfigurationKind::Regular);
        }
        for id in installers {
            let life = self.hosts.get_mut(id).unwrap().life.as_mut().unwrap();
            let kind = ConfigurationKind::Transitional;
            life.machine.handle_configuration(&Configuration { kind, ..regular(new, &[*id]) });
            assert_eq!(life.machine.primary(), None, "it knows that it is over");
            self.deliver(*id, kind);
        }
        let received = members.iter().map(|id| (*id, 0)).collect();
        self.rings.insert(new, Ring { members: members.to_vec(), order: Vec::new(), received });
        for id in installers {
            let life = self.hosts.get_mut(id).unwrap().life.as_mut().unwrap();
            (life.ring, life.delivered) = (new, 0);
            life.machine.handle_configuration(&regular(new, members));
            self.drain(*id);
        }
    }

    fn step(&mut self, wipes: bool) {
        let ids: Vec<NodeId> = self.hosts.keys().copied().collect();
        let id = ids[self.below(ids.len())];
        match self.below(100) {
            0..80 => self.receive(id),
            80..95 => self.written(id),
            95 => self.crash(id),
            96..98 if self.hosts[&id].life.is_none() => {
                // The first keeps its disk: all of the initial set losing theirs is a new cluster.
                if wipes && id.0 > 1 && self.below(20) == 0 {
                    self.hosts.get_mut(&id).unwrap().disk = None;
                    self.wiped += 1;
                }
                self.start(id);
            }
            98 => {
                let live = self.live();
                let members: Vec<NodeId> = live.into_iter().filter(|_| self.below(3) > 0).collect();
                let all = self.below(4) > 0;
                let installers: Vec<NodeId> =
                    members.iter().copied().filter(|_| all || self.below(2) == 0).collect();
                if !members.is_empty() {
                    self.form(&members, &installers);
                }
            }
            _ => {}
        }
    }

    /// Everybody comes back and stays.
    fn heal(&mut self) {
        let ids: Vec<NodeId> = self.hosts.keys().copied().collect();
        for id in &ids {
            if self.hosts[id].life.is_none() {
                self.start(*id);
            }
        }
        self.form(&ids, &ids);
        for _ in 0..20 * ids.len() {
            for id in &ids {
                self.receive(*id);
                self.written(*id);
            }
        }
    }

    /// EVS §2.2: each primary shares a member with the one before.
    fn judge(&self) -> u64 {
        let mut judged = 0;
        for (before, after) in self.confirmed.iter().zip(self.confirmed.iter().skip(1)) {
            let shared = before.1.iter().any(|member| after.1.contains(member));
            assert!(shared, "{before:?} and {after:?}");
            judged += 1;
        }
        judged
    }

    fn all_are_primary(&self) -> bool {
        let primary =
            |host: &Host| host.life.as_ref().is_some_and(|it| it.machine.primary().is_some());
        self.hosts.values().all(primary)
    }
}

fn regular(ring: RingId, members: &[NodeId]) -> Configuration {
    Configuration {
        kind: ConfigurationKind::Regular,
        ring,
        previous: None,
        members: members.into(),
        eligible: None,
    }
}

fn majority(of: u32) -> Policy {
    Policy::Majority((1..=of).map(NodeId).collect())
}

/// Runs many clusters; yields how many pairs of primaries were judged.
fn run(
    seeds: std::ops::Range<u64>,
    steps: u32,
    wipes: bool,
    policy: impl Fn(u32) -> Policy,
) -> u64 {
    let mut judged = 0;
    for seed in seeds {
        let hosts = 2 + u32::try_from(seed % 5).unwrap();
        let mut cluster = Cluster::new(seed, hosts, policy(hosts));
        for _ in 0..steps {
            cluster.step(wipes);
        }
        cluster.heal();
        judged += cluster.judge();
        if cluster.wiped == 0 {
            assert!(cluster.all_are_primary(), "seed {seed}: all are back and have no primary");
        }
    }
    judged
}

#[test]
fn fixed_majorities_have_one_primary_at_a_time() {
    assert!(run(0..500, 3_000, false, majority) > 1_000);
}

#[test]
fn the_dynamic_policy_has_one_primary_at_a_time() {
    let judged = run(0..1_000, 6_000, false, |hosts| dynamic((1..=hosts).map(NodeId)));
    assert!(judged > 5_000, "{judged}");
}

#[test]
fn it_grows_from_a_few() {
    let judged = run(0..300, 6_000, false, |_| dynamic([NodeId(1), NodeId(2)]));
    assert!(judged > 1_000, "{judged}");
}

#[test]
fn lost_disks_make_no_second_primary() {
    let judged = run(0..1_000, 6_000, true, |hosts| dynamic((1..=hosts).map(NodeId)));
    assert!(judged > 2_000, "{judged}");
}

#[test]
fn a_member_that_was_cut_off_knows_it() {
    let mut cluster = Cluster::new(1, 3, majority(3));
    cluster.heal();
    assert!(cluster.all_are_primary());
    cluster.form(&[NodeId(3)], &[NodeId(3)]);
    let machine = |id: u32| &cluster.hosts[&NodeId(id)].life.as_ref().unwrap().machine;
    assert_eq!((machine(3).primary(), machine(3).eligible(&[NodeId(3)])), (None, Some(false)));
    assert!(machine(1).primary().is_some(), "which has not noticed yet");
}

#[test]
fn another_policy_is_not_listened_to() {
    let mut cluster = Cluster::new(1, 3, majority(3));
    let odd = cluster.hosts.get_mut(&NodeId(1)).unwrap().life.as_mut().unwrap();
    odd.machine = Primary::new(NodeId(1), majority(1), Record::new(Epoch(1)));
    cluster.heal();
    assert!(!cluster.all_are_primary());
    let listener = &cluster.hosts[&NodeId(2)].life.as_ref().unwrap().machine;
    assert!(listener.ignored() > 0 && listener.primary().is_none());
}

#[test]
fn rubbish_changes_nothing() {
    let mut cluster = Cluster::new(1, 2, dynamic([NodeId(1), NodeId(2)]));
    cluster.form(&[NodeId(1), NodeId(2)], &[NodeId(1), NodeId(2)]);
    let life = cluster.hosts.get_mut(&NodeId(2)).unwrap().life.as_mut().unwrap();
    let ring = life.ring;
    let before = life.machine.clone();
    let forged = [
        message::encode(&Message::Vote, ring, before.fingerprint),
        message::encode(&Message::Primary, ring, before.fingerprint),
        message::encode(&Message::Primary, ring, 0),
        Bytes::from_static(b"anything"),
        Bytes::new(),
    ];
    let payloads = forged.iter().flat_map(|it| (0..=it.len()).map(|end| it.slice(..end)));
    for (payload, sender) in payloads.flat_map(|it| [1, 2, 9].map(|sender| (it.clone(), sender))) {
        for service in Service::ALL {
            let message = Delivered {
                id: MessageId { sender: NodeId(sender), incarnation: Epoch(1), counter: 1 },
                ring,
                ordinal: Some(Ordinal(1)),
                in_configuration: ConfigurationKind::Regular,
                service,
                channel: Channel::PRIMARY,
                payload: payload.clone(),
            };
            life.machine.handle_message(&message.as_ref());
        }
    }
    assert_eq!(life.machine.stage, before.stage);
    assert_eq!(life.machine.ledger, before.ledger);
}
