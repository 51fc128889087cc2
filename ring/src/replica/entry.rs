//! Entries of the replicated log: commands and views.

use std::sync::Arc;

use bytes::Bytes;

use super::machine::View;
use super::reader::{Reader, put_bytes, put_ring};
use crate::id::{Incarnation, NodeId};

/// What a command asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    /// The machine's own.
    Apply(Bytes),
    /// Nothing: who gets its answer has applied everything that was answered before it was asked.
    Barrier,
}

impl Operation {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Apply(bytes) => bytes.len(),
            Self::Barrier => 0,
        }
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Apply(bytes) => {
                out.push(0);
                put_bytes(out, bytes);
            }
            Self::Barrier => out.push(1),
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        match from.u8()? {
            0 => from.bytes().map(|bytes| Self::Apply(Bytes::copy_from_slice(bytes))),
            1 => Some(Self::Barrier),
            _ => None,
        }
    }
}

/// A command in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Command {
    pub(super) sender: NodeId,
    pub(super) incarnation: Incarnation,
    /// The number with which the sender's session began (`sessions`).
    pub(super) first: u64,
    /// Counts the sender's requests, from 1.
    pub(super) number: u64,
    pub(super) operation: Operation,
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    Command(Command),
    View(View),
}

impl Entry {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Command(command) => {
                out.push(0);
                out.extend_from_slice(&command.sender.0.to_le_bytes());
                out.extend_from_slice(&command.incarnation.0.to_le_bytes());
                out.extend_from_slice(&command.first.to_le_bytes());
                out.extend_from_slice(&command.number.to_le_bytes());
                command.operation.put(out);
            }
            Self::View(view) => {
                out.push(1);
                put_view(out, view);
            }
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        match from.u8()? {
            0 => Some(Self::Command(Command {
                sender: from.node()?,
                incarnation: from.u64().map(crate::id::Epoch)?,
                first: from.u64()?,
                number: from.u64()?,
                operation: Operation::read(from)?,
            })),
            1 => read_view(from).map(Self::View),
            _ => None,
        }
    }

    /// Memory it takes, about.
    pub(super) fn cost_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Command(command) => command.operation.len(),
                Self::View(view) => 4 * (view.members.len() + view.synced.len()),
            }
    }
}

pub(super) fn put_view(out: &mut Vec<u8>, view: &View) {
    put_ring(out, view.ring);
    for nodes in [&view.members, &view.synced] {
        out.push(u8::try_from(nodes.len()).unwrap_or(u8::MAX));
        for node in nodes.iter() {
            out.extend_from_slice(&node.0.to_le_bytes());
        }
    }
}

pub(super) fn read_view(from: &mut Reader<'_>) -> Option<View> {
    let ring = from.ring()?;
    Some(View { ring, members: nodes(from)?, synced: nodes(from)? })
}

/// A count of a byte suffices: a ring has at most 128 members.
fn nodes(from: &mut Reader<'_>) -> Option<Arc<[NodeId]>> {
    let count = from.u8()?;
    (0..count).map(|_| from.node()).collect()
}
