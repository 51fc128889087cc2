//! The machine: the library's map and its locks, side by side.

use bytes::Bytes;
use roundel::replica::lock::{LockCommand, LockOutput, Locks};
use roundel::replica::map::{Map, MapCommand, MapOutput};
use roundel::replica::{Context, Reader, RestoreError, StateMachine, View, put_bytes};

/// A map and locks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Store {
    pub(super) map: Map,
    pub(super) locks: Locks,
}

/// What can be asked of a [`Store`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum StoreCommand {
    Map(MapCommand),
    Lock(LockCommand),
}

/// What a [`Store`] answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum StoreOutput {
    Map(MapOutput),
    Lock(LockOutput),
    /// Not a command; nothing changed.
    Malformed,
}

/// What commands of each machine begin with.
const MAP: u8 = b'm';
const LOCK: u8 = b'l';

impl StoreCommand {
    pub(super) fn encode(&self) -> Bytes {
        let (tag, command) = match self {
            Self::Map(command) => (MAP, command.encode()),
            Self::Lock(command) => (LOCK, command.encode()),
        };
        [&[tag][..], &command].concat().into()
    }
}

impl StateMachine for Store {
    type Output = StoreOutput;

    fn apply(&mut self, context: &Context<'_>, command: &[u8]) -> StoreOutput {
        match command.split_first() {
            Some((&MAP, command)) => StoreOutput::Map(self.map.apply(context, command)),
            Some((&LOCK, command)) => StoreOutput::Lock(self.locks.apply(context, command)),
            _ => StoreOutput::Malformed,
        }
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        let mut part = Vec::new();
        self.map.snapshot(&mut part);
        put_bytes(out, &part);
        part.clear();
        self.locks.snapshot(&mut part);
        put_bytes(out, &part);
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let torn = RestoreError { cause: "a store is a map and locks" };
        let mut from = Reader::new(snapshot);
        self.map.restore(from.bytes().ok_or(torn)?)?;
        self.locks.restore(from.bytes().ok_or(torn)?)?;
        from.end().ok_or(torn)
    }

    fn handle_view(&mut self, index: u64, view: &View) {
        self.map.handle_view(index, view);
        self.locks.handle_view(index, view);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use roundel::{Epoch, NodeId, RingId};

    use super::*;

    #[test]
    fn a_store_is_its_snapshot() {
        let nodes: Arc<[NodeId]> = Arc::new([NodeId(1)]);
        let ring = RingId::new(Epoch(3), NodeId(1));
        let view = View { ring, members: Arc::clone(&nodes), synced: nodes };
        let context = Context { index: 2, sender: NodeId(1), incarnation: Epoch(1), view: &view };
        let mut store = Store::default();
        store.handle_view(1, &view);
        let b = |text: &'static str| Bytes::from_static(text.as_bytes());
        let put = StoreCommand::Map(MapCommand::Put { key: b("k"), value: b("v") });
        assert_eq!(store.apply(&context, &put.encode()), StoreOutput::Map(MapOutput::Value(None)));
        let acquire = StoreCommand::Lock(LockCommand::Acquire { name: b("l") }).encode();
        assert!(matches!(
            store.apply(&context, &acquire),
            StoreOutput::Lock(LockOutput::Granted(_))
        ));
        assert_eq!(store.apply(&context, b""), StoreOutput::Malformed);
        assert_eq!(store.apply(&context, b"?"), StoreOutput::Malformed);
        let mut snapshot = Vec::new();
        store.snapshot(&mut snapshot);
        let mut other = Store::default();
        assert_eq!(other.restore(&snapshot), Ok(()));
        assert_eq!(other, store);
        for length in 0..snapshot.len() {
            assert!(Store::default().restore(&snapshot[..length]).is_err(), "{length}");
        }
    }
}
