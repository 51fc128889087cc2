//! The clauses by name.

/// One thing the judge decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Clause {
    /// Precedence is a partial order.
    Evs1_1,
    /// A process has one thread of control.
    Evs1_2,
    /// A delivered message was sent before, in the configuration that it is delivered for.
    Evs1_3,
    /// Sent once, in a regular configuration; delivered at most once by each process.
    Evs1_4,
    /// At the quiet end the members of a configuration are all alive and in it.
    Evs2_1,
    /// Every event lies in the configuration in force.
    Evs2_2,
    /// What follows a configuration change somewhere follows it everywhere.
    Evs2_3,
    /// What precedes a configuration change somewhere precedes it everywhere.
    Evs2_4,
    /// A process that does not fail delivers its own messages.
    Evs3,
    /// Who goes together from one configuration to the next delivered the same in the first.
    Evs4,
    /// Causal delivery within a configuration.
    Evs5,
    /// The logical order contains precedence.
    Evs6_1,
    /// One message, one logical time; one configuration, one logical time.
    Evs6_2,
    /// No gaps in the order, but for those a transitional configuration excuses.
    Evs6_3,
    /// A safe message is delivered by every member that does not fail.
    Evs7_1,
    /// A message safe in a regular configuration proves that every member installed it.
    Evs7_2,
    /// A primary is confirmed in force, eligible, and installed by all its members.
    PrimaryConfirmation,
    /// Primaries are totally ordered (EVS §2.2, 1).
    PrimaryUniqueness,
    /// Consecutive primaries share a member (EVS §2.2, 2).
    PrimaryContinuity,
    /// Filtered history: causes are in it (EVS §4, C1).
    FilterC1,
    /// Filtered history: what is sent is delivered (EVS §4, C2).
    FilterC2,
    /// Filtered history: what one delivers in a view, all do (EVS §4, C3).
    FilterC3,
    /// Filtered history: a global time respects causality (EVS §4, L1).
    FilterL1,
    /// Filtered history: events of one process have distinct times (EVS §4, L2).
    FilterL2,
    /// Filtered history: one view, one time (EVS §4, L3).
    FilterL3,
    /// Filtered history: a message is delivered in one view (EVS §4, L4).
    FilterL4,
    /// Filtered history: an ordered message is delivered at one time (EVS §4, L5).
    FilterL5,
    /// Self inclusion.
    Lecture1,
    /// Local monotonicity.
    Lecture2,
    /// Same view delivery.
    Lecture6,
    /// Virtual synchrony.
    Lecture7,
    /// Safe delivery around the transitional signal.
    Lecture10,
    /// Transitional set.
    Lecture11,
    /// Transitional signal.
    Lecture12,
    /// One ring id, one member list.
    OneMemberList,
    /// On one ring, an ordinal is of one message and a message has one ordinal.
    OrdinalNamesMessage,
    /// Agreed and safe messages are delivered in ascending order of their ordinals.
    OrdinalsAscend,
    /// Sends of one class follow the order of acceptance.
    SubmitOrder,
    /// What is delivered has the content that was sent.
    ContentKept,
    /// A healed run ends in one ring.
    EndsInOneRing,
    /// Every accepted message was originated, and delivered at its sender.
    AcceptedIsDelivered,
}

impl Clause {
    /// All clauses, in the order of verdicts.
    pub const ALL: [Self; 41] = [
        Self::Evs1_1,
        Self::Evs1_2,
        Self::Evs1_3,
        Self::Evs1_4,
        Self::Evs2_1,
        Self::Evs2_2,
        Self::Evs2_3,
        Self::Evs2_4,
        Self::Evs3,
        Self::Evs4,
        Self::Evs5,
        Self::Evs6_1,
        Self::Evs6_2,
        Self::Evs6_3,
        Self::Evs7_1,
        Self::Evs7_2,
        Self::PrimaryConfirmation,
        Self::PrimaryUniqueness,
        Self::PrimaryContinuity,
        Self::FilterC1,
        Self::FilterC2,
        Self::FilterC3,
        Self::FilterL1,
        Self::FilterL2,
        Self::FilterL3,
        Self::FilterL4,
        Self::FilterL5,
        Self::Lecture1,
        Self::Lecture2,
        Self::Lecture6,
        Self::Lecture7,
        Self::Lecture10,
        Self::Lecture11,
        Self::Lecture12,
        Self::OneMemberList,
        Self::OrdinalNamesMessage,
        Self::OrdinalsAscend,
        Self::SubmitOrder,
        Self::ContentKept,
        Self::EndsInOneRing,
        Self::AcceptedIsDelivered,
    ];

    /// The name for people and scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evs1_1 => "EVS 1.1",
            Self::Evs1_2 => "EVS 1.2",
            Self::Evs1_3 => "EVS 1.3",
            Self::Evs1_4 => "EVS 1.4",
            Self::Evs2_1 => "EVS 2.1",
            Self::Evs2_2 => "EVS 2.2",
            Self::Evs2_3 => "EVS 2.3",
            Self::Evs2_4 => "EVS 2.4",
            Self::Evs3 => "EVS 3",
            Self::Evs4 => "EVS 4",
            Self::Evs5 => "EVS 5",
            Self::Evs6_1 => "EVS 6.1",
            Self::Evs6_2 => "EVS 6.2",
            Self::Evs6_3 => "EVS 6.3",
            Self::Evs7_1 => "EVS 7.1",
            Self::Evs7_2 => "EVS 7.2",
            Self::PrimaryConfirmation => "primary confirmation",
            Self::PrimaryUniqueness => "primary uniqueness",
            Self::PrimaryContinuity => "primary continuity",
            Self::FilterC1 => "VS C1",
            Self::FilterC2 => "VS C2",
            Self::FilterC3 => "VS C3",
            Self::FilterL1 => "VS L1",
            Self::FilterL2 => "VS L2",
            Self::FilterL3 => "VS L3",
            Self::FilterL4 => "VS L4",
            Self::FilterL5 => "VS L5",
            Self::Lecture1 => "lecture 1",
            Self::Lecture2 => "lecture 2",
            Self::Lecture6 => "lecture 6",
            Self::Lecture7 => "lecture 7",
            Self::Lecture10 => "lecture 10",
            Self::Lecture11 => "lecture 11",
            Self::Lecture12 => "lecture 12",
            Self::OneMemberList => "one member list",
            Self::OrdinalNamesMessage => "ordinal names message",
            Self::OrdinalsAscend => "ordinals ascend",
            Self::SubmitOrder => "submit order",
            Self::ContentKept => "content kept",
            Self::EndsInOneRing => "ends in one ring",
            Self::AcceptedIsDelivered => "accepted is delivered",
        }
    }
}
