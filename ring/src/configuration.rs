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
    /// Whether the primary policy admits it, as far as that is known when it is installed; `None`
    /// without a policy, for transitional ones, and when the other members' records will decide.
    /// Eligible is not primary: that is confirmed later, or not at all.
    pub eligible: Option<bool>,
}
