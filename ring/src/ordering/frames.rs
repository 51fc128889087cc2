//! Frames in: data, token, hold-cancel. Everything is checked before anything changes.

use bytes::Bytes;

use super::ring::Place;
use super::{Ordering, Phase};
use crate::counters::Ignored;
use crate::seq::Seq;
use crate::slots::Slot;
use crate::time::Time;
use crate::window::Inserted;
use crate::wire::data::Data;
use crate::wire::hold_cancel::HoldCancel;
use crate::wire::token::Token;
use crate::wire::{Header, Kind, Malformed};

impl Ordering {
    /// Takes a frame from the data or token socket.
    pub fn handle_frame(&mut self, now: Time, frame: &Bytes) {
        let outcome = match Header::parse(&mut &frame[..], self.identity.cluster) {
            Ok(header) if header.sender == self.identity.member.id => Err(Ignored::Own),
            Ok(header) => match header.kind {
                Kind::Data => self.handle_data(now, frame),
                Kind::Token => self.handle_token(now, frame),
                Kind::HoldCancel => self.handle_hold_cancel(now, frame),
                Kind::Free => self.handle_free(now, frame),
                Kind::Claim => self.handle_claim(now, frame),
                Kind::Join | Kind::Commit | Kind::Beacon | Kind::Letter => {
                    Err(Malformed::Kind.into())
                }
            },
            Err(malformed) => Err(malformed.into()),
        };
        if let Err(reason) = outcome {
            self.counters.ignored.count(reason);
        }
    }

    fn handle_data(&mut self, now: Time, frame: &Bytes) -> Result<(), Ignored> {
        let data = Data::parse(frame, self.identity.cluster)?;
        self.ignore_other_ring(data.ring)?;
        let ring = self.active();
        if ring.roster.index_of(data.transmitter).is_none() {
            return Err(Ignored::NotPredecessor);
        }
        let members = ring.roster.len();
        let recovered = match &self.phase {
            Phase::Recovering(recovery) => recovery.slots.resolve(data.seq) != Slot::New,
            _ => false,
        };
        let origin = if recovered { &self.installed.ring } else { ring };
        let foreign = matches!(&self.phase, Phase::Recovering(recovery)
            if recovery.slots.resolve(data.seq) == Slot::Foreign);
        if !foreign && origin.roster.index_of(data.packet.originator).is_none() {
            return Err(Ignored::UnknownOriginator);
        }
        if !foreign {
            if origin.contradicts(&data.packet) {
                return Err(Ignored::Inconsistent);
            }
            self.ignore_never_numbered(&data)?;
        }
        self.active_mut().rotation.heard(data.hop, members, now);
        let (seq, service) = (data.seq, data.packet.class.service);
        let inserted = match &mut self.phase {
            Phase::Recovering(recovery) if recovered => {
                recovery.insert(&mut self.installed.ring, data.seq, data.packet)
            }
            _ => self.active_mut().store(data.seq, data.packet),
        };
        match inserted {
            Inserted::New => {
                self.counters.packets_received += 1;
                if recovered {
                    self.acknowledge_if_complete();
                } else if matches!(self.phase, Phase::Operational) {
                    self.note_overtaking(seq, service);
                }
                Ok(())
            }
            Inserted::Duplicate => {
                // Somebody else had missed it.
                self.active_mut().rotation.missed_at = Some(now);
                Err(Ignored::Duplicate)
            }
            Inserted::AboveCeiling => Err(Ignored::AboveCeiling),
            Inserted::OutOfTurn => Err(Ignored::OutOfTurn),
        }
    }

    /// A packet of mine is held here from its number on; and while the token is here, or not made
    /// yet, nobody else gives numbers. Else I would give a number that is taken.
    fn ignore_never_numbered(&self, data: &Data) -> Result<(), Ignored> {
        let mine = data.packet.originator == self.identity.member.id;
        if mine && !self.holds_on_the_ring(data.seq) || self.is_never_numbered(data.seq) {
            return Err(Ignored::Inconsistent);
        }
        Ok(())
    }

