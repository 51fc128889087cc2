//! What a member counts by itself.

use std::collections::BTreeMap;

use roundel::{Node, Rotations};

/// Counters by name, and the token's rotations.
#[derive(Clone, Default, Debug)]
pub(crate) struct Counters {
    by_name: BTreeMap<&'static str, u64>,
    rotations: Rotations,
}

impl Counters {
    /// Those of `node`, now.
    pub(crate) fn of(node: &Node) -> Self {
        Self { by_name: node.counters().into_iter().collect(), rotations: node.rotations() }
    }

    /// 0 for one that there is not.
    pub(crate) fn value(&self, name: &str) -> u64 {
        self.by_name.get(name).copied().unwrap_or(0)
    }

    /// Datagrams that the kernel dropped for want of room in a socket.
    pub(crate) fn socket_drops(&self) -> u64 {
        self.value("kernel_drops_data") + self.value("kernel_drops_token")
    }

    /// Of the token.
    pub(crate) const fn rotations(&self) -> &Rotations {
        &self.rotations
    }
}
