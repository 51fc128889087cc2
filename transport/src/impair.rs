//! Faults of a network, from a seed, between a link and who reads it.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use crate::frame::Frame;
use crate::inbox::Lane;

/// What happens to the frames of a directed link. Probabilities are from 0 to 1.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Faults {
    /// A frame is lost.
    pub loss: f64,
    /// A frame comes twice; the second copy is delayed on its own.
    pub duplicate: f64,
    /// One bit of a frame is flipped.
    pub corrupt: f64,
    /// A frame is held back for [`Faults::held_back`], so that later ones pass it.
    pub reorder: f64,
    /// For how long, at most.
    pub held_back: Duration,
    /// Every frame comes this much later.
    pub delay: Duration,
    /// Every frame comes later by a random part of this, so that frames pass each other.
    pub jitter: Duration,
}

impl Faults {
    /// Nothing comes through.
    pub const CUT: Self = Self {
        loss: 1.0,
        duplicate: 0.0,
        corrupt: 0.0,
        reorder: 0.0,
        held_back: Duration::ZERO,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
    };
}

/// How many frames each fault has hit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct FaultsHit {
    /// Frames that came to the impairment.
    pub frames: u64,
    /// Lost.
    pub lost: u64,
    /// Duplicated.
    pub duplicated: u64,
    /// Corrupted.
    pub corrupted: u64,
    /// Held back.
    pub reordered: u64,
}

/// The faults of all directed links into one place.
///
/// Each directed link has a generator of its own, seeded from the seed and both addresses, and
/// draws the same numbers for every frame whatever its faults are: a link's fate depends neither
/// on the traffic of others nor on faults that were switched off.
#[derive(Debug)]
pub struct Impairment {
    seed: u64,
    here: SocketAddrV4,
    usual: Faults,
    links: BTreeMap<SocketAddrV4, Link>,
    /// Frames on their way, by when they come.
    held: BTreeMap<(Instant, u64), (Lane, Frame)>,
    pushed: u64,
    hit: FaultsHit,
}

#[derive(Debug)]
struct Link {
    random: Xoshiro256PlusPlus,
    faults: Option<Faults>,
}

impl Impairment {
    /// Impairs what comes to `here` with the faults `usual`.
    pub(crate) fn new(seed: u64, here: SocketAddrV4, usual: Faults) -> Self {
        Self {
            seed,
            here,
            usual,
            links: BTreeMap::new(),
            held: BTreeMap::new(),
            pushed: 0,
            hit: FaultsHit::default(),
        }
    }

    /// Sets the faults of all links that have none of their own.
    pub fn set_usual(&mut self, faults: Faults) {
        self.usual = faults;
    }

    /// Gives the link from `from` faults of its own, or takes them from it.
    pub fn set(&mut self, from: SocketAddrV4, faults: Option<Faults>) {
        self.link(from).faults = faults;
    }

    /// How many frames were hit.
    #[must_use]
    pub fn hit(&self) -> FaultsHit {
        self.hit
    }

    /// When the next frame comes, if nothing is received before.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.held.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn push(&mut self, now: Instant, lane: Lane, mut frame: Frame) {
        let usual = self.usual;
        let link = self.link(frame.from);
        let faults = link.faults.unwrap_or(usual);
        let [lost, duplicate, corrupt, reorder] =
            [faults.loss, faults.duplicate, faults.corrupt, faults.reorder]
                .map(|probability| unit(&mut link.random) < probability);
        let bit = link.random.next_u64();
        let held_back = faults.held_back.mul_f64(unit(&mut link.random));
        let jitters = [0; 2].map(|_| faults.jitter.mul_f64(unit(&mut link.random)));

        self.hit.frames += 1;
        if lost {
            self.hit.lost += 1;
            return;
        }
        if corrupt && !frame.bytes.is_empty() {
            self.hit.corrupted += 1;
            frame.bytes = flip(&frame.bytes, bit);
        }
        let mut at = now + faults.delay + jitters[0];
        if reorder {
            self.hit.reordered += 1;
            at += held_back;
        }
        if duplicate {
            self.hit.duplicated += 1;
            self.hold(now + faults.delay + jitters[1], lane, frame.clone());
        }
        self.hold(at, lane, frame);
    }

    /// The next frame that has come by `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Lane, Frame)> {
        let first = self.held.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn hold(&mut self, at: Instant, lane: Lane, frame: Frame) {
        self.pushed += 1;
        self.held.insert((at, self.pushed), (lane, frame));
    }

    fn link(&mut self, from: SocketAddrV4) -> &mut Link {
        let (seed, here) = (self.seed, self.here);
        self.links.entry(from).or_insert_with(|| {
            // Odd factors, so that no two links share a seed by swapping their ends.
            let ends = bits(from)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(bits(here).wrapping_mul(0xd1b5_4a32_d192_ed03));
            Link { random: Xoshiro256PlusPlus::seed_from_u64(seed ^ ends), faults: None }
        })
    }
}

