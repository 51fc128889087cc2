//! A number for an order: equal at two members exactly when they delivered the same messages in the
//! same order (but for chance in 2^64).

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::payload::Load;

/// The digest after one more message: of its sender, its number there, and its content.
pub(crate) fn chain(digest: u64, load: Load, payload: &[u8]) -> u64 {
    let mut link = [0; 20];
    link[..4].copy_from_slice(&load.sender.0.to_le_bytes());
    link[4..12].copy_from_slice(&load.counter.to_le_bytes());
    link[12..].copy_from_slice(&xxh3_64(payload).to_le_bytes());
    xxh3_64_with_seed(&link, digest)
}

#[cfg(test)]
mod tests {
    use roundel::NodeId;

    use super::*;

    fn digest(messages: &[(u32, u64, &[u8])]) -> u64 {
        messages.iter().fold(0, |digest, (sender, counter, payload)| {
            let (sender, counter) = (NodeId(*sender), *counter);
            chain(digest, Load { sender, counter, planned_ns: 0, lateness_ns: 0 }, payload)
        })
    }

    #[test]
    fn the_digest_tells_order_sender_number_and_content() {
        let usual: [(u32, u64, &[u8]); 2] = [(1, 0, b"a"), (2, 0, b"b")];
        assert_eq!(digest(&usual), digest(&usual));
        for other in [
            [usual[1], usual[0]],
            [usual[0], (3, 0, b"b")],
            [usual[0], (2, 1, b"b")],
            [usual[0], (2, 0, b"c")],
        ] {
            assert_ne!(digest(&usual), digest(&other));
        }
        assert_ne!(digest(&usual), digest(&usual[..1]));
    }
}
