//! The end of a member's log: what it has, and how much of that it may apply.

use std::collections::VecDeque;

use super::entry::Entry;
use super::position::Position;
use crate::id::RingId;

/// A log whose beginning is in a machine's state (or in a checkpoint still to come) and whose tail,
/// delivered and not yet applied, is here.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// Where the machine's state, or the checkpoint, is.
    applied: Position,
    /// Where the log ends.
    end: Position,
    /// Each with the position behind it.
    tail: VecDeque<(Entry, Position)>,
    tail_bytes: usize,
}

impl Log {
    /// A log of which nothing but its position is kept.
    pub(super) const fn at(position: Position) -> Self {
        Self { applied: position, end: position, tail: VecDeque::new(), tail_bytes: 0 }
    }

    pub(super) const fn applied(&self) -> Position {
        self.applied
    }

    pub(super) const fn end(&self) -> Position {
        self.end
    }

    pub(super) fn tail(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.tail.iter().map(|(entry, _)| entry)
    }

    pub(super) const fn tail_bytes(&self) -> usize {
        self.tail_bytes
    }

    /// The log goes on in `ring`: its decision chose it.
    pub(super) const fn go_on(&mut self, ring: RingId) {
        self.end.lineage = ring;
    }

    pub(super) fn append(&mut self, entry: Entry) {
        let mut bytes = Vec::new();
        entry.put(&mut bytes);
        self.end = self.end.then(&bytes);
        self.tail_bytes += entry.cost_bytes();
        self.tail.push_back((entry, self.end));
    }

    /// Takes the next entry to apply, with its index.
    pub(super) fn take_next(&mut self) -> Option<(Entry, u64)> {
        let (entry, position) = self.tail.pop_front()?;
        self.tail_bytes = self.tail_bytes.saturating_sub(entry.cost_bytes());
        self.applied = position;
        Some((entry, position.index))
    }

    /// Only the position is kept: the tail is too long to keep.
    pub(super) fn drop_tail(&mut self) {
        *self = Self::at(self.end);
    }

    /// This log with `later` behind it, which begins where this one ends.
    pub(super) fn followed_by(mut self, later: Self) -> Self {
        self.end = later.end;
        self.tail_bytes += later.tail_bytes;
        self.tail.extend(later.tail);
        self
    }
}
