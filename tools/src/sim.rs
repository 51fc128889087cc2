//! `roundel sim`: whole simulated clusters from seeds, each judged by the checker and then healed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use roundel_ring::sim::check::Verdict;
use roundel_ring::sim::{Outcome, Profile, Scenario, Stats, run as simulate};
use roundel_ring::trace;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::write_object;

const SCHEMA: &str = "roundel.sim/1";

const EXAMPLES: &str = "\
Examples:
  roundel sim --seeds 0..2000                  2 000 clusters, everything drawn from the seed
  roundel sim --seeds 17..18 --trace-dir out   one cluster, and the traces its members left
  roundel sim --seeds 0..100 --profile churn --nodes 5 --json

The same seed gives the same history on every host and build.

Exit codes: 0 no violation, 2 options that cannot be used, 6 a violation or no progress.";

/// Simulate clusters under faults, deterministically.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Seeds A..B: A included, B not.
    #[arg(long, value_parser = parse_seeds, value_name = "A..B")]
    seeds: Range<u64>,
    /// Members; drawn from 2 to 7 by the seed when not given.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: Option<u8>,
    /// Kinds of faults: frames, partitions, churn, stalls, storm; `all` lets the seed choose.
    #[arg(long, default_value = "all", value_parser = parse_profile)]
    profile: ProfileChoice,
    /// End the chaos after this many steps and heal.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Write every member's history to DIR/<seed>/<node>.<incarnation>.jsonl.
    #[arg(long, value_name = "DIR")]
    trace_dir: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug)]
struct ProfileChoice(Option<Profile>);

fn parse_profile(text: &str) -> Result<ProfileChoice, String> {
    if text == "all" {
        return Ok(ProfileChoice(None));
    }
    let names = || Profile::ALL.map(Profile::name).join(", ");
    let profile = Profile::from_name(text);
    profile.map(|p| ProfileChoice(Some(p))).ok_or_else(|| format!("use one of: all, {}", names()))
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    match range {
        Some(range) if range.start < range.end => Ok(range),
        _ => Err("write a range A..B with A < B, such as 0..2000".to_owned()),
    }
}

/// Runs every seed, on all cores, and reports in the order of seeds.
pub(crate) fn run(args: &Args) -> Exit {
    let (next, cores) = (AtomicU64::new(args.seeds.start), thread_count());
    let mut report = Report::new(args);
    std::thread::scope(|scope| {
        let (sender, outcomes) = mpsc::channel();
        for _ in 0..cores {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.seeds.end || sender.send((seed, run_seed(args, seed))).is_err()
                    {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut expected = args.seeds.start;
        for (seed, outcome) in outcomes {
            early.insert(seed, outcome);
            while let Some(outcome) = early.remove(&expected) {
                report.take(expected, outcome);
                expected += 1;
            }
        }
    });
    match report.finish() {
        Ok(exit) => exit,
        Err(_) => Exit::Failed,
    }
}

fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What one seed came to; an assertion of the protocol's own that failed is a failure too.
fn run_seed(args: &Args, seed: u64) -> Result<Summarised, String> {
    let scenario = Scenario {
        nodes: args.nodes.map(usize::from),
        profile: args.profile.0,
        steps: args.steps,
        ..Scenario::new(seed)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| simulate(&scenario)))
        .map_err(|_| "an assertion of the protocol failed; see above".to_owned())?;
    if let Some(directory) = &args.trace_dir {
        let directory = directory.join(seed.to_string());
        write_traces(&directory, &outcome)
            .map_err(|e| format!("{} cannot be written: {e}", directory.display()))?;
    }
    Ok(Summarised {
        digest: outcome.digest(),
        simulated: outcome.simulated,
        merged_after: outcome.merged_after,
        stats: outcome.stats,
        invariants: outcome.invariants_judged,
        verdict: outcome.verdict,
        failure: outcome.failure.map(|failure| (failure.clause, failure.detail)),
    })
}

fn write_traces(directory: &Path, outcome: &Outcome) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for history in &outcome.histories {
        let name = format!("{}.{}.jsonl", history.node, history.incarnation);
        let mut lines = Vec::new();
        for entry in &history.entries {
            trace::write_line(&mut lines, history.node, history.incarnation, entry);
        }
        std::fs::write(directory.join(name), lines)?;
    }
    Ok(())
}

/// An outcome without its histories.
struct Summarised {
    digest: u64,
    simulated: Duration,
    merged_after: Option<Duration>,
    stats: Stats,
    invariants: u64,
    verdict: Verdict,
    failure: Option<(String, String)>,
}

