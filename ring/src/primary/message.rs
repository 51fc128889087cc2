//! What members tell each other about primaries, on their own channel.

use bytes::{Buf, BufMut, Bytes};

use super::record::{Record, put_ring, read_ring};
use crate::id::RingId;

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Message {
    /// What the sender's record says at the installation of the ring.
    Record(Box<Record>),
    /// The sender's vote for the ring is on its disk.
    Vote,
    /// The representative: the ring is the primary, where this is delivered in it.
    Primary,
}

const RECORD: u8 = 1;
const VOTE: u8 = 2;
const PRIMARY: u8 = 3;

/// The message about `ring` from a member whose policy has this fingerprint.
pub(super) fn encode(message: &Message, ring: RingId, fingerprint: u64) -> Bytes {
    let mut out = Vec::new();
    out.put_u8(match message {
        Message::Record(_) => RECORD,
        Message::Vote => VOTE,
        Message::Primary => PRIMARY,
    });
    put_ring(&mut out, ring);
    out.put_u64_le(fingerprint);
    if let Message::Record(record) = message {
        out.put_slice(&record.encode());
    }
    Bytes::from(out)
}

/// Reads a message: what it says, of which ring, under which policy. `None` for anything that
/// [`encode`] does not write.
pub(super) fn decode(mut from: &[u8]) -> Option<(Message, RingId, u64)> {
    let kind = from.try_get_u8().ok()?;
    let ring = read_ring(&mut from)?;
    let fingerprint = from.try_get_u64_le().ok()?;
    let message = match kind {
        RECORD => Message::Record(Box::new(Record::decode(from).ok()?)),
        VOTE if from.is_empty() => Message::Vote,
        PRIMARY if from.is_empty() => Message::Primary,
        _ => return None,
    };
    Some((message, ring, fingerprint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, NodeId};

    #[test]
    fn messages_are_read_as_written_and_nothing_else_is() {
        let ring = RingId::new(Epoch(3), NodeId(1));
        let record = Message::Record(Box::new(Record::new(Epoch(2))));
        for message in [record, Message::Vote, Message::Primary] {
            let bytes = encode(&message, ring, 77);
            assert_eq!(decode(&bytes), Some((message, ring, 77)));
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), None);
            }
            assert_eq!(decode(&[&bytes[..], &[0]].concat()), None);
        }
        assert_eq!(decode(&[9; 40]), None);
    }
}
