//! The backlog: accepted messages that wait for a number, and how they become packets.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::arena::Arena;
use crate::id::NodeId;
use crate::packet::{Content, Fragment, MESSAGE_PREFIX_BYTES, Packet};
use crate::params::Params;
use crate::service::Service;

/// Why a message was not accepted. The payload comes back with it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The backlog is full: the ring is slower than its senders. Try again later.
    #[error("the backlog is full; receive events and try again, or raise its bounds")]
    Full(Bytes),
    /// Larger than the largest message.
    #[error("the message exceeds the largest one; split it, or raise `message_bytes`")]
    TooLarge(Bytes),
    /// The member is leaving.
    #[error("the member is leaving and accepts nothing more")]
    Closed(Bytes),
}

#[derive(Debug)]
struct Pending {
    counter: u64,
    service: Service,
    payload: Bytes,
}

/// Accepted messages, oldest first.
#[derive(Debug)]
pub struct Backlog {
    queue: VecDeque<Pending>,
    /// Payload bytes in `queue`.
    bytes: usize,
    /// Bytes of the front message that were numbered as fragments already.
    fragmented: usize,
    /// Messages accepted in this incarnation.
    accepted: u64,
    closed: bool,
}

impl Backlog {
    /// An empty backlog.
    #[must_use]
    pub const fn new() -> Self {
        Self { queue: VecDeque::new(), bytes: 0, fragmented: 0, accepted: 0, closed: false }
    }

    /// An empty backlog with room for `messages`.
    #[must_use]
    pub fn with_capacity(messages: usize) -> Self {
        Self { queue: VecDeque::with_capacity(messages), ..Self::new() }
    }

    /// Takes a message and gives its counter.
    ///
    /// # Errors
    /// The payload back with the reason, when it was not accepted.
    pub fn accept(
        &mut self,
        params: &Params,
        service: Service,
        payload: Bytes,
    ) -> Result<u64, Refused> {
        if self.closed {
            return Err(Refused::Closed(payload));
        }
        if payload.len() > params.message_bytes {
            return Err(Refused::TooLarge(payload));
        }
        // Full counts what waits already: a message larger than the bound could never go else.
        if !self.has_room(params) {
            return Err(Refused::Full(payload));
        }
        self.accepted += 1;
        self.bytes += payload.len();
        self.queue.push_back(Pending { counter: self.accepted, service, payload });
        Ok(self.accepted)
    }

    /// Another message of any size would not be refused as full.
    #[must_use]
    pub fn has_room(&self, params: &Params) -> bool {
        let full = self.bytes >= params.backlog_bytes;
        self.queue.is_empty() || !full && self.queue.len() < params.backlog_messages
    }

    /// Messages accepted in this incarnation.
    #[must_use]
    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Accepts nothing more.
    pub const fn close(&mut self) {
        self.closed = true;
    }

    /// Whether [`Backlog::close`] was called.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Packets that what waits will fill, about.
    #[must_use]
    pub fn packets(&self, body_bytes: usize) -> u32 {
        let prefixes = self.queue.len() * MESSAGE_PREFIX_BYTES;
        let bytes = self.bytes - self.fragmented + prefixes;
        u32::try_from(bytes.div_ceil(body_bytes)).unwrap_or(u32::MAX)
    }

    /// Begins the front message again from its first fragment: its last one got no number on the
    /// ring that ended, so it was not originated there.
    pub const fn restart_fragmented(&mut self) {
        self.fragmented = 0;
    }

    /// Makes the next packet of at most `body_bytes`. Also yields the hash of a message that ends
    /// in a fragment, which its body alone does not tell.
    pub fn next_packet(
        &mut self,
        originator: NodeId,
        body_bytes: usize,
        arena: &mut Arena,
    ) -> Option<Numbered> {
        let front = self.queue.front()?;
        if self.fragmented > 0 || front.payload.len() + MESSAGE_PREFIX_BYTES > body_bytes {
            return self.next_fragment(originator, body_bytes);
        }
        let (first_message, service) = (front.counter, front.service);
        arena.reserve(body_bytes);
        let mut count = 0;
        while let Some(front) = self.queue.front() {
            let length = arena.len() + MESSAGE_PREFIX_BYTES + front.payload.len();
            if front.service != service || length > body_bytes || count == u16::MAX {
                break;
            }
            // Fits: a body is far below 64 KiB.
            let prefix = u16::try_from(front.payload.len()).unwrap_or(u16::MAX);
            arena.put(&prefix.to_le_bytes());
            arena.put(&front.payload);
            count += 1;
            self.pop_front();
        }
        let content = Content::Messages { count };
        let body = arena.finish();
        let packet = Packet { originator, first_message, service, content, body };
        Some(Numbered { packet, completed: None })
    }

