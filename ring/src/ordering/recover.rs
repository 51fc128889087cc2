//! From a frozen ring to the next: freeze, adopt, acknowledge, originate.

use super::ring::{Place, Recovery, Ring};
use super::{Ordering, Phase};
use crate::handoff::Report;
use crate::id::RingId;
use crate::seq::Seq;
use crate::time::Time;
use crate::wire::token::{Promise, Token};

impl Ordering {
    /// Stops. What was recovered so far stays, the obligations stay; voids are forgotten with the
    /// attempt (EVS step 6: a failure restarts the algorithm at step 2).
    pub(super) fn freeze(&mut self, asked: RingId) {
        if let Phase::Recovering(recovery) = std::mem::replace(&mut self.phase, Phase::Frozen) {
            self.counters.recoveries_cut_short += 1;
            self.reports.push_back(Report::Retired(recovery));
        }
        if let Some(recovery) = self.waiting.take() {
            self.reports.push_back(Report::Retired(recovery));
        }
        self.outbox.clear();
        self.installed.ring.rotation.place = Place::Away;
        self.reports.push_back(Report::Frozen(self.frozen_report(asked)));
    }

    /// EVS steps 4 and 5: from here on the new ring's token finds this member ready.
    pub(super) fn adopt(&mut self, now: Time, mut recovery: Box<Recovery>) {
        let ring = recovery.ring.id();
        if !matches!(self.phase, Phase::Frozen) {
            debug_assert!(false, "control adopts a ring only after a freeze");
            self.reports.push_back(Report::Retired(recovery));
            return;
        }
        if !self.installed.obligations.is_empty() {
            self.counters.obliged_recoveries += 1;
        }
        recovery.ring.rotation.begin(now);
        if recovery.transitional.len() == 1 {
            // Nobody else comes from my ring: what I miss of it, nobody in T holds.
            let (old, last) = (&self.installed.ring, recovery.slots.install_point);
            self.counters.voids += recovery.mark_void(old, Seq(1), last);
        }
        self.phase = Phase::Recovering(recovery);
        // The others count on a member that misses nothing as soon as its commit token leaves, so
        // its obligations come before the answer.
        self.acknowledge_if_complete();
        self.reports.push_back(Report::Adopted { ring });
    }

    /// EVS step 5.c: when no slot of mine is missing, T and its obligation sets join mine, and
    /// only then my aru may say so. Later breaks EVS 7.1, earlier breaks EVS 5.
    pub(super) fn acknowledge_if_complete(&mut self) {
        let Phase::Recovering(recovery) = &mut self.phase else {
            return;
        };
        if recovery.advance(&self.installed.ring) && !recovery.acknowledged {
            let taken_on = recovery.transitional.union(recovery.obligations);
            self.installed.obligations = self.installed.obligations.union(taken_on);
            recovery.acknowledged = true;
        }
    }

    /// Makes the adopted ring's first token, at most once per ring id.
    pub(super) fn originate(&mut self, now: Time, ring: RingId) {
        let Phase::Recovering(recovery) = &mut self.phase else {
            return;
        };
        if recovery.ring.id() != ring || recovery.originated {
            return;
        }
        recovery.originated = true;
        let token = first_token(&recovery.ring, recovery);
        self.reports.push_back(Report::Originated { ring });
        if token.promises.len() == 1 {
            self.install(now);
        } else {
            self.visit(now, token);
        }
    }

    /// The last slot of everybody is accounted for: the ring can be installed.
    pub(super) fn everybody_recovered(&self, token: &Token) -> bool {
        match &self.phase {
            Phase::Recovering(recovery) => token.least_aru() >= recovery.slots.install_point,
            Phase::Alone | Phase::Operational | Phase::Frozen => false,
        }
    }
}

/// Everybody has adopted the ring by now, and a member that misses nothing has taken its
/// obligations on, so its aru starts at the install point; the others write their own.
fn first_token(ring: &Ring, recovery: &Recovery) -> Token {
    let start = recovery.slots.install_point;
    let promise = |index| {
        let aru = if recovery.complete.contains(index) { start } else { Seq::ZERO };
        Promise { aru, ceiling: start }
    };
    let mut token = Token::with_capacity();
    token.ring = ring.id();
    token.seq = start;
    token.promises.extend((0..ring.roster.len()).map(promise));
    token
}
