//! `roundel-perf stress`: hours of load with faults, and a watch on order, losses and what the
//! members hold.

mod args;
mod chance;
mod faults;
mod growth;
mod history;
mod judge;
#[cfg(test)]
mod judge_tests;
mod member;
mod process;
mod report;
mod run;
mod scene;
mod source;
mod watch;
mod words;

use std::time::Instant;

use roundel::lan;

pub(crate) use args::{Args, MemberArgs};
pub(crate) use member::run as run_member;
use report::{Reporter, Summary};
use run::Run;
use scene::Scene;

use crate::exit::{self, Exit, Stop, fail};
use crate::figures::rounded;

/// Runs the load, and prints what was found.
pub(crate) fn run(args: &Args) -> Exit {
    if let Some(missing) = lan::missing() {
        return fail(Exit::Usage, missing);
    }
    let (mut reporter, mut summary) = (Reporter::new(args.json), Summary::new(args));
    reporter.begin(args);
    let ended = watch(args, &mut reporter, &mut summary);
    let (exit, reason) = match ended {
        Err(Stop::Interrupted) => (Exit::Interrupted, Some("interrupted".to_owned())),
        Err(Stop::Failed(reason)) if reporter.has_findings() => (Exit::Violation, Some(reason)),
        Err(Stop::Failed(reason)) => (Exit::Failed, Some(reason)),
        Ok(()) if reporter.has_findings() => (Exit::Violation, None),
        Ok(()) => (Exit::Ok, None),
    };
    if let Some(reason) = &reason {
        eprintln!("roundel-perf: not valid: {reason}");
    }
    (summary.valid, summary.reason) = (exit == Exit::Ok, reason);
    let written = reporter.end(summary);
    written.map_or_else(
        |error| fail(Exit::Failed, &format!("the result cannot be written: {error}")),
        |()| exit,
    )
}

/// Runs, and takes down what there is, however it ends. The hosts are gone afterwards.
fn watch(args: &Args, reporter: &mut Reporter, summary: &mut Summary) -> Result<(), Stop> {
    let interrupted = exit::interrupted().map_err(Stop::Failed)?;
    let mut run = Run::new(args, Scene::new(args, reporter, interrupted)?);
    let started = Instant::now();
    let ended = run.run();
    let Run { scene, crashes, partitions, .. } = run;
    for (host, what) in scene.watch.growth() {
        scene.reporter.finding(&format!("member {host} {what}"));
    }
    summary.seconds = rounded(started.elapsed().as_secs_f64(), 1e3);
    (summary.crashes, summary.partitions) = (crashes, partitions);
    summary.configurations = scene.rings.len();
    summary.totals = scene.watch.totals();
    summary.compared = scene.judge.compared();
    summary.worst_gap_ms = scene.watch.worst_gap_ms();
    ended
}
