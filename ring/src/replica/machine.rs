//! What a user writes: a deterministic machine, fed with one log of commands and views.

use std::sync::Arc;

use crate::id::{Incarnation, NodeId, RingId};

/// A deterministic machine. Whatever it does follows from the entries of the log alone: no clock, no
/// randomness, no order of a hash map, nothing of the member it runs at.
pub trait StateMachine {
    /// What a command yields. Seen at the member that submitted it; never sent.
    type Output;

    /// Carries out a command. A command that makes no sense must change nothing and say so in its
    /// output: it has its place in the log already.
    fn apply(&mut self, context: &Context<'_>, command: &[u8]) -> Self::Output;

    /// Appends the whole state to `out`. Equal states must give equal bytes: another donor may send
    /// the second half.
    fn snapshot(&self, out: &mut Vec<u8>);

    /// Becomes the state whose snapshot this is, whatever it was before.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] when it is not a snapshot. The state may then be anything: the replica
    /// restores the one it began with.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError>;

    /// Others are here, or synced, than before. An entry of the log like a command, with an index
    /// of its own, so it may change the state.
    fn handle_view(&mut self, index: u64, view: &View) {
        let _ = (index, view);
    }
}

/// Where in the log a command stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context<'a> {
    /// Its index in the replicated log, from 1. Views have indexes, too.
    pub index: u64,
    /// Who submitted it.
    pub sender: NodeId,
    /// The life in which it was submitted.
    pub incarnation: Incarnation,
    /// The latest view before it in the log.
    pub view: &'a View,
}

/// Who is here, as an entry of the log: the same at one index everywhere.
///
/// A regular configuration gives one view when it begins to apply commands, and another for each
/// member that has become synced since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// The regular configuration. Ascends along the log.
    pub ring: RingId,
    /// Its members, ascending.
    pub members: Arc<[NodeId]>,
    /// Those of them that hold the state, ascending.
    pub synced: Arc<[NodeId]>,
}

impl View {
    /// The lowest synced member; `None` only in the view before the first.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.synced.first().copied()
    }

    /// Whether `node` is a member.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.members.binary_search(&node).is_ok()
    }
}

impl Default for View {
    /// The view before the first: nobody.
    fn default() -> Self {
        Self { ring: RingId::default(), members: Arc::new([]), synced: Arc::new([]) }
    }
}

/// Bytes that are no snapshot of this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a snapshot of this machine: {cause}; run the same machine at every member")]
pub struct RestoreError {
    /// What is wrong with them.
    pub cause: &'static str,
}
