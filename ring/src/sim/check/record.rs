//! Reads the histories into the model: one walk over every life, then the tables by message and
//! by ring.

use std::collections::BTreeMap;

use crate::configuration::{Configuration, ConfigurationKind};
use crate::id::{MessageId, RingId};
use crate::service::Service;
use crate::trace::{Event, History};

use super::model::{
    Confirmation, Delivery, Life, Message, Model, NEVER, Ring, Segment, Send, Stay, StayEnd,
    Submit, narrow,
};

impl<'h> Model<'h> {
    /// Reads `histories`, given in any order.
    pub(super) fn new(histories: &'h [History]) -> Self {
        let mut sorted: Vec<&History> = histories.iter().collect();
        sorted.sort_by_key(|history| (history.node, history.incarnation));
        let mut model = Self::with_names(&sorted);
        let mut recorder = Recorder {
            model: &mut model,
            configurations: BTreeMap::new(),
            segment: None,
            stay: None,
        };
        for (i, history) in sorted.iter().enumerate() {
            let followed = sorted.get(i + 1).is_some_and(|h| h.node == history.node);
            recorder.life(history, followed);
        }
        model.configuration_count = recorder.configurations.len();
        model.index_deliveries();
        model.place_messages();
        model.fill_rings();
        model
    }

    /// A model with every ring and message that the histories name, and no events.
    fn with_names(histories: &[&History]) -> Self {
        let mut rings = Vec::new();
        let mut messages = Vec::new();
        for entry in histories.iter().flat_map(|history| &history.entries) {
            match &entry.event {
                Event::Configuration(c) => rings.extend([Some(c.ring), c.previous]),
                Event::Primary { ring } => rings.push(Some(*ring)),
                Event::Submit { message } => messages.push(*message),
                Event::Send { message, ring, .. } | Event::Deliver { message, ring, .. } => {
                    messages.push(*message);
                    // Runs of one ring are long; this keeps the list to sort short.
                    if rings.last() != Some(&Some(*ring)) {
                        rings.push(Some(*ring));
                    }
                }
                Event::Fail => {}
            }
        }
        rings.sort_unstable();
        rings.dedup();
        messages.sort_unstable();
        messages.dedup();
        Self {
            lives: Vec::new(),
            segments: Vec::new(),
            stays: Vec::new(),
            sends: Vec::new(),
            deliveries: Vec::new(),
            submits: Vec::new(),
            confirmations: Vec::new(),
            messages: messages.into_iter().map(unseen_message).collect(),
            rings: rings.into_iter().flatten().map(unseen_ring).collect(),
            configuration_count: 0,
            delivered: Vec::new(),
            event_count: 0,
        }
    }

    fn ring(&self, id: RingId) -> usize {
        self.rings.partition_point(|ring| ring.id < id)
    }

    fn message(&self, id: MessageId) -> usize {
        self.messages.partition_point(|message| message.id < id)
    }

    /// Sorts the deliveries by message, keeping the order of lives within one.
    fn index_deliveries(&mut self) {
        let mut counts = vec![0_usize; self.messages.len()];
        for delivery in &self.deliveries {
            counts[delivery.message] += 1;
        }
        let mut next = 0;
        for (message, count) in self.messages.iter_mut().zip(counts) {
            message.deliveries = next..next;
            next += count;
        }
        self.delivered = vec![0; next];
        for (i, delivery) in self.deliveries.iter().enumerate() {
            let range = &mut self.messages[delivery.message].deliveries;
            self.delivered[range.end] = i;
            range.end += 1;
        }
    }

    /// Gives every message its service, ring and column.
    fn place_messages(&mut self) {
        for (i, message) in self.messages.iter_mut().enumerate() {
            let first = self.delivered[message.deliveries.clone()].first();
            let (service, ring) = match (message.send, first) {
                (Some(send), _) => (self.sends[send].service, self.sends[send].ring),
                (None, Some(&first)) => {
                    (self.deliveries[first].service, self.deliveries[first].ring)
                }
                (None, None) => continue,
            };
            let columns = &mut self.rings[ring].messages;
            message.service = service;
            message.place = Some((ring, columns.len()));
            columns.push(i);
        }
    }

    /// Fills the delivery tables of the rings. A message delivered on another ring than its own
    /// is left out: EVS 1.3 judges it.
    fn fill_rings(&mut self) {
        for (i, stay) in self.stays.iter().enumerate() {
            self.rings[stay.ring].stays.push(i);
        }
        for confirmation in &self.confirmations {
            self.rings[confirmation.ring].primary = true;
        }
        for (r, ring) in self.rings.iter_mut().enumerate() {
            let width = ring.messages.len();
            ring.positions = vec![NEVER; width * ring.stays.len()];
            for (row, &stay) in ring.stays.iter().enumerate() {
                for delivery in &self.deliveries[self.stays[stay].deliveries.clone()] {
                    let column = match self.messages[delivery.message].place {
                        Some((home, column)) if home == r => column,
                        _ => continue,
                    };
                    let cell = &mut ring.positions[row * width + column];
                    *cell = (*cell).min(narrow(delivery.position));
                }
            }
        }
    }
}

const fn unseen_message(id: MessageId) -> Message {
    Message { id, send: None, service: Service::Reliable, place: None, deliveries: 0..0 }
}

const fn unseen_ring(id: RingId) -> Ring<'static> {
    Ring {
        id,
        members: &[],
        stays: Vec::new(),
        messages: Vec::new(),
        primary: false,
        positions: Vec::new(),
    }
}

