//! Delivery services: what a sender asks of the order for one message.

/// How a message is delivered. Chosen per message; all services share one ring and one stream
/// of events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Service {
    /// Delivered everywhere, in any order.
    Reliable,
    /// In the order of its sender.
    Fifo,
    /// After everything its sender had delivered or sent before it.
    Causal,
    /// In one total order at every member (EVS §2: agreed delivery).
    Agreed,
    /// Agreed, and only once every member of the configuration holds it (EVS §2: safe delivery).
    Safe,
}

impl Service {
    /// All services, weakest first.
    pub const ALL: [Self; 5] = [Self::Reliable, Self::Fifo, Self::Causal, Self::Agreed, Self::Safe];

    /// The name used in histories and on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reliable => "reliable",
            Self::Fifo => "fifo",
            Self::Causal => "causal",
            Self::Agreed => "agreed",
            Self::Safe => "safe",
        }
    }

    /// The service called `name`, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }

    /// Part of the total order: judged by EVS 6.2 and 6.3, and causality passes through it.
    #[must_use]
    pub const fn is_totally_ordered(self) -> bool {
        matches!(self, Self::Agreed | Self::Safe)
    }
}
