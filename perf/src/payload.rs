//! What members under load say to each other, all of it through the ring.

use bytes::{BufMut, Bytes, BytesMut};
use roundel::{Epoch, NodeId, RingId};

/// The shortest message: its head alone.
pub(crate) const HEAD_BYTES: usize = 28;

/// The longest one the head can tell of a delay.
const LATENESS_MAX_NS: u64 = u32::MAX as u64;

/// Kind and version of every payload of this program.
const TAG: [u8; 3] = *b"RP1";

/// A payload as it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Payload {
    /// A member is in `ring` and can start: its clock, and a hash of its options.
    Ready { ring: RingId, clock: u64, options: u64 },
    /// All members of `ring` are ready: send.
    Begin { ring: RingId },
    /// What comes after is measured.
    Start,
    /// What comes after is not measured.
    End,
    /// A member has seen the end.
    Done,
    /// What is measured.
    Load(Load),
}

/// A message of the load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Load {
    /// Who sent it.
    pub(crate) sender: NodeId,
    /// Counts the messages of its sender.
    pub(crate) counter: u64,
    /// When it was to be sent.
    pub(crate) planned_ns: u64,
    /// How much later it was.
    pub(crate) lateness_ns: u64,
}

impl Load {
    /// Whether it came as a message of its sender.
    ///
    /// # Errors
    /// That it did not, as a sentence.
    pub(crate) fn check_sender(&self, came_from: NodeId) -> Result<(), String> {
        let Self { sender, counter, .. } = self;
        let came = *sender == came_from;
        came.then_some(()).ok_or_else(|| {
            format!(
                "message {counter} of member {sender} came as one of member {came_from}: a defect"
            )
        })
    }
}

impl Payload {
    const fn kind(&self) -> u8 {
        match self {
            Self::Ready { .. } => 1,
            Self::Begin { .. } => 2,
            Self::Start => 3,
            Self::End => 4,
            Self::Done => 5,
            Self::Load(_) => 6,
        }
    }

    /// A message that carries no load.
    pub(crate) fn control(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(64);
        self.head(&mut to);
        to.freeze()
    }

    fn head(&self, to: &mut impl BufMut) {
        to.put_slice(&TAG);
        to.put_u8(self.kind());
        match *self {
            Self::Ready { ring, clock, options } => {
                put_ring(to, ring);
                to.put_u64_le(clock);
                to.put_u64_le(options);
            }
            Self::Begin { ring } => put_ring(to, ring),
            Self::Start | Self::End | Self::Done => {}
            Self::Load(Load { sender, counter, planned_ns, lateness_ns }) => {
                to.put_u32_le(sender.0);
                to.put_u64_le(counter);
                to.put_u64_le(planned_ns);
                let lateness = lateness_ns.min(LATENESS_MAX_NS);
                to.put_u32_le(u32::try_from(lateness).unwrap_or(u32::MAX));
            }
        }
    }

    /// Reads a payload; `None` for one of another program.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&TAG)?;
        let rest = &mut rest;
        Some(match u8::from_le_bytes(take(rest)?) {
            1 => {
                Self::Ready { ring: take_ring(rest)?, clock: u64_of(rest)?, options: u64_of(rest)? }
            }
            2 => Self::Begin { ring: take_ring(rest)? },
            3 => Self::Start,
            4 => Self::End,
            5 => Self::Done,
            6 => Self::Load(Load {
                sender: NodeId(u32::from_le_bytes(take(rest)?)),
                counter: u64_of(rest)?,
                planned_ns: u64_of(rest)?,
                lateness_ns: u64::from(u32::from_le_bytes(take(rest)?)),
            }),
            _ => return None,
        })
    }
}

/// Makes messages up to one size, one after the other in the same memory.
#[derive(Debug)]
pub(crate) struct Maker {
    message: Vec<u8>,
}

impl Maker {
    /// For messages of `size` bytes, at least [`HEAD_BYTES`].
    pub(crate) fn new(size: usize) -> Self {
        let filler = (b'a'..=b'z').cycle().take(size.saturating_sub(HEAD_BYTES));
        Self { message: [0; HEAD_BYTES].into_iter().chain(filler).collect() }
    }

    /// The next message.
    pub(crate) fn make(&mut self, load: Load) -> &[u8] {
        self.make_of(load, self.message.len())
    }

    /// The next message, of `size` bytes: at least its head, at most what this was made for.
    pub(crate) fn make_of(&mut self, load: Load, size: usize) -> &[u8] {
        Payload::Load(load).head(&mut &mut self.message[..HEAD_BYTES]);
        &self.message[..size.clamp(HEAD_BYTES, self.message.len())]
    }
}

fn put_ring(to: &mut impl BufMut, ring: RingId) {
    to.put_u64_le(ring.epoch.0);
    to.put_u32_le(ring.representative.0);
}

fn take_ring(rest: &mut &[u8]) -> Option<RingId> {
    let epoch = Epoch(u64_of(rest)?);
    Some(RingId::new(epoch, NodeId(u32::from_le_bytes(take(rest)?))))
}

fn u64_of(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_le_bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_read_as_they_were_written() {
        let ring = RingId::new(Epoch(7), NodeId(3));
        for payload in [
            Payload::Ready { ring, clock: 1, options: u64::MAX },
            Payload::Begin { ring },
            Payload::Start,
            Payload::End,
            Payload::Done,
        ] {
            assert_eq!(Payload::parse(&payload.control()), Some(payload));
        }
        assert_eq!(Payload::parse(b"hello"), None);
        assert_eq!(Payload::parse(b"RP1\x06short"), None);
    }

    #[test]
    fn messages_of_the_load_have_their_size_and_differ() {
        for size in [HEAD_BYTES, 64, 3 << 20] {
            let mut maker = Maker::new(size);
            let load = Load { sender: NodeId(2), counter: 9, planned_ns: 5, lateness_ns: 1 };
            let one = maker.make(load).to_vec();
            let two = maker.make(Load { counter: 10, ..load });
            assert_eq!((one.len(), two.len()), (size, size));
            assert_eq!(Payload::parse(&one), Some(Payload::Load(load)));
            assert_ne!(one, two);
            assert_eq!(maker.make_of(load, 40).len(), 40.min(size));
        }
    }
}
