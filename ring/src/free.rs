//! Token-free packets of one ring: they leave at once under their sender's own number, may be
//! delivered at once, and get their place on the ring when the token comes (`PROTOCOL.md`,
//! token-free packets).
//!
//! A packet is *held* here until it is *placed*: then the ring's window has it, and everything that
//! repairs, counts and recovers packets of the ring is about it, too.

use crate::packet::Packet;
use crate::roster::Roster;
use crate::seq::Seq;

/// Packets that a member may have sent without the token and does not know to be held by all.
pub const FREE_PACKETS_MAX: u32 = 16;

/// Members of a ring on which packets leave without the token, at most: a commit entry names what
/// is held of each.
pub const FREE_MEMBERS_MAX: usize = 32;

const SPAN: u64 = FREE_PACKETS_MAX as u64;

/// Slots of a sender. What a held packet waits for is less than [`FREE_PACKETS_MAX`] before it, and
/// held packets are not further than that beyond the first that is not placed: so with twice as
/// many none is overwritten while it is looked for.
const SLOTS: usize = 2 * FREE_PACKETS_MAX as usize;

/// What a token-free packet is delivered after: its sender's last packet before it that is delivered
/// in the sender's order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum After {
    /// Nothing: there was none, or it keeps no order itself.
    Nothing,
    /// This one of the ring.
    Place(Seq),
    /// This token-free one, which had no place yet.
    Number(u64),
}

/// A token-free packet before it has a place.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct FreePacket {
    /// The packet.
    pub packet: Packet,
    /// What it is delivered after.
    pub after: After,
}

/// Numbers of one sender, of which a member holds the first and the last without a place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FreeSpan {
    /// The sender's place in the roster.
    pub place: u8,
    /// The first number.
    pub first: u64,
    /// How many, from 1 to [`FREE_PACKETS_MAX`].
    pub count: u8,
}

impl FreeSpan {
    /// The last number.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.first + self.count as u64 - 1
    }

    /// The smallest span that covers both, if it may be one: of the same sender, and not too long.
    #[must_use]
    pub fn cover(&self, other: &Self) -> Option<Self> {
        let first = self.first.min(other.first);
        let count = self.last().max(other.last()) - first + 1;
        let count = u8::try_from(count).ok().filter(|count| u64::from(*count) <= SPAN)?;
        (self.place == other.place).then_some(Self { first, count, ..*self })
    }
}

#[derive(Clone, Hash, Debug)]
enum Slot {
    Empty,
    Held { number: u64, free: FreePacket, delivered: bool },
    Placed { number: u64, seq: Seq },
}

/// What is known of one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known<'a> {
    /// It was not heard of.
    Missing,
    /// Held, without a place.
    Held {
        /// The packet.
        free: &'a FreePacket,
        /// It is delivered.
        delivered: bool,
    },
    /// It is in the window, or was: here, if that is remembered.
    Placed(Option<Seq>),
}

#[derive(Clone, Hash, Debug)]
struct Sender {
    slots: Box<[Slot]>,
    /// Up to here all are placed.
    placed: u64,
    /// The highest held.
    highest: u64,
}

impl Sender {
    fn new() -> Self {
        let slots = (0..SLOTS).map(|_| Slot::Empty).collect();
        Self { slots, placed: 0, highest: 0 }
    }

    #[expect(clippy::cast_possible_truncation, reason = "less than the number of slots")]
    const fn index(number: u64) -> usize {
        (number % SLOTS as u64) as usize
    }

    fn known(&self, number: u64) -> Known<'_> {
        match &self.slots[Self::index(number)] {
            Slot::Held { number: of, free, delivered } if *of == number => {
                Known::Held { free, delivered: *delivered }
            }
            Slot::Placed { number: of, seq } if *of == number => Known::Placed(Some(*seq)),
            _ if number <= self.placed => Known::Placed(None),
            _ => Known::Missing,
        }
    }

    const fn fits(&self, number: u64) -> bool {
        number > self.placed && number - self.placed <= SPAN
    }
}

/// What the window learns of a packet that has got its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// It is delivered.
    pub delivered: bool,
}

/// The token-free packets of one ring.
#[derive(Clone, Hash, Debug)]
pub struct Frees {
    /// By place in the roster; none where nothing leaves without the token.
    senders: Vec<Sender>,
    /// Held and not delivered.
    waiting: u32,
    /// Mine that are sent.
    sent: u64,
    /// Mine that have places.
    claimed: u64,
    /// Mine that all hold.
    stable: u64,
    /// My last that keeps the sender's order.
    in_order: u64,
}

impl Frees {
    /// None yet, on the ring of `roster`.
    #[must_use]
    pub fn new(roster: &Roster) -> Self {
        let on = (2..=FREE_MEMBERS_MAX).contains(&roster.len());
        let senders = if on { roster.len() } else { 0 };
        Self {
            senders: (0..senders).map(|_| Sender::new()).collect(),
            waiting: 0,
            sent: 0,
            claimed: 0,
            stable: 0,
            in_order: 0,
        }
    }

