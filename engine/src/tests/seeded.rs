//! Stalls from a seed, for every thread of a member that was started under them.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::At;

/// Which threads are stalled where, and where they have been.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    seed: u64,
    /// Stalled often there, and seldom elsewhere.
    focus: Option<(&'static str, At)>,
    /// Somebody was stalled at the focus. Looked at there alone, and written once: a lock at each
    /// moment would order what the tests and the thread sanitizer are to find unordered.
    is_met: Arc<AtomicBool>,
}

impl Plan {
    pub(crate) fn new(seed: u64, focus: Option<(&'static str, At)>) -> Self {
        Self { seed, focus, is_met: Arc::default() }
    }

    /// Whether a thread was stalled at the focus.
    pub(crate) fn is_met(&self) -> bool {
        self.is_met.load(Ordering::Relaxed)
    }
}

/// One thread under a plan.
struct Stalled {
    thread: &'static str,
    plan: Plan,
    random: Xoshiro256PlusPlus,
}

thread_local! {
    static STALLED: RefCell<Option<Stalled>> = const { RefCell::new(None) };
}

/// Puts the calling thread, and those that it starts, under a plan.
pub(crate) fn begin(thread: &'static str, plan: &Plan) {
    let number = thread.bytes().fold(plan.seed, |hash, byte| {
        hash.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte))
    });
    let random = Xoshiro256PlusPlus::seed_from_u64(number);
    STALLED.set(Some(Stalled { thread, plan: plan.clone(), random }));
}

/// What a thread that is started takes over from the one that starts it.
pub(crate) fn heir(thread: &'static str) -> impl FnOnce() + Send + 'static {
    let plan = STALLED.with_borrow(|stalled| stalled.as_ref().map(|it| it.plan.clone()));
    move || {
        if let Some(plan) = plan {
            begin(thread, &plan);
        }
    }
}

/// Stalls the calling thread if its plan wants it to.
pub(crate) fn stall(at: At) {
    let span = STALLED.with_borrow_mut(|stalled| stalled.as_mut().and_then(|it| it.span(at)));
    match span {
        None => {}
        Some(Duration::ZERO) => std::thread::yield_now(),
        Some(span) => std::thread::sleep(span),
    }
}

impl Stalled {
    /// How long to stall here and now.
    fn span(&mut self, at: At) -> Option<Duration> {
        let is_focus = self.plan.focus == Some((self.thread, at));
        let one_in = if is_focus { 8 } else { 400 };
        let stalls = self.random.random_range(0..one_in) == 0;
        // Some moments are few: the first of those that matter is always taken.
        let is_first = is_focus && !self.plan.is_met.load(Ordering::Relaxed);
        if !stalls && !is_first {
            return None;
        }
        if is_first {
            self.plan.is_met.store(true, Ordering::Relaxed);
        }
        // From a yield to beyond the time after which a token counts as lost.
        let micros = match self.random.random_range(0..1_000) {
            0..400 => 0,
            400..800 => self.random.random_range(1..100),
            800..980 => self.random.random_range(100..2_000),
            980..998 => self.random.random_range(2_000..20_000),
            _ => self.random.random_range(80_000..150_000),
        };
        Some(Duration::from_micros(micros))
    }
}
