//! From the window to the delivery stream, and what the window gives back then.

use super::{Ordering, Phase};
use crate::configuration::ConfigurationKind;
use crate::delivery::{DeliveredPacket, Delivery};
use crate::handoff::Report;
use crate::packet::{Content, Packet};
use crate::seq::Seq;
use crate::service::{Channel, Service};
use crate::time::Time;
use crate::trace::{ContentHash, Event};

impl Ordering {
    /// Step 9: delivers in order what its service allows while the stream has room, then releases
    /// what everybody holds and nobody here needs. A stream that is not read keeps its slots, so
    /// the ceiling stays and the ring waits.
    pub(super) fn deliver(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Alone | Phase::Operational) {
            return;
        }
        while self.stream.len() < self.params.stream_packets {
            let at = self.installed.delivered.next();
            let ring = &self.installed.ring;
            let Some(packet) = ring.window.packet(at) else {
                break;
            };
            // Agreed: all predecessors delivered. Safe: and held by every member (EVS 7.1).
            if packet.class.service == Service::Safe && at > ring.stable {
                break;
            }
            if !ring.window.is_marked(at) {
                let packet = packet.clone();
                self.write_packet(now, Some(at), ConfigurationKind::Regular, packet);
            }
            self.installed.delivered = at;
        }
        self.deliver_early(now);
        self.deliver_free(now);
        let ring = &mut self.installed.ring;
        ring.window.release(ring.stable.min(self.installed.delivered));
    }

    /// A ring of one: what is numbered is held by everybody at once.
    pub(super) fn number_alone(&mut self, now: Time) {
        while !self.backlog.is_empty() {
            let window = &self.installed.ring.window;
            let seq = window.highest().next();
            if seq > window.ceiling() {
                return;
            }
            // Nobody to send it to.
            let _ = self.originate_packet(now, seq, 0);
            self.installed.ring.stable = seq;
            self.deliver(now);
        }
    }

    /// Writes one packet to the stream, with its place if it has one.
    pub(super) fn write_packet(
        &mut self,
        now: Time,
        seq: Option<Seq>,
        in_configuration: ConfigurationKind,
        packet: Packet,
    ) {
        let ring = &self.installed.ring;
        let incarnation = Self::incarnation_on(&ring.roster, packet.originator);
        let ring = ring.id();
        let delivered = DeliveredPacket { ring, seq, in_configuration, incarnation, packet };
        self.record_deliveries(now, &delivered);
        self.counters.packets_delivered += 1;
        if delivered.packet.class.channel == Channel::PRIMARY {
            self.show_word(now, delivered);
        } else {
            self.stream.push_back(Delivery::Packet(delivered));
        }
    }

    fn record_deliveries(&mut self, now: Time, delivered: &DeliveredPacket) {
        let Some(log) = &mut self.trace else { return };
        let packet = &delivered.packet;
        let event = |index, hash| Event::Deliver {
            message: delivered.message_id(index),
            ring: delivered.ring,
            in_configuration: delivered.in_configuration,
            ordinal: delivered.ordinal(index),
            service: packet.class.service,
            hash,
        };
        if let Content::Fragment(fragment) = packet.content {
            let place = self.installed.ring.roster.index_of(packet.originator);
            let Some(partial) = place.and_then(|index| log.partial.get_mut(index)) else {
                return;
            };
            if fragment.begins() {
                *partial = ContentHash::default();
            }
            partial.update(packet.piece());
            if fragment.completes() {
                let hash = partial.finish();
                self.record(now, event(0, hash));
            }
            return;
        }
        for (index, payload) in (0..).zip(packet.payloads()) {
            self.record(now, event(index, ContentHash::of(payload)));
        }
    }

    /// After a leave was asked for: everything accepted is held by all, and taken by the application
    /// here, with all that came before it.
    pub(super) fn report_drained(&mut self) {
        let Self { installed, phase, .. } = self;
        let runs = matches!(phase, Phase::Alone | Phase::Operational);
        let reached = installed.delivered.min(installed.ring.stable) >= installed.last_own;
        let left_behind = !self.has_work() && self.stream.is_empty();
        let done = self.backlog.is_closed() && left_behind && runs && reached;
        if done && !self.drained {
            self.drained = true;
            self.reports.push_back(Report::Drained);
        }
    }
}
