//! Why a membership is formed anew: what operators need more than anything.

use std::fmt;

use crate::id::NodeId;

/// Why a member left its operational ring, or gave an attempt up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GatherReason {
    /// The ring was silent for the token timeout.
    TokenLost,
    /// A member asked for packets and got none of them for too long.
    FailedToReceive(NodeId),
    /// A member announced that it leaves.
    Leave(NodeId),
    /// A member of the ring forms a membership.
    MemberJoin(NodeId),
    /// A member of the ring was started again.
    MemberRestarted(NodeId),
    /// A member of another ring hears this one, and is heard.
    Merge(NodeId),
    /// A proposed ring was not adopted by all in time.
    CommitLost,
    /// A member gave the proposed ring up.
    CommitRejected(NodeId),
    /// The proposed ring's token was lost before the ring was installed.
    RecoveryLost,
}

impl fmt::Display for GatherReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenLost => write!(f, "the token was lost: a member or a link is down"),
            Self::FailedToReceive(node) => write!(f, "member {node} fails to receive"),
            Self::Leave(node) => write!(f, "member {node} leaves"),
            Self::MemberJoin(node) => write!(f, "member {node} forms a membership"),
            Self::MemberRestarted(node) => write!(f, "member {node} was started again"),
            Self::Merge(node) => write!(f, "member {node} of another ring can be reached"),
            Self::CommitLost => write!(f, "a proposed ring was not adopted by all in time"),
            Self::CommitRejected(node) => write!(f, "member {node} gave the proposed ring up"),
            Self::RecoveryLost => write!(f, "the proposed ring's token was lost"),
        }
    }
}
