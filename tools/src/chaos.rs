//! `roundel chaos`: real members under a seeded schedule of real faults, in a network of their own.
//!
//! Members are processes of their own in network namespaces on one bridge ([`roundel::lan`]), with
//! a state directory in memory each. A run is a row of *sittings* of a minute: all members start,
//! come to one ring, and go through *episodes*, until they settle, are judged by their histories
//! (`roundel check`, with what must come eventually), and leave; the next sitting goes on from the
//! same state directories. An episode is one to three faults of different kinds that overlap, under
//! a load of its own; then all is healed, and all members must come to one ring.
//!
//! Each sitting has a policy for the primary component (`policy.rs`), by which all members together must
//! come to be one; its clauses are judged like the others.
//!
//! What the seed decides: which faults, on whom, when, for how long, what is published (`plan.rs`).
//! What it does not: the host's own times. The same seed is the same test, not the same history.
//!
//! - `kind.rs`: the kinds of faults; each comes once before any comes again.
//! - `scene.rs`, `disks.rs`, `strangers.rs`, `noise.rs`: how each is done, and how it is seen that
//!   it has struck: a process that ran was killed, a counter of the kernel has moved, a disk was
//!   full. What could not be done is told and counted apart.
//! - `run.rs`: sittings and episodes, and what must hold at their ends.
//! - `member.rs`: what the members do.

mod chance;
mod disks;
mod fleet;
mod judge;
mod kind;
pub(crate) mod member;
mod noise;
mod plan;
mod policy;
mod report;
mod run;
mod scene;
mod strangers;
mod words;

use std::path::PathBuf;

use clap::ValueEnum;
use roundel::lan;

use crate::exit::Exit;
use crate::stop::Stop;
use kind::Profile;
use plan::Plan;
use policy::Policies;
use report::Report;
use run::{Run, Trouble};
use scene::Scene;

const EXAMPLES: &str = "\
Examples:
  roundel chaos                                 five members, one minute, every kind of fault
  roundel chaos --seconds 3600 --seed 7         an hour
  roundel chaos --profile partitions --json | tail -n 1
                                                only the summary
  roundel chaos --trace-dir out && roundel check out
                                                keep the members' histories, judge them again

Needs root, iproute2 and nftables (e2fsprogs for read-only disks). Nothing outside of the network
namespaces that it makes is touched, and nothing stays behind.

Exit codes: 0 no violation, 1 it could not be done, 2 options that cannot be used or no root, 6 a
violation (its traces are kept, and where is said), 130 interrupted.";

/// Run real members under real faults, and judge what they did.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Members, each a process of its own.
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u32).range(2..=16))]
    members: u32,
    /// How long; the last sitting is settled and judged beyond that.
    #[arg(long, value_name = "S", default_value_t = 60)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=604_800))]
    seconds: u32,
    /// What the faults are drawn from.
    #[arg(long, value_name = "X", default_value_t = 1)]
    seed: u64,
    /// Which kinds of faults.
    #[arg(long, value_name = "NAME", value_enum, default_value = "all")]
    profile: Profile,
    /// Keep every member's history as DIR/<node>.<incarnation>.jsonl.
    #[arg(long, value_name = "DIR")]
    trace_dir: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Runs it and says what was found.
pub(crate) fn run(args: &Args) -> Exit {
    if let Some(missing) = lan::missing() {
        eprintln!("roundel chaos: {missing}");
        return Exit::Usage;
    }
    match perform(args) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("roundel chaos: {error}");
            Exit::Failed
        }
    }
}

fn perform(args: &Args) -> Result<Exit, String> {
    let stop = Stop::on_signals().map_err(|error| error.to_string())?;
    disks::leave_mounts().map_err(|error| {
        format!("no file systems of its own: {error}; fix: CAP_SYS_ADMIN in a container")
    })?;
    let profile = args.profile.to_possible_value();
    let profile = profile.as_ref().map_or("", |value| value.get_name());
    let report = Report::new(args.json, args.members, args.seed, profile);
    report.start(args.seconds).map_err(|error| error.to_string())?;
    let scene = Scene::new(args.members, args.seed, args.trace_dir.as_deref())?;
    let plan = Plan::new(args.seed, args.members, args.profile);
    let policies = Policies::new(args.seed, args.members);
    let keeps_all = args.trace_dir.is_some();
    let mut run = Run::new(scene, report, (plan, policies), stop, args.seconds, keeps_all);
    let ended = run.run();
    let Run { scene, mut report, has_kept, .. } = run;
    let kept = has_kept.then(|| scene.traces.display().to_string());
    if has_kept {
        scene.keep();
    } else {
        drop(scene);
    }
    let (exit, reason) = match ended {
        Err(Trouble::Output(error)) => return Err(format!("stdout cannot be written: {error}")),
        _ if report.violations() > 0 => (Exit::Violation, Some("violations".to_owned())),
        Err(Trouble::Interrupted) => (Exit::Interrupted, Some("interrupted".to_owned())),
        Err(Trouble::Place(reason)) => (Exit::Failed, Some(reason)),
        Ok(()) if !report.has_judged() => {
            (Exit::Failed, Some("the judge had nothing to judge".to_owned()))
        }
        Ok(()) => (Exit::Ok, None),
    };
    report.summary(reason.as_deref(), kept.as_deref()).map_err(|error| error.to_string())?;
    Ok(exit)
}
