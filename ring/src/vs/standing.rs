//! What a member says of its past at the installation of a configuration.

use bytes::{Buf, BufMut, Bytes};

use super::{Process, View};
use crate::id::{Epoch, NodeId, RingId};
use crate::wire::MEMBERS_MAX;

/// The view a member comes from directly, if its process has not stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    pub(super) view: Option<LastView>,
}

/// The last view of a primary component.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LastView {
    pub(super) ring: RingId,
    /// Ascending by node.
    pub(super) processes: Vec<Process>,
}

/// The version of the form.
const VERSION: u8 = 1;

/// Bytes of a process.
const PROCESS_BYTES: usize = 4 + 12;

impl Standing {
    pub(super) fn of(view: Option<&View>) -> Self {
        let view =
            view.map(|view| LastView { ring: view.id.ring, processes: view.processes.to_vec() });
        Self { view }
    }

    /// As it is published in `ring`.
    pub(super) fn encode(&self, ring: RingId) -> Bytes {
        let mut out = Vec::new();
        out.put_u8(VERSION);
        put_ring(&mut out, ring);
        if let Some(LastView { ring, processes }) = &self.view {
            put_ring(&mut out, *ring);
            out.put_u8(u8::try_from(processes.len()).unwrap_or(u8::MAX));
            for process in processes {
                out.put_u32_le(process.node.0);
                put_ring(&mut out, process.since);
            }
        }
        Bytes::from(out)
    }

    /// Reads what [`Standing::encode`] wrote, with the ring; `None` for anything else.
    pub(super) fn decode(mut from: &[u8]) -> Option<(RingId, Self)> {
        if from.try_get_u8().ok()? != VERSION {
            return None;
        }
        let ring = read_ring(&mut from)?;
        if from.is_empty() {
            return Some((ring, Self { view: None }));
        }
        let last = read_ring(&mut from)?;
        let count = usize::from(from.try_get_u8().ok()?);
        if count == 0 || count > MEMBERS_MAX || from.len() != count * PROCESS_BYTES {
            return None;
        }
        let mut processes = Vec::with_capacity(count);
        for _ in 0..count {
            let node = NodeId(from.try_get_u32_le().ok()?);
            processes.push(Process { node, since: read_ring(&mut from)? });
        }
        let ascend = processes.is_sorted_by(|a, b| a.node < b.node);
        ascend.then_some((ring, Self { view: Some(LastView { ring: last, processes }) }))
    }
}

fn put_ring(out: &mut Vec<u8>, ring: RingId) {
    out.put_u64_le(ring.epoch.0);
    out.put_u32_le(ring.representative.0);
}

fn read_ring(from: &mut &[u8]) -> Option<RingId> {
    let epoch = Epoch(from.try_get_u64_le().ok()?);
    let representative = NodeId(from.try_get_u32_le().ok()?);
    (epoch < Epoch::END).then_some(RingId { epoch, representative })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standings_are_read_as_written_and_nothing_else_is() {
        let ring = |epoch| RingId::new(Epoch(epoch), NodeId(1));
        let process = |node| Process { node: NodeId(node), since: ring(u64::from(node)) };
        let view = LastView { ring: ring(8), processes: vec![process(1), process(2)] };
        for standing in [Standing { view: None }, Standing { view: Some(view) }] {
            let bytes = standing.encode(ring(9));
            assert_eq!(Standing::decode(&bytes), Some((ring(9), standing.clone())));
            for end in (0..bytes.len()).filter(|end| *end != 13) {
                assert_eq!(Standing::decode(&bytes[..end]), None, "{end} bytes");
            }
            for at in 0..bytes.len() {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 0xff;
                if let Some((ring, standing)) = Standing::decode(&damaged) {
                    assert_eq!(standing.encode(ring), damaged);
                }
            }
        }
    }
}
