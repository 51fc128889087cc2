//! One level of a search: all paths of a start with so many faults, on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use roundel_ring::sim::Failure;
use roundel_ring::sim::explore::{Path, Scope, Start, Tally, pieces, search};

use super::memory::{Limit, States};

/// More failures than these say nothing new.
const FAILURES_MAX: usize = 5;

/// All paths of `start` with `scope.faults` faults; those with fewer were searched before.
pub(super) struct Level<'l> {
    pub(super) start: Start,
    pub(super) scope: Scope,
    pub(super) states: &'l States<'l>,
    pub(super) limit: &'l Limit,
}

/// What a level came to.
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// First faults, all of them.
    pub(super) pieces: usize,
    /// Of them, those that were searched to their end. What one of them left to another, as both
    /// came to one state, may be in one that was not.
    pub(super) done: usize,
    pub(super) took: Duration,
}

impl Level<'_> {
    pub(super) fn search(&self) -> Outcome {
        let began = Instant::now();
        let pieces = match pieces(self.start, &self.scope) {
            Ok(pieces) => pieces,
            Err(failure) => return self.failed(failure, began),
        };
        let (next, shared) = (AtomicUsize::new(0), Mutex::new((Tally::default(), 0)));
        std::thread::scope(|scope| {
            for _ in 0..thread_count() {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(piece) = pieces.get(index) else { break };
                        if self.limit.is_reached() {
                            break;
                        }
                        let number = u64::from(self.scope.faults) << 24 | index as u64;
                        let tally = search(self.start, &self.scope, piece, number, self.states);
                        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                        shared.0.add(tally);
                        if shared.0.failures.len() >= FAILURES_MAX {
                            self.limit.fail();
                        }
                        if !self.limit.is_reached() {
                            shared.1 += 1;
                        }
                    }
                });
            }
        });
        let (tally, done) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        Outcome { tally, pieces: pieces.len(), done, took: began.elapsed() }
    }

    fn failed(&self, failure: Failure, began: Instant) -> Outcome {
        let path = Path { start: self.start, choices: Vec::new() };
        let tally = Tally { failures: vec![(path, failure)], ..Tally::default() };
        self.limit.fail();
        Outcome { tally, pieces: 1, done: 0, took: began.elapsed() }
    }
}

fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
