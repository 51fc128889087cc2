//! The requests of this member on their way into the log and back.

use std::collections::VecDeque;

use super::entry::Operation;
use super::message::Ordered;
use super::sessions::Known;

/// Identifies a request of this member in this life; ascends from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// Why a request was not accepted. Nothing was ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubmitError {
    /// This member does not hold the state, or is in a part that does not go on.
    #[error("this member cannot apply commands now; wait until it is synced, or ask another one")]
    Blocked,
    /// As many requests as configured wait for their answers.
    #[error("too many requests wait for their answers; poll events, or raise `pending_max`")]
    Full,
    /// Longer than configured.
    #[error("the command is too long; make it shorter, or raise `command_bytes_max`")]
    TooLong,
}

/// Why an accepted request has no output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Lost {
    /// Applied, once, by others while this member was away: it got the state, not the output.
    #[error("the command was applied while this member was away; read the state instead")]
    Output,
    /// Applied at most once: it is not known any more. Only where more than a thousand other members have
    /// submitted something since.
    #[error("whether the command was applied is not known any more; read the state")]
    Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Surely not applied, and no copy is under way.
    Queued,
    /// A copy is under way; it will be delivered here.
    Floating,
    /// Its copy was delivered where this member could not know what becomes of it.
    InDoubt,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    stage: Stage,
    operation: Operation,
}

/// Requests without an answer, ascending by number.
#[derive(Debug)]
pub(super) struct Requests {
    /// Where the session begins (`sessions`).
    first: u64,
    next: u64,
    pending: VecDeque<Pending>,
}

impl Requests {
    pub(super) const fn new() -> Self {
        Self { first: 1, next: 1, pending: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn submit(&mut self, operation: Operation) -> RequestId {
        let number = self.next;
        self.next += 1;
        self.pending.push_back(Pending { number, stage: Stage::Queued, operation });
        RequestId(number)
    }

    /// The next to be ordered. None while the fate of another is unknown: the order of numbers is the
    /// order of application.
    pub(super) fn poll(&mut self, in_flight_max: usize) -> Option<Ordered> {
        if self.has_doubt() || self.count(Stage::Floating) >= in_flight_max {
            return None;
        }
        let first = self.first;
        let pending = self.pending.iter_mut().find(|pending| pending.stage == Stage::Queued)?;
        pending.stage = Stage::Floating;
        let operation = pending.operation.clone();
        Some(Ordered::Request { first, number: pending.number, operation })
    }

    fn count(&self, stage: Stage) -> usize {
        self.pending.iter().filter(|pending| pending.stage == stage).count()
    }

    pub(super) fn has_doubt(&self) -> bool {
        self.pending.iter().any(|pending| pending.stage == Stage::InDoubt)
    }

    /// Its copy was delivered, and may be applied.
    pub(super) fn doubt(&mut self, number: u64) {
        self.set(number, Stage::InDoubt);
    }

    /// Its copy was delivered, and nobody will apply that.
    pub(super) fn requeue(&mut self, number: u64) {
        self.set(number, Stage::Queued);
    }

    fn set(&mut self, number: u64, stage: Stage) {
        if let Some(pending) = self.pending.iter_mut().find(|pending| pending.number == number) {
            pending.stage = stage;
        }
    }

    /// It was applied here. `false` when it has its answer.
    pub(super) fn take(&mut self, number: u64) -> bool {
        let at = self.pending.iter().position(|pending| pending.number == number);
        at.and_then(|at| self.pending.remove(at)).is_some()
    }

    /// The log is applied to its end and `known` is what it says of this member: nothing stays in
    /// doubt. Calls `lost` for each that cannot have its output.
    pub(super) fn settle(&mut self, known: Known, mut lost: impl FnMut(RequestId, Lost)) {
        self.pending.retain_mut(|pending| {
            let why = match (pending.stage, known) {
                // Decided when its copy is delivered.
                (Stage::Floating, _) => return true,
                // Also when it was surely not applied in a log that this one has won over.
                (_, Known::Next(next)) if pending.number < next => Lost::Output,
                (Stage::InDoubt, Known::Forgotten) => Lost::Fate,
                _ => {
                    pending.stage = Stage::Queued;
                    return true;
                }
            };
            lost(RequestId(pending.number), why);
            false
        });
        // What this session was is not in the log (any more): another begins with what is left.
        let lowest = self.pending.front().map_or(self.next, |pending| pending.number);
        if known != Known::Next(lowest) {
            self.first = lowest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(requests: &mut Requests) -> Option<(u64, u64)> {
        match requests.poll(2) {
            Some(Ordered::Request { first, number, .. }) => Some((first, number)),
            _ => None,
        }
    }

    #[test]
    fn a_request_goes_until_it_is_applied_and_waits_for_those_in_doubt() {
        let mut requests = Requests::new();
        for _ in 0..3 {
            requests.submit(Operation::Barrier);
        }
        assert_eq!([poll(&mut requests), poll(&mut requests)], [Some((1, 1)), Some((1, 2))]);
        assert_eq!(poll(&mut requests), None, "two in flight");
        requests.requeue(1);
        assert_eq!(poll(&mut requests), Some((1, 1)), "the lowest first");
        requests.doubt(1);
        requests.requeue(2);
        assert_eq!(poll(&mut requests), None);
        let mut lost = Vec::new();
        requests.settle(Known::Next(2), |request, why| lost.push((request, why)));
        assert_eq!(lost, [(RequestId(1), Lost::Output)]);
        assert_eq!(poll(&mut requests), Some((1, 2)));
        assert!(requests.take(2) && !requests.take(2));
    }

    #[test]
    fn a_session_that_the_log_does_not_know_begins_again() {
        let mut requests = Requests::new();
        for number in 1..=3 {
            requests.submit(Operation::Barrier);
            requests.poll(9);
            requests.doubt(number);
        }
        requests.take(1);
        requests.settle(Known::Nothing, |_, _| panic!("nothing is lost"));
        assert_eq!(poll(&mut requests), Some((2, 2)));
        requests.doubt(2);
        requests.settle(Known::Forgotten, |request, why| {
            assert_eq!((request, why), (RequestId(2), Lost::Fate));
        });
        assert_eq!(poll(&mut requests), Some((3, 3)));
    }
}