/// Walks the lives one after the other.
struct Recorder<'m, 'h> {
    model: &'m mut Model<'h>,
    /// Configurations by identity: (ring closed, for a transitional one; ring).
    configurations: BTreeMap<(Option<usize>, usize), usize>,
    /// In force in the life being walked.
    segment: Option<usize>,
    stay: Option<usize>,
}

impl<'h> Recorder<'_, 'h> {
    fn life(&mut self, history: &'h History, followed: bool) {
        self.segment = None;
        self.stay = None;
        let model = &mut *self.model;
        let life = model.lives.len();
        let stopped = |entry: &crate::trace::Entry| entry.event == Event::Fail;
        model.lives.push(Life {
            node: history.node,
            incarnation: history.incarnation,
            entries: &history.entries,
            failed: followed || history.entries.iter().any(stopped),
            first_event: model.event_count,
            segments: model.segments.len()..model.segments.len(),
            stays: model.stays.len()..model.stays.len(),
            sends: model.sends.len()..model.sends.len(),
            deliveries: model.deliveries.len()..model.deliveries.len(),
            submits: model.submits.len()..model.submits.len(),
        });
        model.event_count += history.entries.len();
        for (position, entry) in history.entries.iter().enumerate() {
            self.event(life, position, &entry.event);
        }
        let end = if self.model.lives[life].failed { StayEnd::Failed } else { StayEnd::Open };
        self.close_segment();
        self.close_stay(end);
        let model = &mut *self.model;
        let record = &mut model.lives[life];
        record.segments.end = model.segments.len();
        record.stays.end = model.stays.len();
        record.sends.end = model.sends.len();
        record.deliveries.end = model.deliveries.len();
        record.submits.end = model.submits.len();
    }

    fn event(&mut self, life: usize, position: usize, event: &'h Event) {
        match event {
            Event::Configuration(configuration) => self.install(life, position, configuration),
            Event::Primary { ring } => {
                let ring = self.model.ring(*ring);
                let segment = self.segment;
                self.model.confirmations.push(Confirmation { life, segment, ring });
            }
            Event::Submit { message } => {
                let message = self.model.message(*message);
                self.model.submits.push(Submit { position, message });
            }
            Event::Send { message, ring, service, hash } => self.send(Send {
                life,
                position,
                segment: self.segment,
                message: self.model.message(*message),
                ring: self.model.ring(*ring),
                service: *service,
                hash: *hash,
            }),
            Event::Deliver { message, ring, in_configuration, ordinal, service, hash } => {
                self.model.deliveries.push(Delivery {
                    life,
                    position,
                    segment: self.segment,
                    message: self.model.message(*message),
                    ring: self.model.ring(*ring),
                    kind: *in_configuration,
                    ordinal: *ordinal,
                    service: *service,
                    hash: *hash,
                });
            }
            Event::Fail => {}
        }
    }

    fn send(&mut self, send: Send) {
        let first = &mut self.model.messages[send.message].send;
        first.get_or_insert(self.model.sends.len());
        self.model.sends.push(send);
    }

    fn install(&mut self, life: usize, position: usize, installed: &'h Configuration) {
        self.close_segment();
        let ring = self.model.ring(installed.ring);
        let previous = installed.previous.map(|id| self.model.ring(id));
        let segment = self.model.segments.len();
        let (closed, members) = match installed.kind {
            ConfigurationKind::Regular => (None, &installed.members),
            ConfigurationKind::Transitional => (Some(previous.unwrap_or(ring)), &installed.members),
        };
        match installed.kind {
            ConfigurationKind::Regular => {
                self.close_stay(StayEnd::Left { next: ring });
                self.open_stay(life, ring, segment);
                let first = &mut self.model.rings[ring].members;
                if first.is_empty() {
                    *first = members;
                }
            }
            ConfigurationKind::Transitional => self.signal(position, segment),
        }
        let unnamed = self.configurations.len();
        let configuration = *self.configurations.entry((closed, ring)).or_insert(unnamed);
        let first_delivery = self.model.deliveries.len();
        self.model.segments.push(Segment {
            life,
            position,
            kind: installed.kind,
            ring,
            previous,
            members,
            eligible: installed.eligible,
            configuration,
            stay: self.stay,
            deliveries: first_delivery..first_delivery,
        });
        self.segment = Some(segment);
    }

    fn open_stay(&mut self, life: usize, ring: usize, regular: usize) {
        let model = &mut *self.model;
        self.stay = Some(model.stays.len());
        model.stays.push(Stay {
            life,
            ring,
            regular,
            transitional: None,
            signal: NEVER,
            end: StayEnd::Open,
            sends: model.sends.len()..model.sends.len(),
            deliveries: model.deliveries.len()..model.deliveries.len(),
        });
    }

    fn signal(&mut self, position: usize, segment: usize) {
        if let Some(stay) = self.stay {
            let stay = &mut self.model.stays[stay];
            if stay.transitional.is_none() {
                stay.transitional = Some(segment);
                stay.signal = narrow(position);
            }
        }
    }

    fn close_segment(&mut self) {
        if let Some(segment) = self.segment {
            self.model.segments[segment].deliveries.end = self.model.deliveries.len();
        }
    }

    fn close_stay(&mut self, end: StayEnd) {
        if let Some(stay) = self.stay {
            let stay = &mut self.model.stays[stay];
            stay.end = end;
            stay.sends.end = self.model.sends.len();
            stay.deliveries.end = self.model.deliveries.len();
        }
    }
}
