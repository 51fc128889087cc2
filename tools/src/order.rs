//! A number for an order: equal at two members exactly when they delivered the same messages in
//! the same order (but for chance in 2^64).

use std::fmt;

use roundel::NodeId;
use roundel_ring::trace::ContentHash;

/// A chain over sender and payload of each delivered message.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct OrderDigest(ContentHash);

impl OrderDigest {
    /// Takes in the next delivered message.
    pub(crate) fn update(&mut self, sender: NodeId, payload: &[u8]) {
        self.0.update(&sender.0.to_le_bytes());
        self.0.update(&(payload.len() as u64).to_le_bytes());
        self.0.update(payload);
    }
}

impl fmt::Display for OrderDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(messages: &[(u32, &[u8])]) -> OrderDigest {
        let mut digest = OrderDigest::default();
        for (sender, payload) in messages {
            digest.update(NodeId(*sender), payload);
        }
        digest
    }

    #[test]
    fn order_sender_and_borders_count() {
        let base = digest(&[(1, b"ab"), (2, b"c")]);
        assert_eq!(base, digest(&[(1, b"ab"), (2, b"c")]));
        for other in [
            digest(&[(2, b"c"), (1, b"ab")]),
            digest(&[(2, b"ab"), (1, b"c")]),
            digest(&[(1, b"a"), (2, b"bc")]),
            digest(&[(1, b"ab"), (2, b"c"), (2, b"")]),
        ] {
            assert_ne!(base, other);
        }
    }
}
