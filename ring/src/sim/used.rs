//! A layer and who uses it, as one application under simulation.
//!
//! Most tests of a layer look alike: hand it everything, take what it tells after each input, ask
//! something of it now and then. [`Used`] is all of that but the last two, which are a [`User`]'s.
//!
//! ```
//! # use roundel_ring::replica::{map::{Map, MapCommand}, *};
//! # use roundel_ring::sim::{Scenario, Used, User, run_applications};
//! /// Puts something into a replicated map now and then.
//! #[derive(Default)]
//! struct Client { open: usize }
//!
//! impl User for Client {
//!     type Layer = Replica<Map>;
//!
//!     fn listen(&mut self, replica: &mut Replica<Map>) {
//!         while let Some(event) = replica.poll_event() {
//!             self.open -= usize::from(matches!(event, Event::Applied { .. } | Event::Lost { .. }));
//!         }
//!     }
//!
//!     fn act(&mut self, replica: &mut Replica<Map>, random: u64) {
//!         let (key, value) = ("key".into(), random.to_string().into());
//!         let accepted = replica.submit(MapCommand::Put { key, value }.encode());
//!         self.open += usize::from(accepted.is_ok());
//!     }
//!
//!     fn is_settled(&self, replica: &Replica<Map>) -> bool {
//!         self.open == 0 && replica.standing() == Standing::Synced
//!     }
//! }
//!
//! let scenario = Scenario { nodes: Some(3), ..Scenario::new(7) };
//! let ran = run_applications(&scenario, |_| {
//!     let set = (1..=3).map(roundel_ring::id::NodeId).collect();
//!     let replica = Replica::new(Map::default(), Options::new(Progress::Majority(set)));
//!     Used::new(replica, Client::default())
//! });
//! assert_eq!(ran.outcome.failure, None);
//! let maps: Vec<&Map> = ran.lives.iter().filter(|life| !life.ended)
//!     .map(|life| life.application.layer.machine()).collect();
//! assert!(maps.windows(2).all(|two| two[0] == two[1]));
//! ```

use std::fmt;

use super::Application;
use crate::id::{Incarnation, NodeId};
use crate::layer::{Layer, Letter, Publication, StreamEvent};
use crate::time::Time;

/// Who uses a layer at one member, in one life of it: asks things of it, and judges what it tells.
pub trait User {
    /// What it uses.
    type Layer: Layer;

    /// The member has started, and the layer knows.
    fn start(&mut self, layer: &mut Self::Layer, me: NodeId) {
        let _ = (layer, me);
    }

    /// An event of the member's stream that the layer is told of next.
    fn see(&mut self, event: StreamEvent<'_>) {
        let _ = event;
    }

    /// Takes what the layer tells. Called after everything that happened to it.
    fn listen(&mut self, layer: &mut Self::Layer);

    /// It may ask for something now: called at random times, with a random number to choose by. Not
    /// once the member leaves.
    fn act(&mut self, layer: &mut Self::Layer, random: u64);

    /// The member leaves, and the layer has been told.
    fn leave(&mut self, layer: &mut Self::Layer) {
        let _ = layer;
    }

    /// It waits for nothing. The healed cluster must come to that within a bounded time.
    fn is_settled(&self, layer: &Self::Layer) -> bool {
        let _ = layer;
        true
    }
}

/// A layer with its user: what [`run_applications`](super::run_applications) runs.
pub struct Used<U: User> {
    /// What is used.
    pub layer: U::Layer,
    /// Who uses it.
    pub user: U,
    is_leaving: bool,
}

impl<U: User> Used<U> {
    /// The two, at a member that is about to start.
    pub const fn new(layer: U::Layer, user: U) -> Self {
        Self { layer, user, is_leaving: false }
    }
}

impl<U: User> fmt::Debug for Used<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Used").field("is_leaving", &self.is_leaving).finish_non_exhaustive()
    }
}

impl<U: User> Layer for Used<U> {
    fn handle_limit(&mut self, message_bytes_max: usize) {
        self.layer.handle_limit(message_bytes_max);
    }

    fn handle_start(&mut self, now: Time, me: NodeId, incarnation: Incarnation) {
        self.layer.handle_start(now, me, incarnation);
        self.user.start(&mut self.layer, me);
        self.user.listen(&mut self.layer);
    }

    fn handle_event(&mut self, now: Time, event: StreamEvent<'_>) {
        self.user.see(event);
        self.layer.handle_event(now, event);
        self.user.listen(&mut self.layer);
    }

    fn handle_letter(&mut self, now: Time, from: NodeId, payload: &[u8]) {
        self.layer.handle_letter(now, from, payload);
        self.user.listen(&mut self.layer);
    }

    fn handle_timeout(&mut self, now: Time) {
        self.layer.handle_timeout(now);
        self.user.listen(&mut self.layer);
    }

    fn handle_leave(&mut self, now: Time) {
        self.is_leaving = true;
        self.layer.handle_leave(now);
        self.user.leave(&mut self.layer);
        self.user.listen(&mut self.layer);
    }

    fn poll_publish(&mut self) -> Option<Publication> {
        self.layer.poll_publish()
    }

    fn poll_letter(&mut self) -> Option<Letter> {
        self.layer.poll_letter()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.layer.poll_timeout()
    }

    fn may_leave(&self) -> bool {
        self.layer.may_leave()
    }
}

impl<U: User> Application for Used<U> {
    fn act(&mut self, _now: Time, random: u64) {
        if !self.is_leaving {
            self.user.act(&mut self.layer, random);
            self.user.listen(&mut self.layer);
        }
    }

    fn is_settled(&self) -> bool {
        self.user.is_settled(&self.layer)
    }
}
