//! A packet: what has one place on the ring.

use bytes::Bytes;

use crate::id::NodeId;
use crate::level::may_pad;
use crate::seq::Seq;
use crate::service::{Class, Service};
use crate::wire::Malformed;

/// Which piece of a fragmented message a packet carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fragment {
    /// More follow.
    First,
    /// More follow.
    Middle,
    /// The message is complete, and originated, with this one.
    Last {
        /// Zeroes behind the piece, up to a quarter of the body, that make it as long as the others.
        padding: u16,
    },
    /// The whole message: it fills a body alone, without a length in front.
    Only,
}

impl Fragment {
    /// The message begins with this piece.
    #[must_use]
    pub const fn begins(self) -> bool {
        matches!(self, Self::First | Self::Only)
    }

    /// The message is complete with this piece.
    #[must_use]
    pub const fn completes(self) -> bool {
        matches!(self, Self::Last { .. } | Self::Only)
    }
}

/// What the body of a packet holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Content {
    /// Whole messages, each behind its 16-bit length; then perhaps zeroes, up to a quarter of the
    /// body, that make frames in a row equally long.
    Messages {
        /// How many, at least one.
        count: u16,
    },
    /// One piece of one message.
    Fragment(Fragment),
}

/// What a packet waits for that may be delivered before holes: distances back from its own place on
/// the ring that it was originated on. Zero is nothing; the greatest stands for itself and more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Waits {
    /// To its originator's packet before it that keeps the sender's order.
    pub sender: u16,
    /// Of causal packets: to the last packet, reliable and fifo ones apart, that its originator had
    /// delivered. Of reliable and fifo ones that left without the token: [`Packet::free_mark`].
    pub past: u16,
}

impl Waits {
    /// How far `place` is back from `at`; zero for a place on another ring, one before `start`.
    #[must_use]
    pub fn distance(at: Seq, place: Seq, start: Seq) -> u16 {
        if place <= start { 0 } else { u16::try_from(at.since(place)).unwrap_or(u16::MAX) }
    }
}

/// A packet as the window keeps it. All messages of a packet share one class.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Packet {
    /// Who numbered it.
    pub originator: NodeId,
    /// The originator's counter of the first (or only) message in it.
    pub first_message: u64,
    /// The service and channel of every message in it.
    pub class: Class,
    /// Nothing for agreed and safe packets.
    pub waits: Waits,
    /// How to read the body.
    pub content: Content,
    /// The bytes, shared with the buffer they were received into or packed in.
    pub body: Bytes,
}

/// Bytes in front of each packed message: its length.
pub const MESSAGE_PREFIX_BYTES: usize = 2;

impl Packet {
    /// Whether it is delivered in its sender's order. Whole reliable messages are not; pieces of one
    /// are, so that a sender has one partial message at a time.
    #[must_use]
    pub const fn keeps_order(&self) -> bool {
        let whole = matches!(self.content, Content::Messages { .. });
        !(whole && matches!(self.class.service, Service::Reliable))
    }

    /// By what a packet that left without the token shows its number: all that are not stable have
    /// different ones. Zero for a packet that waited for the token.
    #[must_use]
    pub const fn free_mark(&self) -> u16 {
        if self.class.service.is_token_free() { self.waits.past } else { 0 }
    }

    /// Checks that the body is exactly what the content says, so that reading it later cannot
    /// fail.
    ///
    /// # Errors
    /// The reason when lengths do not fill the body exactly, a little padding apart, the counter
    /// could overflow, or it waits for what its service does not wait for.
    pub fn validate(&self) -> Result<(), Malformed> {
        if self.first_message > u64::MAX - u64::from(u16::MAX) {
            return Err(Malformed::Range);
        }
        let Waits { sender, past } = self.waits;
        let waits = match self.class.service {
            Service::Reliable | Service::Fifo => {
                let whole = matches!(self.content, Content::Messages { .. });
                (past == 0 || whole) && (sender == 0 || self.keeps_order())
            }
            Service::Causal => true,
            Service::Agreed | Service::Safe => sender == 0 && past == 0,
        };
        if !waits {
            return Err(Malformed::Range);
        }
        let Content::Messages { count } = self.content else {
            let padding = &self.body[self.piece().len()..];
            return if self.piece().is_empty() {
                Err(Malformed::Range)
            } else if is_padding(padding, &self.body) {
                Ok(())
            } else {
                Err(Malformed::Trailing)
            };
        };
        let mut rest = &self.body[..];
        for _ in 0..count {
            let Some((_, tail)) = split_message(rest) else {
                return Err(Malformed::Truncated);
            };
            rest = tail;
        }
        if is_padding(rest, &self.body) { Ok(()) } else { Err(Malformed::Trailing) }
    }

    /// The messages that are complete with this packet: their count.
    #[must_use]
    pub const fn messages_completed(&self) -> u16 {
        match self.content {
            Content::Messages { count } => count,
            Content::Fragment(fragment) => fragment.completes() as u16,
        }
    }

    /// The piece of a message that a fragment carries: its body without the padding.
    #[must_use]
    pub fn piece(&self) -> &[u8] {
        let padding = match self.content {
            Content::Fragment(Fragment::Last { padding }) => padding.into(),
            _ => 0,
        };
        &self.body[..self.body.len().saturating_sub(padding)]
    }

    /// The payloads of whole messages in order, as slices of the body; none for a fragment.
    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let (count, mut rest) = match self.content {
            Content::Messages { count } => (count, &self.body[..]),
            Content::Fragment(_) => (0, &[][..]),
        };
        (0..count).map_while(move |_| {
            let (payload, tail) = split_message(rest)?;
            rest = tail;
            Some(payload)
        })
    }
}

/// Whether the end of a body is padding that may be there.
fn is_padding(end: &[u8], body: &[u8]) -> bool {
    may_pad(end.len(), body.len()) && end.iter().all(|byte| *byte == 0)
}

pub(crate) fn split_message(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = body.split_first_chunk::<MESSAGE_PREFIX_BYTES>()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*prefix)))
}
