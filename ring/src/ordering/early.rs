//! Delivery before holes: reliable, fifo and causal packets wait for what they name and no more
//! (`PROTOCOL.md`, services). Causality passes through causal, agreed and safe messages.

use super::{Installed, Ordering};
use crate::configuration::ConfigurationKind;
use crate::packet::{Packet, Waits};
use crate::seq::Seq;
use crate::service::Service;
use crate::time::Time;

impl Installed {
    /// Whether the packet at `at` may be delivered although packets before it are not.
    pub(super) fn may_overtake(&self, at: Seq, packet: &Packet) -> bool {
        let follows = self.is_delivered_back(at, packet.waits.sender);
        match packet.class.service {
            Service::Agreed | Service::Safe => false,
            Service::Reliable | Service::Fifo => follows,
            Service::Causal => follows && self.is_all_delivered_back(at, packet.waits.past),
        }
    }

    /// Whether the packet so far back from `at` is delivered here, or there is none.
    pub(super) fn is_delivered_back(&self, at: Seq, distance: u16) -> bool {
        let place = Seq(at.0.saturating_sub(distance.into()));
        let named = (1..u16::MAX).contains(&distance) && self.ring.window.is_marked(place);
        named || self.is_all_delivered_back(at, distance)
    }

    /// Whether everything so far back from `at`, or further, is delivered here.
    fn is_all_delivered_back(&self, at: Seq, distance: u16) -> bool {
        distance == 0 || at.0.saturating_sub(distance.into()) <= self.delivered.0
    }

    /// What the next packet of mine, at `at`, waits for elsewhere: what I gave a number and had
    /// delivered before.
    pub(super) fn waits(&self, at: Seq, packet: &Packet) -> Waits {
        let start = self.ring.start;
        let sender = Waits::distance(at, self.last_in_order, start);
        let past = Waits::distance(at, self.delivered.max(self.last_causal), start);
        match packet.class.service {
            Service::Reliable if !packet.keeps_order() => Waits::default(),
            Service::Reliable | Service::Fifo => Waits { sender, past: 0 },
            Service::Causal => Waits { sender, past },
            Service::Agreed | Service::Safe => Waits::default(),
        }
    }
}

impl Ordering {
    /// A packet was stored: it may have to be looked at although it lies behind a hole.
    pub(super) fn note_overtaking(&mut self, at: Seq, service: Service) {
        if !service.is_totally_ordered() && at > self.installed.delivered {
            let first = &mut self.installed.overtaking;
            *first = Some(first.map_or(at, |first| first.min(at)));
        }
    }

    /// Delivers what may overtake while the stream has room.
    pub(super) fn deliver_early(&mut self, now: Time) {
        let Some(first) = self.installed.overtaking.take() else { return };
        let mut at = first.max(self.installed.delivered.next());
        while at <= self.installed.ring.window.highest() {
            if self.stream.len() >= self.params.stream_packets {
                self.installed.overtaking.get_or_insert(at);
                return;
            }
            self.overtake(now, at);
            at = at.next();
        }
    }

    /// EVS step 6.b, for what is not in the total order: everything that may overtake, so that
    /// whoever goes on together has delivered the same in the regular configuration (EVS 4).
    pub(super) fn deliver_all_early(&mut self, now: Time, high: Seq) {
        let mut at = self.installed.delivered.next();
        while at <= high {
            self.overtake(now, at);
            at = at.next();
        }
    }

    fn overtake(&mut self, now: Time, at: Seq) {
        let window = &self.installed.ring.window;
        let Some(packet) = window.packet(at).filter(|_| !window.is_marked(at)) else { return };
        if packet.class.service.is_totally_ordered() {
            return;
        }
        if self.installed.may_overtake(at, packet) {
            let packet = packet.clone();
            if packet.class.service == Service::Causal {
                self.installed.last_causal = self.installed.last_causal.max(at);
            }
            self.installed.ring.window.mark(at);
            self.counters.packets_overtaken += 1;
            self.write_packet(now, Some(at), ConfigurationKind::Regular, packet);
        } else {
            self.installed.overtaking.get_or_insert(at);
        }
    }
}
