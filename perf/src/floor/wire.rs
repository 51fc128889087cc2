//! What the members of a floor run send each other.

use bytes::{Buf, BufMut};

/// Kind and version of every frame.
const TAG: [u8; 3] = *b"RF1";

/// Bytes of the longest frame's own data; a ring's head is longer.
pub(crate) const FRAME_BYTES: usize = 32;

/// A frame as it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Frame {
    /// To all: a member is there, with these options, and has heard of so many, itself included.
    Hello { options: u64, known: u16 },
    /// To all: a packet of the load, by its number among those of its sender.
    Data { number: u64 },
    /// To the next: its turn.
    Token(Token),
}

/// The right to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    /// Counts the visits, so that one that comes twice is told from the next.
    pub(crate) visit: u64,
    pub(crate) stage: Stage,
}

/// How far a run is, by the word of the lead (the lowest address).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stage {
    /// The members come together.
    Gathering,
    /// Under load, not measured.
    Warming,
    /// Under load, measured.
    Measuring,
    /// Measured.
    Over,
}

impl Stage {
    const ALL: [Self; 4] = [Self::Gathering, Self::Warming, Self::Measuring, Self::Over];
}

impl Frame {
    /// Writes it, for the members of a cluster.
    pub(crate) fn put(&self, cluster: u64, to: &mut impl BufMut) {
        to.put_slice(&TAG);
        match *self {
            Self::Hello { options, known } => {
                to.put_u8(1);
                to.put_u64_le(cluster);
                to.put_u64_le(options);
                to.put_u16_le(known);
            }
            Self::Data { number } => {
                to.put_u8(2);
                to.put_u64_le(cluster);
                to.put_u64_le(number);
            }
            Self::Token(Token { visit, stage }) => {
                to.put_u8(3);
                to.put_u64_le(cluster);
                to.put_u64_le(visit);
                to.put_u8(stage as u8);
            }
        }
    }

    /// Reads one; `None` for what is not of this program or of another cluster. What follows it
    /// is filler.
    pub(crate) fn parse(mut from: &[u8], cluster: u64) -> Option<Self> {
        let rest = &mut from;
        if !rest.starts_with(&TAG) {
            return None;
        }
        rest.advance(TAG.len());
        let kind = rest.try_get_u8().ok()?;
        if rest.try_get_u64_le().ok()? != cluster {
            return None;
        }
        let number = rest.try_get_u64_le().ok()?;
        match kind {
            1 => Some(Self::Hello { options: number, known: rest.try_get_u16_le().ok()? }),
            2 => Some(Self::Data { number }),
            3 => {
                let stage = *Stage::ALL.get(usize::from(rest.try_get_u8().ok()?))?;
                Some(Self::Token(Token { visit: number, stage }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        for frame in [
            Frame::Hello { options: u64::MAX, known: 3 },
            Frame::Data { number: 7 },
            Frame::Token(Token { visit: 9, stage: Stage::Over }),
        ] {
            let mut bytes = Vec::new();
            frame.put(5, &mut bytes);
            assert!(bytes.len() <= FRAME_BYTES);
            assert_eq!(Frame::parse(&bytes, 5), Some(frame));
            assert_eq!(Frame::parse(&bytes, 6), None, "of another cluster");
            for end in 0..bytes.len() {
                assert_eq!(Frame::parse(&bytes[..end], 5), None, "cut at {end}");
            }
        }
    }
}
