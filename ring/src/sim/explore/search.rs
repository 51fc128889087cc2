//! The search: every path of a start, each state once.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::choice::{Choice, Fault, Kinds, Path};
use super::end::SETTLES_WITHIN;
use super::scenario::{self, Size, Start};
use super::world::World;
use crate::sim::check::Verdict;
use crate::sim::run::Failure;
use crate::time::Time;

/// What is explored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    /// How large the cluster is.
    pub size: Size,
    /// Which kinds of faults strike.
    pub kinds: Kinds,
    /// So many faults in a path at most.
    pub faults: u8,
    /// A fault strikes less than so many steps after the one before; the first one at any.
    pub within: u32,
}

/// What was visited, shared by all searches of one start and scope.
///
/// Everything with fewer faults must have been searched before with the same memory.
pub trait Memory {
    /// Notes that the path number `path`, with `used` of the scope's `faults` faults behind it, came
    /// to `state`; yields who was there before with all that can follow from it.
    fn visit(&self, state: u64, visit: Visit) -> Met;
    /// Notes that histories of this hash were judged; false when they were before.
    fn judge(&self, histories: u64) -> bool;
    /// The search shall end: what it has not looked at stays so.
    fn is_stopped(&self) -> bool;
}

/// Who comes to a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visit {
    /// Number of the path, of its own in the memory's life.
    pub path: u64,
    /// Faults that struck before.
    pub used: u8,
    /// Faults that may strike in all.
    pub faults: u8,
    /// Steps within which the next one may strike.
    pub window: u32,
}

impl Visit {
    /// No fault can strike any more.
    const fn is_spent(self) -> bool {
        self.used == self.faults || self.window == 0
    }
}

/// Who was at a state before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Met {
    /// Nobody who saw all that can follow.
    Nobody,
    /// The same path: it goes in circles.
    Itself,
    /// Another path, from which the same follows, and more.
    Another,
}

/// A visited state, as a memory keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visited(Visit);

impl Visited {
    /// After the first visit.
    #[must_use]
    pub const fn first(visit: Visit) -> Self {
        Self(visit)
    }

    /// Another visit.
    ///
    /// From a path whose faults are all used, the same follows as from whoever was here. One that has
    /// some left sees what nobody saw, unless somebody with as many left was here.
    pub const fn again(&mut self, visit: Visit) -> Met {
        let Self(last) = *self;
        if last.path == visit.path {
            return Met::Itself;
        }
        let saw_more =
            last.faults == visit.faults && last.used <= visit.used && last.window >= visit.window;
        if visit.is_spent() || saw_more {
            return Met::Another;
        }
        self.0 = visit;
        Met::Nobody
    }
}

/// What a search came to.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Steps taken, those of trunks included.
    pub steps: u64,
    /// Visits of states.
    pub states: u64,
    /// Visits of states where nobody had been.
    pub fresh: u64,
    /// Paths: lists of faults that struck.
    pub paths: u64,
    /// Of them, those that ended in a state from which another went on.
    pub merged: u64,
    /// Of them, those that were healed and had to become one ring.
    pub ended: u64,
    /// Histories that differed, and so were judged by the checker.
    pub judged: u64,
    /// Paths that did not settle before they were healed.
    pub unsettled: u64,
    /// Faults that struck, by name; every cut is one.
    pub struck: BTreeMap<&'static str, u64>,
    /// God's invariants looked at.
    pub invariants: u64,
    /// Of each clause, how often.
    pub verdict: Verdict,
    /// What was not as it must be.
    pub failures: Vec<(Path, Failure)>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            steps: 0,
            states: 0,
            fresh: 0,
            paths: 0,
            merged: 0,
            ended: 0,
            judged: 0,
            unsettled: 0,
            struck: BTreeMap::new(),
            invariants: 0,
            verdict: Verdict::empty(),
            failures: Vec::new(),
        }
    }
}

impl Tally {
    /// Takes in what another search came to.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.states += other.states;
        self.fresh += other.fresh;
        self.paths += other.paths;
        self.merged += other.merged;
        self.ended += other.ended;
        self.judged += other.judged;
        self.unsettled += other.unsettled;
        self.invariants += other.invariants;
        for (fault, count) in other.struck {
            *self.struck.entry(fault).or_default() += count;
        }
        self.verdict.add(&other.verdict);
        self.failures.extend(other.failures);
    }
}

/// The first faults of all paths of a start, in order: each begins a piece of the search that can be
/// done by itself. An empty list stands for the path without faults.
///
/// # Errors
/// What was wrong before any fault.
pub fn pieces(start: Start, scope: &Scope) -> Result<Vec<Vec<Choice>>, Failure> {
    let mut world = scenario::world(start, scope.size)?;
    let mut pieces = vec![Vec::new()];
    let mut step = 0;
    while scope.faults > 0 && !world.is_settled() {
        pieces.extend(
            world.faults(scope.kinds).into_iter().map(|fault| vec![Choice { step, fault }]),
        );
        world.step()?;
        step += 1;
    }
    Ok(pieces)
}

