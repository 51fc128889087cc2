//! Groups at every member of simulated clusters, through all faults.
#![cfg(feature = "sim")]
#![expect(clippy::cast_possible_truncation, reason = "small numbers")]
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::collections::{BTreeMap, BTreeSet};

use roundel_ring::groups::{
    Addressed, Cause, Counts, EndpointId, GroupEvent, GroupName, Groups, Refusal, Scope, Target,
    TargetRef, View, ViewId,
};
use roundel_ring::id::{MessageId, NodeId, RingId};
use roundel_ring::service::Service;
use roundel_ring::sim::{Lived, Scenario, Used, User, run_applications};

const SEEDS: u64 = 240;
const GROUPS: u64 = 6;
const ENDPOINTS: u64 = 4;

/// What a member heard of one group, in order: of its members, messages that are totally ordered.
#[derive(Clone, Debug)]
enum Heard {
    View(View),
    Message(MessageId),
}

/// A member whose endpoints come and go, join, leave and send as a seed says. While it is in a
/// group, one endpoint that never leaves (`watch`) hears all of it.
struct Crowd {
    node: NodeId,
    watch: Option<EndpointId>,
    others: Vec<EndpointId>,
    attached: u64,
    heard: BTreeMap<GroupName, Vec<Heard>>,
    /// Messages to the watching endpoint by name.
    private: u64,
    /// Those that each endpoint is in, by the views it was told.
    inside: BTreeSet<(EndpointId, GroupName)>,
    messages: u64,
    held_bytes_max: u64,
    /// As its endpoints were told.
    primary: Option<RingId>,
    primaries: u64,
}

fn group(number: u64) -> GroupName {
    format!("group.{}", number % GROUPS).parse().unwrap()
}

impl Crowd {
    fn new(node: NodeId) -> Self {
        Self {
            node,
            watch: None,
            others: Vec::new(),
            attached: 0,
            heard: BTreeMap::new(),
            private: 0,
            inside: BTreeSet::new(),
            messages: 0,
            held_bytes_max: 0,
            primary: None,
            primaries: 0,
        }
    }

    fn hear(&mut self, Addressed { to, event }: Addressed) {
        let has_watch = to.iter().any(|endpoint| Some(*endpoint) == self.watch);
        match event {
            GroupEvent::Primary { ring } => {
                assert!(has_watch && ring.is_some() != self.primary.is_some());
                self.primary = ring;
                self.primaries += u64::from(ring.is_some());
            }
            GroupEvent::View(view) => {
                let is_whole = view.id.scope == Scope::Whole;
                assert_eq!(view.is_primary, is_whole && self.primary.is_some(), "{view:?}");
                assert!(view.members.is_sorted_by(|a, b| a < b));
                assert!(view.joined.iter().all(|it| view.members.binary_search(it).is_ok()));
                assert!(view.left.iter().all(|it| view.members.binary_search(it).is_err()));
                assert!(!view.joined.is_empty() || !view.left.is_empty());
                for endpoint in to {
                    let name = format!("{}@{}", self.name(endpoint), self.node);
                    let is_in = view.members.iter().any(|it| it.to_string() == name);
                    assert!(is_in || view.cause == Cause::Leave, "{endpoint:?} {view:?}");
                    let key = (endpoint, view.group.clone());
                    let was_in =
                        if is_in { !self.inside.insert(key) } else { self.inside.remove(&key) };
                    assert!(was_in || view.cause == Cause::Join, "{endpoint:?} {view:?}");
                }
                if has_watch {
                    let heard = self.heard.entry(view.group.clone()).or_default();
                    heard.push(Heard::View(view));
                }
            }
            GroupEvent::Message(message) => {
                self.messages += 1;
                for target in message.targets() {
                    match target {
                        TargetRef::Group(name) => {
                            let is_heard = has_watch
                                && message.service.is_totally_ordered()
                                && self
                                    .inside
                                    .contains(&(self.watch.unwrap(), name.parse().unwrap()));
                            if is_heard {
                                let heard = self.heard.entry(name.parse().unwrap()).or_default();
                                heard.push(Heard::Message(message.id));
                            }
                        }
                        TargetRef::Private(_, node) => {
                            self.private += u64::from(node == self.node && has_watch);
                        }
                    }
                }
            }
        }
    }

    fn name(&self, endpoint: EndpointId) -> String {
        if Some(endpoint) == self.watch { "watch".into() } else { format!("e{}", endpoint.0) }
    }

