//! One ring as its token sees it, and the old ring that is recovered on it.

use std::sync::Arc;
use std::time::Duration;

use crate::counters::Ignored;
use crate::free::{Frees, Known};
use crate::handoff::Recover;
use crate::id::{NodeId, RingId};
use crate::packet::Packet;
use crate::params::Params;
use crate::roster::{MemberMask, Roster};
use crate::seq::Seq;
use crate::slots::{Slot, SlotMap};
use crate::time::Time;
use crate::window::{self, Inserted, Window};
use crate::wire::token::{Promise, Token};

/// A ring: its members, its packets, and where its token is.
#[derive(Clone, Hash, Debug)]
pub(super) struct Ring {
    pub(super) roster: Arc<Roster>,
    /// My place in ring order.
    pub(super) me: usize,
    pub(super) window: Window,
    /// What left without the token and has no place in the window yet.
    pub(super) free: Frees,
    /// Its own packets are numbered from the next: 0, or the install point.
    pub(super) start: Seq,
    /// Least aru of all members, merged by maximum over every token seen. Never falls.
    pub(super) stable: Seq,
    pub(super) rotation: Rotation,
}

impl Ring {
    pub(super) fn new(roster: Arc<Roster>, me: usize, window: Window) -> Self {
        let start = window.aru();
        let rotation = Rotation::new(me, roster.len(), start);
        let free = Frees::new(&roster);
        Self { roster, me, window, free, start, stable: Seq::ZERO, rotation }
    }

    pub(super) fn id(&self) -> RingId {
        self.roster.ring
    }

    /// Stores a packet of this ring; one that left without the token has its place then.
    ///
    /// Those of one sender are placed in the order of their numbers, and one out of turn is not
    /// stored: else somebody could know the place of a packet, and nobody that of the one it waits for,
    /// and those who go on together would not agree whether it may be delivered.
    pub(super) fn store(&mut self, seq: Seq, packet: Packet) -> Inserted {
        if packet.free_mark() == 0 || self.window.holds(seq) {
            return self.window.insert(seq, packet);
        }
        let Some((place, number)) = self.next_shown_by(&packet) else {
            return Inserted::OutOfTurn;
        };
        let inserted = self.window.insert(seq, packet);
        if inserted == Inserted::New && self.free.place(place, number, seq).delivered {
            self.window.mark(seq);
        }
        inserted
    }

    /// The ranges that I miss and ask for on a token with `seq`: up to what cannot merely be late, and
    /// of what is claimed to have left before.
    pub(super) fn wanted(&self, seq: Seq) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        let limit = self.rotation.request_limit.min(self.window.ceiling());
        let end = seq.min(self.window.ceiling());
        let lost = self.rotation.lost.iter().flat_map(move |(first, last)| {
            let after = Seq(first.0.saturating_sub(1)).max(limit).max(self.window.aru());
            window::holes(after, end.min(*last), |seq| self.window.packet(seq).is_some())
        });
        self.window.holes(limit).chain(lost)
    }

    /// A sender claims packets of which these are not here: they were sent before, so they are lost,
    /// unless the network has had one overtake another.
    pub(super) fn note_lost(&mut self, first: Seq, last: Seq) {
        let lost = &mut self.rotation.lost;
        // One range a sender and rotation; more are forged, and are asked for a rotation later.
        if lost.len() < self.roster.len() && !lost.contains(&(first, last)) {
            lost.push((first, last));
        }
    }

    /// Whether a packet of the ring is another than the one that left without the token as it says.
    pub(super) fn contradicts(&self, packet: &Packet) -> bool {
        let shown = (packet.free_mark() != 0).then(|| self.next_shown_by(packet)).flatten();
        shown.is_some_and(|(place, number)| self.free.contradicts(place, number, packet))
    }

    /// The sender's place, and its number, of a packet that left without the token, if it is the next
    /// of its sender that is placed.
    fn next_shown_by(&self, packet: &Packet) -> Option<(usize, u64)> {
        let place = self.roster.index_of(packet.originator)?;
        Some((place, self.free.next_placed(place, packet.free_mark())?))
    }

    /// Whether it holds the old packet that a slot stands for.
    fn holds(&self, slot: Slot) -> bool {
        match slot {
            Slot::Old(seq) => self.window.holds(seq),
            Slot::Free { place, number } => self.free.known(place, number) != Known::Missing,
            Slot::Foreign => true,
            Slot::New => false,
        }
    }

    /// Checks a token of this ring against what this member knows, before any change.
    pub(super) fn admit(&self, token: &Token) -> Result<(), Ignored> {
        let rotation = &self.rotation;
        if token.sender != self.roster.predecessor(self.me).id {
            return Err(Ignored::NotPredecessor);
        }
        if token.hop < rotation.next_hop {
            return Err(Ignored::StaleToken);
        }
        let expected_members = token.promises.len() == self.roster.len();
        if token.hop != rotation.next_hop || !expected_members {
            return Err(Ignored::Inconsistent);
        }
        let falls =
            |(seen, now): (&Promise, &Promise)| now.aru < seen.aru || now.ceiling < seen.ceiling;
        let fallen = rotation.seen.iter().zip(&token.promises).any(falls);
        // Nobody but me writes my promise.
        let forged =
            rotation.seen.get(self.me) != token.promises.get(self.me) && rotation.visits > 0;
        if fallen || forged || token.seq < rotation.last_seq || token.seq < self.window.highest() {
            return Err(Ignored::Inconsistent);
        }
        Ok(())
    }
}

