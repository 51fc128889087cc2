//! The filter as a layer: so it stands on any member's stream, with what its application publishes
//! going past it.

use super::Filter;
use crate::id::{Incarnation, NodeId};
use crate::layer::{Layer, Letter, Publication, StreamEvent};
use crate::service::Channel;
use crate::time::Time;

/// It hears of its application's messages and of its own; those of other layers are not for views.
impl Layer for Filter {
    fn handle_start(&mut self, _now: Time, me: NodeId, _incarnation: Incarnation) {
        self.me = me;
    }

    fn handle_event(&mut self, _now: Time, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Configuration(configuration) => self.handle_configuration(configuration),
            StreamEvent::Primary { ring } => self.handle_primary(ring),
            StreamEvent::Message(message)
                if matches!(message.channel, Channel::APPLICATION | Channel::VIEWS) =>
            {
                self.handle_message(message.to_message());
            }
            StreamEvent::Message(_) => {}
        }
    }

    /// Filters write no letters.
    fn handle_letter(&mut self, _now: Time, _from: NodeId, _payload: &[u8]) {}

    /// Filters have no timers.
    fn handle_timeout(&mut self, _now: Time) {}

    fn poll_publish(&mut self) -> Option<Publication> {
        Self::poll_publish(self)
    }

    fn poll_letter(&mut self) -> Option<Letter> {
        None
    }

    fn poll_timeout(&self) -> Option<Time> {
        None
    }
}