    fn request(&mut self, groups: &mut Groups, random: u64) {
        let (choice, number, more) = (random % 100, random >> 8, random >> 20);
        let group_name = group(number);
        let place = (more as usize) % (self.others.len() + 1);
        let endpoint = self.others.get(place).copied().or(self.watch).unwrap();
        match choice {
            0..10 if (self.others.len() as u64) < ENDPOINTS => {
                let name = format!("e{}", self.attached);
                self.attached += 1;
                self.others.push(groups.attach(name.parse().unwrap()).unwrap());
            }
            10..13 if place < self.others.len() => {
                self.others.remove(place);
                self.inside.retain(|it| it.0 != endpoint);
                groups.detach(endpoint).unwrap();
            }
            13..16 if place < self.others.len() => {
                self.others.remove(place);
                self.inside.retain(|it| it.0 != endpoint);
                groups.lost(endpoint).unwrap();
            }
            16..45 => groups.join(endpoint, &group_name).unwrap(),
            45..55 => groups.leave(endpoint, &group_name).unwrap(),
            55..58 => drop(groups.subscribe(endpoint, "group.*".parse().unwrap()).unwrap()),
            58..61 => {
                groups.unsubscribe(endpoint, &"group.*".parse().unwrap()).unwrap();
            }
            _ => {
                let service = Service::ALL[(more % 7).min(4) as usize];
                let private = format!("watch@{}", more % 5).parse().unwrap();
                let targets = [
                    Target::Group(group_name),
                    Target::Group(group(more)),
                    Target::Private(private),
                ];
                let count = 1 + (more >> 10) as usize % 3;
                let size = if more % 50 == 0 { 5_000 } else { 20 };
                groups.send(endpoint, &targets[..count], service, &vec![7; size]).unwrap();
            }
        }
    }
}

impl User for Crowd {
    type Layer = Groups;

    fn start(&mut self, groups: &mut Groups, _me: NodeId) {
        self.watch = Some(groups.attach("watch".parse().unwrap()).unwrap());
        self.attached = 1;
    }

    fn listen(&mut self, groups: &mut Groups) {
        while let Some(addressed) = groups.poll_event() {
            assert!(!addressed.to.is_empty() && addressed.to.is_sorted_by(|a, b| a < b));
            self.hear(addressed);
        }
        let counts = groups.counts();
        self.held_bytes_max = self.held_bytes_max.max(counts.held_bytes_max);
        let expected = [None, Some(Refusal::Late), Some(Refusal::Stranger)];
        assert!(expected.contains(&counts.refused_last), "{counts:?}");
    }

    fn act(&mut self, groups: &mut Groups, random: u64) {
        // In bursts, so that requests and messages meet configuration changes.
        for turn in 0..=random % 4 {
            self.request(groups, random.rotate_left(13 * turn as u32) ^ turn);
        }
    }

    fn leave(&mut self, _groups: &mut Groups) {
        self.inside.clear();
    }

    fn is_settled(&self, groups: &Groups) -> bool {
        groups.is_settled()
    }
}

