//! A number for an order, or for a set: equal at two members exactly when they delivered the same messages in the
//! same order, or the same set (but for chance in 2^64).

use xxhash_rust::xxh3::xxh3_64;

use crate::payload::Load;

/// Odd numbers without a pattern in their bits: the first primes of XXH64.
const COUNTER: u64 = 0x9e37_79b1_85eb_ca87;
const SENDER: u64 = 0xc2b2_ae3d_27d4_eb4f;
const DIGEST: u64 = 0x1656_67b1_9e37_79f9;

/// The digest after one more message: of its sender, its number there, and its content.
///
/// Each step is one-to-one in the digest before, so that two orders that once differ stay apart
/// when the same messages follow.
pub(crate) fn chain(digest: u64, load: Load, payload: &[u8]) -> u64 {
    (digest.rotate_left(23) ^ link(load, payload)).wrapping_mul(DIGEST)
}

/// The number of one message, for sums that know no order.
pub(crate) fn item(load: Load, payload: &[u8]) -> u64 {
    xxh3_64(&link(load, payload).to_le_bytes())
}

fn link(load: Load, payload: &[u8]) -> u64 {
    let number = load.counter.wrapping_mul(COUNTER);
    let sender = u64::from(load.sender.0).wrapping_mul(SENDER);
    xxh3_64(payload) ^ number ^ sender
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

    #[test]
    fn two_messages_that_change_places_anywhere_change_the_digest() {
        let many: Vec<(u32, u64, &[u8])> =
            (0..300).map(|number| (number % 3, (number / 3).into(), &b"same"[..])).collect();
        let usual = digest(&many);
        for (one, other) in [(0, 1), (0, 299), (7, 71), (10, 74), (298, 299)] {
            let mut swapped = many.clone();
            swapped.swap(one, other);
            assert_ne!(digest(&swapped), usual, "{one} {other}");
        }
    }
}
