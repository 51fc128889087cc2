//! What is taken down between the ordered start and end markers.

use std::time::Duration;

use hdrhistogram::Histogram;
use roundel::{NodeId, Ordinal, Rotations, Service};

use super::tally::Tally;
use crate::counters::Counters;
use crate::figures::Recorder;
use crate::pace::{first_at, planned};
use crate::payload::Load;
use crate::usage::{cpu_ns, now_ns};

/// What is taken down beside the latency of own messages, because it will be told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Extras {
    /// The latency of the messages of others, whose clock is this one.
    pub(crate) others: bool,
    /// Planned send to real send, where sends are planned.
    pub(crate) lateness: bool,
}

/// One member's view of the messages between the markers.
#[derive(Debug)]
pub(crate) struct Measurement {
    me: NodeId,
    started_ns: u64,
    cpu_start_ns: u64,
    counters: Counters,
    tally: Tally,
    /// Messages of one sender come in its order.
    keeps_order: bool,
    senders: Vec<Heard>,
    /// Planned send to delivery: of own messages, and of all others.
    own: Recorder,
    others: Option<Recorder>,
    /// Real send to delivery, of all others.
    transit: Option<Recorder>,
    /// Planned send to real send, of own messages.
    lateness: Option<Recorder>,
}

/// A sender as its messages show it.
#[derive(Debug)]
struct Heard {
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
    /// Of services whose messages have places.
    pub(crate) digest: Option<u64>,
    /// Messages of each sender.
    pub(crate) senders: Vec<(NodeId, u64)>,
    pub(crate) own: Histogram<u64>,
    /// Of [`Extras`], what was asked for.
    pub(crate) others: Option<Histogram<u64>>,
    /// With that of the others.
    pub(crate) transit: Option<Histogram<u64>>,
    pub(crate) lateness: Option<Histogram<u64>>,
    /// Where it began and ended, on the clock of [`now_ns`].
    bounds_ns: [u64; 2],
    /// The own message that would have come next, if any came.
    next_own: Option<u64>,
    counters: [Counters; 2],
}

/// What this member was to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pledge {
    /// Where its plan began, on the clock of [`now_ns`].
    pub(crate) begun_ns: u64,
    /// Messages a second.
    pub(crate) rate: u64,
    /// Messages that were sent, or at least handed over.
    pub(crate) sent: u64,
}

impl Measured {
    /// Takes in the own messages that were planned before the end and had not come by then. How
    /// long they took, and how late those were sent that were not sent at all, was at least the
    /// time until the end; without them a stall there would be missing.
    pub(crate) fn complete(&mut self, pledge: Pledge) {
        let Pledge { begun_ns, rate, sent } = pledge;
        let [started_ns, ended_ns] = self.bounds_ns;
        let first = || first_at(started_ns.saturating_sub(begun_ns), rate);
        for number in self.next_own.unwrap_or_else(first).. {
            let planned_ns = begun_ns + planned(number, rate);
            if planned_ns >= ended_ns {
                return;
            }
            self.own.saturating_record(ended_ns - planned_ns);
            if let Some(lateness) = self.lateness.as_mut().filter(|_| number >= sent) {
                lateness.saturating_record(ended_ns - planned_ns);
            }
        }
    }

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
    /// Begins at the start marker, with what was tallied behind it already.
    pub(crate) fn start(me: NodeId, tally: Tally, extras: Extras) -> Self {
        Self {
            me,
            counters: Counters::default(),
            keeps_order: tally.service() != Service::Reliable,
            tally,
            senders: Vec::new(),
            own: Recorder::new(),
            others: extras.others.then(Recorder::new),
            transit: extras.others.then(Recorder::new),
            lateness: extras.lateness.then(Recorder::new),
            // Last: what it takes to make the others is not measured.
            started_ns: now_ns(),
            cpu_start_ns: cpu_ns(),
        }
    }

    /// Takes the next message, delivered at `now_ns`.
    ///
    /// # Errors
    /// That messages of its sender are missing or out of their order.
    pub(crate) fn message(
        &mut self,
        now_ns: u64,
        at: Option<Ordinal>,
        load: Load,
        payload: &[u8],
    ) -> Result<(), String> {
        self.tally.add(at, load, payload);
        let latency_ns = now_ns.saturating_sub(load.planned_ns);
        if load.sender == self.me {
            self.own.record(latency_ns);
            if let Some(lateness) = &mut self.lateness {
                lateness.record(load.lateness_ns);
            }
        } else if let Some(others) = &mut self.others {
            others.record(latency_ns);
            if let Some(transit) = &mut self.transit {
                transit.record(latency_ns.saturating_sub(load.lateness_ns));
            }
        }
        let keeps_order = self.keeps_order;
        let sender = self.sender(load);
        sender.delivered += 1;
        let next = if keeps_order { load.counter + 1 } else { sender.next.max(load.counter + 1) };
        let expected = std::mem::replace(&mut sender.next, next);
        if load.counter == expected || !keeps_order {
            return Ok(());
        }
        let Load { sender, counter, .. } = load;
        Err(format!("message {counter} of member {sender} came instead of its {expected}"))
    }

