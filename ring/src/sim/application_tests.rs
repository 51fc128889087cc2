//! A layer under all faults: its messages, letters and timers arrive as they should.

use std::time::Duration;

use bytes::Bytes;

use super::{Application, Scenario, run_applications};
use crate::configuration::ConfigurationKind;
use crate::id::{Incarnation, NodeId, RingId};
use crate::layer::{Layer, Letter, Publication, StreamEvent};
use crate::service::{Channel, Class, Service};
use crate::time::Time;

/// Thanks by letter whoever published on its channel, and counts the thanks it got.
#[derive(Default)]
struct Polite {
    me: NodeId,
    ring: RingId,
    to_publish: Vec<Publication>,
    to_send: Vec<Letter>,
    wakes_at: Option<Time>,
    /// Own messages published, and those that came back.
    published: u64,
    own: u64,
    thanks: u64,
    wakes: u64,
    wakes_asked: u64,
    transitional: u64,
}

impl Layer for Polite {
    fn handle_start(&mut self, _now: Time, me: NodeId, _incarnation: Incarnation) {
        self.me = me;
    }

    fn handle_event(&mut self, _now: Time, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Configuration(it) if it.kind == ConfigurationKind::Regular => {
                self.ring = it.ring;
            }
            StreamEvent::Configuration(_) => self.transitional += 1,
            StreamEvent::Primary { .. } => {}
            StreamEvent::Message(message) if message.channel == Channel::REPLICA => {
                assert_eq!(message.payload, b"hello");
                self.own += u64::from(message.id.sender == self.me);
                let payload = Bytes::from_static(b"thanks");
                self.to_send.push(Letter { to: message.id.sender, payload });
            }
            // Beside what applications publish, filters tell each other of their views.
            StreamEvent::Message(message) => assert_ne!(message.channel, Channel::PRIMARY),
        }
    }

    fn handle_letter(&mut self, _now: Time, _from: NodeId, payload: &[u8]) {
        assert_eq!(payload, b"thanks");
        self.thanks += 1;
    }

    fn handle_timeout(&mut self, now: Time) {
        assert!(self.wakes_at.take().is_some_and(|at| at <= now));
        self.wakes += 1;
    }

    fn poll_publish(&mut self) -> Option<Publication> {
        self.to_publish.pop()
    }

    fn poll_letter(&mut self) -> Option<Letter> {
        self.to_send.pop()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.wakes_at
    }
}

impl Application for Polite {
    fn act(&mut self, now: Time, random: u64) {
        let service = [Service::Fifo, Service::Agreed, Service::Safe][(random % 3) as usize];
        let class = Class { service, channel: Channel::REPLICA };
        self.to_publish.push(Publication { class, payload: Bytes::from_static(b"hello") });
        self.published += 1;
        if self.wakes_at.is_none() {
            self.wakes_at = Some(now + Duration::from_millis(random % 50));
            self.wakes_asked += 1;
        }
    }

    fn is_settled(&self) -> bool {
        self.own == self.published && self.wakes_at.is_none()
    }
}

#[test]
fn messages_letters_and_timers_arrive() {
    let (mut thanks, mut wakes, mut transitional, mut ended) = (0, 0, 0, 0);
    for seed in 0..60 {
        let ran = run_applications(&Scenario::new(seed), |_| Polite::default());
        assert_eq!(ran.outcome.failure, None, "seed {seed}");
        for life in &ran.lives {
            let polite = &life.application;
            if life.ended {
                ended += 1;
            } else {
                assert!(polite.is_settled() && polite.wakes == polite.wakes_asked);
                assert_eq!(polite.me, life.node);
            }
            thanks += polite.thanks;
            wakes += polite.wakes;
            transitional += polite.transitional;
        }
        let rings: Vec<RingId> =
            ran.lives.iter().filter(|it| !it.ended).map(|it| it.application.ring).collect();
        assert!(rings.iter().all(|ring| *ring == rings[0]), "seed {seed}");
    }
    assert!(thanks > 1_000 && wakes > 1_000 && transitional > 100 && ended > 10);
}
