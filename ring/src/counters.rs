//! What a member counts: every frame it ignored, by reason, and what its data path did.

use crate::wire::Malformed;

/// Why a frame had no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ignored {
    /// Not a well-formed frame of this cluster.
    Malformed(Malformed),
    /// Of a ring that is not the one this member runs.
    OtherRing,
    /// This member's data path is frozen while a membership forms.
    Frozen,
    /// Not from the member before this one in ring order, or not from a member at all.
    NotPredecessor,
    /// A token this member handled before.
    StaleToken,
    /// A token or packet that contradicts what this member saw or wrote.
    Inconsistent,
    /// A packet this member holds or has released.
    Duplicate,
    /// A packet beyond what this member can store.
    AboveCeiling,
    /// A packet that left without the token, whose sender's before it has no place here yet.
    OutOfTurn,
    /// The packet's originator is not a member of its ring.
    UnknownOriginator,
    /// This member's own multicast came back.
    Own,
    /// From an earlier life of its sender.
    StaleIncarnation,
    /// A join or commit token of an attempt that is over.
    Late,
    /// A membership frame that does not concern this member.
    NotConcerned,
    /// From a member that is held down.
    HeldDown,
}

impl Ignored {
    const COUNT: usize = 23;

    const fn index(self) -> usize {
        match self {
            Self::Malformed(Malformed::Truncated) => 0,
            Self::Malformed(Malformed::Trailing) => 1,
            Self::Malformed(Malformed::Magic) => 2,
            Self::Malformed(Malformed::Version) => 3,
            Self::Malformed(Malformed::Kind) => 4,
            Self::Malformed(Malformed::Cluster) => 5,
            Self::Malformed(Malformed::Count) => 6,
            Self::Malformed(Malformed::Order) => 7,
            Self::Malformed(Malformed::Range) => 8,
            Self::OtherRing => 9,
            Self::Frozen => 10,
            Self::NotPredecessor => 11,
            Self::StaleToken => 12,
            Self::Inconsistent => 13,
            Self::Duplicate => 14,
            Self::AboveCeiling => 15,
            Self::UnknownOriginator => 16,
            Self::Own => 17,
            Self::StaleIncarnation => 18,
            Self::Late => 19,
            Self::NotConcerned => 20,
            Self::HeldDown => 21,
            Self::OutOfTurn => 22,
        }
    }
}

impl From<Malformed> for Ignored {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Frames without effect, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct IgnoredFrames {
    by_reason: [u64; Ignored::COUNT],
}

impl IgnoredFrames {
    /// Counts one frame.
    pub const fn count(&mut self, reason: Ignored) {
        self.by_reason[reason.index()] += 1;
    }

    /// Frames ignored for `reason`.
    #[must_use]
    pub const fn of(&self, reason: Ignored) -> u64 {
        self.by_reason[reason.index()]
    }

    /// Frames ignored for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_reason.iter().sum()
    }
}

macro_rules! data_counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What the data half did since its start.
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub struct DataCounters {
            /// Frames without effect.
            pub ignored: IgnoredFrames,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl DataCounters {
            /// Names of the counters, in the order of [`DataCounters::values`].
            pub const NAMES: &'static [&'static str] = &["frames_ignored", $(stringify!($name)),*];

            /// Every counter; ignored frames as their total.
            #[must_use]
            pub fn values(&self) -> [u64; Self::NAMES.len()] {
                [self.ignored.total(), $(self.$name),*]
            }
        }
    };
}

data_counters! {
    /// Tokens handled.
    tokens,
    /// Tokens sent again for want of a sign of life.
    token_retransmits,
    /// Tokens held because the ring was idle.
    holds,
    /// Own packets numbered.
    packets_originated,
    /// Packets stored on receipt.
    packets_received,
    /// Requested packets of the running ring multicast.
    packets_retransmitted,
    /// Requested packets of the old ring multicast while recovering.
    packets_recovered,
    /// Packets written to the delivery stream.
    packets_delivered,
    /// Of them, those delivered before a hole or an undelivered safe packet.
    packets_overtaken,
    /// Own packets that left without the token.
    packets_free,
    /// Packets delivered before they had a place on the ring.
    packets_delivered_free,
    /// Token-free packets of the old ring multicast while recovering.
    packets_recovered_free,
    /// Packets discarded at an installation (EVS step 6.a).
    packets_discarded,
    /// Old packets found to be held by nobody in T.
    voids,
    /// Rings installed.
    installed,
    /// Installations whose transitional configuration had two members or more and delivered a
    /// packet.
    shared_transitionals,
    /// Recoveries that began with a non-empty obligation set.
    obliged_recoveries,
    /// Recoveries that a new freeze cut short.
    recoveries_cut_short,
}