    /// Takes the member's counters at the start.
    pub(crate) fn set_counters(&mut self, counters: Counters) {
        self.counters = counters;
    }

    /// Ends at the end marker, which has this place.
    pub(crate) fn end(mut self, marker: Ordinal) -> Measured {
        let ended_ns = now_ns();
        self.tally.end(marker);
        let own = self.senders.iter().find(|sender| sender.id == self.me);
        Measured {
            span: Duration::from_nanos(ended_ns.saturating_sub(self.started_ns)),
            bounds_ns: [self.started_ns, ended_ns],
            next_own: own.map(|own| own.next),
            cpu: Duration::from_nanos(cpu_ns().saturating_sub(self.cpu_start_ns)),
            delivered: self.tally.messages,
            bytes: self.tally.bytes,
            digest: self.tally.digest,
            senders: self.senders.iter().map(|sender| (sender.id, sender.delivered)).collect(),
            own: self.own.into_histogram(),
            others: self.others.map(Recorder::into_histogram),
            transit: self.transit.map(Recorder::into_histogram),
            lateness: self.lateness.map(Recorder::into_histogram),
            counters: [self.counters, Counters::default()],
        }
    }

    fn sender(&mut self, load: Load) -> &mut Heard {
        let known = self.senders.iter().position(|sender| sender.id == load.sender);
        let index = known.unwrap_or_else(|| {
            self.senders.push(Heard { id: load.sender, next: load.counter, delivered: 0 });
            self.senders.len() - 1
        });
        &mut self.senders[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(extras: Extras) -> Measurement {
        Measurement::start(NodeId(1), Tally::new(Service::Agreed), extras)
    }

    #[test]
    fn a_gap_in_a_senders_messages_is_found() {
        let mut measurement = start(Extras::default());
        let load = Load { sender: NodeId(2), counter: 7, planned_ns: 0, lateness_ns: 0 };
        assert!(measurement.message(0, Some(Ordinal(1)), load, b"").is_ok());
        let wrong =
            measurement.message(0, Some(Ordinal(1)), Load { counter: 9, ..load }, b"").unwrap_err();
        assert!(wrong.contains("instead of its 8"), "{wrong}");
    }

    /// A run from 1 s to 2 s, in which own messages came up to this number.
    fn measured(next_own: Option<u64>) -> Measured {
        let extras = Extras { lateness: true, others: false };
        let measured = start(extras).end(Ordinal(9));
        Measured { bounds_ns: [1_000_000_000, 2_000_000_000], next_own, ..measured }
    }

    #[test]
    fn what_was_planned_and_did_not_come_is_late_at_least_until_the_end() {
        // 1000 a second from 0.5 s on: message 1400 was planned for 1.9 s, 1500 for the end.
        let pledge = Pledge { begun_ns: 500_000_000, rate: 1000, sent: 1480 };
        let mut stalled = measured(Some(1400));
        stalled.complete(pledge);
        assert_eq!(stalled.own.len(), 100);
        let longest = stalled.own.max() as f64 / 1e6;
        assert!((longest - 100.0).abs() < 0.2, "{longest}");
        let lateness = stalled.lateness.unwrap();
        assert_eq!(lateness.len(), 20, "those that were not sent");
        assert!((lateness.max() as f64 / 1e6 - 20.0).abs() < 0.1, "{}", lateness.max());
        let mut silent = measured(None);
        silent.complete(Pledge { sent: 0, ..pledge });
        assert_eq!(silent.own.len(), 1000, "all that were planned in the run");
        let mut whole = measured(Some(1500));
        whole.complete(Pledge { sent: 1500, ..pledge });
        assert!(whole.own.is_empty() && whole.lateness.unwrap().is_empty());
    }

    #[test]
    fn nothing_is_taken_down_that_is_not_told() {
        let load = Load { sender: NodeId(2), counter: 0, planned_ns: 0, lateness_ns: 3 };
        for (others, lateness) in [(true, false), (false, true)] {
            let mut measurement = start(Extras { others, lateness });
            for sender in [1, 2] {
                let load = Load { sender: NodeId(sender), ..load };
                measurement.message(5_000, Some(Ordinal(1)), load, b"").unwrap();
            }
            let measured = measurement.end(Ordinal(9));
            assert_eq!(measured.own.len(), 1);
            assert_eq!(measured.others.map(|it| it.len()), others.then_some(1));
            assert_eq!(measured.lateness.map(|it| it.len()), lateness.then_some(1));
        }
    }
}
