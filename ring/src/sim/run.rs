//! One run: chaos first, then heal and demand progress, then judge the history.

use std::time::Duration;

use super::buffer;
use super::check::{self, Verdict};
use super::demands;
use super::god::Violated;
use super::plan::{self, Planned, Profile};
use super::rng::Random;
use super::shares;
use super::stats::Stats;
use super::world::{Happening, World};
use crate::params::Params;
use crate::time::Time;
use crate::trace::{self, ContentHash, History};

/// What to run.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Decides everything below that is not given, and every choice in the run.
    pub seed: u64,
    /// Hosts; drawn from 2 to 7 when not given.
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
    /// What was run, with everything drawn filled in.
    pub scenario: Scenario,
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

/// Makes of a seed that of the stream from which receive buffers, MTUs and what judges them are drawn.
const EXTRA: u64 = 0x5245_4345_4956_4500;

/// Runs a scenario.
#[must_use]
pub fn run(scenario: &Scenario) -> Outcome {
    let mut rng = Random::new(scenario.seed);
    let nodes = rng.index(6) + 2;
    let nodes = scenario.nodes.unwrap_or(nodes);
    let profile = Profile::ALL[rng.index(Profile::ALL.len())];
    let profile = scenario.profile.unwrap_or(profile);
    let chaos = Duration::from_millis(rng.between(1_000, 4_000));
    let chaos = scenario.chaos.unwrap_or(chaos);
    let params = draw_params(&mut rng);
    let mut world = World::new(nodes, params, rng);
    // Whatever is drawn from a stream of its own, the rest of a seed's plan stays what it is.
    let mut extra = Random::new(scenario.seed ^ EXTRA);
    let mut more = Vec::new();
    if let Some(buffers) = buffer::draw(&mut extra, &world.params, nodes) {
        for (node, buffer) in world.nodes.iter_mut().zip(buffers) {
            node.buffer = buffer;
        }
        more = buffer::fill(&mut extra, nodes, chaos);
    }
    if extra.chance(0.4) {
        for node in &mut world.nodes {
            node.mtu_bytes = [1_280, 1_500, 9_000][extra.index(3)];
        }
    }
    let result = live(&mut world, profile, chaos, scenario.steps.unwrap_or(u64::MAX), more, extra);
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
    let failure = first_violation(&verdict).or(failure);
    Outcome {
        scenario: Scenario {
            seed: scenario.seed,
            nodes: Some(nodes),
            profile: Some(profile),
            chaos: Some(chaos),
            steps: scenario.steps,
        },
        simulated: now.since(Time::ZERO),
        merged_after,
        stats: world.stats,
        invariants_judged: world.god.judged,
        verdict,
        failure,
        histories,
    }
}

fn first_violation(verdict: &Verdict) -> Option<Failure> {
    let violation = verdict.violations().next()?;
    Some(Failure::new(violation.clause.name(), violation.text.clone()))
}

/// Small windows and streams, so that their bounds are met.
fn draw_params(rng: &mut Random) -> Params {
    Params {
        window_packets: [64, 256, 1024][rng.index(3)],
        personal_packets: [4, 20, 64][rng.index(3)],
        global_packets: [16, 60, 200][rng.index(3)],
        accelerated_packets: [0, 2, 15][rng.index(3)],
        retransmit_packets: [2, 8, 64][rng.index(3)],
        stream_packets: 32,
        backlog_messages: 200,
        receive_packets: [2_048, 40, 16][rng.index(3)],
        fail_to_receive: Duration::from_millis(600),
        ..Params::default()
    }
}

fn live(
    world: &mut World,
    profile: Profile,
    chaos: Duration,
    steps: u64,
    more: Vec<Planned>,
    mut extra: Random,
) -> Result<Duration, Failure> {
    let mut plan = plan::draw(&mut world.rng, profile, world.nodes.len(), chaos);
    plan.extend(more);
    // Some clusters start all at once, some one by one.
    let apart = [0, 0, 50_000, 400_000][world.rng.index(4)];
    for node in 0..world.nodes.len() {
        let at = Time::ZERO + Duration::from_micros(world.rng.between(0, apart));
        world.at(at, node, Happening::Restart);
        world.at(at + Duration::from_millis(1), node, Happening::Submit);
    }
    for planned in plan {
        let begin = Time::ZERO + planned.at;
        world.at(begin, 0, Happening::Begin(planned.fault.clone()));
        let end = (planned.at + planned.lasts).min(chaos);
        world.at(Time::ZERO + end, 0, Happening::End(planned.fault));
    }
    let end = Time::ZERO + chaos;
    while world.stats.events < steps && world.step(end)? {}
    world.heal()?;
    world.workload.interval = None;
    let merged_after = settle(world, "one operational ring of all live members")?;
    // The cluster orders new messages.
    for node in 0..world.nodes.len() {
        for _ in 0..3 {
            world.submit(node)?;
        }
    }
    settle(world, "new messages are delivered")?;
    demands::judge(world)?;
    shares::judge(world, &mut extra)?;
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
        if world.is_one_quiet_ring() {
            return Ok(world.now.since(since));
        }
        if world.now >= deadline {
            return Err(Failure::new(demand, world.describe()));
        }
    }
}

/// Twice the sum of everything a member may have to wait for after a heal.
fn patience(params: &Params) -> Duration {
    let hold_down = params.consensus * 64;
    let attempt = params.token_loss + 3 * params.consensus + params.commit_loss;
    2 * (hold_down + params.fail_to_receive + 4 * attempt + 4 * params.beacon)
}
