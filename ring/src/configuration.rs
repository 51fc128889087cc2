//! Configurations: what the application is told about who is with it (EVS §2).

use std::sync::Arc;

use crate::id::{NodeId, RingId};

/// Whether new messages may be originated in a configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConfigurationKind {
    /// New messages are sent and delivered.
    Regular,
    /// Only the remaining messages of the regular configuration before it are delivered, with
    /// guarantees among its own members.
    Transitional,
}

impl ConfigurationKind {
    /// The name used in histories.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::Transitional => "transitional",
        }
    }
}

/// A configuration change message, one event of the delivery stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Configuration {
    /// Regular or transitional.
    pub kind: ConfigurationKind,
    /// The regular configuration installed (regular) or about to be installed (transitional).
    pub ring: RingId,
    /// The regular configuration in force before; `None` only for the first of an incarnation.
    pub previous: Option<RingId>,
    /// Members, ascending.
    pub members: Arc<[NodeId]>,
    /// Whether the primary policy admits it; `None` until a policy is set.
    pub eligible: Option<bool>,
}
