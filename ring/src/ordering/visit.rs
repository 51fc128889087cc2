//! A token visit, in the order of `PROTOCOL.md` §2: repair, promise, install, number, request,
//! forward, and only then the packets that may follow the token.

use std::time::Duration;

use super::ring::Place;
use super::{Ordering, Outgoing, Phase};
use crate::backlog::Numbered;
use crate::flow::{self, Demand};
use crate::packet::{Content, Packet};
use crate::seq::Seq;
use crate::time::Time;
use crate::trace::{ContentHash, Event};
use crate::window::Inserted;
use crate::wire::data::Data;
use crate::wire::token::{Promise, Token};

impl Ordering {
    /// Handles an admitted token.
    pub(super) fn visit(&mut self, now: Time, mut token: Token) {
        self.counters.tokens += 1;
        self.arrive(now, &token);
        self.take_back_requests(&mut token);
        // Before what I answer is gone: whoever asks for it may never get it.
        self.watch_receivers(now, &token);
        let repaired = self.serve_requests(&mut token);
        self.write_promise(&mut token);
        if self.everybody_recovered(&token) {
            self.install(now);
        }
        self.note_stable(&token);
        if self.may_hold(&token) {
            self.counters.holds += 1;
            let until = now + self.params.hold;
            self.active_mut().rotation.place = Place::Held { token, until };
            return;
        }
        self.finish_visit(now, token, repaired);
    }

    /// Steps 3 to 9: everything that depends on what this member has to send.
    pub(super) fn finish_visit(&mut self, now: Time, mut token: Token, repaired: u32) {
        self.number(now, &mut token, repaired);
        self.request_holes(&mut token);
        if repaired > 0 || !token.requests.is_empty() {
            self.active_mut().rotation.missed_at = Some(now);
        }
        self.write_promise(&mut token);
        self.note_stable(&token);
        self.forward(now, token);
        self.outbox.extend(self.scratch.post_token.drain(..).map(Outgoing::Data));
        self.deliver(now);
    }

    fn arrive(&mut self, now: Time, token: &Token) {
        let hold = self.params.hold;
        let ring = self.active_mut();
        let rotation = &mut ring.rotation;
        let mut took = None;
        if rotation.visits > 0 {
            let whole = now.since(rotation.visited_at);
            // A rotation in which the token was held says little about the network.
            if rotation.idle {
                took = Some(whole.saturating_sub(hold));
            } else {
                took = Some(whole);
                rotation.usual = Some(usual_after(rotation.usual, whole));
            }
        }
        rotation.visits += 1;
        rotation.visited_at = now;
        rotation.heard_at = now;
        (rotation.cancel_at, rotation.cancels) = (None, 0);
        rotation.next_hop = token.hop + ring.roster.len() as u64;
        rotation.place = Place::Away;
        self.receive.handle_visit();
        // What was sent before the token is read by now; what its sender multicast behind it may
        // still wait, and is few. Each member must be able to number something.
        let members = token.promises.len() as u64;
        let fitting = u64::from(self.receive.packets());
        let ring = self.active_mut();
        // What I ask for now comes besides: repair counts, as it does for the global window (step 3).
        let missing = ring.wanted(token.seq);
        let missing = missing.map(|(first, last)| last.since(first) + 1).sum::<u64>();
        let room = fitting.saturating_sub(missing).max(members);
        ring.rotation.receive_limit = token.seq.plus(room);
        if let Some(took) = took {
            self.pace.note(now, took);
        }
    }

    /// Step 7: my own aru and ceiling, nobody else's.
    fn write_promise(&mut self, token: &mut Token) {
        let promise = self.promise();
        let ring = self.active();
        if let Some(mine) = token.promises.get_mut(ring.me) {
            debug_assert!(promise.aru >= mine.aru, "an aru never falls");
            debug_assert!(promise.ceiling >= mine.ceiling, "a ceiling never falls");
            // No more than fits the receive buffer until the next visit.
            let ceiling = promise.ceiling.min(ring.rotation.receive_limit).max(mine.ceiling);
            *mine = Promise { ceiling, ..promise };
        }
    }

