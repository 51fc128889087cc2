//! A layer whose words come in one order with its member's configurations.

use std::collections::VecDeque;

use roundel::groups::{Addressed, Groups};
use roundel::replica::{Event, Replica, StateMachine};
use roundel::{
    Configuration, EventRef, Incarnation, Layer, Letter, NodeId, Publication, RingId, Time,
};

/// A layer that tells its application something.
pub(crate) trait Telling: Layer {
    /// What.
    type Told;

    /// The next thing, to be asked for after each input.
    fn poll_told(&mut self) -> Option<Self::Told>;

    /// The members that it waits for.
    fn waiting_for(&self) -> Vec<NodeId>;
}

impl Telling for Groups {
    type Told = Addressed;

    fn poll_told(&mut self) -> Option<Addressed> {
        self.poll_event()
    }

    fn waiting_for(&self) -> Vec<NodeId> {
        self.waiting_for()
    }
}

impl<M: StateMachine> Telling for Replica<M> {
    type Told = Event<M::Output>;

    fn poll_told(&mut self) -> Option<Event<M::Output>> {
        self.poll_event()
    }

    fn waiting_for(&self) -> Vec<NodeId> {
        self.waiting_for()
    }
}

/// What a command tells its user.
#[derive(Debug)]
pub(super) enum News<T> {
    Configuration(Configuration),
    Primary(RingId),
    Told(T),
}

/// The layer, and its news in the order of the stream. Bounded by what one round hands it, as they
/// are taken after each.
#[derive(Debug)]
pub(super) struct Witness<L: Telling> {
    pub(super) layer: L,
    news: VecDeque<News<L::Told>>,
}

impl<L: Telling> Witness<L> {
    pub(super) const fn new(layer: L) -> Self {
        Self { layer, news: VecDeque::new() }
    }

    pub(super) fn poll_news(&mut self) -> Option<News<L::Told>> {
        self.news.pop_front()
    }

    fn hear(&mut self) {
        while let Some(told) = self.layer.poll_told() {
            self.news.push_back(News::Told(told));
        }
    }
}

impl<L: Telling> Layer for Witness<L> {
    fn handle_start(&mut self, now: Time, me: NodeId, incarnation: Incarnation) {
        self.layer.handle_start(now, me, incarnation);
        self.hear();
    }

    fn handle_event(&mut self, now: Time, event: EventRef<'_>) {
        match event {
            EventRef::Configuration(configuration) => {
                self.news.push_back(News::Configuration(configuration.clone()));
            }
            EventRef::Primary { ring } => self.news.push_back(News::Primary(ring)),
            EventRef::Message(_) => {}
        }
        self.layer.handle_event(now, event);
        self.hear();
    }

    fn handle_letter(&mut self, now: Time, from: NodeId, payload: &[u8]) {
        self.layer.handle_letter(now, from, payload);
        self.hear();
    }

    fn handle_timeout(&mut self, now: Time) {
        self.layer.handle_timeout(now);
        self.hear();
    }

    fn poll_publish(&mut self) -> Option<Publication> {
        let publication = self.layer.poll_publish();
        // To publish may make what was not made yet.
        self.hear();
        publication
    }

    fn poll_letter(&mut self) -> Option<Letter> {
        self.layer.poll_letter()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.layer.poll_timeout()
    }
}
