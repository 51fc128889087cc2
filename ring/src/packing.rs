//! Messages on their way to a packet, packed where they are published: what the data path then
//! handles is packets, whatever the size of the messages in them.

use bytes::{Buf, Bytes};

use crate::arena::Arena;
use crate::level::Level;
use crate::packet::{MESSAGE_PREFIX_BYTES, split_message};

/// Whole messages side by side, each behind its 16-bit length: the body of a packet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Packed {
    /// At least one.
    count: u16,
    /// The messages, and padding.
    body: Bytes,
    /// The messages without the padding, in bytes.
    message_bytes: usize,
}

impl Packed {
    /// How many messages, at least one.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// The messages with their lengths.
    #[must_use]
    pub fn messages(&self) -> &[u8] {
        &self.body[..self.message_bytes]
    }

    /// The messages with their lengths, and as much of the padding as a body of `body_bytes` takes.
    #[must_use]
    pub fn into_body(mut self, body_bytes: usize) -> Bytes {
        self.body.truncate(body_bytes.max(self.message_bytes));
        self.body
    }

    /// Cuts off the first messages, as many as fit a body of `body_bytes`; `None` when not even
    /// one does. What is cut off is empty in `self` then.
    pub(crate) fn split_fitting(&mut self, body_bytes: usize) -> Option<Self> {
        self.body.truncate(self.message_bytes);
        let (mut count, mut at) = (0, 0);
        while let Some((payload, _)) = split_message(&self.body[at..]) {
            let next = at + MESSAGE_PREFIX_BYTES + payload.len();
            if next > body_bytes {
                break;
            }
            (count, at) = (count + 1, next);
        }
        self.count -= count;
        self.message_bytes -= at;
        (count > 0).then(|| Self { count, body: self.body.split_to(at), message_bytes: at })
    }

    /// Takes the first message out, with its own payload only.
    pub(crate) fn split_first(&mut self) -> Option<Bytes> {
        let length = split_message(&self.body)?.0.len();
        self.count -= 1;
        self.message_bytes -= MESSAGE_PREFIX_BYTES + length;
        self.body.advance(MESSAGE_PREFIX_BYTES);
        Some(self.body.split_to(length))
    }
}

/// What is published at once: one message, or some of one service.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Messages {
    /// One message of any size.
    One(Bytes),
    /// Packed ones.
    Packed(Packed),
}

impl Messages {
    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u16 {
        match self {
            Self::One(_) => 1,
            Self::Packed(packed) => packed.count,
        }
    }

    /// Their bytes as they came: the payload of the one, or the body of the packed.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::One(payload) => payload,
            Self::Packed(packed) => packed.body,
        }
    }

    /// The bytes of a packet's body that they fill.
    #[must_use]
    pub const fn body_bytes(&self) -> usize {
        match self {
            Self::One(payload) => MESSAGE_PREFIX_BYTES + payload.len(),
            Self::Packed(packed) => packed.message_bytes,
        }
    }
}

impl From<Bytes> for Messages {
    fn from(payload: Bytes) -> Self {
        Self::One(payload)
    }
}

impl From<Packed> for Messages {
    fn from(packed: Packed) -> Self {
        Self::Packed(packed)
    }
}

/// Packs messages. Its memory is used again once what was packed into it is dropped.
#[derive(Debug)]
pub struct Packer {
    arena: Arena,
    level: Level,
    body_bytes_max: usize,
    count: u16,
}

impl Packer {
    /// A packer for bodies of at most `body_bytes_max`, fewer than 64 KiB; `pad` as
    /// [`Params::pad_packets`](crate::params::Params::pad_packets).
    #[must_use]
    pub fn new(body_bytes_max: usize, pad: bool) -> Self {
        debug_assert!(body_bytes_max <= usize::from(u16::MAX), "a length is 16 bits");
        Self { arena: Arena::default(), level: Level::new(pad), body_bytes_max, count: 0 }
    }

    /// Bounds what is packed from the next body on.
    pub const fn set_body_bytes_max(&mut self, body_bytes_max: usize) {
        self.body_bytes_max = body_bytes_max;
    }

    /// Messages packed since the last [`Packer::take`].
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Adds a message; false when there is no room for it in this body.
    #[must_use]
    pub fn push(&mut self, payload: &[u8]) -> bool {
        let bytes = self.arena.len() + MESSAGE_PREFIX_BYTES + payload.len();
        let Ok(prefix) = u16::try_from(payload.len()) else { return false };
        if bytes > self.body_bytes_max || self.count == u16::MAX {
            return false;
        }
        if self.count == 0 {
            self.arena.reserve(self.body_bytes_max);
        }
        self.arena.put(&prefix.to_le_bytes());
        self.arena.put(payload);
        self.count += 1;
        true
    }

    /// What was packed, if anything.
    pub fn take(&mut self) -> Option<Packed> {
        let count = std::mem::take(&mut self.count);
        let message_bytes = self.arena.len();
        if count == 0 {
            return None;
        }
        self.arena.pad(self.level.padding(message_bytes, self.body_bytes_max));
        Some(Packed { count, body: self.arena.finish(), message_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(payloads: &[&[u8]]) -> Packed {
        let mut packer = Packer::new(1_000, false);
        for payload in payloads {
            assert!(packer.push(payload));
        }
        packer.take().unwrap()
    }

    #[test]
    fn a_body_takes_what_fits() {
        let mut packer = Packer::new(10, false);
        assert_eq!(packer.take(), None);
        assert!(!packer.push(b"123456789"), "a byte too much");
        assert!(packer.push(b"abc") && packer.push(b"def"));
        assert!(!packer.push(b""), "two bytes too much");
        let Packed { count, body, .. } = packer.take().unwrap();
        assert_eq!((count, &body[..]), (2, &b"\x03\0abc\x03\0def"[..]));
        assert!(packer.push(b"12345678"));
        assert_eq!(packer.take().map(|packed| packed.count), Some(1));
    }

    #[test]
    fn a_body_is_cut_between_messages() {
        let mut rest = packed(&[b"abc", b"", b"defgh"]);
        let first = rest.split_fitting(8).unwrap();
        assert_eq!((first.count, first.body.len()), (2, 7));
        assert_eq!(rest.split_fitting(6), None, "the third does not fit");
        assert_eq!(rest.split_first().unwrap(), b"defgh"[..]);
        assert_eq!((rest.count, rest.body.len()), (0, 0));
    }
}
