//! The data half's timers. A spurious timeout is harmless: each is judged against what is known
//! now.
//!
//! | timer | runs while | does |
//! |---|---|---|
//! | hold | this member holds an idle token | passes it on |
//! | retransmit | no sign that the successor got the token | sends it again |
//! | cancel | this member has work and the token may be held | says so again |
//! | loss | a token circulates | reports the token lost |

use super::ring::Place;
use super::{Ordering, Outgoing, Phase};
use crate::handoff::Report;
use crate::time::Time;

impl Ordering {
    /// When [`Ordering::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if !matches!(self.phase, Phase::Operational | Phase::Recovering(_)) {
            return None;
        }
        let rotation = &self.active().rotation;
        let place = match rotation.place {
            Place::Away => None,
            Place::Sent { retransmit_at, .. } => Some(retransmit_at),
            Place::Held { until, .. } => Some(until),
        };
        [place, rotation.cancel_at, Some(self.token_lost_at())].into_iter().flatten().min()
    }

    /// Acts on every timer that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Operational | Phase::Recovering(_)) {
            return;
        }
        if let Some(due) = self.poll_timeout().filter(|due| *due <= now) {
            self.pace.note_own(now, now.since(due), self.params.token_loss);
        }
        match self.active().rotation.place {
            Place::Held { until, .. } if until <= now => self.release_hold(now),
            Place::Sent { retransmit_at, .. } if retransmit_at <= now => self.retransmit(now),
            _ => {}
        }
        if self.active().rotation.cancel_at.is_some_and(|at| at <= now) {
            self.active_mut().rotation.cancel_at = None;
            if self.has_work() {
                self.wake_holder(now);
            }
        }
        if self.token_lost_at() <= now {
            // Said once per period: control may be busy with something that makes it moot.
            self.active_mut().rotation.heard_at = now;
            let ring = self.active().id();
            let said = |report: &Report| matches!(report, Report::TokenLost { .. });
            if !self.reports.iter().any(said) {
                self.reports.push_back(Report::TokenLost { ring });
            }
        }
    }

    fn token_lost_at(&self) -> Time {
        self.active().rotation.heard_at + self.pace.stretch(self.params.token_loss)
    }

    /// Sends the token again, and more patiently from then on.
    pub(super) fn retransmit(&mut self, now: Time) {
        let ring = self.active();
        let Place::Sent { retransmits, .. } = ring.rotation.place else { return };
        let retransmits = retransmits + 1;
        let patience = ring.rotation.patience(&self.params, retransmits, ring.rotation.idle);
        let successor = ring.roster.successor(ring.me).endpoint;
        let retransmit_at = now + patience;
        self.active_mut().rotation.place = Place::Sent { sent_at: now, retransmit_at, retransmits };
        self.counters.token_retransmits += 1;
        self.outbox.push_back(Outgoing::Token(successor));
    }
}
