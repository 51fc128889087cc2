//! The window: packets of one ring by seq, kept until everybody holds them and nobody here needs
//! them.

use crate::packet::Packet;
use crate::seq::Seq;

/// Slots by seq, a power of two of them.
///
/// `released < aru + 1`, `aru ≤ highest ≤ ceiling`; slots in (`released`, `aru`] are all held.
#[derive(Clone, Hash, Debug)]
pub struct Window {
    slots: Box<[Option<Packet>]>,
    /// Of what is held: delivered although something before it was not.
    marked: Box<[bool]>,
    released: Seq,
    aru: Seq,
    highest: Seq,
}

/// What [`Window::insert`] did with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// Stored.
    New,
    /// Held already, or released.
    Duplicate,
    /// Above the ceiling: not stored.
    AboveCeiling,
    /// Its sender's packet before it has no place here yet: not stored.
    OutOfTurn,
}

impl Window {
    /// A window of `packets` slots that starts after seq `start`.
    #[must_use]
    pub fn new(packets: usize, start: Seq) -> Self {
        debug_assert!(packets.is_power_of_two(), "slots are found by masking");
        let slots = (0..packets).map(|_| None).collect();
        let marked = vec![false; packets].into();
        Self { slots, marked, released: start, aru: start, highest: start }
    }

    /// Everything up to here is held or was.
    #[must_use]
    pub const fn aru(&self) -> Seq {
        self.aru
    }

    /// The highest seq held; the start when nothing was stored.
    #[must_use]
    pub const fn highest(&self) -> Seq {
        self.highest
    }

    /// Everything up to here was given back.
    #[must_use]
    pub const fn released(&self) -> Seq {
        self.released
    }

    /// The highest seq that can be stored now. Never falls.
    #[must_use]
    pub const fn ceiling(&self) -> Seq {
        self.released.plus(self.slots.len() as u64)
    }

    /// The packet at `seq`, if it is held.
    #[must_use]
    pub fn packet(&self, seq: Seq) -> Option<&Packet> {
        if seq > self.released && seq <= self.highest {
            self.slots[self.slot(seq)].as_ref()
        } else {
            None
        }
    }

    /// Whether `seq` is held or was.
    #[must_use]
    pub fn holds(&self, seq: Seq) -> bool {
        seq <= self.aru || self.packet(seq).is_some()
    }

    /// Stores `packet` at `seq`.
    pub fn insert(&mut self, seq: Seq, packet: Packet) -> Inserted {
        if seq > self.ceiling() {
            return Inserted::AboveCeiling;
        }
        if self.holds(seq) {
            return Inserted::Duplicate;
        }
        let slot = self.slot(seq);
        self.slots[slot] = Some(packet);
        self.marked[slot] = false;
        self.highest = self.highest.max(seq);
        while self.aru < self.highest && self.slots[self.slot(self.aru.next())].is_some() {
            self.aru = self.aru.next();
        }
        Inserted::New
    }

    /// Notes that the packet at `seq`, which is held, is delivered.
    pub fn mark(&mut self, seq: Seq) {
        debug_assert!(self.packet(seq).is_some(), "what is delivered is held");
        let slot = self.slot(seq);
        self.marked[slot] = true;
    }

    /// Whether the packet at `seq` is held and marked.
    #[must_use]
    pub fn is_marked(&self, seq: Seq) -> bool {
        self.packet(seq).is_some() && self.marked[self.slot(seq)]
    }

    /// Gives back every slot up to `seq`, at most up to the aru.
    pub fn release(&mut self, seq: Seq) {
        let end = seq.min(self.aru);
        while self.released < end {
            self.released = self.released.next();
            let slot = self.slot(self.released);
            self.slots[slot] = None;
        }
    }

    /// The ranges of missing seqs in (aru, `limit`], ascending, as (first, last).
    pub fn holes(&self, limit: Seq) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        holes(self.aru, limit, |seq| self.packet(seq).is_some())
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked to the number of slots")]
    const fn slot(&self, seq: Seq) -> usize {
        seq.0 as usize & (self.slots.len() - 1)
    }
}

/// The ranges in (`after`, `limit`] for which `held` is false, ascending, as (first, last).
pub fn holes(
    after: Seq,
    limit: Seq,
    held: impl Fn(Seq) -> bool,
) -> impl Iterator<Item = (Seq, Seq)> {
    let mut at = after;
    std::iter::from_fn(move || {
        while at < limit && held(at.next()) {
            at = at.next();
        }
        if at >= limit {
            return None;
        }
        let first = at.next();
        while at < limit && !held(at.next()) {
            at = at.next();
        }
        Some((first, at))
    })
}
