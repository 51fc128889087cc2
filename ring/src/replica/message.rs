//! What replicas have ordered. All of it safe, on the replica channel.

use super::entry::Operation;
use super::position::{Instant, Position};
use super::reader::{Reader, put_ring};
use crate::id::RingId;

/// First byte of everything that replicas send.
pub(super) const VERSION: u8 = 1;

/// Checkpoints a donor keeps at most: one that a joiner is fetching across a configuration change and
/// one for those who came with it.
pub(super) const CHECKPOINTS_MAX: usize = 2;

/// A state that a member holds in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Held {
    /// Where its log ends.
    pub(super) end: Position,
    /// How much of it is applied there.
    pub(super) applied: u64,
}

/// What a member says of itself in each regular configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Status {
    /// The configuration it speaks of.
    pub(super) ring: RingId,
    /// The state it holds; none when it began and has got none.
    pub(super) held: Option<Held>,
    /// The checkpoint it was fetching, and where the log it followed meanwhile ends.
    pub(super) fetching: Option<(Instant, Position)>,
    /// Checkpoints that it can give.
    pub(super) kept: Vec<Instant>,
}

/// An ordered message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ordered {
    Status(Status),
    /// Its sender holds the state in this configuration from here on.
    Synced {
        ring: RingId,
    },
    /// Its sender cannot use the checkpoint of this instant: make one here.
    Again {
        instant: Instant,
    },
    /// A request.
    Request {
        first: u64,
        number: u64,
        operation: Operation,
    },
}

impl Ordered {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Status(status) => {
                out.push(0);
                put_status(&mut out, status);
            }
            Self::Synced { ring } => {
                out.push(1);
                put_ring(&mut out, *ring);
            }
            Self::Again { instant } => {
                out.push(2);
                instant.put(&mut out);
            }
            Self::Request { first, number, operation } => {
                out.push(3);
                out.extend_from_slice(&first.to_le_bytes());
                out.extend_from_slice(&number.to_le_bytes());
                operation.put(&mut out);
            }
        }
        out
    }

    /// Total: `None` for whatever [`Ordered::encode`] does not write.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes);
        if from.u8()? != VERSION {
            return None;
        }
        let message = match from.u8()? {
            0 => Self::Status(read_status(&mut from)?),
            1 => Self::Synced { ring: from.ring()? },
            2 => Self::Again { instant: Instant::read(&mut from)? },
            3 => {
                let (first, number) = (from.u64()?, from.u64()?);
                let operation = Operation::read(&mut from)?;
                // Numbers begin at 1 and sessions at a number given.
                (1..=number).contains(&first).then_some(())?;
                Self::Request { first, number, operation }
            }
            _ => return None,
        };
        from.end()?;
        Some(message)
    }
}

fn put_status(out: &mut Vec<u8>, status: &Status) {
    put_ring(out, status.ring);
    out.push(u8::from(status.held.is_some()));
    if let Some(held) = status.held {
        held.end.put(out);
        out.extend_from_slice(&held.applied.to_le_bytes());
    }
    out.push(u8::from(status.fetching.is_some()));
    if let Some((instant, end)) = status.fetching {
        instant.put(out);
        end.put(out);
    }
    out.push(u8::try_from(status.kept.len()).unwrap_or(u8::MAX));
    for instant in &status.kept {
        instant.put(out);
    }
}

fn read_status(from: &mut Reader<'_>) -> Option<Status> {
    let ring = from.ring()?;
    let held = if flag(from)? {
        let held = Held { end: Position::read(from)?, applied: from.u64()? };
        (held.applied <= held.end.index).then_some(())?;
        Some(held)
    } else {
        None
    };
    let fetching =
        if flag(from)? { Some((Instant::read(from)?, Position::read(from)?)) } else { None };
    let count = from.u8()?;
    (usize::from(count) <= CHECKPOINTS_MAX).then_some(())?;
    let kept = (0..count).map(|_| Instant::read(from)).collect::<Option<Vec<_>>>()?;
    Some(Status { ring, held, fetching, kept })
}

fn flag(from: &mut Reader<'_>) -> Option<bool> {
    match from.u8()? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::{Epoch, NodeId};

    fn samples() -> Vec<Ordered> {
        let ring = RingId::new(Epoch(7), NodeId(3));
        let instant = Instant { ring, index: 9 };
        let end = Position { lineage: ring, index: 12, chain: 99 };
        let full = Status {
            ring,
            held: Some(Held { end, applied: 11 }),
            fetching: Some((instant, end)),
            kept: vec![instant, instant],
        };
        let operation = Operation::Apply(Bytes::from_static(b"put"));
        vec![
            Ordered::Status(Status { ring, ..Status::default() }),
            Ordered::Status(full),
            Ordered::Synced { ring },
            Ordered::Again { instant },
            Ordered::Request { first: 1, number: 2, operation },
            Ordered::Request { first: 2, number: 2, operation: Operation::Barrier },
        ]
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for message in samples() {
            let bytes = message.encode();
            assert_eq!(Ordered::decode(&bytes).as_ref(), Some(&message));
            for length in 0..bytes.len() {
                assert_eq!(Ordered::decode(&bytes[..length]), None, "cut");
            }
            assert_eq!(Ordered::decode(&[&bytes[..], b"x"].concat()), None, "longer");
            for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                if let Some(read) = Ordered::decode(&damaged) {
                    assert_eq!(read.encode(), damaged, "one writing for one meaning");
                }
            }
        }
    }
}
