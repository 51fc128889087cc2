//! `roundel explore`: every short list of faults at every step of a small cluster.

mod level;
mod memory;
mod report;

use std::io::{self, Write};
use std::time::Instant;

use roundel_ring::sim::explore::{Kinds, MEMBERS_MAX, Path, Scope, Size, Start, replay};

use crate::exit::Exit;
use crate::stop::Stop;
use level::{Level, Outcome};
use memory::{Limit, States};
use report::Report;

const EXAMPLES: &str = "\
Examples:
  roundel explore                              one fault anywhere, and then every pair of faults
  roundel explore --faults 3 --within 12       three faults, each soon after the one before
  roundel explore --faults 3 --seconds 600 --scenario merge --json
  roundel explore --path ring/12:drop,40:cut3  one path, told step by step

Nothing is drawn: the same options visit the same states. A level of the search has all paths
with so many faults; it is complete, or the summary says that it is not.

Exit codes: 0 no violation, 2 options that cannot be used, 6 a violation or no progress, 130
interrupted.";

/// Explore a small cluster: every fault at every step.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Members.
    #[arg(long, default_value_t = 3, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u8).range(2..=MEMBERS_MAX as i64))]
    members: u8,
    /// Messages published, agreed and safe in turn, each by the next member.
    #[arg(long, default_value_t = 2, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=8))]
    messages: u8,
    /// Faults in a path at most.
    #[arg(long, default_value_t = 2, value_name = "K")]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=4))]
    faults: u8,
    /// A fault strikes less than N steps after the one before [default: at any step].
    #[arg(long, value_name = "N")]
    within: Option<u32>,
    /// Where it starts: cold, ring, hole, merge; as a primary component by the dynamic policy (primary),
    /// by majority or weighted; or all.
    #[arg(long, default_value = "all", value_name = "NAME", value_parser = parse_scenario)]
    scenario: Scenarios,
    /// Kinds of faults: usual (drop, crash, cut, heal), or all (also frames late or twice).
    #[arg(long, default_value = "usual", value_name = "NAME", value_parser = parse_kinds)]
    kinds: Kinds,
    /// End after S seconds, wherever the search is.
    #[arg(long, value_name = "S")]
    seconds: Option<u64>,
    /// Run this path alone, and tell what happens.
    #[arg(long, value_name = "PATH")]
    path: Option<Path>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug)]
struct Scenarios(Option<Start>);

fn parse_scenario(text: &str) -> Result<Scenarios, String> {
    let names = || Start::ALL.map(Start::name).join(", ");
    match (text, Start::from_name(text)) {
        ("all", _) => Ok(Scenarios(None)),
        (_, Some(start)) => Ok(Scenarios(Some(start))),
        _ => Err(format!("use one of: all, {}", names())),
    }
}

fn parse_kinds(text: &str) -> Result<Kinds, String> {
    match text {
        "usual" => Ok(Kinds::Usual),
        "all" => Ok(Kinds::All),
        _ => Err("use one of: usual, all".to_owned()),
    }
}

impl Args {
    fn size(&self) -> Size {
        Size { members: self.members.into(), messages: self.messages.into() }
    }

    fn scope(&self, faults: u8) -> Scope {
        let within = self.within.unwrap_or(u32::MAX);
        Scope { size: self.size(), kinds: self.kinds, faults, within }
    }

    fn starts(&self) -> Vec<Start> {
        self.scenario.0.map_or_else(|| Start::ALL.to_vec(), |start| vec![start])
    }
}

/// Searches level by level, or replays.
pub(crate) fn run(args: &Args) -> Exit {
    let result = match &args.path {
        Some(path) => run_path(args, path),
        None => explore(args),
    };
    result.unwrap_or(Exit::Failed)
}

fn explore(args: &Args) -> io::Result<Exit> {
    let stop = Stop::on_signals()?;
    let limit = Limit::new(Instant::now(), args.seconds, stop.clone());
    let mut report = Report::new(args);
    let starts: Vec<(Start, States<'_>)> =
        args.starts().into_iter().map(|start| (start, States::new(&limit))).collect();
    for faults in 0..=args.faults {
        for (start, states) in &starts {
            let level = Level { start: *start, scope: args.scope(faults), states, limit: &limit };
            let outcome = level.search();
            report.level(&level, outcome)?;
        }
    }
    let exit = report.finish(limit.began.elapsed())?;
    Ok(if stop.is_asked() && exit == Exit::Ok { Exit::Interrupted } else { exit })
}

fn run_path(args: &Args, path: &Path) -> io::Result<Exit> {
    let mut out = io::stdout().lock();
    let mut lines = Vec::new();
    let replayed = replay(path, args.size(), &mut |line| lines.push(line.to_owned()));
    report::path(&mut out, args, path, &lines, &replayed)?;
    out.flush()?;
    Ok(if replayed.failure.is_some() { Exit::Violation } else { Exit::Ok })
}
