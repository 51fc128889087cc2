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

use std::sync::Arc;
use std::time::Instant;

use roundel::lan;

pub(crate) use args::{Args, MemberArgs};
pub(crate) use member::run as run_member;
use report::{Reporter, Summary};
use run::Run;
use scene::Scene;

use crate::exit::{self, Exit, Stop, fail};
use crate::figures::rounded;
use crate::result::{Validity, written};

/// Runs the load, and prints what was found.
pub(crate) fn run(args: &Args) -> Exit {
    if let Some(missing) = lan::missing() {
        return fail(Exit::Usage, missing);
    }
    let (mut reporter, mut summary) = (Reporter::new(args.json), Summary::new(args));
    reporter.begin(args);
    let ended = watch(args, &mut reporter, &mut summary);
    let (exit, reason) = match ended {
        Err(Stop::Failed(reason)) if reporter.has_findings() => (Exit::Violation, Some(reason)),
        Err(stop) => {
            let (exit, reason) = stop.exit();
            (exit, Some(reason))
        }
        Ok(()) if reporter.has_findings() => (Exit::Violation, None),
        Ok(()) => (Exit::Ok, None),
    };
    summary.validity = Validity { valid: exit == Exit::Ok, reason };
    summary.validity.warn();
    written(reporter.end(summary), exit)
}

/// Runs, and takes down what there is, however it ends. The hosts are gone afterwards.
fn watch(args: &Args, reporter: &mut Reporter, summary: &mut Summary) -> Result<(), Stop> {
    let interrupted = exit::interrupted()?;
    let scene = Scene::new(args, reporter, Arc::clone(&interrupted));
    let scene = scene.map_err(|stop| stop.or_interrupted(&interrupted))?;
    let mut run = Run::new(args, scene);
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
    ended.map_err(|stop| stop.or_interrupted(&interrupted))
}