/// Searches one piece.
pub fn search(
    start: Start,
    scope: &Scope,
    piece: &[Choice],
    number: u64,
    memory: &dyn Memory,
) -> Tally {
    let path = Path { start, choices: Vec::new() };
    let mut search = Search { scope, memory, tally: Tally::default(), path, numbers: number << 32 };
    let world = match scenario::world(start, scope.size) {
        Ok(world) => world,
        Err(violated) => {
            search.fail(violated.into());
            return search.tally;
        }
    };
    search.begin(world, piece);
    search.tally
}

struct Search<'s> {
    scope: &'s Scope,
    memory: &'s dyn Memory,
    tally: Tally,
    path: Path,
    numbers: u64,
}

impl Search<'_> {
    /// Goes to where the piece begins, and on from there.
    fn begin(&mut self, mut world: World, piece: &[Choice]) {
        let base = world.steps;
        let Some(first) = piece.first() else {
            return self.follow(world, base);
        };
        while world.steps - base < first.step {
            if !self.step(&mut world) {
                return;
            }
        }
        self.fork(&world, base, first.fault);
    }

    /// Goes on from a copy in which a fault strikes.
    fn fork(&mut self, world: &World, base: u64, fault: Fault) {
        let mut world = world.clone();
        self.path.choices.push(Choice { step: world.steps - base, fault });
        world.strike(fault);
        *self.tally.struck.entry(name(fault)).or_default() += 1;
        self.follow(world, base);
        self.path.choices.pop();
    }

    /// Goes on to the end, and into whatever may strike on the way.
    fn follow(&mut self, mut world: World, base: u64) {
        self.tally.paths += 1;
        self.numbers += 1;
        let number = self.numbers;
        let since = world.now;
        let struck_at = self.path.choices.last().map(|choice| choice.step);
        let judged_before = world.god.judged;
        loop {
            if self.memory.is_stopped() {
                return;
            }
            if is_over(&world, since) {
                self.tally.unsettled += u64::from(is_late(&world, since));
                break;
            }
            let faults = world.faults(self.scope.kinds);
            let passed = struck_at.map_or(0, |at| world.steps - base - at);
            let passed = u32::try_from(passed).unwrap_or(u32::MAX);
            let window = self.scope.within.saturating_sub(passed);
            if !faults.is_empty() {
                match self.visit(&world, number, window) {
                    Met::Nobody => {}
                    Met::Itself => break,
                    Met::Another => {
                        self.tally.merged += 1;
                        self.tally.invariants += world.god.judged - judged_before;
                        return;
                    }
                }
            }
            // The first fault begins a piece of its own.
            if struck_at.is_some() && self.used() < self.scope.faults && window > 0 {
                faults.into_iter().for_each(|fault| self.fork(&world, base, fault));
            }
            if !self.step(&mut world) {
                return;
            }
        }
        self.end(world, judged_before);
    }

    fn used(&self) -> u8 {
        u8::try_from(self.path.choices.len()).unwrap_or(u8::MAX)
    }

    fn visit(&mut self, world: &World, path: u64, window: u32) -> Met {
        self.tally.states += 1;
        let visit = Visit { path, used: self.used(), faults: self.scope.faults, window };
        let met = self.memory.visit(world.digest(), visit);
        self.tally.fresh += u64::from(met == Met::Nobody);
        met
    }

    /// Heals, demands one ring and judges.
    fn end(&mut self, mut world: World, judged_before: u64) {
        let steps = world.steps;
        let result = guarded(|| {
            world.heal()?;
            world.demand_one_ring()
        });
        self.tally.ended += 1;
        self.tally.steps += world.steps - steps;
        self.tally.invariants += world.god.judged - judged_before;
        let mut failure = result.err();
        if self.memory.judge(world.said()) {
            self.tally.judged += 1;
            let verdict = world.judge();
            // What the history shows says more than that the run did not end well.
            if let Some(violation) = verdict.violations().next() {
                failure = Some(Failure::new(violation.clause.name(), violation.text.clone()));
            }
            self.tally.verdict.add(&verdict);
        }
        if let Some(failure) = failure {
            self.fail(failure);
        }
    }

    /// Takes a step; false when that showed a failure.
    fn step(&mut self, world: &mut World) -> bool {
        self.tally.steps += 1;
        let result = guarded(|| world.step().map_err(Failure::from));
        result.map_err(|failure| self.fail(failure)).is_ok()
    }

    fn fail(&mut self, failure: Failure) {
        self.tally.failures.push((self.path.clone(), failure));
    }
}

/// An assertion of the protocol's own that does not hold is a failure like others.
pub(super) fn guarded(run: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|cause| {
        let said = cause.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or_default();
        Err(Failure::new("an assertion of the protocol", said.to_owned()))
    })
}

/// Whether a path has come as far as it does without healing, given the time of its last fault.
pub(super) fn is_over(world: &World, since: Time) -> bool {
    is_late(world, since) || world.is_settled()
}

fn is_late(world: &World, since: Time) -> bool {
    world.now.since(since) > SETTLES_WITHIN
}

const fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Drop => "drop",
        Fault::Twice => "twice",
        Fault::Late => "late",
        Fault::Crash => "crash",
        Fault::Restart => "restart",
        Fault::Cut(_) | Fault::Apart => "cut",
        Fault::Heal => "heal",
    }
}