    /// What is known of `number` of the sender at `place`.
    #[must_use]
    pub fn known(&self, place: usize, number: u64) -> Known<'_> {
        self.senders.get(place).map_or(Known::Missing, |sender| sender.known(number))
    }

    /// Stores a packet; false when it is here already, or does not fit.
    pub fn insert(&mut self, place: usize, number: u64, free: FreePacket) -> bool {
        let is_missing = self.known(place, number) == Known::Missing;
        let Some(sender) = self.senders.get_mut(place).filter(|it| is_missing && it.fits(number))
        else {
            return false;
        };
        sender.slots[Sender::index(number)] = Slot::Held { number, free, delivered: false };
        sender.highest = sender.highest.max(number);
        self.waiting += 1;
        true
    }

    /// Notes that a held packet is delivered.
    pub fn mark(&mut self, place: usize, number: u64) {
        let Some(sender) = self.senders.get_mut(place) else { return };
        if let Slot::Held { number: of, delivered, .. } = &mut sender.slots[Sender::index(number)]
            && *of == number
            && !*delivered
        {
            *delivered = true;
            self.waiting -= 1;
        }
    }

    /// The next number of the sender at `place` to be placed, if it is that which shows `mark`.
    #[must_use]
    pub fn next_placed(&self, place: usize, mark: u16) -> Option<u64> {
        let next = self.senders.get(place)?.placed + 1;
        (free_mark(next) == mark).then_some(next)
    }

    /// Whether `packet`, which shows `number`, is another than the one held under it.
    #[must_use]
    pub fn contradicts(&self, place: usize, number: u64, packet: &Packet) -> bool {
        match self.known(place, number) {
            Known::Held { free, .. } => {
                let held = &free.packet;
                (held.first_message, held.class) != (packet.first_message, packet.class)
            }
            Known::Missing | Known::Placed(_) => false,
        }
    }

    /// The window has the packet at `seq` now: the next of its sender.
    pub fn place(&mut self, place: usize, number: u64, seq: Seq) -> Placed {
        let nothing = Placed { delivered: false };
        let Some(sender) = self.senders.get_mut(place).filter(|it| it.placed + 1 == number) else {
            debug_assert!(false, "they are placed in the order of their numbers");
            return nothing;
        };
        sender.placed = number;
        let slot = &mut sender.slots[Sender::index(number)];
        match std::mem::replace(slot, Slot::Placed { number, seq }) {
            Slot::Held { number: of, delivered, .. } if of == number => {
                self.waiting -= u32::from(!delivered);
                Placed { delivered }
            }
            _ => nothing,
        }
    }

    /// Some held packet is not delivered.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Held packets that are not delivered.
    #[must_use]
    pub const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// The first packet held and not delivered behind (`place`, `number`), in order of senders and
    /// their numbers.
    #[must_use]
    pub fn next_waiting(&self, place: usize, number: u64) -> Option<(usize, u64, &FreePacket)> {
        let mut after = number;
        for (index, sender) in self.senders.iter().enumerate().skip(place) {
            let first = (after + 1).max(sender.placed + 1);
            for number in first..=sender.highest {
                if let Known::Held { free, delivered: false } = sender.known(number) {
                    return Some((index, number, free));
                }
            }
            after = 0;
        }
        None
    }

    /// What is held without a place: EVS step 3 tells it to the others.
    #[must_use]
    pub fn spans(&self) -> Vec<FreeSpan> {
        let span = |(place, sender): (usize, &Sender)| {
            let is_held = |number: &u64| matches!(sender.known(*number), Known::Held { .. });
            let mut held = (sender.placed + 1..=sender.highest).filter(is_held);
            let first = held.next()?;
            let last = held.next_back().unwrap_or(first);
            let count = u8::try_from(last - first + 1).ok()?;
            Some(FreeSpan { place: u8::try_from(place).ok()?, first, count })
        };
        self.senders.iter().enumerate().filter_map(span).collect()
    }

    /// How many packets I may send now: at most `packets` are under way.
    #[must_use]
    pub fn room(&self, packets: u32) -> u32 {
        if self.senders.is_empty() {
            return 0;
        }
        let under_way = u32::try_from(self.sent - self.stable).unwrap_or(u32::MAX);
        packets.min(FREE_PACKETS_MAX).saturating_sub(under_way)
    }

    /// Mine that wait for places.
    #[must_use]
    pub fn unclaimed(&self) -> u32 {
        u32::try_from(self.sent - self.claimed).unwrap_or(u32::MAX)
    }

    /// My last packet that keeps the sender's order, if it has no place yet.
    #[must_use]
    pub fn last_in_order(&self) -> Option<u64> {
        (self.in_order > self.claimed).then_some(self.in_order)
    }

    /// Sends one of mine, where there is room: yields its number.
    pub fn send(&mut self, me: usize, free: FreePacket) -> u64 {
        self.sent += 1;
        if free.packet.keeps_order() {
            self.in_order = self.sent;
        }
        let inserted = self.insert(me, self.sent, free);
        debug_assert!(inserted, "mine are in a row, and no more than fit");
        self.sent
    }

    /// My next packet that waits for a place.
    #[must_use]
    pub fn unclaimed_front(&self, me: usize) -> Option<(u64, &FreePacket)> {
        let number = self.claimed + 1;
        match self.known(me, number) {
            Known::Held { free, .. } => Some((number, free)),
            Known::Missing | Known::Placed(_) => None,
        }
    }

    /// My next packet has got its place.
    pub fn claim(&mut self, me: usize, seq: Seq) -> Placed {
        self.claimed += 1;
        self.place(me, self.claimed, seq)
    }

    /// Everything of the ring up to `stable` is held by all.
    pub fn note_stable(&mut self, me: usize, stable: Seq) {
        while self.stable < self.claimed
            && let Known::Placed(Some(seq)) = self.known(me, self.stable + 1)
            && seq <= stable
        {
            self.stable += 1;
        }
    }
}

/// What packet `number` shows on the ring: not zero, and different for numbers that are near.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "less than 2^16")]
pub const fn free_mark(number: u64) -> u16 {
    (number.saturating_sub(1) % u16::MAX as u64) as u16 + 1
}
