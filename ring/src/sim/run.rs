//! One run: chaos first, then heal and demand progress, then judge the history.

use std::time::Duration;

use super::check::{self, Verdict};
use super::demands;
use super::god::Violated;
use super::log::{Line, Log};
use super::plan::Profile;
use super::rng::{Random, Stream};
use super::schedule::{Demands, Schedule};
use super::shares;
use super::stats::Stats;
use super::world::World;
use crate::params::Params;
use crate::time::Time;
use crate::trace::{self, ContentHash, History};

/// What to run.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Decides everything below that is not given, and every choice in the run.
    pub seed: u64,
    /// Hosts; drawn from 1 to 9 when not given.
    pub nodes: Option<usize>,
    /// Kinds of faults; drawn when not given.
    pub profile: Option<Profile>,
    /// Length of the chaos in simulated time; drawn when not given.
    pub chaos: Option<Duration>,
    /// The chaos ends after this many steps, if that is earlier.
    pub steps: Option<u64>,
}

impl Scenario {
    /// Everything from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, nodes: None, profile: None, chaos: None, steps: None }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Simulated time.
    pub simulated: Duration,
    /// From healing to one operational ring.
    pub merged_after: Option<Duration>,
    /// What happened.
    pub stats: Stats,
    /// God's invariants looked at.
    pub invariants_judged: u64,
    /// The checker's judgement of the histories.
    pub verdict: Verdict,
    /// The first thing that was not as it must be.
    pub failure: Option<Failure>,
    /// What every member did.
    pub histories: Vec<History>,
}

/// What a run violated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The clause, invariant or demand.
    pub clause: String,
    /// Who, what, where.
    pub detail: String,
}

impl Failure {
    pub(super) fn new(clause: &str, detail: String) -> Self {
        Self { clause: clause.to_owned(), detail }
    }
}

impl From<Violated> for Failure {
    fn from(violated: Violated) -> Self {
        Self::new(violated.invariant, violated.detail)
    }
}

impl Outcome {
    /// A hash of all histories: equal for equal runs.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hash = ContentHash::default();
        let mut line = Vec::new();
        for history in &self.histories {
            for entry in &history.entries {
                line.clear();
                trace::write_line(&mut line, history.node, history.incarnation, entry);
                hash.update(&line);
            }
        }
        hash.finish()
    }
}

/// Runs a scenario.
#[must_use]
pub fn run(scenario: &Scenario) -> Outcome {
    play(&Schedule::draw(scenario))
}

/// Runs a schedule.
#[must_use]
pub fn play(schedule: &Schedule) -> Outcome {
    play_in(schedule, schedule.world())
}

/// Runs a schedule, and tells of each event.
#[must_use]
pub fn play_aloud(schedule: &Schedule, tell: Box<dyn FnMut(Line)>) -> Outcome {
    let mut world = schedule.world();
    world.log = Some(Log(tell));
    play_in(schedule, world)
}

pub(super) fn play_in(schedule: &Schedule, mut world: World) -> Outcome {
    let result = live(&mut world, schedule);
    let views = world.judge_views();
    let now = world.now;
    for node in &mut world.nodes {
        if let Some(life) = &node.life {
            world.stats.absorb(life.data.ordering().counters());
            world.stats.frames_ignored += life.control.membership().ignored().total();
            world.stats.gathers += life.control.membership().gathers();
        }
    }
    let histories: Vec<History> =
        world.nodes.iter_mut().flat_map(|node| std::mem::take(&mut node.histories)).collect();
    let quiescent = result.is_ok();
    let verdict = check::check(&histories, check::Options { quiescent });
    let (merged_after, failure) = match result {
        Ok(merged_after) => (Some(merged_after), None),
        Err(failure) => (None, Some(failure)),
    };
    // What the history shows says more than that the run did not end well.
    let failure = first_violation(&verdict).or(failure).or(views.err());
    Outcome {
        simulated: now.since(Time::ZERO),
        merged_after,
        stats: world.stats,
        invariants_judged: world.god.judged,
        verdict,
        failure,
        histories,
    }
}

pub(super) fn first_violation(verdict: &Verdict) -> Option<Failure> {
    let violation = verdict.violations().next()?;
    Some(Failure::new(violation.clause.name(), violation.text.clone()))
}

fn live(world: &mut World, schedule: &Schedule) -> Result<Duration, Failure> {
    let (end, steps) = (Time::ZERO + schedule.chaos, schedule.steps.unwrap_or(u64::MAX));
    while world.stats.events < steps && world.step(end)? {}
    world.heal()?;
    world.workload.shape.interval = None;
    let merged_after = settle(world, "one operational ring of all live members")?;
    // The cluster orders new messages.
    for node in 0..world.nodes.len() {
        for _ in 0..3 {
            world.submit(node)?;
        }
    }
    settle(world, "new messages are delivered")?;
    world.demand_primary()?;
    if schedule.demands == Demands::All {
        demands::judge(world)?;
        shares::judge(world, &mut Random::new(schedule.seed, Stream::Shares))?;
    }
    Ok(merged_after)
}

/// Runs on until the whole cluster is one quiet ring; fails when that takes longer than the sum
/// of all timeouts, twice.
pub(super) fn settle(world: &mut World, demand: &str) -> Result<Duration, Failure> {
    let since = world.now;
    let deadline = since + patience(&world.params);
    loop {
        // At least long enough for a message on its way to be seen.
        world.run_for(Duration::from_millis(5))?;
        if world.is_one_quiet_ring() && world.are_applications_settled() {
            return Ok(world.now.since(since));
        }
        if world.now >= deadline {
            return Err(Failure::new(demand, world.describe()));
        }
    }
}

/// Twice the sum of everything a member may have to wait for after a heal.
pub(super) fn patience(params: &Params) -> Duration {
    let hold_down = params.consensus * 64;
    let attempt = params.token_loss + 3 * params.consensus + params.commit_loss;
    2 * (hold_down + params.fail_to_receive + 4 * attempt + 4 * params.beacon)
}
