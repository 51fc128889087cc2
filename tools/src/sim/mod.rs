//! `roundel sim`: whole simulated clusters from seeds, each judged by the checker and then healed.

mod calm;
mod found;
mod progress;
mod report;
mod totals;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use roundel_ring::sim::{Outcome, Profile, Scenario, Schedule, run as simulate};
use roundel_ring::trace;

use crate::exit::{Exit, fail};
use progress::Progress;
use report::Report;
use totals::{Summarised, Totals};

const SCHEMA: &str = "roundel.sim/1";

const EXAMPLES: &str = "\
Examples:
  roundel sim --seeds 0..2000                  2 000 clusters, everything drawn from the seed
  roundel sim --seeds 17..18 --trace-dir out   one cluster, and the traces its members left
  roundel sim --seeds 0..100 --profile churn --nodes 5 --json
  roundel sim --seeds 0..100000 --progress FILE
                                               goes on where it was left when it is run again
  roundel sim --seeds 17..18 --shrink out      what of a failing run matters, as out/17.json
  roundel sim --replay out/17.json             that, with a line for each event
  roundel sim --calm 1h                        one calm cluster, and how fast it is simulated

The same seed gives the same history on every host and build.

Exit codes: 0 no violation, 2 options that cannot be used, 6 a violation or no progress.";

/// Simulate clusters under faults, deterministically.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Seeds A..B: A included, B not.
    #[arg(long, value_parser = parse_seeds, value_name = "A..B")]
    #[arg(required_unless_present_any = ["replay", "calm"])]
    seeds: Option<Range<u64>>,
    /// Run the schedule in FILE, with a line for each event.
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    replay: Option<PathBuf>,
    /// Simulate one calm cluster for so long, judged as it goes; its members, 5 by default, publish
    /// at --rate and are --hop apart.
    #[arg(long, value_name = "D", conflicts_with_all = ["replay", "profile", "steps", "trace_dir"])]
    #[arg(value_parser = roundel::options::duration)]
    calm: Option<Duration>,
    /// Messages of each member of a calm cluster a second.
    #[arg(long, value_name = "R", default_value = "1000", requires = "calm")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// What a frame takes in a calm cluster.
    #[arg(long, value_name = "D", default_value = "500us", requires = "calm")]
    #[arg(value_parser = roundel::options::duration)]
    hop: Duration,
    /// Put down in FILE how far it got, and go on from there next time.
    #[arg(long, value_name = "FILE", requires = "seeds")]
    progress: Option<PathBuf>,
    /// Make failing runs as small as they go, and write them to DIR/<seed>.json.
    #[arg(long, value_name = "DIR", requires = "seeds")]
    shrink: Option<PathBuf>,
    /// Members; drawn from 1 to 9 by the seed when not given.
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

/// Runs what is asked for.
pub(crate) fn run(args: &Args) -> Exit {
    match (&args.replay, args.calm, &args.seeds) {
        (Some(path), _, _) => found::replay(path, args.trace_dir.as_ref(), args.json),
        (None, Some(span), _) => calm::run(args, span),
        (None, None, Some(seeds)) => run_seeds(args, seeds),
        (None, None, None) => Exit::Usage,
    }
}

/// Runs every seed, on all cores, and reports in the order of seeds.
fn run_seeds(args: &Args, seeds: &Range<u64>) -> Exit {
    let progress = args.progress.as_ref().map(|path| Progress::open(path, seeds, &args.options()));
    let (progress, first, totals) = match progress {
        None => (None, seeds.start, Totals::default()),
        Some(Ok((progress, first, totals))) => (Some(progress), first, totals),
        Some(Err(reason)) => return fail(Exit::Usage, &reason),
    };
    let mut report = Report::new(args, totals);
    let mut broken = Ok(());
    each_seed(args, first..seeds.end, |seed, outcome| {
        report.take(seed, outcome);
        if let (Some(progress), true) = (&progress, broken.is_ok()) {
            broken = progress.note(seed + 1, seeds.end, report.totals());
        }
    });
    if let Err(error) = broken {
        return fail(Exit::Failed, &format!("the progress cannot be written: {error}"));
    }
    if let Some(directory) = &args.shrink
        && let Err(error) = keep_failures(args, report.failed(), directory)
    {
        return fail(Exit::Failed, &format!("{}: {error}", directory.display()));
    }
    report.finish().unwrap_or(Exit::Failed)
}

/// What a seed came to, or the clause and words of what ended it.
type Came = Result<Summarised, (String, String)>;

fn each_seed(args: &Args, seeds: Range<u64>, mut take: impl FnMut(u64, Came)) {
    let next = AtomicU64::new(seeds.start);
    std::thread::scope(|scope| {
        let (sender, outcomes) = mpsc::channel();
        for _ in 0..thread_count() {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || sender.send((seed, run_seed(args, seed))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut expected = seeds.start;
        for (seed, outcome) in outcomes {
            early.insert(seed, outcome);
            while let Some(outcome) = early.remove(&expected) {
                take(expected, outcome);
                expected += 1;
            }
        }
    });
}

/// Failing runs that are made small, at most; what is found after the first ones is often the same.
const SHRUNK_MAX: usize = 10;

fn keep_failures(args: &Args, failed: &[(u64, String)], directory: &Path) -> io::Result<()> {
    for (seed, clause) in failed.iter().take(SHRUNK_MAX) {
        let path = directory.join(format!("{seed}.json"));
        found::keep_least(&Schedule::draw(&args.scenario(*seed)), clause, &path)?;
        eprintln!("seed {seed}: roundel sim --replay {}", path.display());
    }
    Ok(())
}

impl Args {
    fn scenario(&self, seed: u64) -> Scenario {
        Scenario {
            nodes: self.nodes.map(usize::from),
            profile: self.profile.0,
            steps: self.steps,
            ..Scenario::new(seed)
        }
    }

    /// What beside the seed decides a run, as it is written on a command line.
    fn options(&self) -> String {
        let nodes = self.nodes.map(|n| format!("--nodes {n} ")).unwrap_or_default();
        let profile = self.profile.0.map(|p| format!("--profile {} ", p.name()));
        let steps = self.steps.map(|n| format!("--steps {n}")).unwrap_or_default();
        format!("{nodes}{}{steps}", profile.unwrap_or_default())
    }
}

fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn run_seed(args: &Args, seed: u64) -> Came {
    let outcome = found::outcome(|| simulate(&args.scenario(seed)))?;
    if let Some(directory) = &args.trace_dir {
        let directory = directory.join(seed.to_string());
        write_traces(&directory, &outcome).map_err(|error| {
            ("traces".to_owned(), format!("{} cannot be written: {error}", directory.display()))
        })?;
    }
    Ok(outcome.into())
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
