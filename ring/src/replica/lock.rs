//! An example: a lock service. The leader is the lowest synced member of the view; each lock has one
//! holder and a fencing token; locks of members that left are free again with the view.
//!
//! A holder that is cut off does not know that it lost its locks. Whatever a lock protects must
//! therefore refuse a token lower than one it has seen: tokens ascend along the log, also across
//! configurations, since they begin with the configuration's id.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::reader::put_ring;
use super::{Context, Reader, RestoreError, StateMachine, View, put_bytes};
use crate::id::{Epoch, Incarnation, NodeId, RingId};

/// A fencing token. A later grant, of whatever lock, has a greater one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Fence {
    /// The configuration in which it was given.
    pub ring: RingId,
    /// Ascends along the log.
    pub count: u64,
}

/// Who holds a lock, and the proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The member.
    pub node: NodeId,
    /// In this life; a restarted member does not hold what it held before.
    pub incarnation: Incarnation,
    /// To be shown to what the lock protects.
    pub fence: Fence,
}

/// What can be asked of [`Locks`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LockCommand {
    /// Takes a lock if it is free.
    Acquire {
        /// Its name.
        name: Bytes,
    },
    /// Gives a lock back.
    Release {
        /// Its name.
        name: Bytes,
        /// The token it was given with, so that a late release does not hit a later grant.
        fence: Fence,
    },
}

/// What [`Locks`] answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockOutput {
    /// The sender holds the lock, from now or already.
    Granted(Grant),
    /// Somebody else does.
    Held(Grant),
    /// It is free now.
    Released,
    /// The sender does not hold it with this token; nothing changed.
    NotHeld,
    /// Not a command; nothing changed.
    Malformed,
}

/// The machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Locks {
    leader: Option<(NodeId, Fence)>,
    locks: BTreeMap<Bytes, Grant>,
}

impl Locks {
    /// The leader, and the token of its rule: new when the leader changes.
    #[must_use]
    pub const fn leader(&self) -> Option<(NodeId, Fence)> {
        self.leader
    }

    /// Who holds the lock `name` as far as the log is applied here.
    #[must_use]
    pub fn holder(&self, name: &[u8]) -> Option<Grant> {
        self.locks.get(name).copied()
    }

    /// All locks held, ascending by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Bytes, &Grant)> {
        self.locks.iter()
    }

    fn acquire(&mut self, context: &Context<'_>, name: Bytes) -> LockOutput {
        let Context { index, sender, incarnation, view } = *context;
        if let Some(grant) = self.locks.get(&name) {
            let is_mine = (grant.node, grant.incarnation) == (sender, incarnation);
            return if is_mine { LockOutput::Granted(*grant) } else { LockOutput::Held(*grant) };
        }
        let fence = Fence { ring: view.ring, count: index };
        let grant = Grant { node: sender, incarnation, fence };
        self.locks.insert(name, grant);
        LockOutput::Granted(grant)
    }

    fn release(&mut self, context: &Context<'_>, name: &[u8], fence: Fence) -> LockOutput {
        let mine = Grant { node: context.sender, incarnation: context.incarnation, fence };
        if self.locks.get(name) != Some(&mine) {
            return LockOutput::NotHeld;
        }
        self.locks.remove(name);
        LockOutput::Released
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let leader = match from.u8()? {
            0 => None,
            _ => Some((from.node()?, read_fence(from)?)),
        };
        let mut locks = BTreeMap::new();
        while from.end().is_none() {
            let name = Bytes::copy_from_slice(from.bytes()?);
            let (node, incarnation) = (from.node()?, Epoch(from.u64()?));
            locks.insert(name, Grant { node, incarnation, fence: read_fence(from)? });
        }
        Some(Self { leader, locks })
    }
}

fn put_fence(out: &mut Vec<u8>, fence: Fence) {
    put_ring(out, fence.ring);
    out.extend_from_slice(&fence.count.to_le_bytes());
}

fn read_fence(from: &mut Reader<'_>) -> Option<Fence> {
    Some(Fence { ring: from.ring()?, count: from.u64()? })
}

