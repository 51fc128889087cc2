//! Epochs that are never reused: a ceiling reserved on disk before any epoch below it is used.
//!
//! The disk holds one number. Every epoch used is at most that number; a start begins above it,
//! so a crash at any moment, before, inside or after a write, can only skip epochs. A wiped disk
//! is covered by a floor from the wall clock, the one place where wall time counts.

use crate::id::{Epoch, Incarnation};

/// Epochs reserved by one write.
const RESERVE: u64 = 1024;

/// The epochs a member has seen and may use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EpochLedger {
    /// Highest epoch ever seen in a commit token, used, or taken at the start.
    highest: Epoch,
    /// What is on disk.
    durable: Epoch,
    /// What is being written.
    writing: Option<Epoch>,
}

/// What a start takes and must make durable before anything else happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// The start epoch: the incarnation, and the epoch of the first ring.
    pub incarnation: Incarnation,
    /// The ceiling to write (file and directory synced) before the member does anything.
    pub ceiling: Epoch,
}

impl Start {
    /// A start above everything used before (`ceiling_on_disk`, zero when there is none) and
    /// above `wall_floor` (wall time, with room for the epochs of its unit).
    #[must_use]
    pub fn new(ceiling_on_disk: Epoch, wall_floor: Epoch) -> Self {
        let incarnation = ceiling_on_disk.max(wall_floor).next();
        Self { incarnation, ceiling: Epoch(incarnation.0.saturating_add(RESERVE)) }
    }
}

impl EpochLedger {
    /// The ledger after a start whose ceiling is durable.
    #[must_use]
    pub const fn new(start: Start) -> Self {
        Self { highest: start.incarnation, durable: start.ceiling, writing: None }
    }

    /// The highest epoch seen.
    #[must_use]
    pub const fn highest(&self) -> Epoch {
        self.highest
    }

    /// Raises the highest epoch seen, in memory.
    pub fn see(&mut self, epoch: Epoch) {
        self.highest = self.highest.max(epoch);
    }

    /// Whether `epoch` may be used: it is at most what is on disk.
    #[must_use]
    pub fn is_durable(&self, epoch: Epoch) -> bool {
        epoch <= self.durable
    }

    /// The ceiling to write now, if the highest epoch seen is beyond or near what is on disk.
    pub fn poll_write(&mut self) -> Option<Epoch> {
        let near = self.highest.0.saturating_add(RESERVE / 2) > self.durable.0;
        if !near || self.writing.is_some() {
            return None;
        }
        self.writing = Some(Epoch(self.highest.0.saturating_add(RESERVE)));
        self.writing
    }

    /// The disk's answer to the write asked for last: `ceiling` is durable, or nothing changed.
    pub fn handle_written(&mut self, ceiling: Option<Epoch>) {
        self.writing = None;
        self.durable = self.durable.max(ceiling.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_begins_above_the_disk_and_the_wall_clock() {
        assert_eq!(Start::new(Epoch(10), Epoch(4)).incarnation, Epoch(11));
        assert_eq!(Start::new(Epoch(0), Epoch(400)).incarnation, Epoch(401));
    }

    #[test]
    fn nothing_above_the_written_ceiling_is_usable() {
        let start = Start::new(Epoch(0), Epoch(0));
        let mut ledger = EpochLedger::new(start);
        assert!(ledger.is_durable(start.ceiling) && !ledger.is_durable(start.ceiling.next()));
        assert_eq!(ledger.poll_write(), None);
        ledger.see(Epoch(5_000));
        let write = ledger.poll_write();
        assert_eq!(write, Some(Epoch(6_024)));
        assert_eq!(ledger.poll_write(), None, "one write at a time");
        assert!(!ledger.is_durable(Epoch(5_000)));
        ledger.handle_written(None);
        assert!(!ledger.is_durable(Epoch(5_000)), "a failed write changes nothing");
        assert_eq!(ledger.poll_write(), write, "and is tried again");
        ledger.handle_written(write);
        assert!(ledger.is_durable(Epoch(6_024)));
    }
}
