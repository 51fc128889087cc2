//! Token-free packets: sent before the token comes, delivered before they have a place, placed at
//! the next visit, recovered with the ring they were sent on (`PROTOCOL.md`, token-free packets).

use std::time::Duration;

use bytes::Bytes;

use super::ring::Place;
use super::{Installed, Ordering, Outgoing, Phase};
use crate::configuration::ConfigurationKind;
use crate::counters::Ignored;
use crate::free::{After, FreePacket, Known, free_mark};
use crate::packet::Packet;
use crate::seq::Seq;
use crate::slots::Slot;
use crate::time::Time;
use crate::window::Inserted;
use crate::wire::claim::Claim;
use crate::wire::free::{Free, free_body_bytes_max};
use crate::wire::token::Token;

/// An idle token is held so long at most when packets wait for places: less than a reader's turn of
/// the processor, and long enough for some packets to be placed together.
const FREE_HOLD: Duration = Duration::from_millis(1);

/// A packet that somebody missed says for so long that others may be lost: losses come together, and
/// where one packet in a hundred is lost even a ring with little to send sees one every second.
const LOSS_MEMORY: Duration = Duration::from_secs(1);

impl Installed {
    fn may_go(&self, place: usize, after: After) -> bool {
        match after {
            After::Nothing => true,
            After::Place(seq) => self.is_delivered(seq),
            After::Number(number) => match self.ring.free.known(place, number) {
                Known::Held { delivered, .. } => delivered,
                Known::Placed(seq) => seq.is_some_and(|seq| self.is_delivered(seq)),
                Known::Missing => false,
            },
        }
    }

    fn is_delivered(&self, seq: Seq) -> bool {
        seq <= self.delivered || self.ring.window.is_marked(seq)
    }

    /// What my next token-free packet is delivered after: my last one in order, wherever it is.
    fn after(&self, packet: &Packet) -> After {
        if !packet.keeps_order() {
            return After::Nothing;
        }
        match self.ring.free.last_in_order() {
            Some(number) => After::Number(number),
            None if self.last_in_order > self.ring.start => After::Place(self.last_in_order),
            None => After::Nothing,
        }
    }
}

impl Ordering {
    /// Packets that wait here for a place on the ring, about.
    pub(super) fn waiting_packets(&self) -> u32 {
        self.backlog.packets(self.body_bytes()).saturating_add(self.installed.ring.free.unclaimed())
    }

    /// Something here waits for a place on the ring.
    pub(super) fn has_work(&self) -> bool {
        !self.backlog.is_empty() || self.installed.ring.free.unclaimed() > 0
    }

    /// Sends what waits without the token, if all of it may and little enough is under way: what is
    /// more is packed better, and ordered as soon, when the token comes.
    pub(super) fn send_free(&mut self, now: Time) {
        if self.backlog.is_empty() || !matches!(self.phase, Phase::Operational) {
            return;
        }
        let ring = &mut self.installed.ring;
        let me = ring.me;
        ring.free.note_stable(me, ring.stable);
        let room = ring.free.room(self.params.free_packets.min(ring.rotation.free_share));
        let bytes_max = free_body_bytes_max(ring.roster.mtu_bytes);
        if self.backlog.packets(bytes_max) > room {
            return;
        }
        for _ in 0..room {
            if !self.backlog.is_front_token_free(bytes_max) {
                break;
            }
            let id = self.identity.member.id;
            let Some(numbered) = self.backlog.next_packet(id, bytes_max, &mut self.arena) else {
                break;
            };
            let packet = numbered.packet;
            self.record_sends(now, &packet, None);
            let free = FreePacket { after: self.installed.after(&packet), packet };
            let ring = &mut self.installed.ring;
            let number = ring.free.send(me, free.clone());
            self.counters.packets_free += 1;
            let frame = Free { transmitter: id, ring: ring.id(), slot: Seq::ZERO, number, free };
            self.outbox.push_back(Outgoing::Free(frame));
            self.shorten_hold(now);
        }
    }

    /// How long an idle token may be held yet when a packet left without it. Whoever missed it learns
    /// so from its claim: not at all while packets are being lost.
    fn free_hold(&self, now: Time) -> Duration {
        let missed_at = self.active().rotation.missed_at;
        if missed_at.is_some_and(|at| now.since(at) < LOSS_MEMORY) {
            return Duration::ZERO;
        }
        FREE_HOLD.min(self.params.hold)
    }

    /// A packet left without the token: an idle token may be held for a moment yet, so that nothing
    /// stands in the packet's way and its place is given together with others'.
    fn shorten_hold(&mut self, now: Time) {
        let span = self.free_hold(now);
        let soon = now + span + self.active().rotation.patience(&self.params, 0, false);
        let rotation = &mut self.active_mut().rotation;
        rotation.cancelled = true;
        rotation.end_idleness(soon);
        if let Place::Held { until, .. } = &mut rotation.place {
            *until = (*until).min(now + span);
        } else if rotation.idle && self.has_work() {
            self.installed.ring.rotation.cancel_at.get_or_insert(soon);
        }
    }