struct Report<'a> {
    args: &'a Args,
    seeds: u64,
    failures: u64,
    /// Over the digests of all seeds, in order.
    digest: trace::ContentHash,
    simulated: Duration,
    merges: Vec<Duration>,
    stats: Stats,
    invariants: u64,
    verdict: Verdict,
}

#[derive(Serialize)]
struct FailureLine<'t> {
    event: &'static str,
    schema: &'static str,
    seed: u64,
    clause: &'t str,
    detail: &'t str,
    replay: String,
}

#[derive(Serialize)]
struct Summary {
    event: &'static str,
    schema: &'static str,
    seeds: u64,
    failures: u64,
    violations: u64,
    simulated_s: f64,
    merge_ms: Merge,
    digest: String,
    invariants_judged: u64,
    faults: BTreeMap<&'static str, u64>,
    clauses: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Merge {
    p50: f64,
    max: f64,
}

impl<'a> Report<'a> {
    fn new(args: &'a Args) -> Self {
        Self {
            args,
            seeds: 0,
            failures: 0,
            digest: trace::ContentHash::default(),
            simulated: Duration::ZERO,
            merges: Vec::new(),
            stats: Stats::default(),
            invariants: 0,
            verdict: Verdict::empty(),
        }
    }

    fn take(&mut self, seed: u64, outcome: Result<Summarised, String>) {
        self.seeds += 1;
        let failure = match outcome {
            Ok(run) => {
                self.digest.update(&run.digest.to_le_bytes());
                self.simulated += run.simulated;
                self.merges.extend(run.merged_after);
                self.stats.add(&run.stats);
                self.invariants += run.invariants;
                self.verdict.add(&run.verdict);
                run.failure
            }
            Err(detail) => Some(("run".to_owned(), detail)),
        };
        if let Some((clause, detail)) = failure {
            self.failures += 1;
            self.write_failure(seed, &clause, &detail);
        }
    }

    fn write_failure(&self, seed: u64, clause: &str, detail: &str) {
        let replay = format!("roundel sim --seeds {seed}..{} {}", seed + 1, self.options());
        let replay = replay.trim_end().to_owned();
        if self.args.json {
            let (event, schema) = ("failure", SCHEMA);
            let line = FailureLine { event, schema, seed, clause, detail, replay };
            // A reader that is gone does not change what was found.
            let _ = write_object(&mut io::stdout().lock(), &line);
        } else {
            println!("seed {seed}: {clause}: {detail}\n  replay: {replay}");
        }
    }

    fn options(&self) -> String {
        let nodes = self.args.nodes.map(|n| format!("--nodes {n} ")).unwrap_or_default();
        let profile = self.args.profile.0.map(|p| format!("--profile {} ", p.name()));
        let steps = self.args.steps.map(|n| format!("--steps {n}")).unwrap_or_default();
        format!("{nodes}{}{steps}", profile.unwrap_or_default())
    }

    fn finish(mut self) -> io::Result<Exit> {
        let mut out = io::stdout().lock();
        self.merges.sort_unstable();
        if self.args.json {
            write_object(&mut out, &self.summary())?;
        } else {
            self.write_text(&mut out)?;
        }
        out.flush()?;
        Ok(if self.failures > 0 { Exit::Violation } else { Exit::Ok })
    }

    fn summary(&self) -> Summary {
        let judged = self.verdict.judgements().iter();
        Summary {
            event: "summary",
            schema: SCHEMA,
            seeds: self.seeds,
            failures: self.failures,
            violations: self.verdict.violation_count(),
            simulated_s: self.simulated.as_secs_f64(),
            merge_ms: Merge { p50: self.merge_ms(50), max: self.merge_ms(100) },
            digest: format!("{:016x}", self.digest.finish()),
            invariants_judged: self.invariants,
            faults: self.stats.entries().collect(),
            clauses: judged.map(|j| (j.clause.name(), j.instances)).collect(),
        }
    }

    fn merge_ms(&self, percent: usize) -> f64 {
        let last = self.merges.len().saturating_sub(1);
        self.merges.get(last * percent / 100).map_or(0.0, |span| span.as_secs_f64() * 1e3)
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        for (name, count) in self.stats.entries() {
            writeln!(out, "{name:<24} {count:>12}")?;
        }
        for judgement in self.verdict.judgements() {
            writeln!(out, "{:<24} {:>12} judged", judgement.clause.name(), judgement.instances)?;
        }
        writeln!(
            out,
            "{} seeds, {:.0} s simulated, {} invariants and {} clause instances judged; \
             healed to one ring in {:.0} ms (median), {:.0} ms (most); {} failures",
            self.seeds,
            self.simulated.as_secs_f64(),
            self.invariants,
            self.verdict.instances(),
            self.merge_ms(50),
            self.merge_ms(100),
            self.failures,
        )
    }
}
