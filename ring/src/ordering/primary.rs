//! The primary component's place in the data path: behind the order, in front of the application.

use super::Ordering;
use crate::configuration::Configuration;
use crate::delivery::{Assembler, DeliveredPacket, Delivery};
use crate::handoff::Report;
use crate::id::NodeId;
use crate::primary::Primary;
use crate::roster::MemberMask;
use crate::time::Time;
use crate::trace::Event;

/// The machine, and what makes whole messages for it.
#[derive(Clone, Hash, Debug)]
pub(super) struct Seat {
    pub(super) machine: Primary,
    assembler: Assembler,
}

impl Ordering {
    /// Gives a member that has just started its primary component's machine.
    pub fn set_primary(&mut self, now: Time, machine: Primary) {
        let assembler = Assembler::new(self.params.message_bytes);
        self.primary = Some(Box::new(Seat { machine, assembler }));
        // The first configuration is in force, and nobody has seen it.
        self.stream.clear();
        if let Some(log) = &mut self.trace {
            log.entries.clear();
        }
        let kind = crate::configuration::ConfigurationKind::Regular;
        self.write_configuration(now, kind, None, MemberMask(1));
    }

    /// The primary component's machine, if a policy is set.
    #[must_use]
    pub fn primary(&self) -> Option<&Primary> {
        self.primary.as_ref().map(|seat| &seat.machine)
    }

    /// The disk has made the primary component's record of this number durable.
    pub(super) fn handle_stored(&mut self, number: u64) {
        if let Some(seat) = &mut self.primary {
            seat.machine.handle_written(number);
        }
    }

    pub(super) fn is_primary_at_rest(&self) -> bool {
        self.primary.as_ref().is_none_or(|seat| seat.machine.is_at_rest())
    }

    /// Whether the policy admits a regular configuration.
    pub(super) fn eligible(&self, members: &[NodeId]) -> Option<bool> {
        self.primary.as_ref().and_then(|seat| seat.machine.eligible(members))
    }

    /// A configuration was written to the stream.
    pub(super) fn show_primary(&mut self, configuration: &Configuration) {
        if let Some(seat) = &mut self.primary {
            seat.machine.handle_configuration(configuration);
            seat.assembler.handle(&Delivery::Configuration(configuration.clone()), |_| {});
        }
    }

    /// A packet of the primary component's channel, which goes no further.
    pub(super) fn show_word(&mut self, now: Time, delivered: DeliveredPacket) {
        if delivered.packet.originator == self.identity.member.id {
            self.own_delivered += u64::from(delivered.packet.messages_completed());
        }
        let Some(Seat { machine, assembler }) = self.primary.as_deref_mut() else { return };
        let mut confirmed = None;
        assembler.handle(&Delivery::Packet(delivered), |message| {
            machine.handle_message(&message);
            confirmed = machine.poll_confirmed().or(confirmed);
        });
        if let Some(ring) = confirmed {
            self.record(now, Event::Primary { ring });
            self.stream.push_back(Delivery::Primary { ring });
        }
    }

    /// Has ordered what the machine wants to say, and its record written. A member that leaves says
    /// nothing more: its configuration ends soon. Yields whether there was something to say.
    pub(super) fn serve_primary(&mut self, now: Time) -> bool {
        let mut has_said = false;
        while self.backlog.has_room(&self.params) {
            let seat = self.primary.as_mut();
            let Some(publication) = seat.and_then(|seat| seat.machine.poll_publish()) else {
                break;
            };
            has_said |= self.submit(now, publication.class, publication.payload).is_ok();
        }
        let write = self.primary.as_mut().and_then(|seat| seat.machine.poll_write());
        if let Some(write) = write {
            self.reports.push_back(Report::Store { number: write.number, record: write.record });
        }
        has_said
    }
}
