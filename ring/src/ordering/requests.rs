//! Retransmission: who asks for what on the token, who answers, and how a packet that nobody
//! holds is found out.

use super::{Ordering, Outgoing, Phase};
use crate::free::{FreePacket, Known};
use crate::packet::Packet;
use crate::seq::Seq;
use crate::slots::Slot;
use crate::time::Time;
use crate::window::Window;
use crate::wire::data::Data;
use crate::wire::free::Free;
use crate::wire::token::{Request, Token, requests_max};

/// What is multicast for a request.
enum Held<'a> {
    Packet { packet: &'a Packet, recovered: bool },
    Free { number: u64, free: &'a FreePacket },
}

fn packet(window: &Window, seq: Seq, recovered: bool) -> Option<Held<'_>> {
    window.packet(seq).map(|packet| Held::Packet { packet, recovered })
}

impl Ordering {
    /// Takes my own requests off the token. One that comes back after a full rotation with `held`
    /// clear was held by nobody: an old packet asked for so is void for this attempt.
    pub(super) fn take_back_requests(&mut self, token: &mut Token) {
        let me = self.active().me;
        if let Phase::Recovering(recovery) = &mut self.phase {
            let unheld = |r: &&Request| usize::from(r.by) == me && !r.held;
            for request in token.requests.iter().filter(unheld) {
                let old = &self.installed.ring;
                self.counters.voids += recovery.mark_void(old, request.first, request.last());
            }
            self.acknowledge_if_complete();
        }
        token.requests.retain(|request| usize::from(request.by) != me);
    }

    /// Step 2: multicasts requested packets that I hold, at once, up to a cap; yields how many.
    /// What I do not answer is passed on, marked `held` where I hold it.
    pub(super) fn serve_requests(&mut self, token: &mut Token) -> u32 {
        // A request that finds no room is asked again by its owner, and never counts as returned.
        let limit = requests_max(token.promises.len());
        let mut passed_on = std::mem::take(&mut self.scratch.passed_on);
        self.scratch.served.clear();
        for request in &token.requests {
            let mut rest = Some(*request);
            while let Some(request) = rest {
                let room = self.retransmit_packets() as usize - self.scratch.served.len();
                let (run, held_here, after) = self.first_run(&request, room);
                rest = after;
                if held_here && run.skip == 0 && room > 0 {
                    self.serve(&run, token.hop);
                } else if passed_on.len() < limit {
                    let skip = if held_here { run.skip.saturating_sub(1) } else { run.skip };
                    passed_on.push(Request { skip, held: run.held || held_here, ..run });
                }
            }
        }
        std::mem::swap(&mut token.requests, &mut passed_on);
        passed_on.clear();
        self.scratch.passed_on = passed_on;
        u32::try_from(self.scratch.served.len()).unwrap_or(u32::MAX)
    }

    /// What all answer together should fit a receive buffer; the others' are taken to be like mine.
    fn retransmit_packets(&self) -> u32 {
        let members = u32::try_from(self.active().roster.len()).unwrap_or(u32::MAX);
        self.params.retransmit_packets.min((self.receive.packets() / members).max(2))
    }

    fn serve(&mut self, request: &Request, hop: u64) {
        let transmitter = self.identity.member.id;
        let mut seq = request.first;
        while seq <= request.last() {
            // Two members may miss the same packet: one multicast answers both.
            if !self.scratch.served.contains(&seq)
                && let Some(held) = self.held(seq)
            {
                let ring = self.active().id();
                let (frame, counter) = match held {
                    Held::Packet { packet, recovered } => {
                        let packet = packet.clone();
                        let data = Data { transmitter, ring, seq, hop, post_token: false, packet };
                        let counters = &mut self.counters;
                        let counter = if recovered {
                            &mut counters.packets_recovered
                        } else {
                            &mut counters.packets_retransmitted
                        };
                        (Outgoing::Data(data), counter)
                    }
                    Held::Free { number, free } => {
                        let free =
                            Free { transmitter, ring, slot: seq, number, free: free.clone() };
                        (Outgoing::Free(free), &mut self.counters.packets_recovered_free)
                    }
                };
                *counter += 1;
                self.outbox.push_back(frame);
                self.scratch.served.push(seq);
            }
            seq = seq.next();
        }
    }