    fn next_fragment(&mut self, originator: NodeId, body_bytes: usize) -> Option<Numbered> {
        let front = self.queue.front()?;
        let (first_message, service) = (front.counter, front.service);
        let end = front.payload.len().min(self.fragmented + body_bytes);
        let fragment = match (self.fragmented, end == front.payload.len()) {
            (0, true) => Fragment::Only,
            (_, true) => Fragment::Last,
            (0, false) => Fragment::First,
            (_, false) => Fragment::Middle,
        };
        let body = front.payload.slice(self.fragmented..end);
        let content = Content::Fragment(fragment);
        let packet = Packet { originator, first_message, service, content, body };
        self.fragmented = end;
        let completed = if fragment.completes() { self.pop_front() } else { None };
        Some(Numbered { packet, completed })
    }

    fn pop_front(&mut self) -> Option<Bytes> {
        let Pending { payload, .. } = self.queue.pop_front()?;
        self.bytes -= payload.len();
        self.fragmented = 0;
        Some(payload)
    }
}

impl Default for Backlog {
    fn default() -> Self {
        Self::new()
    }
}

/// A packet made from the backlog.
#[derive(Debug)]
pub struct Numbered {
    /// The packet.
    pub packet: Packet,
    /// The whole payload of the message that this packet's fragment completes.
    pub completed: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(backlog: &mut Backlog, service: Service, payload: &[u8]) -> u64 {
        let payload = Bytes::copy_from_slice(payload);
        backlog.accept(&Params::default(), service, payload).unwrap()
    }

    fn drain(backlog: &mut Backlog, body_bytes: usize) -> Vec<Packet> {
        let mut arena = Arena::default();
        std::iter::from_fn(|| backlog.next_packet(NodeId(1), body_bytes, &mut arena))
            .map(|numbered| numbered.packet)
            .inspect(|packet| packet.validate().unwrap())
            .collect()
    }

    #[test]
    fn small_messages_of_one_service_share_a_packet() {
        let mut backlog = Backlog::new();
        for text in ["a", "", "ccc"] {
            accept(&mut backlog, Service::Agreed, text.as_bytes());
        }
        accept(&mut backlog, Service::Safe, b"d");
        let packets = drain(&mut backlog, 100);
        assert_eq!(packets.len(), 2);
        let payloads: Vec<_> = packets[0].payloads().collect();
        assert_eq!(payloads, [&b"a"[..], b"", b"ccc"]);
        assert_eq!((packets[1].first_message, packets[1].service), (4, Service::Safe));
        assert_eq!(backlog.packets(100), 0);
    }

    #[test]
    fn a_large_message_is_cut_and_begins_again_on_a_new_ring() {
        let mut backlog = Backlog::new();
        let payload: Vec<u8> = (0..250_u8).collect();
        accept(&mut backlog, Service::Agreed, &payload);
        let mut arena = Arena::default();
        let first = backlog.next_packet(NodeId(1), 100, &mut arena).unwrap().packet;
        assert_eq!(first.content, Content::Fragment(Fragment::First));
        assert_eq!(backlog.packets(100), 2);
        backlog.restart_fragmented();
        let packets = drain(&mut backlog, 100);
        let whole: Vec<u8> = packets.iter().flat_map(|packet| packet.body.to_vec()).collect();
        assert_eq!((packets.len(), whole), (3, payload));
        assert_eq!(packets[2].content, Content::Fragment(Fragment::Last));
    }

    #[test]
    fn a_full_backlog_gives_the_payload_back() {
        let params = Params { backlog_bytes: 10, ..Params::default() };
        let mut backlog = Backlog::new();
        let payload = Bytes::from_static(b"eight by");
        for _ in 0..2 {
            backlog.accept(&params, Service::Agreed, payload.clone()).unwrap();
        }
        let refused = backlog.accept(&params, Service::Agreed, payload.clone());
        assert_eq!(refused, Err(Refused::Full(payload)));
    }
}
