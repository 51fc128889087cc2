//! Hold-cancel: a member with work says so to all. The holder of an idle token passes it on.

use super::header::{ClusterTag, Header, Kind};
use super::{Malformed, fields};
use crate::id::{NodeId, RingId};

/// A hold-cancel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HoldCancel {
    /// Who has work.
    pub sender: NodeId,
    /// On which ring.
    pub ring: RingId,
}

impl HoldCancel {
    /// Reads a hold-cancel.
    ///
    /// # Errors
    /// The reason when it is not a well-formed hold-cancel of this cluster.
    pub fn parse(frame: &[u8], cluster: ClusterTag) -> Result<Self, Malformed> {
        let mut from = frame;
        let header = Header::parse(&mut from, cluster)?;
        if header.kind != Kind::HoldCancel {
            return Err(Malformed::Kind);
        }
        let ring = fields::ring(&mut from)?;
        fields::end(from)?;
        Ok(Self { sender: header.sender, ring })
    }

    /// Appends the frame to `out`.
    pub fn emit(self, cluster: ClusterTag, out: &mut Vec<u8>) {
        Header { kind: Kind::HoldCancel, sender: self.sender }.emit(cluster, out);
        fields::put_ring(out, self.ring);
    }
}
