//! Join: what a member believes while a membership forms, and the announcement of a leave.

use bytes::BufMut;

use super::header::{ClusterTag, Header, Kind};
use super::{MTU_MAX_BYTES, MTU_MIN_BYTES, Malformed, fields};
use crate::id::{Epoch, Incarnation, NodeId};
use crate::roster::Endpoint;

/// A join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// Who.
    pub sender: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// Where it receives unicast frames.
    pub endpoint: Endpoint,
    /// The IP MTU of its interface: the smallest of all members counts for the ring.
    pub mtu_bytes: u16,
    /// The highest epoch it has ever seen in a commit token or persisted.
    pub epoch: Epoch,
    /// The sender leaves: form a membership without it.
    pub leaving: bool,
    /// Everybody it considers, itself included. Ascending.
    pub proc_set: Vec<NodeId>,
    /// Those of them it considers failed. Ascending.
    pub fail_set: Vec<NodeId>,
}

impl Join {
    /// Reads a join.
    ///
    /// # Errors
    /// The reason when it is not a well-formed join of this cluster.
    pub fn parse(frame: &[u8], cluster: ClusterTag) -> Result<Self, Malformed> {
        let mut from = frame;
        let header = Header::parse(&mut from, cluster)?;
        if header.kind != Kind::Join {
            return Err(Malformed::Kind);
        }
        let join = Self {
            sender: header.sender,
            incarnation: fields::epoch(&mut from)?,
            endpoint: fields::endpoint(&mut from)?,
            mtu_bytes: fields::u16(&mut from)?,
            epoch: fields::epoch(&mut from)?,
            leaving: match fields::u8(&mut from)? {
                0 => false,
                1 => true,
                _ => return Err(Malformed::Range),
            },
            proc_set: fields::node_set(&mut from)?,
            fail_set: fields::node_set(&mut from)?,
        };
        fields::end(from)?;
        join.validate()?;
        Ok(join)
    }

    fn validate(&self) -> Result<(), Malformed> {
        let mtu_ok = (MTU_MIN_BYTES..=MTU_MAX_BYTES).contains(&usize::from(self.mtu_bytes));
        let includes_sender = self.proc_set.binary_search(&self.sender).is_ok();
        let sender_lives = self.fail_set.binary_search(&self.sender).is_err();
        let considered = self.fail_set.iter().all(|node| self.proc_set.binary_search(node).is_ok());
        let sets_ok = includes_sender && considered && (sender_lives || self.leaving);
        if mtu_ok && sets_ok && self.epoch >= self.incarnation {
            Ok(())
        } else {
            Err(Malformed::Range)
        }
    }

    /// Appends the frame to `out`.
    pub fn emit(&self, cluster: ClusterTag, out: &mut Vec<u8>) {
        Header { kind: Kind::Join, sender: self.sender }.emit(cluster, out);
        out.put_u64_le(self.incarnation.0);
        fields::put_endpoint(out, self.endpoint);
        out.put_u16_le(self.mtu_bytes);
        out.put_u64_le(self.epoch.0);
        out.put_u8(u8::from(self.leaving));
        fields::put_node_set(out, &self.proc_set);
        fields::put_node_set(out, &self.fail_set);
    }
}
