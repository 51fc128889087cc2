//! What replicas send point to point: a joiner asks for chunks, a donor answers. Letters may be lost,
//! doubled and late; each carries all that is needed to place or to ignore it.

use super::message::VERSION;
use super::position::Instant;
use super::reader::Reader;
use crate::layer::LETTER_BYTES_MAX;

/// Bytes of a snapshot in one letter.
pub(super) const CHUNK_BYTES: usize = 1_024;
/// Header of a [`Piece`]: version, kind, instant, whole (length, digest), number.
const PIECE_HEADER_BYTES: usize = 2 + 20 + 16 + 4;
const _: () = assert!(PIECE_HEADER_BYTES + CHUNK_BYTES <= LETTER_BYTES_MAX);
/// Chunks that one letter asks for at most: what a donor answers to one letter.
pub(super) const ASK_CHUNKS_MAX: u8 = 16;

/// Chunks wanted: `count` of them from `first`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ask {
    pub(super) instant: Instant,
    pub(super) first: u32,
    pub(super) count: u8,
}

/// What a checkpoint's bytes are, besides its instant: pieces of different wholes are never put together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Whole {
    pub(super) bytes: u64,
    pub(super) digest: u64,
}

impl Whole {
    /// Chunks it has; a whole is never empty. `None` when they cannot be numbered.
    pub(super) fn chunks(self) -> Option<u32> {
        u32::try_from(self.bytes.div_ceil(CHUNK_BYTES as u64)).ok()
    }

    /// Bytes of chunk `number`, if there is one.
    pub(super) fn chunk_bytes(self, number: u32) -> Option<usize> {
        let rest = self.bytes.checked_sub(u64::from(number) * CHUNK_BYTES as u64)?;
        let length = usize::try_from(rest).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        (length > 0).then_some(length)
    }
}

/// A chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece<'a> {
    pub(super) instant: Instant,
    pub(super) whole: Whole,
    pub(super) number: u32,
    pub(super) bytes: &'a [u8],
}

/// A letter, read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Note<'a> {
    Ask(Ask),
    Piece(Piece<'a>),
}

impl<'a> Note<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PIECE_HEADER_BYTES + CHUNK_BYTES);
        out.push(VERSION);
        match self {
            Self::Ask(ask) => {
                out.push(0);
                ask.instant.put(&mut out);
                out.extend_from_slice(&ask.first.to_le_bytes());
                out.push(ask.count);
            }
            Self::Piece(piece) => {
                out.push(1);
                piece.instant.put(&mut out);
                out.extend_from_slice(&piece.whole.bytes.to_le_bytes());
                out.extend_from_slice(&piece.whole.digest.to_le_bytes());
                out.extend_from_slice(&piece.number.to_le_bytes());
                out.extend_from_slice(piece.bytes);
            }
        }
        out
    }

    /// Total: `None` for whatever [`Note::encode`] does not write.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut from = Reader::new(bytes);
        if from.u8()? != VERSION {
            return None;
        }
        match from.u8()? {
            0 => {
                let instant = Instant::read(&mut from)?;
                let ask = Ask { instant, first: from.u32()?, count: from.u8()? };
                from.end()?;
                (1..=ASK_CHUNKS_MAX).contains(&ask.count).then_some(Self::Ask(ask))
            }
            1 => {
                let instant = Instant::read(&mut from)?;
                let whole = Whole { bytes: from.u64()?, digest: from.u64()? };
                let piece = Piece { instant, whole, number: from.u32()?, bytes: from.rest() };
                whole.chunks()?;
                let is_right = whole.chunk_bytes(piece.number) == Some(piece.bytes.len());
                is_right.then_some(Self::Piece(piece))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_read_as_written_or_not_at_all() {
        let instant = Instant::default();
        let whole = Whole { bytes: 1_030, digest: 5 };
        assert_eq!((whole.chunks(), whole.chunk_bytes(0)), (Some(2), Some(1_024)));
        assert_eq!((whole.chunk_bytes(1), whole.chunk_bytes(2)), (Some(6), None));
        let piece = Piece { instant, whole, number: 1, bytes: b"sixsix" };
        let full = Piece { number: 0, bytes: &[7; CHUNK_BYTES], ..piece };
        let ask = Ask { instant, first: 3, count: ASK_CHUNKS_MAX };
        for note in [Note::Ask(ask), Note::Piece(piece), Note::Piece(full)] {
            let bytes = note.encode();
            assert!(bytes.len() <= LETTER_BYTES_MAX);
            assert_eq!(Note::decode(&bytes), Some(note));
            for length in 0..bytes.len() {
                assert_eq!(Note::decode(&bytes[..length]), None);
            }
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0x55;
                if let Some(read) = Note::decode(&damaged) {
                    assert_eq!(read.encode(), damaged);
                }
            }
        }
        let greedy = Note::Ask(Ask { count: ASK_CHUNKS_MAX + 1, ..ask });
        assert_eq!(Note::decode(&greedy.encode()), None);
        let empty = Note::Piece(Piece { bytes: b"", number: 2, ..piece });
        assert_eq!(Note::decode(&empty.encode()), None);
    }
}