    pub(super) fn promise(&self) -> Promise {
        let window = &self.active().window;
        let aru = match &self.phase {
            // Before I have installed the ring my aru is at most the install point, so that what
            // is stable beyond it was acknowledged by members that installed it (EVS 7.2). It
            // shows the install point only once my obligations are taken on (EVS step 5.c).
            Phase::Recovering(recovery) if recovery.acknowledged => recovery.slots.install_point,
            Phase::Recovering(recovery) => {
                recovery.aru.min(Seq(recovery.slots.install_point.0.saturating_sub(1)))
            }
            Phase::Alone | Phase::Operational | Phase::Frozen => window.aru(),
        };
        Promise { aru, ceiling: window.ceiling() }
    }

    /// stable = least aru: each number was written by its owner, so the least of them is what
    /// everybody holds.
    fn note_stable(&mut self, token: &Token) {
        let ring = self.active_mut();
        ring.stable = ring.stable.max(token.least_aru());
    }

    /// Steps 3 to 5: numbers as many packets as flow control allows and multicasts all but the
    /// last few, which may follow the token.
    fn number(&mut self, now: Time, token: &mut Token, repaired: u32) {
        let mut sent = repaired;
        let waiting = self.waiting_packets();
        // Application messages wait for the new regular configuration (EVS step 2).
        if matches!(self.phase, Phase::Operational) {
            let rotation = &self.active().rotation;
            let others_backlog = token.backlog.saturating_sub(rotation.last_backlog);
            let allowed = flow::allowance(
                &self.params,
                &Demand {
                    backlog: waiting,
                    total_backlog: others_backlog.saturating_add(waiting),
                    others_sent: token.fcc.saturating_sub(rotation.last_sent),
                    retransmitted: repaired,
                    seq: token.seq,
                    least_ceiling: token.least_ceiling().min(self.active().window.ceiling()),
                    shared_ceiling: token.shared_ceiling(self.active().me),
                },
            );
            // They were multicast already, and come first: they were sent first.
            let claimed = allowed.min(self.installed.ring.free.unclaimed());
            self.claim(token, claimed);
            sent += claimed;
            for _ in claimed..allowed {
                let Some(data) = self.originate_packet(now, token.seq.next(), token.hop) else {
                    break;
                };
                token.seq = token.seq.next();
                sent += 1;
                let post_token = &mut self.scratch.post_token;
                post_token.push_back(data);
                if post_token.len() > self.params.accelerated_packets as usize {
                    self.outbox.extend(post_token.pop_front().map(Outgoing::Data));
                }
            }
        }
        for data in &mut self.scratch.post_token {
            data.post_token = true;
        }
        self.account(token, sent);
    }

    /// fcc and backlog carry every member's last contribution; mine is replaced.
    fn account(&mut self, token: &mut Token, sent: u32) {
        let backlog = self.waiting_packets();
        let rotation = &mut self.active_mut().rotation;
        token.fcc = token.fcc.saturating_sub(rotation.last_sent).saturating_add(sent);
        token.backlog = token.backlog.saturating_sub(rotation.last_backlog).saturating_add(backlog);
        rotation.last_sent = sent;
        rotation.last_backlog = backlog;
    }

    /// Gives the next packet of the backlog the number `seq` and stores it in my own window.
    pub(super) fn originate_packet(&mut self, now: Time, seq: Seq, hop: u64) -> Option<Data> {
        let me = self.identity.member.id;
        let body_bytes = self.body_bytes();
        let Numbered { mut packet, completed } =
            self.backlog.next_packet(me, body_bytes, &mut self.arena)?;
        packet.waits = self.installed.waits(seq, &packet);
        self.record_sends(now, &packet, completed.as_deref());
        self.note_originated(seq, &packet);
        let ring = &mut self.installed.ring;
        let inserted = ring.window.insert(seq, packet.clone());
        debug_assert_eq!(inserted, Inserted::New, "a number is given once, below my ceiling");
        Some(Data { transmitter: me, ring: ring.id(), seq, hop, post_token: false, packet })
    }

    /// A packet of mine has got the number `seq`.
    pub(super) fn note_originated(&mut self, seq: Seq, packet: &Packet) {
        self.counters.packets_originated += 1;
        self.installed.last_own = seq;
        if packet.keeps_order() {
            self.installed.last_in_order = seq;
        }
        self.note_overtaking(seq, packet.class.service);
    }

