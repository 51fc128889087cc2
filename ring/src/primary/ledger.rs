//! A member's record and its way to the disk.

use bytes::Bytes;

use super::record::{Component, Record};

/// The record, and which of its states are durable.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Ledger {
    record: Record,
    /// The record has changed since the last write was asked for.
    is_new: bool,
    /// Writes asked for.
    writes: u64,
    /// The disk is at the last of them.
    is_writing: bool,
}

/// A write to disk, asked for by [`super::Primary::poll_write`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Write {
    /// Counts the writes of this life, from 1.
    pub number: u64,
    /// The whole record.
    pub record: Bytes,
}

impl Ledger {
    /// The ledger at a start; `record` is durable.
    pub(super) const fn new(record: Record) -> Self {
        Self { record, is_new: false, writes: 0, is_writing: false }
    }

    pub(super) const fn record(&self) -> &Record {
        &self.record
    }

    /// Nothing waits for the disk.
    pub(super) const fn is_at_rest(&self) -> bool {
        !self.is_new && !self.is_writing
    }

    /// Notes a vote; yields the number of the write that makes it durable, if there may be one.
    pub(super) fn attempt(&mut self, component: &Component) -> Option<u64> {
        self.is_new |= self.record.attempt(component);
        self.is_new.then_some(self.writes + 1)
    }

    /// Notes a primary. It need not be durable soon: until it is, the vote for it stands for it.
    pub(super) fn confirm(&mut self, component: Component) {
        self.record.confirm(component);
        self.is_new = true;
    }

    /// The next write, one at a time.
    pub(super) fn poll_write(&mut self) -> Option<Write> {
        if self.is_writing || !self.is_new {
            return None;
        }
        (self.is_new, self.is_writing) = (false, true);
        self.writes += 1;
        Some(Write { number: self.writes, record: self.record.encode() })
    }

    /// A write is durable.
    pub(super) fn handle_written(&mut self, number: u64) {
        self.is_writing &= number != self.writes;
    }
}
