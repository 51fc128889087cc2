//! The backlog: accepted messages that wait for a number, and how they become packets.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::arena::Arena;
use crate::id::NodeId;
use crate::level::Level;
use crate::packet::{Content, Fragment, Packet, Waits};
use crate::packing::{Messages, Packed};
use crate::params::Params;
use crate::service::Class;

/// Why messages were not accepted. They come back with it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The backlog is full: the ring is slower than its senders. Try again later.
    #[error("the backlog is full; receive events and try again, or raise its bounds")]
    Full(Messages),
    /// Larger than the largest message.
    #[error("the message exceeds the largest one; split it, or raise `message_bytes`")]
    TooLarge(Messages),
    /// The member is leaving.
    #[error("the member is leaving and accepts nothing more")]
    Closed(Messages),
}

#[derive(Clone, Hash, Debug)]
struct Pending {
    /// Of the first message.
    counter: u64,
    class: Class,
    messages: Messages,
}

/// Accepted messages, oldest first.
#[derive(Clone, Hash, Debug)]
pub struct Backlog {
    queue: VecDeque<Pending>,
    /// Bytes of bodies that `queue` fills.
    bytes: usize,
    /// Bytes of the front message that were numbered as fragments already.
    fragmented: usize,
    /// Messages accepted in this incarnation.
    accepted: u64,
    closed: bool,
    level: Level,
}

