//! A layer on members with real sockets: its messages, letters and timers, and nothing of it at a
//! member without one.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel::{
    Channel, Class, Event, EventRef, Incarnation, Layer, Layered, Letter, Node, NodeId,
    Publication, Service, Time, Wanted,
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