/// A token is not repeated sooner: a hop takes some microseconds, and a host that is busy for a
/// moment shall not make tokens.
const PATIENCE_MIN: Duration = Duration::from_micros(200);

/// The token's way past this member.
#[derive(Clone, Hash, Debug)]
pub(super) struct Rotation {
    /// The hop that the next token for me carries.
    pub(super) next_hop: u64,
    /// The promises on the token I handled last, mine as I wrote it.
    pub(super) seen: Vec<Promise>,
    pub(super) visits: u64,
    /// Seq of the token I sent last.
    pub(super) last_seq: Seq,
    /// What I asked may be missing, not merely late: the seq of the token I sent one rotation ago.
    pub(super) request_limit: Seq,
    /// What was claimed since my last visit and had not come.
    pub(super) lost: Vec<(Seq, Seq)>,
    /// What may be sent until my next visit fits my receive buffer.
    pub(super) receive_limit: Seq,
    /// What I may send without the token until my next visit.
    pub(super) free_share: u32,
    /// Multicast by me in the last rotation.
    pub(super) last_sent: u32,
    /// My part of the token's backlog.
    pub(super) last_backlog: u32,
    /// Visits in a row in which I asked without any gain.
    pub(super) asked: u32,
    /// My aru at the last visit, if I asked for anything in it.
    pub(super) asked_aru: Option<Seq>,
    /// Since when each member's aru has not moved although it asks.
    pub(super) stalled: Vec<Option<Time>>,
    /// The token as I sent it last; empty before the first.
    pub(super) frame: Vec<u8>,
    /// The token I sent last carried nothing to do: its ring may be holding it.
    pub(super) idle: bool,
    /// A member with work asked for the token since my last visit.
    pub(super) cancelled: bool,
    pub(super) place: Place,
    /// When I handled the token last.
    pub(super) visited_at: Time,
    /// The usual time of one rotation, as measured; holding apart.
    pub(super) usual: Option<Duration>,
    /// Last sign of life of the ring.
    pub(super) heard_at: Time,
    /// When I last knew of a packet that a member had missed.
    pub(super) missed_at: Option<Time>,
    /// When a member with work asks an idle token's holder again.
    pub(super) cancel_at: Option<Time>,
    /// Times it has asked.
    pub(super) cancels: u32,
}

/// Where the token is, as far as I know.
#[derive(Clone, Hash, Debug)]
pub(super) enum Place {
    /// Somewhere else, and I saw that it came further than my successor, or never had it.
    Away,
    /// Sent to my successor, without a sign yet that it got there.
    Sent {
        /// When it was sent last.
        sent_at: Time,
        /// When it is sent again.
        retransmit_at: Time,
        /// Times it was sent again.
        retransmits: u32,
    },
    /// Held here while the ring is idle.
    Held {
        /// The token, between steps 2 and 3 of its visit.
        token: Token,
        until: Time,
    },
}

impl Rotation {
    fn new(me: usize, members: usize, start: Seq) -> Self {
        Self {
            next_hop: me as u64,
            seen: vec![Promise::default(); members],
            visits: 0,
            last_seq: start,
            request_limit: start,
            lost: Vec::new(),
            receive_limit: start,
            free_share: 0,
            last_sent: 0,
            last_backlog: 0,
            asked: 0,
            asked_aru: None,
            stalled: vec![None; members],
            frame: Vec::with_capacity(crate::wire::MTU_MIN_BYTES),
            idle: false,
            cancelled: false,
            place: Place::Away,
            visited_at: Time::ZERO,
            usual: None,
            heard_at: Time::ZERO,
            missed_at: None,
            cancel_at: None,
            cancels: 0,
        }
    }

    /// The ring begins to run here: its timers count from now.
    pub(super) const fn begin(&mut self, now: Time) {
        (self.visited_at, self.heard_at) = (now, now);
    }

    /// Takes a data frame's hop as a sign of where the token is.
    pub(super) fn heard(&mut self, hop: u64, members: usize, now: Time) {
        self.heard_at = now;
        // My last visit was hop `next_hop − n`; my successor's is the next.
        let successor_hop = (self.next_hop + 1).saturating_sub(members as u64);
        if matches!(self.place, Place::Sent { .. }) && hop >= successor_hop {
            self.place = Place::Away;
        }
    }

