//! Beacon: a periodic sign of life, so that rings that can hear each other merge.
//!
//! It lists the members of *other* rings that its sender heard of late: who finds itself listed
//! by somebody it hears knows that the link works in both directions.

use bytes::BufMut;

use super::header::{ClusterTag, Header, Kind};
use super::{Malformed, fields};
use crate::id::{Incarnation, NodeId, RingId};

/// A beacon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beacon {
    /// Who.
    pub sender: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Its installed ring.
    pub ring: RingId,
    /// Members of other rings it heard of late. Ascending.
    pub heard: Vec<NodeId>,
}

impl Beacon {
    /// Reads a beacon.
    ///
    /// # Errors
    /// The reason when it is not a well-formed beacon of this cluster.
    pub fn parse(frame: &[u8], cluster: ClusterTag) -> Result<Self, Malformed> {
        let mut from = frame;
        let header = Header::parse(&mut from, cluster)?;
        if header.kind != Kind::Beacon {
            return Err(Malformed::Kind);
        }
        let beacon = Self {
            sender: header.sender,
            incarnation: fields::epoch(&mut from)?,
            ring: fields::ring(&mut from)?,
            heard: fields::node_set(&mut from)?,
        };
        fields::end(from)?;
        if beacon.ring.epoch < beacon.incarnation {
            return Err(Malformed::Range);
        }
        Ok(beacon)
    }

    /// Appends the frame to `out`.
    pub fn emit(&self, cluster: ClusterTag, out: &mut Vec<u8>) {
        Header { kind: Kind::Beacon, sender: self.sender }.emit(cluster, out);
        out.put_u64_le(self.incarnation.0);
        fields::put_ring(out, self.ring);
        fields::put_node_set(out, &self.heard);
    }
}