    /// The packet at `seq` of the running ring, wherever it lives.
    fn held(&self, seq: Seq) -> Option<Held<'_>> {
        let installed = &self.installed.ring;
        let Phase::Recovering(recovery) = &self.phase else {
            return packet(&installed.window, seq, false);
        };
        match recovery.slots.resolve(seq) {
            Slot::Old(old) => packet(&installed.window, old, true),
            Slot::Free { place, number } => match installed.free.known(place, number) {
                Known::Held { free, .. } => Some(Held::Free { number, free }),
                // Its place on the old ring has a slot of its own.
                Known::Placed(_) | Known::Missing => None,
            },
            Slot::Foreign => None,
            Slot::New => packet(&recovery.ring.window, seq, false),
        }
    }

    /// Cuts off the longest start of a request that I hold, or do not hold, throughout; yields it,
    /// whether I hold it, and what is left. What I am to answer is no longer than there is `room`
    /// for.
    fn first_run(&self, request: &Request, room: usize) -> (Request, bool, Option<Request>) {
        let held_here = self.held(request.first).is_some();
        let answered = held_here && request.skip == 0 && room > 0;
        let longest = if answered { u16::try_from(room).unwrap_or(u16::MAX) } else { u16::MAX };
        let alike = |more: &u16| {
            let seq = request.first.plus(u64::from(*more));
            self.held(seq).is_some() == held_here
        };
        let most = request.count.min(longest);
        let count = (1..most).find(|more| !alike(more)).unwrap_or(most);
        let run = Request { count, ..*request };
        let first = request.first.plus(u64::from(count));
        let left = request.count - count;
        let rest = (left > 0).then_some(Request { first, count: left, ..*request });
        (run, held_here, rest)
    }

    /// Step 6: asks for what I miss and what cannot merely be late.
    pub(super) fn request_holes(&mut self, token: &mut Token) {
        let limit = requests_max(token.promises.len());
        let aru = self.promise().aru;
        let ring = self.active_mut();
        let rotation = &mut ring.rotation;
        rotation.asked = if rotation.asked_aru == Some(aru) { rotation.asked + 1 } else { 0 };
        let others = u32::try_from(ring.roster.len() - 1).unwrap_or(1).max(1);
        #[expect(clippy::cast_possible_truncation, reason = "members are at most 128")]
        let (skip, by) = ((rotation.asked % others) as u8, ring.me as u8);
        let asks = |(first, last): (Seq, Seq)| {
            let count = u16::try_from(last.since(first) + 1).unwrap_or(u16::MAX);
            Request { first, count, by, skip, held: false }
        };
        let before = token.requests.len();
        let room = limit.saturating_sub(before);
        let wanted = self.active().wanted(token.seq);
        match &self.phase {
            Phase::Recovering(recovery) => {
                let old = recovery.holes(&self.installed.ring);
                token.requests.extend(old.chain(wanted).take(room).map(asks));
            }
            _ => token.requests.extend(wanted.take(room).map(asks)),
        }
        let has_asked = token.requests.len() > before;
        self.active_mut().rotation.asked_aru = has_asked.then_some(aru);
    }

    /// Reports a member whose aru does not move while it has requests outstanding.
    pub(super) fn watch_receivers(&mut self, now: Time, token: &Token) {
        let patience = self.params.fail_to_receive;
        let ring = self.active_mut();
        let mut failing = None;
        for (index, promise) in token.promises.iter().enumerate() {
            let asks = token.requests.iter().any(|request| usize::from(request.by) == index);
            let moved = ring.rotation.seen.get(index).is_some_and(|seen| seen.aru < promise.aru);
            let stalled = &mut ring.rotation.stalled[index];
            match *stalled {
                _ if !asks || moved => *stalled = None,
                None => *stalled = Some(now),
                Some(since) if now.since(since) > patience => {
                    *stalled = Some(now);
                    failing = Some(ring.roster.members[index].id);
                }
                Some(_) => {}
            }
        }
        if let Some(member) = failing {
            let ring = ring.id();
            self.reports.push_back(crate::handoff::Report::FailedToReceive { ring, member });
        }
    }
}