    /// Whether nobody can have given this number yet.
    pub(super) fn is_never_numbered(&self, seq: Seq) -> bool {
        let ring = self.active();
        let last = match (&self.phase, &ring.rotation.place) {
            (Phase::Recovering(recovery), _) => {
                let unmade = ring.me == 0 && !recovery.originated;
                unmade.then_some(recovery.slots.install_point)
            }
            (_, Place::Held { token, .. }) => Some(token.seq),
            _ => None,
        };
        last.is_some_and(|last| seq > last)
    }

    /// Whether the packet of the active ring with this number is here.
    fn holds_on_the_ring(&self, seq: Seq) -> bool {
        match &self.phase {
            Phase::Recovering(recovery) => recovery.counts(&self.installed.ring, seq),
            _ => self.active().window.holds(seq),
        }
    }

    fn handle_token(&mut self, now: Time, frame: &Bytes) -> Result<(), Ignored> {
        let mut token = std::mem::take(&mut self.scratch.token);
        let parsed = token.parse_into(frame, self.identity.cluster).map_err(Ignored::from);
        let admitted = parsed.and_then(|()| self.admit(now, &token));
        let admitted = admitted.and_then(|()| self.ignore_forged_promise(&token));
        match admitted {
            Ok(()) => self.visit(now, token),
            Err(_) => self.scratch.token = token,
        }
        admitted
    }

    fn admit(&mut self, now: Time, token: &Token) -> Result<(), Ignored> {
        self.ignore_other_ring(token.ring)?;
        let ring = self.active_mut();
        let admitted = ring.admit(token);
        if admitted == Err(Ignored::StaleToken) {
            ring.rotation.heard_at = now;
            let handled_last = token.hop + ring.roster.len() as u64 == ring.rotation.next_hop;
            // Its sender has no sign that I got it: perhaps my copy was lost as well. A copy that
            // left a moment ago is not repeated, or a doubled token would circle for ever.
            if handled_last
                && let Place::Sent { sent_at, retransmit_at, .. } = ring.rotation.place
                && 2 * now.since(sent_at) >= retransmit_at.since(sent_at)
            {
                self.retransmit(now);
            }
        }
        admitted
    }

    /// Before my first visit somebody else has written my promise: never more than is true.
    fn ignore_forged_promise(&self, token: &Token) -> Result<(), Ignored> {
        let promise = self.promise();
        let mine = token.promises.get(self.active().me);
        let true_of_me =
            mine.is_some_and(|it| it.aru <= promise.aru && it.ceiling <= promise.ceiling);
        if true_of_me { Ok(()) } else { Err(Ignored::Inconsistent) }
    }

    fn handle_hold_cancel(&mut self, now: Time, frame: &Bytes) -> Result<(), Ignored> {
        let hold_cancel = HoldCancel::parse(frame, self.identity.cluster)?;
        self.ignore_other_ring(hold_cancel.ring)?;
        if self.active().roster.index_of(hold_cancel.sender).is_none() {
            return Err(Ignored::NotPredecessor);
        }
        self.hear_of_work(now);
        Ok(())
    }

    /// Another member has work: no token is held now.
    pub(super) fn hear_of_work(&mut self, now: Time) {
        let soon = now + self.active().rotation.patience(&self.params, 0, false);
        let rotation = &mut self.active_mut().rotation;
        rotation.cancelled = true;
        rotation.end_idleness(soon);
        self.release_hold(now);
    }

    /// Only frames of the ring whose token circulates here count; none while frozen (hand-off
    /// rule 9).
    pub(super) fn ignore_other_ring(&self, ring: crate::id::RingId) -> Result<(), Ignored> {
        match self.phase {
            Phase::Frozen => Err(Ignored::Frozen),
            _ if ring != self.active().id() => Err(Ignored::OtherRing),
            _ => Ok(()),
        }
    }
}
