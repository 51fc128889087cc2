//! Delivery services: what a sender asks of the order for one message.

/// How a message is delivered. Chosen per message; all services share one ring and one stream
/// of events.
///
/// The first three are delivered before holes that other senders left; the last two wait for
/// everything before them in the one order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Service {
    /// Delivered everywhere, in any order.
    Reliable,
    /// In the order of its sender.
    Fifo,
    /// After everything its sender had delivered or sent before it, reliable and fifo messages of
    /// others apart: causality does not pass through these.
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

    /// May leave its sender before the token comes: no other member's message precedes it.
    #[must_use]
    pub const fn is_token_free(self) -> bool {
        matches!(self, Self::Reliable | Self::Fifo)
    }

    /// Part of the total order: judged by EVS 6.2 and 6.3, and causality passes through it.
    #[must_use]
    pub const fn is_totally_ordered(self) -> bool {
        matches!(self, Self::Agreed | Self::Safe)
    }
}

/// Who in a member a message is for: the application, or one of the layers between it and the ring.
/// At most 16; the application's is 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Channel(u8);

impl Channel {
    /// What the application publishes and gets as it is.
    pub const APPLICATION: Self = Self(0);
    /// The primary component's confirmation and votes.
    pub const PRIMARY: Self = Self(1);
    /// Lightweight groups: their messages, and who joins and leaves.
    pub const GROUPS: Self = Self(2);
    /// Replicated state machines and their state transfer.
    pub const REPLICA: Self = Self(3);
    /// The virtual synchrony filter: what its members come from.
    pub const VIEWS: Self = Self(4);

    /// The highest number.
    pub const MAX: u8 = 15;

    /// The channel of this number, if there can be one.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// What messages of one packet have in common: how they are delivered, and for whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Class {
    /// Asked of the order.
    pub service: Service,
    /// For whom.
    pub channel: Channel,
}

impl From<Service> for Class {
    fn from(service: Service) -> Self {
        Self { service, channel: Channel::APPLICATION }
    }
}