impl Backlog {
    /// An empty backlog with room for what the bounds allow.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        Self {
            queue: VecDeque::with_capacity(params.backlog_messages),
            bytes: 0,
            fragmented: 0,
            accepted: 0,
            closed: false,
            level: Level::new(params.pad_packets),
        }
    }

    /// Takes messages and gives the counter of the first.
    ///
    /// # Errors
    /// The messages back with the reason, when they were not accepted.
    pub fn accept(
        &mut self,
        params: &Params,
        class: impl Into<Class>,
        messages: Messages,
    ) -> Result<u64, Refused> {
        if self.closed {
            return Err(Refused::Closed(messages));
        }
        // Who packs messages looks at the size of each.
        if matches!(&messages, Messages::One(payload) if payload.len() > params.message_bytes) {
            return Err(Refused::TooLarge(messages));
        }
        // Full counts what waits already: a message larger than the bound could never go else.
        if !self.has_room(params) {
            return Err(Refused::Full(messages));
        }
        let counter = self.accepted + 1;
        self.accepted += u64::from(messages.count());
        self.bytes += messages.body_bytes();
        self.queue.push_back(Pending { counter, class: class.into(), messages });
        Ok(counter)
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
        let bytes = self.bytes - self.fragmented;
        u32::try_from(bytes.div_ceil(body_bytes)).unwrap_or(u32::MAX)
    }

    /// Begins the front message again from its first fragment: its last one got no number on the
    /// ring that ended, so it was not originated there.
    pub const fn restart_fragmented(&mut self) {
        self.fragmented = 0;
    }

    /// The next packet may leave without the token: whole messages that fit `body_bytes`.
    #[must_use]
    pub fn is_front_token_free(&self, body_bytes: usize) -> bool {
        self.fragmented == 0
            && self.queue.front().is_some_and(|front| {
                front.class.service.is_token_free() && front.messages.body_bytes() <= body_bytes
            })
    }

    /// Makes the next packet of at most `body_bytes`; what it waits for is for its originator to
    /// say. Also yields the payload of a message that
    /// ends in a fragment, which its body alone does not tell.
    pub fn next_packet(
        &mut self,
        originator: NodeId,
        body_bytes: usize,
        arena: &mut Arena,
    ) -> Option<Numbered> {
        self.cut_front(body_bytes);
        let front = self.queue.front()?;
        if self.fragmented > 0 || front.messages.body_bytes() > body_bytes {
            return self.next_fragment(originator, body_bytes, arena);
        }
        let (first_message, class) = (front.counter, front.class);
        let (count, body) = match self.pop_whole_body(body_bytes) {
            Some(packed) => (packed.count(), packed.into_body(body_bytes)),
            None => self.pack_together(class, body_bytes, arena),
        };
        let (content, waits) = (Content::Messages { count }, Waits::default());
        let packet = Packet { originator, first_message, class, waits, content, body };
        Some(Numbered { packet, completed: None })
    }

    /// Packed messages in front that were meant for longer packets: the ring's smallest MTU has
    /// become smaller. Cuts them so that those in front fit, or are one that fills several packets.
    fn cut_front(&mut self, body_bytes: usize) {
        let Some(Pending { counter, class, messages: Messages::Packed(packed) }) =
            self.queue.front_mut()
        else {
            return;
        };
        if packed.messages().len() <= body_bytes {
            return;
        }
        let fitting = packed.split_fitting(body_bytes).map(Messages::Packed);
        let Some(first) = fitting.or_else(|| packed.split_first().map(Messages::One)) else {
            return;
        };
        let (first_counter, class) = (*counter, *class);
        *counter += u64::from(first.count());
        if packed.count() == 0 {
            self.queue.pop_front();
        }
        self.queue.push_front(Pending { counter: first_counter, class, messages: first });
    }

    /// The packed messages in front, if nothing else fits the same packet: they need no copy.
    fn pop_whole_body(&mut self, body_bytes: usize) -> Option<Packed> {
        let front = self.queue.front()?;
        let Messages::Packed(packed) = &front.messages else { return None };
        let shared = self.queue.get(1).is_some_and(|next| {
            let together = packed.messages().len() + next.messages.body_bytes();
            next.class == front.class && together <= body_bytes
        });
        if shared {
            return None;
        }
        match self.pop_front() {
            Some(Messages::Packed(packed)) => Some(packed),
            _ => None,
        }
    }

    /// Packs what fits; the front one does.
    fn pack_together(
        &mut self,
        class: Class,
        body_bytes: usize,
        arena: &mut Arena,
    ) -> (u16, Bytes) {
        arena.reserve(body_bytes);
        let mut count: u16 = 0;
        while let Some(front) = self.queue.front() {
            let length = arena.len() + front.messages.body_bytes();
            let Some(more) = count.checked_add(front.messages.count()) else { break };
            if front.class != class || length > body_bytes {
                break;
            }
            match &front.messages {
                Messages::Packed(packed) => arena.put(packed.messages()),
                Messages::One(payload) => {
                    // Fits: a body is far below 64 KiB.
                    let prefix = u16::try_from(payload.len()).unwrap_or(u16::MAX);
                    arena.put(&prefix.to_le_bytes());
                    arena.put(payload);
                }
            }
            count = more;
            self.pop_front();
        }
        arena.pad(self.level.padding(arena.len(), body_bytes));
        (count, arena.finish())
    }

    /// Cuts a message into as few pieces as possible, of one length but for the last: frames of one
    /// length leave the host together.
    fn next_fragment(
        &mut self,
        originator: NodeId,
        body_bytes: usize,
        arena: &mut Arena,
    ) -> Option<Numbered> {
        let front = self.queue.front()?;
        let Messages::One(payload) = &front.messages else { return None };
        let (first_message, class) = (front.counter, front.class);
        let pieces = payload.len().div_ceil(body_bytes).max(1);
        let piece_bytes = payload.len().div_ceil(pieces);
        let end = payload.len().min(self.fragmented + piece_bytes);
        let mut body = payload.slice(self.fragmented..end);
        let fragment = match (self.fragmented, end == payload.len()) {
            (0, true) => Fragment::Only,
            (_, true) => {
                let padding = self.level.fragment_padding(body.len(), piece_bytes);
                if padding > 0 {
                    arena.reserve(piece_bytes);
                    arena.put(&body);
                    arena.pad(padding);
                    body = arena.finish();
                }
                Fragment::Last { padding: u16::try_from(padding).unwrap_or(0) }
            }
            (0, false) => Fragment::First,
            (_, false) => Fragment::Middle,
        };
        let (content, waits) = (Content::Fragment(fragment), Waits::default());
        let packet = Packet { originator, first_message, class, waits, content, body };
        self.fragmented = end;
        let completed = match fragment.completes().then(|| self.pop_front()).flatten() {
            Some(Messages::One(payload)) => Some(payload),
            _ => None,
        };
        Some(Numbered { packet, completed })
    }

    fn pop_front(&mut self) -> Option<Messages> {
        let Pending { messages, .. } = self.queue.pop_front()?;
        self.bytes -= messages.body_bytes();
        self.fragmented = 0;
        Some(messages)
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
    use crate::packing::Packer;
    use crate::service::Service;

    fn accept(backlog: &mut Backlog, service: Service, payload: &[u8]) -> u64 {
        let payload = Bytes::copy_from_slice(payload);
        backlog.accept(&Params::default(), service, payload.into()).unwrap()
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
        let mut backlog = Backlog::new(&Params::default());
        for text in ["a", "", "ccc"] {
            accept(&mut backlog, Service::Agreed, text.as_bytes());
        }
        accept(&mut backlog, Service::Safe, b"d");
        let packets = drain(&mut backlog, 100);
        assert_eq!(packets.len(), 2);
        let payloads: Vec<_> = packets[0].payloads().collect();
        assert_eq!(payloads, [&b"a"[..], b"", b"ccc"]);
        assert_eq!((packets[1].first_message, packets[1].class), (4, Service::Safe.into()));
        assert_eq!(backlog.packets(100), 0);
    }

    #[test]
    fn a_large_message_is_cut_and_begins_again_on_a_new_ring() {
        let mut backlog = Backlog::new(&Params::default());
        let payload: Vec<u8> = (0..250_u8).collect();
        accept(&mut backlog, Service::Agreed, &payload);
        let mut arena = Arena::default();
        let first = backlog.next_packet(NodeId(1), 100, &mut arena).unwrap().packet;
        assert_eq!(first.content, Content::Fragment(Fragment::First));
        assert_eq!(backlog.packets(100), 2);
        backlog.restart_fragmented();
        let packets = drain(&mut backlog, 100);
        let whole: Vec<u8> = packets.iter().flat_map(|packet| packet.piece().to_vec()).collect();
        assert_eq!((packets.len(), whole), (3, payload));
        // 250 bytes are three times 84 less two.
        assert!(packets.iter().all(|packet| packet.body.len() == 84));
        assert_eq!(packets[2].content, Content::Fragment(Fragment::Last { padding: 2 }));
    }

    fn accept_packed(backlog: &mut Backlog, payloads: &[&[u8]]) -> u64 {
        let mut packer = Packer::new(1_000, false);
        for payload in payloads {
            assert!(packer.push(payload));
        }
        let packed = packer.take().unwrap().into();
        backlog.accept(&Params::default(), Service::Agreed, packed).unwrap()
    }

    fn payloads(packets: &[Packet]) -> Vec<Vec<u8>> {
        packets.iter().flat_map(|packet| packet.payloads().map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn what_is_packed_already_is_not_copied() {
        let mut backlog = Backlog::new(&Params::default());
        assert_eq!(accept_packed(&mut backlog, &[b"abcd", b"efgh"]), 1);
        assert_eq!(accept(&mut backlog, Service::Agreed, b"ijkl"), 3);
        let Some(Pending { messages: Messages::Packed(packed), .. }) = backlog.queue.front() else {
            panic!("packed")
        };
        let at = packed.messages().as_ptr();
        let packets = drain(&mut backlog, 16);
        assert_eq!((packets.len(), packets[0].body.as_ptr()), (2, at));
        assert_eq!(packets[1].first_message, 3);
        assert_eq!(payloads(&packets), [b"abcd", b"efgh", b"ijkl"]);
    }

    #[test]
    fn packed_and_single_messages_share_a_packet() {
        let mut backlog = Backlog::new(&Params::default());
        accept_packed(&mut backlog, &[b"a", b"b"]);
        accept(&mut backlog, Service::Agreed, b"c");
        accept_packed(&mut backlog, &[b"d"]);
        let packets = drain(&mut backlog, 100);
        assert_eq!((packets.len(), packets[0].messages_completed()), (1, 4));
        assert_eq!(payloads(&packets), [b"a", b"b", b"c", b"d"]);
    }

    #[test]
    fn packets_of_mixed_messages_have_one_length() {
        let (mut backlog, mut sent) = (Backlog::new(&Params::default()), Vec::new());
        for number in 0..2_000_u32 {
            let payload = vec![7; 20 + (number.wrapping_mul(2_654_435_761) >> 24) as usize % 100];
            accept(&mut backlog, Service::Agreed, &payload);
            sent.push(payload);
        }
        let packets = drain(&mut backlog, 1_438);
        let lengths: Vec<usize> = packets.iter().map(|packet| packet.body.len()).collect();
        let changes = lengths.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(
            packets.len() > 90 && changes < 8,
            "{changes} changes in {} packets",
            packets.len()
        );
        assert_eq!(payloads(&packets), sent);
    }

    #[test]
    fn what_was_packed_for_longer_packets_is_cut() {
        let mut backlog = Backlog::new(&Params::default());
        accept_packed(&mut backlog, &[b"abcd", b"a long one", b"efgh"]);
        let packets = drain(&mut backlog, 8);
        let firsts: Vec<u64> = packets.iter().map(|packet| packet.first_message).collect();
        assert_eq!(firsts, [1, 2, 2, 3]);
        assert_eq!(payloads(&packets), [b"abcd", b"efgh"]);
        let long: Vec<u8> = packets[1..3].iter().flat_map(|packet| packet.body.to_vec()).collect();
        assert_eq!(long, b"a long one");
        assert_eq!((backlog.packets(8), backlog.is_empty()), (0, true));
    }

    #[test]
    fn a_full_backlog_gives_the_payload_back() {
        let params = Params { backlog_bytes: 20, ..Params::default() };
        let mut backlog = Backlog::new(&Params::default());
        let payload = Messages::from(Bytes::from_static(b"eight by"));
        for _ in 0..2 {
            backlog.accept(&params, Service::Agreed, payload.clone()).unwrap();
        }
        let refused = backlog.accept(&params, Service::Agreed, payload.clone());
        assert_eq!(refused, Err(Refused::Full(payload)));
    }
}