impl LockCommand {
    /// The command as [`Replica::submit`](super::Replica::submit) takes it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Acquire { name } => {
                out.push(0);
                put_bytes(&mut out, name);
            }
            Self::Release { name, fence } => {
                out.push(1);
                put_bytes(&mut out, name);
                put_fence(&mut out, *fence);
            }
        }
        out.into()
    }

    /// Total: `None` for what [`LockCommand::encode`] does not write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes);
        let kind = from.u8()?;
        let name = Bytes::copy_from_slice(from.bytes()?);
        let command = match kind {
            0 => Self::Acquire { name },
            1 => Self::Release { name, fence: read_fence(&mut from)? },
            _ => return None,
        };
        from.end()?;
        Some(command)
    }
}

impl StateMachine for Locks {
    type Output = LockOutput;

    fn apply(&mut self, context: &Context<'_>, command: &[u8]) -> LockOutput {
        match LockCommand::decode(command) {
            Some(LockCommand::Acquire { name }) => self.acquire(context, name),
            Some(LockCommand::Release { name, fence }) => self.release(context, &name, fence),
            None => LockOutput::Malformed,
        }
    }

    /// Who is not synced was away, or restarted: its locks are free.
    fn handle_view(&mut self, index: u64, view: &View) {
        self.locks.retain(|_, grant| view.synced.contains(&grant.node));
        let leader = view.leader();
        if leader != self.leader.map(|(node, _)| node) {
            let fence = Fence { ring: view.ring, count: index };
            self.leader = leader.map(|node| (node, fence));
        }
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.leader.is_some()));
        if let Some((node, fence)) = self.leader {
            out.extend_from_slice(&node.0.to_le_bytes());
            put_fence(out, fence);
        }
        for (name, grant) in &self.locks {
            put_bytes(out, name);
            out.extend_from_slice(&grant.node.0.to_le_bytes());
            out.extend_from_slice(&grant.incarnation.0.to_le_bytes());
            put_fence(out, grant.fence);
        }
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let cause = "not a table of locks";
        *self = Self::read(&mut Reader::new(snapshot)).ok_or(RestoreError { cause })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(epoch: u64, synced: &[u32]) -> View {
        let synced = synced.iter().copied().map(NodeId).collect();
        View { ring: RingId::new(Epoch(epoch), NodeId(1)), synced, ..View::default() }
    }

    #[test]
    fn one_holder_tokens_that_ascend_and_no_lock_of_who_left() {
        let mut locks = Locks::default();
        let first = view(3, &[1, 2]);
        locks.handle_view(1, &first);
        let acquire = LockCommand::Acquire { name: Bytes::from_static(b"disk") }.encode();
        let context = |index, sender, view| Context {
            index,
            sender: NodeId(sender),
            incarnation: Epoch(3),
            view,
        };
        let LockOutput::Granted(one) = locks.apply(&context(2, 1, &first), &acquire) else {
            panic!("it was free");
        };
        assert_eq!(locks.apply(&context(3, 2, &first), &acquire), LockOutput::Held(one));
        assert_eq!(locks.leader().map(|(node, _)| node), Some(NodeId(1)));
        let second = view(4, &[2]);
        locks.handle_view(4, &second);
        assert_eq!(
            (locks.holder(b"disk"), locks.leader().map(|(node, _)| node)),
            (None, Some(NodeId(2)))
        );
        let LockOutput::Granted(two) = locks.apply(&context(5, 2, &second), &acquire) else {
            panic!("its holder left");
        };
        assert!(two.fence > one.fence);
        let release = |fence| LockCommand::Release { name: Bytes::from_static(b"disk"), fence };
        let late = release(one.fence).encode();
        assert_eq!(locks.apply(&context(6, 1, &second), &late), LockOutput::NotHeld);

        let mut snapshot = Vec::new();
        locks.snapshot(&mut snapshot);
        let mut other = Locks::default();
        assert_eq!(other.restore(&snapshot), Ok(()));
        assert_eq!(other, locks);
        for length in 0..snapshot.len() {
            let _ = other.restore(&snapshot[..length]);
        }
        let bytes = release(two.fence).encode();
        assert_eq!(LockCommand::decode(&bytes), Some(release(two.fence)));
        assert_eq!(locks.apply(&context(7, 2, &second), &bytes), LockOutput::Released);
        assert!((0..bytes.len()).all(|length| LockCommand::decode(&bytes[..length]).is_none()));
    }
}
