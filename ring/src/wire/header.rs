//! The fixed header in front of every frame.
//!
//! ```text
//!  0        2        3        4                    12            16
//! ┌────────┬────────┬────────┬────────────────────┬─────────────┐
//! │ "Rl"   │version │ kind   │ cluster tag        │ sender      │
//! └────────┴────────┴────────┴────────────────────┴─────────────┘
//! ```

use bytes::{Buf, BufMut};

use super::Malformed;
use crate::id::NodeId;

/// Length of the header.
pub const HEADER_BYTES: usize = 2 + 1 + 1 + 8 + 4;

const MAGIC: [u8; 2] = *b"Rl";
const VERSION: u8 = 1;

/// Hash of the cluster's name, so that clusters sharing a group and port never hear each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClusterTag(u64);

impl ClusterTag {
    /// The tag of the cluster called `name`.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(crate::trace::ContentHash::of(name.as_bytes()))
    }
}

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A packet of messages, new, requested or recovered.
    Data,
    /// The ring's token.
    Token,
    /// Part of forming a membership.
    Join,
    /// Carries a proposed ring around its members.
    Commit,
    /// Periodic sign of life to members of other rings.
    Beacon,
    /// Wakes the holder of an idle token.
    HoldCancel,
    /// From a layer to a layer.
    Letter,
    /// A packet of messages that takes no token: before it has a place, or recovered without one.
    Free,
    /// Gives its sender's token-free packets their places.
    Claim,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Token => 2,
            Self::Join => 3,
            Self::Commit => 4,
            Self::Beacon => 5,
            Self::HoldCancel => 6,
            Self::Letter => 7,
            Self::Free => 8,
            Self::Claim => 9,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Data,
            2 => Self::Token,
            3 => Self::Join,
            4 => Self::Commit,
            5 => Self::Beacon,
            6 => Self::HoldCancel,
            7 => Self::Letter,
            8 => Self::Free,
            9 => Self::Claim,
            _ => return None,
        })
    }
}

/// The fixed header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// Who transmitted the frame.
    pub sender: NodeId,
}

impl Header {
    /// Reads the header of `frame` and leaves `frame` at the first field after it.
    ///
    /// # Errors
    /// The reason when it is not a frame of this protocol, version and cluster.
    pub fn parse(frame: &mut &[u8], cluster: ClusterTag) -> Result<Self, Malformed> {
        if frame.len() < HEADER_BYTES {
            return Err(Malformed::Truncated);
        }
        let mut magic = [0; 2];
        frame.copy_to_slice(&mut magic);
        if magic != MAGIC {
            return Err(Malformed::Magic);
        }
        if frame.get_u8() != VERSION {
            return Err(Malformed::Version);
        }
        let kind = Kind::from_code(frame.get_u8()).ok_or(Malformed::Kind)?;
        if frame.get_u64_le() != cluster.0 {
            return Err(Malformed::Cluster);
        }
        Ok(Self { kind, sender: NodeId(frame.get_u32_le()) })
    }

    /// Appends the header to `out`.
    pub fn emit(self, cluster: ClusterTag, out: &mut Vec<u8>) {
        out.put_slice(&MAGIC);
        out.put_u8(VERSION);
        out.put_u8(self.kind.code());
        out.put_u64_le(cluster.0);
        out.put_u32_le(self.sender.0);
    }
}
