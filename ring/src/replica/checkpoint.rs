//! Checkpoints: what a joiner needs, written the same by every donor; and the few that a donor keeps.

use bytes::Bytes;

use super::entry::{Entry, put_view, read_view};
use super::letters::{CHUNK_BYTES, Piece, Whole};
use super::log::Log;
use super::machine::View;
use super::message::{CHECKPOINTS_MAX, VERSION};
use super::position::{Instant, Position, digest};
use super::reader::{Reader, put_bytes};
use super::sessions::Sessions;

/// Everything replicated, at one instant.
#[derive(Debug)]
pub(super) struct Checkpoint<'a> {
    pub(super) view: View,
    pub(super) sessions: Sessions,
    /// Where the snapshot is, and the entries behind it that must not be applied yet.
    pub(super) log: Log,
    pub(super) snapshot: &'a [u8],
}

/// Writes a checkpoint; `snapshot` appends the machine's state.
pub(super) fn write(
    view: &View,
    sessions: &Sessions,
    log: &Log,
    snapshot: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = vec![VERSION];
    // Without the lineage: donors may have come to this place through different configurations.
    out.extend_from_slice(&log.applied().index.to_le_bytes());
    out.extend_from_slice(&log.applied().chain.to_le_bytes());
    put_view(&mut out, view);
    sessions.put(&mut out);
    let count = u32::try_from(log.tail().len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    let mut written = Vec::new();
    for entry in log.tail() {
        written.clear();
        entry.put(&mut written);
        put_bytes(&mut out, &written);
    }
    snapshot(&mut out);
    out
}

/// Reads one. Total; memory within a small multiple of `bytes`.
pub(super) fn read(bytes: &[u8]) -> Option<Checkpoint<'_>> {
    let mut from = Reader::new(bytes);
    if from.u8()? != VERSION {
        return None;
    }
    let (index, chain) = (from.u64()?, from.u64()?);
    let mut log = Log::at(Position { index, chain, ..Position::default() });
    let view = read_view(&mut from)?;
    let sessions = Sessions::read(&mut from)?;
    for _ in 0..from.u32()? {
        let mut written = Reader::new(from.bytes()?);
        log.append(Entry::read(&mut written)?);
        written.end()?;
    }
    Some(Checkpoint { view, sessions, log, snapshot: from.rest() })
}

/// A checkpoint, written.
#[derive(Clone, Debug)]
struct Kept {
    instant: Instant,
    whole: Whole,
    bytes: Bytes,
}

/// The checkpoints of a donor. At most two.
#[derive(Debug, Default)]
pub(super) struct Store {
    kept: Vec<Kept>,
}

impl Store {
    pub(super) fn has(&self, instant: Instant) -> bool {
        self.kept.iter().any(|kept| kept.instant == instant)
    }

    pub(super) fn instants(&self) -> Vec<Instant> {
        self.kept.iter().map(|kept| kept.instant).collect()
    }

    /// Drops those that nobody fetches.
    pub(super) fn retain(&mut self, is_fetched: impl Fn(Instant) -> bool) {
        self.kept.retain(|kept| is_fetched(kept.instant));
    }

    /// Keeps a checkpoint, in place of the oldest when there are two.
    pub(super) fn keep(&mut self, instant: Instant, bytes: Vec<u8>) {
        while self.kept.len() >= CHECKPOINTS_MAX {
            self.kept.remove(0);
        }
        let whole = Whole { bytes: bytes.len() as u64, digest: digest(0, &bytes) };
        self.kept.push(Kept { instant, whole, bytes: Bytes::from(bytes) });
    }

    /// A chunk, if there is one of this number.
    pub(super) fn piece(&self, instant: Instant, number: u32) -> Option<Piece<'_>> {
        let kept = self.kept.iter().find(|kept| kept.instant == instant)?;
        let length = kept.whole.chunk_bytes(number)?;
        let begin = usize::try_from(number).ok()?.checked_mul(CHUNK_BYTES)?;
        let bytes = kept.bytes.get(begin..begin + length)?;
        Some(Piece { instant, whole: kept.whole, number, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Command, Operation};
    use super::*;
    use crate::id::{Epoch, NodeId};

    #[test]
    fn a_checkpoint_is_read_as_written_or_not_at_all() {
        let mut log = Log::at(Position { index: 4, chain: 9, ..Position::default() });
        let operation = Operation::Apply(Bytes::from_static(b"set"));
        let (sender, incarnation) = (NodeId(2), Epoch(8));
        log.append(Entry::Command(Command { sender, incarnation, first: 1, number: 3, operation }));
        log.append(Entry::View(View { members: [NodeId(1)].into(), ..View::default() }));
        let sessions = Sessions::default();
        let bytes = write(&View::default(), &sessions, &log, |out| out.extend_from_slice(b"state"));
        let header = bytes.len() - b"state".len();
        let whole = read(&bytes).unwrap();
        assert_eq!((whole.log.end(), whole.log.applied().index), (log.end(), 4));
        assert_eq!((whole.sessions, whole.view), (sessions, View::default()));
        assert_eq!(whole.snapshot, b"state");
        for length in 0..header {
            assert!(read(&bytes[..length]).is_none());
        }
        for at in 0..header {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x81;
            let _ = read(&damaged);
        }
    }

    #[test]
    fn a_donor_keeps_two() {
        let mut store = Store::default();
        let instant = |index| Instant { index, ..Instant::default() };
        for index in 0..3 {
            store.keep(instant(index), vec![7; 2_000]);
        }
        assert_eq!(store.instants(), [instant(1), instant(2)]);
        assert!(store.piece(instant(0), 0).is_none() && store.piece(instant(1), 2).is_none());
        assert_eq!(store.piece(instant(2), 1).map(|piece| piece.bytes.len()), Some(976));
        store.retain(|kept| kept == instant(1));
        assert!(store.has(instant(1)) && !store.has(instant(2)));
    }
}
