//! Whether members delivered what they must have delivered alike.
//!
//! What is compared, with A what a member delivered in a regular configuration and B what it
//! delivered in the transitional one behind it:
//!
//! - One configuration has one list of members.
//! - A of any two members of a configuration: one is the beginning of the other. In a regular
//!   configuration the order has no gaps (EVS 6.3) and each place is of one message (EVS 6.1, 6.2),
//!   whichever configuration comes next and whether a member crashes. Compared at checkpoints and
//!   where a member's A ended; what the longer one has at no checkpoint is not.
//! - A, and A with B, of those that go together from one configuration to the same next one: equal
//!   (EVS 4: they deliver the same set; EVS 6.2: and change at the same place of its order).
//!
//! B of members that go different ways is not compared: EVS 6.3 allows it other holes.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{Passage, Point, Ring, Told};

/// Configurations that are remembered: those before are long over.
const RINGS_MAX: usize = 64;

/// Checkpoints of a configuration that are remembered, should a member never reach them.
const CHECKPOINTS_MAX: usize = 100_000;

/// Compares what members tell.
///
/// Getters: [`Judge::compared`]. Inputs: `handle_*`; what they find comes back as sentences.
#[derive(Default, Debug)]
pub(super) struct Judge {
    rings: BTreeMap<Ring, Log>,
    compared: Compared,
}

/// How much there was to judge.
#[derive(serde::Serialize, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Compared {
    /// Places of the order of a configuration, at two members.
    pub(super) checkpoints: u64,
    /// Ways from a configuration to the next, of two members.
    pub(super) passages: u64,
}

/// What is known of one configuration.
#[derive(Default, Debug)]
struct Log {
    members: Vec<u32>,
    /// Who has not installed it, as far as was told.
    awaited: BTreeSet<u32>,
    /// How far those are that are in it.
    present: BTreeMap<u32, u64>,
    /// The digest by count, and who told it.
    points: BTreeMap<u64, (u64, u32)>,
    /// By next configuration and who goes there together.
    passages: BTreeMap<(Ring, Vec<u32>), (Passage, u32)>,
}

impl Judge {
    /// How much was compared so far.
    pub(super) const fn compared(&self) -> Compared {
        self.compared
    }

    /// Takes what a member told.
    pub(super) fn handle_told(&mut self, host: u32, told: &Told) -> Option<String> {
        match told {
            Told::Configuration { ring, members } => self.configuration(host, *ring, members),
            Told::Checkpoint { ring, point } => self.point(host, *ring, *point),
            Told::Passage(passage) => {
                let point = self.point(host, passage.from, passage.regular);
                self.log(passage.from).present.remove(&host);
                let passed = self.passage(host, passage);
                point.or(passed)
            }
            Told::Violation { what } => Some(format!("member {host}: {what}")),
            Told::Tally(_) => None,
        }
    }

    /// A member's life has ended: nobody waits for it.
    pub(super) fn handle_end(&mut self, host: u32) {
        for log in self.rings.values_mut() {
            log.present.remove(&host);
            log.awaited.remove(&host);
        }
    }

    #[cfg(test)]
    pub(super) fn points_kept(&self, ring: Ring) -> usize {
        self.rings[&ring].points.len()
    }

    fn log(&mut self, ring: Ring) -> &mut Log {
        if !self.rings.contains_key(&ring) && self.rings.len() >= RINGS_MAX {
            self.rings.pop_first();
        }
        self.rings.entry(ring).or_default()
    }

    fn configuration(&mut self, host: u32, ring: Ring, members: &[u32]) -> Option<String> {
        let log = self.log(ring);
        if log.members.is_empty() {
            log.members = members.to_vec();
            log.awaited = members.iter().copied().collect();
        }
        log.awaited.remove(&host);
        log.present.insert(host, 0);
        (log.members != members).then(|| {
            let others = &log.members;
            format!("{ring:?} has members {members:?} at {host} and {others:?} elsewhere")
        })
    }

    fn point(&mut self, host: u32, ring: Ring, point: Point) -> Option<String> {
        let log = self.log(ring);
        let found = log.points.entry(point.count).or_insert((point.digest, host));
        let (digest, other) = *found;
        if let Some(reached) = log.present.get_mut(&host) {
            *reached = point.count;
        }
        log.forget();
        if other == host {
            return None;
        }
        self.compared.checkpoints += 1;
        (digest != point.digest).then(|| {
            let count = point.count;
            format!("members {other} and {host} differ in the first {count} messages of {ring:?}")
        })
    }

    fn passage(&mut self, host: u32, passage: &Passage) -> Option<String> {
        let Passage { from, to, together, .. } = passage;
        if !together.contains(&host) {
            return Some(format!("member {host} left {from:?} together with {together:?} only"));
        }
        let passages = &mut self.log(*from).passages;
        let known = passages.entry((*to, together.clone()));
        let (known, other) = known.or_insert_with(|| (passage.clone(), host)).clone();
        if other == host {
            return None;
        }
        self.compared.passages += 1;
        (known != *passage).then(|| {
            format!(
                "members {other} and {host} went together from {from:?} to {to:?} and delivered \
                 {:?} then {:?}, and {:?} then {:?}",
                known.regular, known.whole, passage.regular, passage.whole
            )
        })
    }
}

impl Log {
    /// Drops what every member has passed.
    fn forget(&mut self) {
        if self.awaited.is_empty()
            && let Some(least) = self.present.values().min()
        {
            self.points = self.points.split_off(least);
        }
        while self.points.len() > CHECKPOINTS_MAX {
            self.points.pop_first();
        }
    }
}
