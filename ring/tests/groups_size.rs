//! What 100 000 groups and 10 000 endpoints on one ring cost. Run it alone, optimised:
//! `cargo test --release -p roundel-ring --test groups_size -- --ignored --nocapture`.
#![expect(clippy::cast_possible_truncation, reason = "small numbers")]
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "it measures time")]

use std::sync::Arc;
use std::time::Instant;

use allocation_counter::measure;
use roundel_ring::configuration::{Configuration, ConfigurationKind};
use roundel_ring::delivery::Message;
use roundel_ring::groups::{EndpointId, GroupEvent, GroupName, Groups};
use roundel_ring::id::{Epoch, MessageId, NodeId, RingId};
use roundel_ring::layer::{Layer, StreamEvent};
use roundel_ring::seq::{Ordinal, Seq};
use roundel_ring::time::Time;

const GROUPS: usize = 100_000;
const ENDPOINTS: usize = 10_000;
const NODES: usize = 3;
const MEMBERS_OF_A_GROUP: usize = 3;
const REPEATS: usize = 11;

/// Members on one ring that delivers everything to all, in turns.
struct Cluster {
    groups: Vec<Groups>,
    ring: RingId,
    delivered: u64,
    /// Views taken at the first node, and the members they list.
    views: usize,
    listed: usize,
}

fn node(place: usize) -> NodeId {
    NodeId(place as u32 + 1)
}

impl Cluster {
    fn new() -> Self {
        let mut groups: Vec<Groups> = (0..NODES).map(|_| Groups::default()).collect();
        for (place, groups) in groups.iter_mut().enumerate() {
            groups.handle_start(Time::ZERO, node(place), Epoch(1));
        }
        let ring = RingId::default();
        let mut cluster = Self { groups, ring, delivered: 0, views: 0, listed: 0 };
        (0..NODES).for_each(|place| cluster.configure(place, 1, &[place], &[place]));
        cluster
    }

    fn configure(&mut self, place: usize, epoch: u64, coming: &[usize], members: &[usize]) {
        let ring = RingId::new(Epoch(epoch), node(members[0]));
        for (kind, members) in
            [(ConfigurationKind::Transitional, coming), (ConfigurationKind::Regular, members)]
        {
            let members: Arc<[NodeId]> = members.iter().copied().map(node).collect();
            let it = Configuration { kind, ring, previous: None, members, eligible: None };
            self.groups[place].handle_event(Time::ZERO, StreamEvent::Configuration(&it));
        }
        self.ring = ring;
        self.listen(place);
    }

    fn listen(&mut self, place: usize) {
        while let Some(addressed) = self.groups[place].poll_event() {
            if let (GroupEvent::View(view), 0) = (addressed.event, place) {
                self.views += 1;
                self.listed += view.members.len();
            }
        }
    }

    /// Delivers what is published, each message to those of `members`; says how much that was.
    fn turn(&mut self, members: &[usize]) -> (usize, usize) {
        let (mut messages, mut bytes) = (0, 0);
        loop {
            let before = messages;
            for place in members {
                let Some(publication) = self.groups[*place].poll_publish() else { continue };
                messages += 1;
                bytes += publication.payload.len();
                self.delivered += 1;
                let sender = node(*place);
                let message = Message {
                    id: MessageId { sender, incarnation: Epoch(1), counter: self.delivered },
                    ring: self.ring,
                    ordinal: Some(Ordinal::new(Seq(self.delivered), 0)),
                    in_configuration: ConfigurationKind::Regular,
                    service: publication.class.service,
                    channel: publication.class.channel,
                    payload: publication.payload,
                };
                for place in members {
                    let event = StreamEvent::Message(message.as_ref());
                    self.groups[*place].handle_event(Time::ZERO, event);
                    self.listen(*place);
                }
            }
            if messages == before {
                return (messages, bytes);
            }
        }
    }
}

/// Milliseconds of the runs of something, ascending: least, median, most.
fn spread(mut ms: Vec<f64>) -> String {
    ms.sort_unstable_by(f64::total_cmp);
    format!("{:.3} / {:.3} / {:.3} ms", ms[0], ms[ms.len() / 2], ms[ms.len() - 1])
}

fn time(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() * 1e3
}

/// Attaches all endpoints, and has them join all groups, three each, one of each node.
fn fill(cluster: &mut Cluster, everybody: &[usize]) -> Vec<(usize, EndpointId)> {
    let endpoints: Vec<(usize, EndpointId)> = (0..ENDPOINTS)
        .map(|number| {
            let name = format!("endpoint-{number}").parse().unwrap();
            (number % NODES, cluster.groups[number % NODES].attach(name).unwrap())
        })
        .collect();
    for number in 0..GROUPS {
        let group: GroupName = format!("market.{}.{number}", number % 100).parse().unwrap();
        for member in 0..MEMBERS_OF_A_GROUP {
            let (place, endpoint) = endpoints[(number * 7 + member) % ENDPOINTS];
            cluster.groups[place].join(endpoint, &group).unwrap();
        }
        if number % 1_000 == 0 {
            cluster.turn(everybody);
        }
    }
    cluster.turn(everybody);
    endpoints
}

