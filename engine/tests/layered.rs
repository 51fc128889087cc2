//! A layer on members with real sockets: its messages, letters and timers, and nothing of it at a
//! member without one.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel::groups::{Cause, GroupEvent, GroupName, Groups, RequestError, Target};
use roundel::{
    Channel, Class, Event, EventRef, Incarnation, Layer, Layered, Letter, Node, NodeId, Params,
    Policy, Publication, Service, Time, Wanted,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Greets once there are three, and thanks by letter, at a time of its own, whoever greets.
#[derive(Default)]
struct Polite {
    me: NodeId,
    greeted: bool,
    to_publish: Vec<Publication>,
    to_thank: Vec<NodeId>,
    thank_at: Option<Time>,
    to_send: Vec<Letter>,
    greetings: Vec<NodeId>,
    thanks: Vec<NodeId>,
}

impl Layer for Polite {
    fn handle_start(&mut self, _now: Time, me: NodeId, _incarnation: Incarnation) {
        self.me = me;
    }

    fn handle_event(&mut self, now: Time, event: EventRef<'_>) {
        match event {
            EventRef::Configuration(it) if it.members.len() == 3 && !self.greeted => {
                self.greeted = true;
                let class = Class { service: Service::Agreed, channel: Channel::REPLICA };
                let payload = Bytes::from_static(b"good day");
                self.to_publish.push(Publication { class, payload });
            }
            EventRef::Message(message) if message.channel == Channel::REPLICA => {
                self.greetings.push(message.id.sender);
                self.to_thank.push(message.id.sender);
                self.thank_at = Some(now + Duration::from_millis(20));
            }
            EventRef::Message(_) | EventRef::Configuration(_) | EventRef::Primary { .. } => {}
        }
    }

    fn handle_letter(&mut self, _now: Time, from: NodeId, payload: &[u8]) {
        assert_eq!(payload, b"thank you");
        self.thanks.push(from);
    }

    fn handle_timeout(&mut self, _now: Time) {
        self.thank_at = None;
        let payload = Bytes::from_static(b"thank you");
        let letter = |to| Letter { to, payload: payload.clone() };
        self.to_send.extend(self.to_thank.drain(..).map(letter));
    }

    fn poll_publish(&mut self) -> Option<Publication> {
        self.to_publish.pop()
    }

    fn poll_letter(&mut self) -> Option<Letter> {
        self.to_send.pop()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.thank_at
    }
}

fn join(name: &str, state: &std::path::Path, host: u8) -> Node {
    let interface = Wanted::Address(Ipv4Addr::new(127, 0, 0, host));
    let builder = Node::builder(name).id(u32::from(host)).interface(interface);
    builder.state_dir(state).join().unwrap()
}

#[test]
fn layers_hear_each_other_and_nobody_else_does() {
    let state = tempfile::tempdir().unwrap();
    let name = format!("layered-{}", std::process::id());
    let mut plain = join(&name, state.path(), 203);
    let mut layered: Vec<Layered<Polite>> = [201, 202]
        .map(|host| Layered::new(join(&name, state.path(), host), Polite::default()))
        .into();
    let since = Instant::now();
    let is_done =
        |it: &Layered<Polite>| it.layer().greetings.len() == 2 && it.layer().thanks.len() >= 2;
    while !layered.iter().all(is_done) {
        assert!(since.elapsed() < PATIENCE, "{:?}", layered[0].layer().greetings);
        for member in &mut layered {
            member.drive(Duration::from_millis(2)).unwrap();
        }
    }
    assert_eq!(layered[0].layer().greetings, layered[1].layer().greetings);
    for member in layered {
        // A letter to oneself comes back like any other.
        assert!(member.layer().thanks.contains(&member.layer().me));
        assert_eq!(member.leave(Duration::from_secs(2)).undelivered, 0);
    }
    plain.publish(Service::Agreed, "last").unwrap();
    let mut payloads = Vec::new();
    while payloads.is_empty() {
        if let Event::Message(message) = plain.recv_timeout(PATIENCE).unwrap() {
            payloads.push(message.payload);
        }
    }
    assert_eq!(payloads, ["last"], "what layers say is not the application's");
}

/// Drives all until something holds, and gives what the endpoints of each were told.
fn drive(
    members: &mut [Layered<Groups>],
    told: &mut [Vec<GroupEvent>],
    done: impl Fn(&[Layered<Groups>], &[Vec<GroupEvent>]) -> bool,
) {
    let since = Instant::now();
    while !done(members, told) {
        assert!(since.elapsed() < PATIENCE, "{told:?}");
        for (member, told) in members.iter_mut().zip(told.iter_mut()) {
            member.drive(Duration::from_millis(1)).unwrap();
            told.extend(std::iter::from_fn(|| member.layer_mut().poll_event()).map(|it| it.event));
        }
    }
}

#[test]
fn a_node_that_leaves_takes_its_endpoints_with_it_in_good_order() {
    let state = tempfile::tempdir().unwrap();
    let name = format!("layered-groups-{}", std::process::id());
    let group: GroupName = "g".parse().unwrap();
    let mut members: Vec<Layered<Groups>> = [204, 205]
        .map(|host| {
            let interface = Wanted::Address(Ipv4Addr::new(127, 0, 0, host));
            let builder = Node::builder(&name).id(u32::from(host)).interface(interface);
            let builder = builder
                .primary(Policy::Majority([204, 205].map(NodeId).into()))
                .params(Params { message_bytes: 10_000, ..Params::default() });
            let node = builder.state_dir(state.path()).join().unwrap();
            Layered::new(node, Groups::default())
        })
        .into();
    let mut endpoints = Vec::new();
    for member in &mut members {
        for name in ["a", "b"] {
            let endpoint = member.layer_mut().attach(name.parse().unwrap()).unwrap();
            member.layer_mut().join(endpoint, &group).unwrap();
            endpoints.push(endpoint);
        }
    }
    let mut told = vec![Vec::new(), Vec::new()];
    drive(&mut members, &mut told, |members, _| {
        members.iter().all(|it| it.layer().members(&group).len() == 4)
    });
    drive(&mut members, &mut told, |members, _| {
        members.iter().all(|it| it.layer().primary().is_some())
    });
    for told in &told {
        assert!(told.iter().any(|it| matches!(it, GroupEvent::Primary { ring: Some(_) })));
    }

    // The layer knows how long a message may be, and refuses what the ring would not take.
    let targets = [Target::Group(group.clone())];
    let send = |groups: &mut Groups, bytes: usize| {
        groups.send(endpoints[0], &targets, Service::Agreed, &vec![7; bytes])
    };
    let too_long = send(members[0].layer_mut(), 10_000).unwrap_err();
    assert!(matches!(too_long, RequestError::TooLong { most: 10_000, .. }), "{too_long}");
    send(members[0].layer_mut(), 9_900).unwrap();
    let is_message = |it: &GroupEvent| matches!(it, GroupEvent::Message(_));
    drive(&mut members, &mut told, |_, told| told.iter().all(|it| it.iter().any(is_message)));

    told[0].clear();
    let leaver = members.remove(1);
    assert_eq!(leaver.leave(Duration::from_secs(5)).undelivered, 0);
    drive(&mut members, &mut told, |members, told| {
        let is_over = |it: &GroupEvent| matches!(it, GroupEvent::Primary { ring: None });
        members[0].layer().members(&group).len() == 2 && told[0].iter().any(is_over)
    });
    let views: Vec<_> = told[0]
        .iter()
        .filter_map(|event| match event {
            GroupEvent::View(view) => Some((view.cause, view.left.len(), view.is_primary)),
            GroupEvent::Message(_) | GroupEvent::Primary { .. } => None,
        })
        .collect();
    assert_eq!(views, [(Cause::Leave, 2, true)], "they left, both at once, and nothing parted");
    assert_eq!(members.remove(0).leave(Duration::from_secs(2)).undelivered, 0);
}
