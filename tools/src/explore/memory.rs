//! What all threads of a search have visited.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use roundel_ring::sim::explore::{Memory, Met, Visit, Visited};

use crate::stop::Stop;

/// Threads seldom wait for each other with so many parts.
const PARTS: usize = 64;

/// The keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

type Part<V> = Mutex<HashMap<u64, V, BuildHasherDefault<AsItIs>>>;

/// When searches end early.
pub(super) struct Limit {
    pub(super) began: Instant,
    seconds: Option<u64>,
    stop: Stop,
    /// Enough failures were found.
    failed: AtomicBool,
}

impl Limit {
    pub(super) fn new(began: Instant, seconds: Option<u64>, stop: Stop) -> Self {
        Self { began, seconds, stop, failed: AtomicBool::new(false) }
    }

    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_reached(&self) -> bool {
        let late = |seconds| self.began.elapsed() >= Duration::from_secs(seconds);
        self.stop.is_asked()
            || self.failed.load(Ordering::Relaxed)
            || self.seconds.is_some_and(late)
    }
}

/// Visited states of one start.
pub(super) struct States<'l> {
    parts: Vec<Part<Visited>>,
    judged: Mutex<HashSet<u64>>,
    limit: &'l Limit,
    /// The clock is looked at seldom.
    asked: AtomicU64,
    stopped: AtomicBool,
}

impl<'l> States<'l> {
    pub(super) fn new(limit: &'l Limit) -> Self {
        let parts = (0..PARTS).map(|_| Part::default()).collect();
        let (asked, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { parts, judged: Mutex::default(), limit, asked, stopped }
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        let len = |part: &Part<Visited>| part.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.parts.iter().map(len).sum()
    }
}

impl Memory for States<'_> {
    fn visit(&self, state: u64, visit: Visit) -> Met {
        // The low bits choose the place in the part's table.
        let part = &self.parts[(state >> 58) as usize % PARTS];
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        match part.get_mut(&state) {
            Some(visited) => visited.again(visit),
            None => {
                part.insert(state, Visited::first(visit));
                Met::Nobody
            }
        }
    }

    fn judge(&self, histories: u64) -> bool {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).insert(histories)
    }

    fn is_stopped(&self) -> bool {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(1 << 12)
            && self.limit.is_reached()
        {
            self.stopped.store(true, Ordering::Relaxed);
        }
        self.stopped.load(Ordering::Relaxed)
    }
}
