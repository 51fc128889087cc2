//! What is taken down between the ordered start and end markers.

use std::time::Duration;

use hdrhistogram::Histogram;
use roundel::{NodeId, Rotations};

use crate::counters::Counters;
use crate::figures::histogram;
use crate::order::chain;
use crate::payload::Load;
use crate::usage::{cpu_ns, now_ns};

/// One member's view of the messages between the markers.
#[derive(Debug)]
pub(crate) struct Measurement {
    me: NodeId,
    started_ns: u64,
    cpu_start_ns: u64,
    counters: Counters,
    delivered: u64,
    bytes: u64,
    digest: u64,
    senders: Vec<Sender>,
    /// Planned send to delivery: of own messages, and of all others.
    own: Histogram<u64>,
    others: Histogram<u64>,
    /// Planned send to real send, of own messages.
    lateness: Histogram<u64>,
}

/// A sender as its messages show it.
#[derive(Debug)]
struct Sender {
    id: NodeId,
    next: u64,
    delivered: u64,
}

/// A measurement that is over.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) span: Duration,
    pub(crate) cpu: Duration,
    pub(crate) delivered: u64,
    pub(crate) bytes: u64,
    pub(crate) digest: u64,
    /// Messages of each sender.
    pub(crate) senders: Vec<(NodeId, u64)>,
    pub(crate) own: Histogram<u64>,
    pub(crate) others: Histogram<u64>,
    pub(crate) lateness: Histogram<u64>,
    counters: [Counters; 2],
}

impl Measured {
    /// Takes the member's counters at the end.
    pub(crate) fn set_counters(&mut self, counters: Counters) {
        let [_, end] = &mut self.counters;
        *end = counters;
    }

    /// How long the token took around the ring.
    pub(crate) fn rotations(&self) -> Rotations {
        let [start, end] = &self.counters;
        end.rotations().since(start.rotations())
    }

    /// What a counter grew by.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let [start, end] = &self.counters;
        end.value(name).saturating_sub(start.value(name))
    }
}

impl Measurement {
    /// Begins at the start marker.
    pub(crate) fn start(me: NodeId) -> Self {
        Self {
            me,
            started_ns: now_ns(),
            cpu_start_ns: cpu_ns(),
            counters: Counters::default(),
            delivered: 0,
            bytes: 0,
            digest: 0,
            senders: Vec::new(),
            own: histogram(),
            others: histogram(),
            lateness: histogram(),
        }
    }

    /// Takes the next message, delivered at `now_ns`.
    ///
    /// # Errors
    /// That messages of its sender are missing or out of their order.
    pub(crate) fn message(
        &mut self,
        now_ns: u64,
        load: Load,
        payload: &[u8],
    ) -> Result<(), String> {
        self.delivered += 1;
        self.bytes += payload.len() as u64;
        self.digest = chain(self.digest, load, payload);
        let latency_ns = now_ns.saturating_sub(load.planned_ns);
        if load.sender == self.me {
            self.own.saturating_record(latency_ns);
            self.lateness.saturating_record(load.lateness_ns);
        } else {
            self.others.saturating_record(latency_ns);
        }
        let sender = self.sender(load);
        sender.delivered += 1;
        let expected = std::mem::replace(&mut sender.next, load.counter + 1);
        if load.counter == expected {
            return Ok(());
        }
        let Load { sender, counter, .. } = load;
        Err(format!("message {counter} of member {sender} came instead of its {expected}"))
    }

    /// Takes the member's counters at the start.
    pub(crate) fn set_counters(&mut self, counters: Counters) {
        self.counters = counters;
    }

    /// Ends at the end marker.
    pub(crate) fn end(self) -> Measured {
        let span = Duration::from_nanos(now_ns().saturating_sub(self.started_ns));
        Measured {
            span,
            cpu: Duration::from_nanos(cpu_ns().saturating_sub(self.cpu_start_ns)),
            delivered: self.delivered,
            bytes: self.bytes,
            digest: self.digest,
            senders: self.senders.iter().map(|sender| (sender.id, sender.delivered)).collect(),
            own: self.own,
            others: self.others,
            lateness: self.lateness,
            counters: [self.counters, Counters::default()],
        }
    }

    fn sender(&mut self, load: Load) -> &mut Sender {
        let known = self.senders.iter().position(|sender| sender.id == load.sender);
        let index = known.unwrap_or_else(|| {
            self.senders.push(Sender { id: load.sender, next: load.counter, delivered: 0 });
            self.senders.len() - 1
        });
        &mut self.senders[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_a_senders_messages_is_found() {
        let mut measurement = Measurement::start(NodeId(1));
        let load = Load { sender: NodeId(2), counter: 7, planned_ns: 0, lateness_ns: 0 };
        assert!(measurement.message(0, load, b"").is_ok());
        let wrong = measurement.message(0, Load { counter: 9, ..load }, b"").unwrap_err();
        assert!(wrong.contains("instead of its 8"), "{wrong}");
    }
}
