//! Chance that a seed decides.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A number for this place, whatever else was asked for before.
pub(super) fn chance(seed: u64, place: [u64; 2]) -> u64 {
    let [one, two] = place.map(u64::to_le_bytes);
    xxh3_64_with_seed(&[one, two].concat(), seed)
}