    /// Gives places to so many of my packets that left without the token.
    pub(super) fn claim(&mut self, token: &mut Token, count: u32) {
        let me = self.installed.ring.me;
        let mut claim = Claim {
            sender: self.identity.member.id,
            ring: self.installed.ring.id(),
            first_seq: token.seq.next(),
            hop: token.hop,
            first_number: 0,
            count: 0,
            waits: [0; crate::free::FREE_PACKETS_MAX as usize],
        };
        while u32::from(claim.count) < count
            && let Some(waits) = claim.waits.get_mut(usize::from(claim.count))
            && let Some((number, free)) = self.installed.ring.free.unclaimed_front(me)
        {
            let seq = token.seq.next();
            let mut packet = free.packet.clone();
            packet.waits = self.installed.waits(seq, &packet);
            packet.waits.past = free_mark(number);
            *waits = packet.waits.sender;
            if claim.count == 0 {
                claim.first_number = number;
            }
            claim.count += 1;
            self.note_originated(seq, &packet);
            let ring = &mut self.installed.ring;
            let inserted = ring.window.insert(seq, packet);
            debug_assert_eq!(inserted, Inserted::New, "a number is given once, below my ceiling");
            if ring.free.claim(me, seq).delivered {
                ring.window.mark(seq);
            }
            token.seq = seq;
        }
        if claim.count > 0 {
            self.outbox.push_back(Outgoing::Claim(claim));
        }
    }

    pub(super) fn handle_free(&mut self, now: Time, frame: &Bytes) -> Result<(), Ignored> {
        let free = Free::parse(frame, self.identity.cluster)?;
        self.ignore_other_ring(free.ring)?;
        let roster = &self.active().roster;
        if roster.index_of(free.transmitter).is_none() {
            return Err(Ignored::NotPredecessor);
        }
        if free.slot > Seq::ZERO {
            return self.recover_free(free);
        }
        let fresh = free.transmitter == free.free.packet.originator;
        let place = roster.index_of(free.free.packet.originator).filter(|_| fresh);
        let place = place.ok_or(Ignored::Inconsistent)?;
        let known = self.active().free.known(place, free.number);
        if known != Known::Missing {
            return Err(Ignored::Duplicate);
        }
        if !self.active_mut().free.insert(place, free.number, free.free) {
            return Err(Ignored::AboveCeiling);
        }
        self.counters.packets_received += 1;
        self.shorten_hold(now);
        Ok(())
    }

    /// A packet that nobody gave a place on the ring that is recovered.
    fn recover_free(&mut self, free: Free) -> Result<(), Ignored> {
        let Phase::Recovering(recovery) = &self.phase else {
            return Err(Ignored::Inconsistent);
        };
        let (place, number) = match recovery.slots.resolve(free.slot) {
            Slot::Free { place, number } => (place, number),
            Slot::Foreign => return Err(Ignored::Duplicate),
            Slot::Old(_) | Slot::New => return Err(Ignored::Inconsistent),
        };
        let ring = &mut self.installed.ring;
        let originator = ring.roster.index_of(free.free.packet.originator);
        if originator != Some(place) || number != free.number {
            return Err(Ignored::Inconsistent);
        }
        // Mine are here from their sending on; there are no others.
        if place == ring.me {
            return Err(Ignored::Duplicate);
        }
        if !ring.free.insert(place, number, free.free) {
            return Err(Ignored::Duplicate);
        }
        self.counters.packets_received += 1;
        self.acknowledge_if_complete();
        Ok(())
    }

    pub(super) fn handle_claim(&mut self, now: Time, frame: &Bytes) -> Result<(), Ignored> {
        let claim = Claim::parse(frame, self.identity.cluster)?;
        self.ignore_other_ring(claim.ring)?;
        let ring = self.active();
        let members = ring.roster.len();
        let place = ring.roster.index_of(claim.sender).ok_or(Ignored::NotPredecessor)?;
        if claim.first_seq <= ring.start || self.is_never_numbered(claim.last_seq()) {
            return Err(Ignored::Inconsistent);
        }
        self.active_mut().rotation.heard(claim.hop, members, now);
        let (mut new, mut lost) = (0, None);
        for (seq, number, waits) in claim.packets() {
            let ring = self.active_mut();
            // From the first that is missing here on, the places are holes now, and asked for at once.
            let Known::Held { free, .. } = ring.free.known(place, number) else {
                lost = lost.or((!ring.window.holds(seq)).then_some(seq));
                continue;
            };
            let mut packet = free.packet.clone();
            packet.waits.sender = if packet.keeps_order() { waits } else { 0 };
            packet.waits.past = free_mark(number);
            let service = packet.class.service;
            match ring.store(seq, packet) {
                Inserted::New => {
                    new += 1;
                    if matches!(self.phase, Phase::Operational) {
                        self.note_overtaking(seq, service);
                    }
                }
                Inserted::OutOfTurn => lost = lost.or(Some(seq)),
                _ => {}
            }
        }
        if let Some(first) = lost {
            self.active_mut().note_lost(first, claim.last_seq());
        }
        if new > 0 { Ok(()) } else { Err(Ignored::Duplicate) }
    }

    /// Delivers what may be delivered although it has no place, while the stream has room.
    pub(super) fn deliver_free(&mut self, now: Time) {
        if self.installed.ring.free.is_waiting() {
            self.deliver_frees(now, ConfigurationKind::Regular, self.params.stream_packets);
        }
    }

    /// EVS step 6.b, and again behind the transitional configuration, for what nobody gave a place:
    /// all that may be delivered. All of T hold the same of it.
    pub(super) fn deliver_all_free(&mut self, now: Time, kind: ConfigurationKind) {
        self.deliver_frees(now, kind, usize::MAX);
    }

    fn deliver_frees(&mut self, now: Time, kind: ConfigurationKind, stream_packets: usize) {
        let (mut place, mut number) = (0, 0);
        while self.stream.len() < stream_packets
            && let Some((next_place, next, free)) =
                self.installed.ring.free.next_waiting(place, number)
        {
            (place, number) = (next_place, next);
            if self.installed.may_go(place, free.after) {
                let packet = free.packet.clone();
                self.installed.ring.free.mark(place, number);
                self.counters.packets_delivered_free += 1;
                self.write_packet(now, None, kind, packet);
            }
        }
    }
}
