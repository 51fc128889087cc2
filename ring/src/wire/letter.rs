//! Letter: from a layer of one member to a layer of another, outside of the order.
//!
//! Large states go this way, to those who need them alone. The frame promises nothing: who wants an
//! answer asks again.

use bytes::BufMut;

use super::header::{ClusterTag, Header, Kind};
use super::{Malformed, fields};
use crate::id::{Incarnation, NodeId};
use crate::layer::LETTER_BYTES_MAX;

/// A letter frame, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Letter<'a> {
    /// Who.
    pub sender: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// The content, at most [`LETTER_BYTES_MAX`].
    pub payload: &'a [u8],
}

impl<'a> Letter<'a> {
    /// Reads a letter.
    ///
    /// # Errors
    /// The reason when it is not a well-formed letter of this cluster.
    pub fn parse(frame: &'a [u8], cluster: ClusterTag) -> Result<Self, Malformed> {
        let mut from = frame;
        let header = Header::parse(&mut from, cluster)?;
        if header.kind != Kind::Letter {
            return Err(Malformed::Kind);
        }
        let incarnation = fields::epoch(&mut from)?;
        let bytes = usize::from(fields::u16(&mut from)?);
        let (payload, rest) = from.split_at_checked(bytes).ok_or(Malformed::Truncated)?;
        fields::end(rest)?;
        if bytes > LETTER_BYTES_MAX {
            return Err(Malformed::Count);
        }
        Ok(Self { sender: header.sender, incarnation, payload })
    }

    /// Appends the frame to `out`.
    pub fn emit(&self, cluster: ClusterTag, out: &mut Vec<u8>) {
        Header { kind: Kind::Letter, sender: self.sender }.emit(cluster, out);
        out.put_u64_le(self.incarnation.0);
        // At most `LETTER_BYTES_MAX`.
        out.put_u16_le(u16::try_from(self.payload.len()).unwrap_or(u16::MAX));
        out.put_slice(self.payload);
    }
}