#[test]
#[ignore = "takes long, and measures"]
fn groups_of_this_size() {
    let everybody: Vec<usize> = (0..NODES).collect();
    let mut cluster = Cluster::new();
    for place in &everybody {
        cluster.configure(*place, 2, &[*place], &everybody);
    }
    cluster.turn(&everybody);
    let (mut endpoints, mut filling) = (Vec::new(), 0.0);
    let used = measure(|| filling = time(|| endpoints = fill(&mut cluster, &everybody)));
    assert!(cluster.groups.iter().all(|it| it.groups() == GROUPS && it.is_settled()));
    let memberships = GROUPS * MEMBERS_OF_A_GROUP;
    println!("{GROUPS} groups, {ENDPOINTS} endpoints, {memberships} memberships, {NODES} nodes");
    let kept = used.bytes_current as f64 / NODES as f64;
    println!("memory: {:.0} bytes a group at each node ({kept:.0} in all)", kept / GROUPS as f64);
    println!("a join, at all {NODES} nodes, mean: {:.4} ms", filling / memberships as f64);
    joins(&mut cluster, &everybody, endpoints[0]);
    let (mut departures, mut exchanges) = (Vec::new(), Vec::new());
    for round in 0..REPEATS as u64 {
        change(&mut cluster, 10 + round * 10, &mut departures, &mut exchanges);
    }
    println!("departure of a node, its views at one other: {}", spread(departures));
    println!("merge, chunks and views at all {NODES} nodes: {}", spread(exchanges));
    let contents = cluster.groups[0].contents();
    assert!(cluster.groups.iter().all(|it| it.contents() == contents));
    let used = measure(|| drop(cluster));
    println!(
        "given back at the end: {:.0} bytes a node",
        -used.bytes_current as f64 / NODES as f64
    );
}

/// A join of a group with three members, and of one with thousands.
fn joins(cluster: &mut Cluster, everybody: &[usize], (place, endpoint): (usize, EndpointId)) {
    let mut small = Vec::new();
    for number in 0..REPEATS {
        let group: GroupName = format!("market.{0}.{0}", number + 50).parse().unwrap();
        cluster.groups[place].join(endpoint, &group).unwrap();
        small.push(time(|| _ = cluster.turn(everybody)));
        cluster.groups[place].leave(endpoint, &group).unwrap();
        cluster.turn(everybody);
    }
    println!("join of a group of 3, with its views at all nodes: {}", spread(small));
    let all: GroupName = "everybody".parse().unwrap();
    for number in 0..3_000 {
        let name = format!("extra-{number}").parse().unwrap();
        let extra = cluster.groups[1].attach(name).unwrap();
        cluster.groups[1].join(extra, &all).unwrap();
        if number % 100 == 0 {
            cluster.turn(everybody);
        }
    }
    cluster.turn(everybody);
    let mut large = Vec::new();
    for _ in 0..REPEATS {
        cluster.groups[place].join(endpoint, &all).unwrap();
        large.push(time(|| _ = cluster.turn(everybody)));
        cluster.groups[place].leave(endpoint, &all).unwrap();
        cluster.turn(everybody);
    }
    println!("join of a group of 3000, with its views at all nodes: {}", spread(large));
}

/// The last node goes, and comes back.
fn change(cluster: &mut Cluster, epoch: u64, departures: &mut Vec<f64>, merges: &mut Vec<f64>) {
    let (staying, last) = ([0, 1], NODES - 1);
    (cluster.views, cluster.listed) = (0, 0);
    departures.push(time(|| cluster.configure(0, epoch, &staying, &staying)));
    assert!(cluster.views > 60_000 && cluster.listed == 2 * cluster.views);
    cluster.configure(1, epoch, &staying, &staying);
    cluster.configure(last, epoch + 1, &[last], &[last]);
    (cluster.views, cluster.listed) = (0, 0);
    let everybody: Vec<usize> = (0..NODES).collect();
    let mut told = (0, 0);
    let mut first_view = 0.0;
    let used = measure(|| {
        merges.push(time(|| {
            for place in &everybody {
                let coming = if *place == last { &[last][..] } else { &staying };
                cluster.configure(*place, epoch + 5, coming, &everybody);
            }
            first_view = time(|| told = cluster.turn(&everybody));
        }));
    });
    assert!(cluster.views > 60_000 && cluster.groups.iter().all(Groups::is_settled));
    if epoch == 10 {
        println!(
            "a merge: {} chunks, {} bytes, {} views at the first node",
            told.0, told.1, cluster.views
        );
        println!("a merge needs {} bytes at all nodes while it lasts", used.bytes_max);
    }
}
