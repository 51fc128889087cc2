//! Installing a recovered ring: EVS step 6, as one decision without communication.

use std::sync::Arc;

use super::{Installed, Ordering, Phase};
use crate::configuration::{Configuration, ConfigurationKind};
use crate::handoff::Report;
use crate::packet::Packet;
use crate::roster::MemberMask;
use crate::seq::Seq;
use crate::service::Service;
use crate::time::Time;

impl Ordering {
    /// Delivers what is left of the installed ring, then its transitional configuration, then what
    /// that allows, then the adopted ring's regular configuration.
    pub(super) fn install(&mut self, now: Time) {
        let after = Phase::Operational;
        let Phase::Recovering(mut recovery) = std::mem::replace(&mut self.phase, after) else {
            return;
        };
        if recovery.ring.roster.len() == 1 {
            self.phase = Phase::Alone;
        }
        // Step 6.b: in order, up to the first packet nobody in T holds, or the first safe one not
        // known to be held by every member of the old ring.
        let high = recovery.slots.high();
        let mut at = self.installed.delivered.next();
        while at <= high {
            let Some(packet) = self.installed.ring.window.packet(at) else {
                break;
            };
            if packet.class.service == Service::Safe && at > recovery.stable {
                break;
            }
            self.deliver_old(now, at, ConfigurationKind::Regular);
            self.installed.delivered = at;
            at = at.next();
        }
        self.deliver_all_early(now, high);
        self.deliver_all_free(now, ConfigurationKind::Regular);
        // Step 6.c.
        self.write(
            now,
            Configuration {
                kind: ConfigurationKind::Transitional,
                ring: recovery.ring.id(),
                previous: Some(self.installed.ring.id()),
                members: Arc::clone(&recovery.transitional_ids),
                eligible: None,
            },
        );
        let delivered = self.deliver_rest(now, at, high);
        self.deliver_all_free(now, ConfigurationKind::Transitional);
        self.counters.packets_discarded += u64::from(self.installed.ring.free.waiting());
        if delivered > 0 && recovery.transitional.len() > 1 {
            self.counters.shared_transitionals += 1;
        }
        // Step 6.e: obligations end with the configuration they belong to.
        std::mem::swap(&mut self.installed.ring, &mut recovery.ring);
        let previous = recovery.ring.id();
        self.installed.delivered = recovery.slots.install_point;
        (self.installed.last_own, self.installed.last_in_order) = (Seq::ZERO, Seq::ZERO);
        // Others may have numbered packets already, which came with holes between them.
        let first = recovery.slots.install_point.next();
        (self.installed.last_causal, self.installed.overtaking) = (Seq::ZERO, Some(first));
        self.installed.obligations = MemberMask::default();
        let everyone = self.installed.ring.roster.everyone();
        self.write_configuration(now, ConfigurationKind::Regular, Some(previous), everyone);
        self.backlog.restart_fragmented();
        self.counters.installed += 1;
        self.reports.push_back(Report::Installed { ring: self.installed.ring.id() });
        self.reports.push_back(Report::Retired(recovery));
    }

    /// Steps 6.a and 6.d: the rest in order. What follows a packet that nobody holds may depend on
    /// it, so it is discarded, unless its sender is in the obligation set: all such a sender's
    /// past is held here. What is not in the total order depends on what it names and no more.
    /// Yields the number of packets delivered.
    fn deliver_rest(&mut self, now: Time, from: Seq, high: Seq) -> u64 {
        let obligations = self.installed.obligations;
        let mut behind_hole = false;
        let mut delivered = 0;
        let mut at = from;
        while at <= high {
            let Installed { ring, .. } = &self.installed;
            match ring.window.packet(at) {
                None => behind_hole = true,
                Some(_) if ring.window.is_marked(at) => {}
                Some(packet)
                    if behind_hole
                        && !self.is_obliged(packet, obligations)
                        && !self.installed.may_overtake(at, packet) =>
                {
                    self.counters.packets_discarded += 1;
                }
                Some(_) => {
                    self.deliver_old(now, at, ConfigurationKind::Transitional);
                    self.installed.ring.window.mark(at);
                    delivered += 1;
                }
            }
            if !behind_hole {
                self.installed.delivered = at;
            }
            at = at.next();
        }
        delivered
    }

    fn is_obliged(&self, packet: &Packet, obligations: MemberMask) -> bool {
        let place = self.installed.ring.roster.index_of(packet.originator);
        place.is_some_and(|index| obligations.contains(index))
    }

    fn deliver_old(&mut self, now: Time, seq: Seq, kind: ConfigurationKind) {
        let window = &self.installed.ring.window;
        if let Some(packet) = window.packet(seq).filter(|_| !window.is_marked(seq)).cloned() {
            self.write_packet(now, Some(seq), kind, packet);
        }
    }
}
