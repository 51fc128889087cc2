//! Each request is applied once, however often it was ordered: per submitting member the number that
//! comes next. Part of the replicated state.
//!
//! A command that came too early (no quorum yet) or whose fate its sender cannot know (delivered in a
//! transitional configuration) is submitted again with its number. Numbers are applied without gaps,
//! so a command that overtook an earlier one is skipped, and submitted again as well.

use std::collections::BTreeMap;

use super::entry::Command;
use super::reader::Reader;
use crate::id::{Epoch, Incarnation, NodeId};

/// Sessions kept: eight rings full of members that ever submitted anything. Beyond, the one that was
/// idle longest is forgotten; its owner begins another.
const SESSIONS_MAX: usize = 1_024;

/// What the state knows of a member's requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    /// All before this number are applied, none from it on.
    Next(u64),
    /// Nothing was ever applied.
    Nothing,
    /// Nothing is known: a session may have been forgotten.
    Forgotten,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Session {
    incarnation: Incarnation,
    next: u64,
    /// Index of its latest command.
    used: u64,
}

/// The table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Sessions {
    by_node: BTreeMap<NodeId, Session>,
    /// Whether any was forgotten for want of room.
    forgot: bool,
}

impl Sessions {
    /// Whether the command at `index` is the next of its sender's; notes that it is applied.
    pub(super) fn admit(&mut self, command: &Command, index: u64) -> bool {
        let Command { sender, incarnation, first, number, .. } = *command;
        let begins = number == first;
        let is_next = match self.by_node.get(&sender) {
            Some(known) if known.incarnation > incarnation => false,
            Some(known) if known.incarnation == incarnation => {
                number == known.next || (begins && number > known.next)
            }
            Some(_) | None => begins,
        };
        if is_next {
            let next = number.saturating_add(1);
            self.by_node.insert(sender, Session { incarnation, next, used: index });
            self.keep_bound();
        }
        is_next
    }

    fn keep_bound(&mut self) {
        if self.by_node.len() <= SESSIONS_MAX {
            return;
        }
        let idle = self.by_node.iter().min_by_key(|(_, session)| session.used);
        if let Some(node) = idle.map(|(node, _)| *node) {
            self.by_node.remove(&node);
            self.forgot = true;
        }
    }

    pub(super) fn known(&self, node: NodeId, incarnation: Incarnation) -> Known {
        match self.by_node.get(&node) {
            Some(known) if known.incarnation == incarnation => Known::Next(known.next),
            _ if self.forgot => Known::Forgotten,
            _ => Known::Nothing,
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.forgot));
        let count = u32::try_from(self.by_node.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for (node, session) in &self.by_node {
            out.extend_from_slice(&node.0.to_le_bytes());
            out.extend_from_slice(&session.incarnation.0.to_le_bytes());
            out.extend_from_slice(&session.next.to_le_bytes());
            out.extend_from_slice(&session.used.to_le_bytes());
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let forgot = from.u8()? != 0;
        let count = usize::try_from(from.u32()?).ok().filter(|count| *count <= SESSIONS_MAX)?;
        let mut by_node = BTreeMap::new();
        for _ in 0..count {
            let node = from.node()?;
            let incarnation = Epoch(from.u64()?);
            let session = Session { incarnation, next: from.u64()?, used: from.u64()? };
            by_node.insert(node, session);
        }
        Some(Self { by_node, forgot })
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Operation;
    use super::*;

    fn command(sender: u32, incarnation: u64, first: u64, number: u64) -> Command {
        let operation = Operation::Barrier;
        Command {
            sender: NodeId(sender),
            incarnation: Epoch(incarnation),
            first,
            number,
            operation,
        }
    }

    #[test]
    fn numbers_are_applied_once_and_without_gaps() {
        let mut sessions = Sessions::default();
        assert!(!sessions.admit(&command(1, 5, 1, 2), 1), "overtook the first");
        assert!(sessions.admit(&command(1, 5, 1, 1), 2));
        assert!(!sessions.admit(&command(1, 5, 1, 1), 3), "again");
        assert!(sessions.admit(&command(1, 5, 1, 2), 4));
        assert!(!sessions.admit(&command(1, 5, 1, 4), 5), "a gap");
        assert!(sessions.admit(&command(1, 5, 4, 4), 6), "another session");
        assert!(!sessions.admit(&command(1, 4, 9, 9), 7), "of an earlier life");
        assert!(sessions.admit(&command(1, 6, 1, 1), 8), "of a later one");
        assert_eq!(sessions.known(NodeId(1), Epoch(6)), Known::Next(2));
        assert_eq!(sessions.known(NodeId(1), Epoch(5)), Known::Nothing);
    }

    #[test]
    fn the_table_is_bounded_and_says_when_it_forgot() {
        let mut sessions = Sessions::default();
        for node in 0..=1_024 {
            assert!(sessions.admit(&command(node, 1, 1, 1), u64::from(node)));
        }
        assert_eq!(sessions.by_node.len(), SESSIONS_MAX);
        assert_eq!(sessions.known(NodeId(0), Epoch(1)), Known::Forgotten);
        assert!(
            !sessions.admit(&command(0, 1, 1, 2), 2_000)
                && sessions.admit(&command(0, 1, 2, 2), 2_001)
        );
        let mut bytes = Vec::new();
        sessions.put(&mut bytes);
        assert_eq!(Sessions::read(&mut Reader::new(&bytes)), Some(sessions));
        for length in 0..bytes.len() {
            assert_eq!(Sessions::read(&mut Reader::new(&bytes[..length])), None);
        }
    }
}
