//! The values that cross between a member's control thread and its data worker.
//!
//! 1. Each number has one writer.
//! 2. Every message names its ring; control believes the report and not its memory.
//! 3. Nothing about the data path leaves the member unless it comes from a [`Frozen`] report, and
//!    no join is sent before it.
//! 4. Epoch below the durable ceiling, adopt, then forward: when a ring's first token exists every
//!    member's worker has adopted that ring.
//! 5. The worker alone writes messages and configuration changes into the delivery stream.
//! 6. Directives are taken at the top of a cycle, at most one of them is outstanding, and one
//!    [`Directive::Stored`].
//! 7. Nobody spins on a full queue.
//! 8. Memory for a new ring is allocated by control and comes back for freeing.
//! 9. Frozen means immutable: there is no way back to the old ring.

use std::sync::Arc;

use bytes::Bytes;

use crate::free::FreeSpan;
use crate::id::{NodeId, RingId};
use crate::ordering::Recovery;
use crate::roster::{MemberMask, Roster};
use crate::seq::Seq;
use crate::slots::SlotMap;

/// What control tells the worker. Each but the last has one answer.
#[derive(Clone, Hash, Debug)]
pub enum Directive {
    /// Stop: answer [`Report::Frozen`] and change nothing from then on.
    Freeze {
        /// The ring control believes to be running.
        ring: RingId,
    },
    /// Adopt a ring and recover the installed one on it: answer [`Report::Adopted`].
    Recover(Box<Recovery>),
    /// Make the first token of the adopted ring (the representative, once): answer
    /// [`Report::Originated`].
    Originate {
        /// The adopted ring.
        ring: RingId,
    },
    /// Answers [`Report::Store`]: the record is durable.
    Stored {
        /// The write's number.
        number: u64,
    },
}

/// What recovering the installed ring on a new one takes (EVS steps 4 to 6), from which control
/// makes the [`Recovery`] with all its memory.
#[derive(Clone, Hash, Debug)]
pub struct Recover {
    /// The new ring.
    pub roster: Arc<Roster>,
    /// Which of the new ring's slots stand for packets of my installed ring.
    pub slots: SlotMap,
    /// T: members of the new ring whose installed ring is mine, over my installed ring's roster.
    pub transitional: MemberMask,
    /// The same, as the application is told.
    pub transitional_ids: Arc<[NodeId]>,
    /// The obligation sets of T's entries together, over my installed ring's roster.
    pub obligations: MemberMask,
    /// S: the greatest stable in T's entries.
    pub stable: Seq,
    /// Members of the new ring that miss nothing: their aru starts at the install point. Over the
    /// new ring's roster.
    pub complete: MemberMask,
}

/// What the worker tells control.
#[derive(Clone, Hash, Debug)]
pub enum Report {
    /// Answers [`Directive::Freeze`].
    Frozen(Frozen),
    /// Answers [`Directive::Recover`].
    Adopted {
        /// The adopted ring.
        ring: RingId,
    },
    /// Answers [`Directive::Originate`].
    Originated {
        /// The adopted ring.
        ring: RingId,
    },
    /// The ring was silent for the token timeout.
    TokenLost {
        /// The silent ring.
        ring: RingId,
    },
    /// A member asks for packets and gets none of them for too long.
    FailedToReceive {
        /// On this ring.
        ring: RingId,
        /// Who.
        member: NodeId,
    },
    /// The adopted ring's configuration is in force.
    Installed {
        /// The installed ring.
        ring: RingId,
    },
    /// Memory of a ring that is over, to be freed.
    Retired(Box<Recovery>),
    /// The primary component's record is to be made durable: the vote in it must not be said
    /// before. Answered by [`Directive::Stored`]; until then there is no other.
    Store {
        /// Counts such reports.
        number: u64,
        /// The whole record.
        record: Bytes,
    },
    /// After a leave was asked for: every accepted message is delivered here and held by all.
    Drained,
}

/// A member's data path at the moment it stopped: the content of its commit-token entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Frozen {
    /// The ring named by the [`Directive::Freeze`] that this answers.
    pub asked: RingId,
    /// The ring of the configuration in force.
    pub installed: RingId,
    /// Everything of it up to here is held.
    pub aru: Seq,
    /// The highest packet of it that is held.
    pub highest: Seq,
    /// What all its members hold, as far as known here.
    pub stable: Seq,
    /// EVS step 1, over its roster.
    pub obligations: MemberMask,
    /// Token-free packets of it that are held without a place, by sender.
    pub frees: Vec<FreeSpan>,
}
