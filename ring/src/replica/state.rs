//! The replicated state at one member: the machine, what belongs to it, and the end of its log.

use bytes::Bytes;

use super::checkpoint::{self, Checkpoint};
use super::entry::{Command, Entry, Operation};
use super::log::Log;
use super::machine::{Context, RestoreError, StateMachine, View};
use super::message::Held;
use super::position::Position;
use super::sessions::{Known, Sessions};
use crate::id::{Incarnation, NodeId};

/// An entry was applied.
#[derive(Debug)]
pub(super) struct Applied<O> {
    pub(super) index: u64,
    pub(super) what: Effect<O>,
}

/// What it did.
#[derive(Debug)]
pub(super) enum Effect<O> {
    /// A request; no output when it was a barrier.
    Done(Command, Option<O>),
    /// A request that was applied before, or has overtaken another.
    Skipped(Command),
    /// Another view.
    View(View),
}

/// Machine, sessions and view change together, by the entries of the log.
#[derive(Debug)]
pub(super) struct State<M> {
    machine: M,
    /// What the machine was at the start: a member that forgets begins again with it.
    initial: Bytes,
    view: View,
    sessions: Sessions,
    /// None until there is a log that this is the state of.
    log: Option<Log>,
}

impl<M: StateMachine> State<M> {
    pub(super) fn new(machine: M) -> Self {
        let mut initial = Vec::new();
        machine.snapshot(&mut initial);
        Self {
            machine,
            initial: Bytes::from(initial),
            view: View::default(),
            sessions: Sessions::default(),
            log: None,
        }
    }

    pub(super) const fn machine(&self) -> &M {
        &self.machine
    }

    pub(super) const fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn held(&self) -> Option<Held> {
        let log = self.log.as_ref()?;
        Some(Held { end: log.end(), applied: log.applied().index })
    }

    pub(super) fn known(&self, node: NodeId, incarnation: Incarnation) -> Known {
        self.sessions.known(node, incarnation)
    }

    pub(super) fn log_mut(&mut self) -> Option<&mut Log> {
        self.log.as_mut()
    }

    /// The log goes on in the configuration of `start`; it begins there when there is none.
    pub(super) fn go_on(&mut self, start: Position) {
        self.log.get_or_insert_with(|| Log::at(start)).go_on(start.lineage);
    }

    /// Applies the next entry, if its index is at most `limit`.
    pub(super) fn apply_next(&mut self, limit: u64) -> Option<Applied<M::Output>> {
        let log = self.log.as_mut().filter(|log| log.applied().index < limit)?;
        let (entry, index) = log.take_next()?;
        let what = match entry {
            Entry::View(view) => {
                self.machine.handle_view(index, &view);
                self.view = view.clone();
                Effect::View(view)
            }
            Entry::Command(command) if !self.sessions.admit(&command, index) => {
                Effect::Skipped(command)
            }
            Entry::Command(command) => {
                let Command { sender, incarnation, .. } = command;
                let context = Context { index, sender, incarnation, view: &self.view };
                let output = match &command.operation {
                    Operation::Apply(bytes) => Some(self.machine.apply(&context, bytes)),
                    Operation::Barrier => None,
                };
                Effect::Done(command, output)
            }
        };
        Some(Applied { index, what })
    }

    /// The checkpoint of this state; none without a log.
    pub(super) fn checkpoint(&self) -> Option<Vec<u8>> {
        let log = self.log.as_ref()?;
        Some(checkpoint::write(&self.view, &self.sessions, log, |out| self.machine.snapshot(out)))
    }

    /// Becomes what `checkpoint` says, followed by the entries of `since`.
    pub(super) fn restore(
        &mut self,
        checkpoint: Checkpoint<'_>,
        since: Log,
    ) -> Result<(), RestoreError> {
        if let Err(error) = self.machine.restore(checkpoint.snapshot) {
            self.forget();
            return Err(error);
        }
        self.view = checkpoint.view;
        self.sessions = checkpoint.sessions;
        self.log = Some(checkpoint.log.followed_by(since));
        Ok(())
    }

    /// Begins again, as a restarted member.
    pub(super) fn forget(&mut self) {
        // Its own first snapshot: a machine that does not take that will not take any.
        let _ = self.machine.restore(&self.initial);
        self.view = View::default();
        self.sessions = Sessions::default();
        self.log = None;
    }
}
