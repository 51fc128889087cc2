//! How many messages lie between the markers, and a number for them: the same at all members.
//!
//! Causal messages, which may overtake, are delivered on either side of a marker, here so and there
//! otherwise: they count by their places on the ring, and their number does not depend on their
//! order. Reliable and fifo ones may have no place when they are delivered, so they count where they
//! are, and no number tells that they are the same everywhere.

use std::collections::VecDeque;

use roundel::{Ordinal, Service};

use crate::order::{chain, item};
use crate::payload::Load;

/// More than can overtake a marker: a window of packets, of many small messages each.
const RECENT_MAX: usize = 1 << 17;

/// What lies between two places of the order.
#[derive(Debug)]
pub(crate) struct Tally {
    service: Service,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Of services whose messages have places.
    pub(crate) digest: Option<u64>,
    /// Of those that may overtake, what was delivered last.
    recent: Option<VecDeque<Item>>,
}

/// A message as it counts.
#[derive(Clone, Copy, Debug)]
struct Item {
    at: Ordinal,
    bytes: u64,
    digest: u64,
}

impl Tally {
    /// Nothing yet, of messages of `service`.
    pub(crate) fn new(service: Service) -> Self {
        let recent = (service == Service::Causal).then(VecDeque::new);
        let digest = (!service.is_token_free()).then_some(0);
        Self { service, messages: 0, bytes: 0, digest, recent }
    }

    /// Of the messages.
    pub(crate) const fn service(&self) -> Service {
        self.service
    }

    /// The marker at this place is delivered: what counts begins behind it.
    pub(crate) fn begin(&mut self, marker: Ordinal) {
        (self.messages, self.bytes, self.digest) = (0, 0, self.digest.map(|_| 0));
        let behind = self.recent.iter().flatten().filter(|item| item.at > marker);
        for Item { bytes, digest, .. } in behind.copied().collect::<Vec<_>>() {
            self.messages += 1;
            self.bytes += bytes;
            self.digest = self.digest.map(|it| it.wrapping_add(digest));
        }
    }

    /// The next message, at its place if it has one.
    pub(crate) fn add(&mut self, at: Option<Ordinal>, load: Load, payload: &[u8]) {
        let bytes = payload.len() as u64;
        self.messages += 1;
        self.bytes += bytes;
        let Some(recent) = &mut self.recent else {
            self.digest = self.digest.map(|digest| chain(digest, load, payload));
            return;
        };
        let Some(at) = at else { return };
        let digest = item(load, payload);
        self.digest = self.digest.map(|it| it.wrapping_add(digest));
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(Item { at, bytes, digest });
    }

    /// The marker at this place is delivered: what counts ends before it.
    pub(crate) fn end(&mut self, marker: Ordinal) {
        for item in self.recent.iter().flatten().filter(|item| item.at > marker) {
            self.messages -= 1;
            self.bytes -= item.bytes;
            self.digest = self.digest.map(|it| it.wrapping_sub(item.digest));
        }
    }
}

#[cfg(test)]
mod tests {
    use roundel::NodeId;

    use super::*;

    fn load(counter: u64) -> Load {
        Load { sender: NodeId(1), counter, planned_ns: 0, lateness_ns: 0 }
    }

    /// A tally of messages at these places, in this order, with markers at 10 and 20.
    fn tally(service: Service, before: &[u64], between: &[u64]) -> Tally {
        let mut tally = Tally::new(service);
        let add = |tally: &mut Tally, places: &[u64]| {
            places.iter().for_each(|place| tally.add(Some(Ordinal(*place)), load(*place), b"x"));
        };
        add(&mut tally, before);
        tally.begin(Ordinal(10));
        add(&mut tally, between);
        tally.end(Ordinal(20));
        tally
    }

    #[test]
    fn what_overtakes_a_marker_counts_by_its_place() {
        let one = tally(Service::Causal, &[8, 9], &[11, 12, 19]);
        let other = tally(Service::Causal, &[8, 12, 9, 11], &[22, 19, 21]);
        assert_eq!((one.messages, one.bytes), (3, 3));
        assert_eq!(
            (one.messages, one.bytes, one.digest),
            (other.messages, other.bytes, other.digest)
        );
        assert_ne!(one.digest, tally(Service::Causal, &[], &[11, 13, 19]).digest);
    }

    #[test]
    fn where_there_is_one_order_it_counts() {
        let one = tally(Service::Agreed, &[8], &[11, 12]);
        let other = tally(Service::Agreed, &[9], &[12, 11]);
        assert_eq!((one.messages, other.messages), (2, 2));
        assert_ne!(one.digest, other.digest);
    }
}