/// Messages between two views that follow each other at a member, by the views.
struct Segments<'a> {
    views: BTreeMap<(&'a GroupName, ViewId), &'a View>,
    between: BTreeMap<(&'a GroupName, ViewId, ViewId), Vec<MessageId>>,
    /// After the last view.
    open: BTreeMap<(&'a GroupName, ViewId), Vec<MessageId>>,
}

fn segments(crowd: &Crowd) -> Segments<'_> {
    let (mut views, mut between) = (BTreeMap::new(), BTreeMap::new());
    let (mut open, me) = (BTreeMap::new(), format!("watch@{}", crowd.node));
    for (group, heard) in &crowd.heard {
        // The last view, unless it told that the watch had left.
        let mut last: Option<ViewId> = None;
        let (mut latest, mut messages) = (None, Vec::new());
        for heard in heard {
            match heard {
                Heard::Message(id) => messages.push(*id),
                Heard::View(view) => {
                    assert!(latest.is_none_or(|it| it < view.id), "{latest:?} {view:?}");
                    latest = Some(view.id);
                    assert!(views.insert((group, view.id), view).is_none());
                    let is_in = view.transitional().any(|it| it.to_string() == me);
                    let messages = std::mem::take(&mut messages);
                    let stayed = is_in || view.members.iter().all(|it| it.to_string() != me);
                    if let Some(last) = last.filter(|_| stayed) {
                        between.insert((group, last, view.id), messages);
                    }
                    last = view.members.iter().any(|it| it.to_string() == me).then_some(view.id);
                }
            }
        }
        if let Some(last) = last {
            open.insert((group, last), messages);
        }
    }
    Segments { views, between, open }
}

#[derive(Default, Debug)]
struct Compared {
    views: u64,
    segments: u64,
    messages: u64,
    merges: u64,
    partitions: u64,
    crashes: u64,
    /// Views with all of a node's endpoints gone in good order, and of the primary component.
    farewells: u64,
    of_primary: u64,
}

/// Everything that two members both were told is the same.
fn compare(compared: &mut Compared, one: &Segments<'_>, two: &Segments<'_>, alive: bool) {
    for (key, view) in &one.views {
        if let Some(other) = two.views.get(key) {
            assert_eq!((&view.members, view.cause), (&other.members, other.cause), "{key:?}");
            assert_eq!(view.is_primary, other.is_primary, "{key:?}");
            compared.views += 1;
            compared.merges += u64::from(view.cause == Cause::Merge);
            compared.partitions += u64::from(view.cause == Cause::Partition);
            compared.crashes += u64::from(view.cause == Cause::Crash);
            let has_said = view.cause == Cause::Leave && view.left.len() > 1;
            compared.farewells += u64::from(has_said);
            compared.of_primary += u64::from(view.is_primary);
        }
    }
    for (key, messages) in &one.between {
        if let Some(other) = two.between.get(key) {
            assert_eq!(messages, other, "{key:?}");
            let ids = (&one.views[&(key.0, key.2)], &two.views[&(key.0, key.2)]);
            assert_eq!((&ids.0.joined, &ids.0.left), (&ids.1.joined, &ids.1.left), "{key:?}");
            compared.segments += 1;
            compared.messages += messages.len() as u64;
        }
    }
    for (key, messages) in &one.open {
        if let Some(other) = two.open.get(key).filter(|_| alive) {
            assert_eq!(messages, other, "{key:?}");
            compared.segments += 1;
            compared.messages += messages.len() as u64;
        }
    }
}

fn judge(compared: &mut Compared, lives: &[Lived<Used<Crowd>>], seed: u64) {
    let heard: Vec<Segments<'_>> =
        lives.iter().map(|life| segments(&life.application.user)).collect();
    for (place, one) in heard.iter().enumerate() {
        for (other, two) in heard.iter().enumerate().skip(place + 1) {
            compare(compared, one, two, !lives[place].ended && !lives[other].ended);
        }
    }
    let living: Vec<&Lived<Used<Crowd>>> = lives.iter().filter(|life| !life.ended).collect();
    let first = living[0].application.layer.contents();
    for life in living {
        let Used { layer: groups, user: crowd, .. } = &life.application;
        assert!(groups.is_settled(), "seed {seed}");
        assert_eq!(groups.contents(), first, "seed {seed}");
        // What endpoints were told adds up to the table.
        for (group, members) in &first {
            let mine = members.iter().filter(|it| it.node == life.node);
            let mine: BTreeSet<String> = mine.map(|it| it.name.to_string()).collect();
            let told = crowd.inside.iter().filter(|it| it.1 == *group);
            let told: BTreeSet<String> = told.map(|it| crowd.name(it.0)).collect();
            assert_eq!(mine, told, "seed {seed} {group} {}", life.node);
        }
    }
}

#[test]
fn groups_agree_through_all_faults() {
    let mut compared = Compared::default();
    let mut sum = Counts::default();
    let (mut messages, mut private, mut held_max, mut primaries) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let ran = run_applications(&Scenario::new(seed), |node| {
            Used::new(Groups::default(), Crowd::new(node))
        });
        assert_eq!(ran.outcome.failure, None, "seed {seed}");
        judge(&mut compared, &ran.lives, seed);
        for life in &ran.lives {
            let Used { layer: groups, user: crowd, .. } = &life.application;
            let counts = groups.counts();
            sum.exchanges += counts.exchanges;
            sum.exchanges_cut += counts.exchanges_cut;
            sum.chunks += counts.chunks;
            sum.chunks_told += counts.chunks_told;
            sum.refused += counts.refused;
            messages += crowd.messages;
            private += crowd.private;
            primaries += crowd.primaries;
            held_max = held_max.max(crowd.held_bytes_max);
            assert!(crowd.held_bytes_max < 1 << 20, "seed {seed}: {counts:?}");
        }
    }
    println!("{SEEDS} seeds: {compared:?}");
    println!("{sum:?}, {messages} messages heard, {private} private, at most {held_max} B held");
    println!("{primaries} times in a primary component");
    assert!(compared.farewells > 10 && compared.of_primary > 100 && primaries > 100);
    assert!(compared.merges > 1_000 && compared.partitions > 100 && compared.crashes > 10);
    assert!(compared.views > 5_000 && compared.segments > 5_000 && compared.messages > 5_000);
    assert!(
        sum.exchanges > 500 && sum.exchanges_cut > 100 && sum.chunks_told > 500 && private > 500
    );
}