    /// EVS `send`: a message is originated when its last fragment gets a number.
    pub(super) fn record_sends(&mut self, now: Time, packet: &Packet, completed: Option<&[u8]>) {
        if self.trace.is_none() {
            return;
        }
        let (ring, service) = (self.installed.ring.id(), packet.class.service);
        let mut record = |counter, payload: &[u8]| {
            let (message, hash) = (self.own_message(counter), ContentHash::of(payload));
            self.record(now, Event::Send { message, ring, service, hash });
        };
        match packet.content {
            Content::Messages { .. } => {
                for (counter, payload) in (packet.first_message..).zip(packet.payloads()) {
                    record(counter, payload);
                }
            }
            Content::Fragment(_) => {
                if let Some(payload) = completed {
                    record(packet.first_message, payload);
                }
            }
        }
    }

    /// Step 8.
    fn forward(&mut self, now: Time, mut token: Token) {
        token.hop += 1;
        token.sender = self.identity.member.id;
        let cluster = self.identity.cluster;
        let idle = is_idle(&token);
        let patience = self.active().rotation.patience(&self.params, 0, idle);
        let ring = self.active_mut();
        let rotation = &mut ring.rotation;
        rotation.seen.clear();
        rotation.seen.extend_from_slice(&token.promises);
        rotation.last_seq = token.seq;
        rotation.free_share = flow::free_share(&token);
        rotation.request_limit = rotation.request_limit.max(token.seq);
        rotation.lost.clear();
        rotation.idle = idle;
        rotation.cancelled = false;
        rotation.frame.clear();
        token.emit(cluster, &mut rotation.frame);
        let retransmit_at = now + patience;
        rotation.place = Place::Sent { sent_at: now, retransmit_at, retransmits: 0 };
        let successor = ring.roster.successor(ring.me).endpoint;
        self.outbox.push_back(Outgoing::Token(successor));
        self.scratch.token = token;
    }

    /// The representative keeps the token of an idle ring for a while: only when everybody has
    /// seen that everything is stable, nobody waits and nobody asks.
    fn may_hold(&self, token: &Token) -> bool {
        let ring = self.active();
        let rotation = &ring.rotation;
        matches!(self.phase, Phase::Operational)
            && ring.me == 0
            && is_idle(token)
            && rotation.idle
            && rotation.last_seq == token.seq
            && !rotation.cancelled
            && !self.has_work()
    }

    /// Ends a hold, if there is one.
    pub(super) fn release_hold(&mut self, now: Time) {
        let rotation = &mut self.active_mut().rotation;
        if !matches!(rotation.place, Place::Held { .. }) {
            return;
        }
        if let Place::Held { token, .. } = std::mem::replace(&mut rotation.place, Place::Away) {
            self.finish_visit(now, token, 0);
        }
    }

    pub(super) fn release_hold_for_work(&mut self, now: Time) {
        if !self.backlog.is_empty() {
            self.release_hold(now);
        }
    }

    /// Says so where there is work and the token may be held elsewhere.
    pub(super) fn wake_holder_for_work(&mut self, now: Time) {
        if !self.backlog.is_empty() && self.installed.ring.rotation.cancels == 0 {
            self.wake_holder(now);
        }
    }

    /// Says that there is work for an idle token; repeated by timer until the token comes. To all:
    /// the holder ends the hold, and whoever sent the token last repeats it sooner if it was lost.
    pub(super) fn wake_holder(&mut self, now: Time) {
        let ring = &mut self.installed.ring;
        let is_away = ring.rotation.idle && !matches!(ring.rotation.place, Place::Held { .. });
        if !matches!(self.phase, Phase::Operational) || !is_away {
            return;
        }
        ring.rotation.end_idleness(now + ring.rotation.patience(&self.params, 0, false));
        let (sender, ring) = (self.identity.member.id, ring.id());
        let cancel = crate::wire::hold_cancel::HoldCancel { sender, ring };
        self.outbox.push_back(Outgoing::HoldCancel(cancel));
        let rotation = &mut self.installed.ring.rotation;
        let patience = rotation.patience(&self.params, rotation.cancels, false);
        rotation.cancels += 1;
        rotation.cancel_at = Some(now + patience);
    }
}

/// The usual time of a rotation after one more. A long one counts as a little longer only, however
/// long it was: the token may have been lost in it, and its repeats must not become slower by that.
fn usual_after(usual: Option<Duration>, rotation: Duration) -> Duration {
    match usual {
        None => rotation,
        Some(usual) if rotation > usual => rotation.min(usual + usual / 8),
        Some(usual) => (usual * 7 + rotation) / 8,
    }
}

/// Nothing to repair, nothing to send, everything stable.
fn is_idle(token: &Token) -> bool {
    token.requests.is_empty() && token.backlog == 0 && token.least_aru() == token.seq
}
