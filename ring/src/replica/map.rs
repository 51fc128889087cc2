//! An example: a replicated map of bytes to bytes. All its commands are linearizable, reads that go
//! through the log as well; [`Map::get`] on [`Replica::machine`](super::Replica::machine) reads here.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Context, Reader, RestoreError, StateMachine, put_bytes};

/// The machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Map {
    entries: BTreeMap<Bytes, Bytes>,
}

/// What can be asked of a [`Map`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MapCommand {
    /// Reads through the log.
    Get {
        /// Of what.
        key: Bytes,
    },
    /// Sets a value.
    Put {
        /// Of what.
        key: Bytes,
        /// To what.
        value: Bytes,
    },
    /// Sets a value if the present one is as expected.
    CompareAndSet {
        /// Of what.
        key: Bytes,
        /// The value it must have; `None`: there must be none.
        expected: Option<Bytes>,
        /// To what.
        value: Bytes,
    },
    /// Takes a value out.
    Delete {
        /// Of what.
        key: Bytes,
    },
}

/// What a [`Map`] answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MapOutput {
    /// To `Get`: the value. To `Put` and `Delete`: the one before.
    Value(Option<Bytes>),
    /// To `CompareAndSet`: done.
    Swapped,
    /// To `CompareAndSet`: not done, this is the value.
    Differs(Option<Bytes>),
    /// Not a command; nothing changed.
    Malformed,
}

impl Map {
    /// The value of `key` as far as the log is applied here.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.entries.get(key)
    }

    /// Its keys and values, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Bytes, &Bytes)> {
        self.entries.iter()
    }
}

impl MapCommand {
    /// The command as [`Replica::submit`](super::Replica::submit) takes it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        let (kind, key) = match self {
            Self::Get { key } => (0, key),
            Self::Put { key, .. } => (1, key),
            Self::CompareAndSet { expected: None, key, .. } => (2, key),
            Self::CompareAndSet { expected: Some(_), key, .. } => (3, key),
            Self::Delete { key } => (4, key),
        };
        out.push(kind);
        put_bytes(&mut out, key);
        if let Self::CompareAndSet { expected: Some(expected), .. } = self {
            put_bytes(&mut out, expected);
        }
        if let Self::Put { value, .. } | Self::CompareAndSet { value, .. } = self {
            put_bytes(&mut out, value);
        }
        out.into()
    }

    /// Total: `None` for what [`MapCommand::encode`] does not write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes);
        let kind = from.u8()?;
        let mut next = || from.bytes().map(Bytes::copy_from_slice);
        let key = next()?;
        let command = match kind {
            0 => Self::Get { key },
            1 => Self::Put { key, value: next()? },
            2 => Self::CompareAndSet { key, expected: None, value: next()? },
            3 => Self::CompareAndSet { key, expected: Some(next()?), value: next()? },
            4 => Self::Delete { key },
            _ => return None,
        };
        from.end()?;
        Some(command)
    }
}

impl StateMachine for Map {
    type Output = MapOutput;

    fn apply(&mut self, _: &Context<'_>, command: &[u8]) -> MapOutput {
        match MapCommand::decode(command) {
            Some(MapCommand::Get { key }) => MapOutput::Value(self.entries.get(&key).cloned()),
            Some(MapCommand::Put { key, value }) => {
                MapOutput::Value(self.entries.insert(key, value))
            }
            Some(MapCommand::CompareAndSet { key, expected, value }) => {
                let present = self.entries.get(&key).cloned();
                if present != expected {
                    return MapOutput::Differs(present);
                }
                self.entries.insert(key, value);
                MapOutput::Swapped
            }
            Some(MapCommand::Delete { key }) => MapOutput::Value(self.entries.remove(&key)),
            None => MapOutput::Malformed,
        }
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.entries {
            put_bytes(out, key);
            put_bytes(out, value);
        }
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        self.entries.clear();
        let mut from = Reader::new(snapshot);
        while from.end().is_none() {
            let torn = RestoreError { cause: "a map's entry is torn" };
            let mut next = || from.bytes().map(Bytes::copy_from_slice).ok_or(torn);
            self.entries.insert(next()?, next()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::View;
    use super::*;
    use crate::id::{Epoch, NodeId};

    fn b(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn commands_do_what_they_say_and_snapshots_hold_it() {
        let view = View::default();
        let context = Context { index: 1, sender: NodeId(1), incarnation: Epoch(1), view: &view };
        let mut map = Map::default();
        let swap = |expected, value| MapCommand::CompareAndSet { key: b("k"), expected, value };
        let script = [
            (MapCommand::Get { key: b("k") }, MapOutput::Value(None)),
            (swap(Some(b("x")), b("y")), MapOutput::Differs(None)),
            (swap(None, b("1")), MapOutput::Swapped),
            (swap(Some(b("1")), b("2")), MapOutput::Swapped),
            (MapCommand::Put { key: b("k"), value: b("") }, MapOutput::Value(Some(b("2")))),
            (MapCommand::Put { key: b("l"), value: b("v") }, MapOutput::Value(None)),
            (MapCommand::Delete { key: b("k") }, MapOutput::Value(Some(b("")))),
        ];
        for (command, output) in script {
            let bytes = command.encode();
            assert_eq!(MapCommand::decode(&bytes).as_ref(), Some(&command));
            assert_eq!(map.apply(&context, &bytes), output);
            let before = map.clone();
            for length in 0..bytes.len() {
                assert_eq!(map.apply(&context, &bytes[..length]), MapOutput::Malformed);
            }
            assert_eq!(map, before);
        }
        let mut snapshot = Vec::new();
        map.snapshot(&mut snapshot);
        let mut other = Map { entries: BTreeMap::from([(b("old"), b("old"))]) };
        assert_eq!(other.restore(&snapshot), Ok(()));
        assert_eq!(other, map);
        assert!(other.restore(&snapshot[1..]).is_err());
    }
}
