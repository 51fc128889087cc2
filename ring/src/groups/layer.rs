//! Groups on a member's stream.

use super::Groups;
use super::table::Table;
use super::view::Steps;
use super::wire;
use crate::id::{Incarnation, NodeId};
use crate::layer::{Layer, Letter, Publication, StreamEvent};
use crate::service::{Channel, Class, Service};
use crate::time::Time;

impl Layer for Groups {
    fn handle_limit(&mut self, message_bytes_max: usize) {
        self.outbox.limit(message_bytes_max);
    }

    fn handle_start(&mut self, _now: Time, me: NodeId, incarnation: Incarnation) {
        self.me = me;
        self.table = Table::new(me, incarnation);
        self.kin = std::sync::Arc::new([me]);
        self.steps = Steps::new(me);
    }

    fn handle_event(&mut self, _now: Time, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Configuration(configuration) => {
                self.make_ready();
                self.handle_configuration(configuration);
            }
            StreamEvent::Message(message) if message.channel == Channel::GROUPS => {
                self.make_ready();
                let is_own = message.id.sender == self.me;
                self.in_flight = self.in_flight.saturating_sub(u64::from(is_own));
                self.handle_message(message);
            }
            StreamEvent::Message(_) => {}
            StreamEvent::Primary { ring } => {
                self.make_ready();
                self.handle_primary(Some(ring));
            }
        }
    }

    /// Groups write no letters.
    fn handle_letter(&mut self, _now: Time, _from: NodeId, _payload: &[u8]) {}

    /// Groups have no timers.
    fn handle_timeout(&mut self, _now: Time) {}

    /// All endpoints are detached, and one message tells the others.
    fn handle_leave(&mut self, _now: Time) {
        if self.locals.detach_all() {
            self.outbox.push(Service::Agreed, wire::away());
        }
    }

    fn poll_publish(&mut self) -> Option<Publication> {
        if self.exchange.is_some() {
            // The table that is told is the one after the events before.
            self.make_ready();
        }
        let publication = match &mut self.exchange {
            Some(exchange) => {
                let payload = exchange.poll_chunk(&self.table)?;
                self.counts.chunks_told += 1;
                let class = Class { service: Service::Agreed, channel: Channel::GROUPS };
                Publication { class, payload }
            }
            None => self.outbox.pop()?,
        };
        self.in_flight += 1;
        Some(publication)
    }

    fn poll_letter(&mut self) -> Option<Letter> {
        None
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// While tables are exchanged, requests and farewells wait.
    fn may_leave(&self) -> bool {
        self.outbox.is_empty()
    }
}