fn bits(address: SocketAddrV4) -> u64 {
    u64::from(address.ip().to_bits()) << 16 | u64::from(address.port())
}

/// Uniform in [0, 1).
fn unit(random: &mut Xoshiro256PlusPlus) -> f64 {
    let high = u32::try_from(random.next_u64() >> 32).unwrap_or(0);
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

fn flip(bytes: &Bytes, bit: u64) -> Bytes {
    let mut bytes = bytes.to_vec();
    let at = usize::try_from(bit >> 3).unwrap_or(0) % bytes.len();
    bytes[at] ^= 1 << (bit & 7);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9);

    const LANE: Lane = Lane::Data;

    fn from(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
    }

    fn frame(port: u16, value: u8) -> Frame {
        Frame { bytes: Bytes::from(vec![value; 8]), from: from(port) }
    }

    /// Everything that comes out when 256 frames of a source come at once, with the others' in
    /// between.
    fn history(seed: u64, faults: Faults, sources: &[u16]) -> (Vec<(u128, Bytes)>, FaultsHit) {
        let start = Instant::now();
        let mut impairment = Impairment::new(seed, HERE, faults);
        for value in 0..=255 {
            for port in sources {
                impairment.push(start, LANE, frame(*port, value));
            }
        }
        let mut out = Vec::new();
        while let Some(at) = impairment.next_at() {
            let (_, frame) = impairment.pop(at).unwrap();
            if frame.from == from(sources[0]) {
                out.push(((at - start).as_nanos(), frame.bytes));
            }
        }
        (out, impairment.hit())
    }

    const ALL: Faults = Faults {
        loss: 0.2,
        duplicate: 0.2,
        corrupt: 0.2,
        reorder: 0.2,
        held_back: Duration::from_millis(5),
        delay: Duration::from_millis(1),
        jitter: Duration::from_millis(1),
    };

    #[test]
    fn without_faults_everything_comes_at_once_and_in_order() {
        let (out, hit) = history(1, Faults::default(), &[1]);
        let expected: Vec<_> = (0..=255).map(|value| (0, frame(1, value).bytes)).collect();
        assert_eq!(out, expected);
        assert_eq!(hit.frames, 256);
    }

    #[test]
    fn every_fault_hits() {
        let (out, hit) = history(1, ALL, &[1]);
        let FaultsHit { frames, lost, duplicated, corrupted, reordered } = hit;
        for count in [lost, duplicated, corrupted, reordered] {
            assert!((20..100).contains(&count), "{hit:?}");
        }
        assert_eq!(out.len() as u64, frames - lost + duplicated);
        assert!(out.iter().all(|(at, _)| *at >= 1_000_000), "delayed");
        let odd = |bytes: &Bytes| bytes.iter().any(|byte| *byte != bytes[0]);
        let damaged = out.iter().filter(|(_, bytes)| odd(bytes)).count() as u64;
        assert!(damaged >= corrupted, "{damaged} are seen, {corrupted} were made");
        assert!(!out.iter().map(|(_, bytes)| bytes[0]).is_sorted());
    }

    #[test]
    fn a_seed_and_a_link_decide_alone() {
        assert_eq!(history(7, ALL, &[1]).0, history(7, ALL, &[1, 2, 3]).0);
        assert_ne!(history(7, ALL, &[1]).0, history(8, ALL, &[1]).0);
        assert_ne!(history(7, ALL, &[1]).0, history(7, ALL, &[2]).0);
    }

    #[test]
    fn a_fault_that_is_switched_off_leaves_the_others_where_they_were() {
        let lossy = Faults { loss: 0.5, ..Faults::default() };
        let also = Faults { duplicate: 0.5, ..lossy };
        let (alone, _) = history(3, lossy, &[1]);
        let (mut both, _) = history(3, also, &[1]);
        both.dedup();
        assert_eq!(alone, both);
    }

    #[test]
    fn one_link_is_cut_alone() {
        let now = Instant::now();
        let mut impairment = Impairment::new(1, HERE, Faults::default());
        impairment.set(from(1), Some(Faults::CUT));
        impairment.push(now, LANE, frame(1, 0));
        impairment.push(now, LANE, frame(2, 0));
        assert_eq!(impairment.pop(now), Some((LANE, frame(2, 0))));
        assert_eq!(impairment.pop(now), None);
        impairment.set(from(1), None);
        impairment.push(now, LANE, frame(1, 0));
        assert!(impairment.pop(now).is_some());
    }
}
