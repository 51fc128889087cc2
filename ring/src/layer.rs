//! What stands between a ring and an application: a machine on one member's event stream.
//!
//! Groups, replicas and whatever users build are layers. A layer is told of everything its member is
//! told of, in the same order, and publishes what it must; so all members' layers, being
//! deterministic, agree without a protocol of their own. The engine and the simulator run the same
//! layers.

use bytes::Bytes;

use crate::configuration::Configuration;
use crate::delivery::MessageRef;
use crate::id::{Incarnation, NodeId, RingId};
use crate::service::Class;
use crate::time::Time;

/// One event of a member's stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamEvent<'a> {
    /// A message, of any channel.
    Message(MessageRef<'a>),
    /// A configuration change.
    Configuration(&'a Configuration),
    /// The regular configuration in force is the primary component, until the next transitional one.
    Primary {
        /// Its ring.
        ring: RingId,
    },
}

/// What a layer has its member order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Publication {
    /// How and for whom.
    pub class: Class,
    /// The content, at most the largest message.
    pub payload: Bytes,
}

/// A letter to one member's layer, outside of the order: it may be lost, doubled and late, and fits one
/// frame ([`LETTER_BYTES_MAX`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    /// To whom.
    pub to: NodeId,
    /// The content.
    pub payload: Bytes,
}

/// Longest payload of a [`Letter`], so that it fits a frame on every network.
pub const LETTER_BYTES_MAX: usize = 1_100;

/// A deterministic machine on the event stream of one member. Inputs: `handle_*`; outputs: `poll_*`,
/// to be drained after each input.
pub trait Layer {
    /// How long a message may be, in bytes; told once, before the start. Longer ones are not sent.
    fn handle_limit(&mut self, message_bytes_max: usize) {
        let _ = message_bytes_max;
    }
    /// The member has started; its first configuration follows.
    fn handle_start(&mut self, now: Time, me: NodeId, incarnation: Incarnation);
    /// The next event of the stream.
    fn handle_event(&mut self, now: Time, event: StreamEvent<'_>);
    /// A letter came. Its sender is who the frame says.
    fn handle_letter(&mut self, now: Time, from: NodeId, payload: &[u8]);
    /// The time that [`Layer::poll_timeout`] named has come, or passed.
    fn handle_timeout(&mut self, now: Time);
    /// The member is about to leave for good: the layer's last words, to be published while it may.
    fn handle_leave(&mut self, now: Time) {
        let _ = now;
    }
    /// What is to be ordered next. Kept by the caller until the member has room.
    fn poll_publish(&mut self) -> Option<Publication>;
    /// The next letter to send.
    fn poll_letter(&mut self) -> Option<Letter>;
    /// When [`Layer::handle_timeout`] is wanted at the latest.
    fn poll_timeout(&self) -> Option<Time>;
    /// After [`Layer::handle_leave`]: all last words were polled. The member waits for that, but not
    /// for ever.
    fn may_leave(&self) -> bool {
        true
    }
}