    /// Silence before a token that I sent is sent again: two usual rotations, doubled each
    /// time up to a bound. Longer the first time when the ring may be holding it; not again, or
    /// an idle ring would give its token up after one or two repeats.
    pub(super) fn patience(&self, params: &Params, retransmits: u32, idle: bool) -> Duration {
        let ceiling = params.token_retransmit();
        let twice = self.usual.unwrap_or(ceiling) * 2;
        if idle && retransmits == 0 {
            // No hurry, and threads that sleep take longer: who has work ends it.
            return params.hold + ceiling;
        }
        (twice.max(PATIENCE_MIN) * (1 << retransmits.min(8))).min(ceiling)
    }

    /// There is work: a token that I sent is no longer expected to be held, and repeated `soon`.
    pub(super) fn end_idleness(&mut self, soon: Time) {
        if let Place::Sent { retransmit_at, retransmits: 0, .. } = &mut self.place
            && self.idle
        {
            *retransmit_at = soon.min(*retransmit_at);
        }
    }
}

/// A ring that is adopted but not installed, and what is recovered on it. Control makes it with
/// all its memory; the worker gives it back for freeing.
#[derive(Clone, Hash, Debug)]
pub struct Recovery {
    pub(super) ring: Ring,
    pub(super) slots: SlotMap,
    /// T, over the installed ring's roster.
    pub(super) transitional: MemberMask,
    pub(super) transitional_ids: Arc<[NodeId]>,
    /// Obligation sets of T's entries, over the installed ring's roster.
    pub(super) obligations: MemberMask,
    /// S: the greatest stable in T's entries.
    pub(super) stable: Seq,
    /// Members of the new ring that miss nothing from the start.
    pub(super) complete: MemberMask,
    /// Slots found to be held by nobody in T. Forgotten with this attempt.
    pub(super) voids: Vec<bool>,
    /// Slots up to here count for my aru.
    pub(super) aru: Seq,
    /// My aru may show the install point: my obligations are taken on.
    pub(super) acknowledged: bool,
    pub(super) originated: bool,
}

impl Recovery {
    /// What the member at place `me` of the new ring's roster adopts.
    #[must_use]
    pub fn new(recover: Recover, me: usize, params: &Params) -> Self {
        let start = recover.slots.install_point;
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the members' windows")]
        let voids = vec![false; start.0 as usize];
        let window = Window::new(params.window_packets, start);
        Self {
            ring: Ring::new(recover.roster, me, window),
            slots: recover.slots,
            transitional: recover.transitional,
            transitional_ids: recover.transitional_ids,
            obligations: recover.obligations,
            stable: recover.stable,
            complete: recover.complete,
            voids,
            aru: Seq::ZERO,
            acknowledged: false,
            originated: false,
        }
    }

    /// Whether `slot` counts as held: held of the old ring, or of another old ring, or void.
    pub(super) fn counts(&self, old: &Ring, slot: Seq) -> bool {
        match self.slots.resolve(slot) {
            Slot::New => self.ring.window.holds(slot),
            resolved => old.holds(resolved) || self.is_void(slot),
        }
    }

    /// Moves the aru over slots that count; true when none of mine is missing any more.
    pub(super) fn advance(&mut self, old: &Ring) -> bool {
        let end = self.slots.install_point;
        while self.aru < end && self.counts(old, self.aru.next()) {
            self.aru = self.aru.next();
        }
        self.aru == end
    }

    /// Missing slots, ascending, as (first, last).
    pub(super) fn holes<'a>(&'a self, old: &'a Ring) -> impl Iterator<Item = (Seq, Seq)> + 'a {
        window::holes(self.aru, self.slots.install_point, |slot| self.counts(old, slot))
    }

    /// Marks every missing slot in the range as held by nobody in T; yields how many.
    pub(super) fn mark_void(&mut self, old: &Ring, first: Seq, last: Seq) -> u64 {
        let mut marked = 0;
        let mut slot = first;
        while slot <= last && slot <= self.slots.install_point {
            if !self.counts(old, slot) {
                marked += 1;
                if let Some(void) = self.voids.get_mut(index(slot)) {
                    *void = true;
                }
            }
            slot = slot.next();
        }
        marked
    }

    fn is_void(&self, slot: Seq) -> bool {
        self.voids.get(index(slot)).copied().unwrap_or(false)
    }

    /// Stores a recovered packet at its old place.
    pub(super) fn insert(&self, old: &mut Ring, slot: Seq, packet: Packet) -> Inserted {
        // What nobody in T holds comes from nobody.
        if self.is_void(slot) {
            return Inserted::Duplicate;
        }
        match self.slots.resolve(slot) {
            Slot::Old(seq) => old.store(seq, packet),
            Slot::Free { .. } | Slot::Foreign | Slot::New => Inserted::Duplicate,
        }
    }
}

/// Slots count from 1.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the members' windows")]
const fn index(slot: Seq) -> usize {
    (slot.0 as usize).wrapping_sub(1)
}
