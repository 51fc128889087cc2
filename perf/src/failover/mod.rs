//! `roundel-perf failover`: how long traffic stands still when a member crashes or returns and when
//! the network parts or heals.

mod args;
mod hosts;
mod log;
mod member;
pub(crate) mod outcome;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use roundel::lan;
use serde::Serialize;

pub(crate) use args::{Args, MemberArgs, Plan};
use hosts::Hosts;
use log::Effect;
pub(crate) use member::run as run_member;
use outcome::{FAULTS, Outcome};

use crate::environment::Environment;
use crate::exit::{self, Exit, Stop, fail};
use crate::result::{self, Validity};

/// How long the ring runs undisturbed before each fault.
const QUIET: Duration = Duration::from_millis(300);

/// The result, in the order in which it is printed.
#[derive(Serialize, Debug)]
struct Report {
    schema: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
    environment: Environment,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> Exit {
    if let Some(missing) = lan::missing() {
        return fail(Exit::Usage, missing);
    }
    let interrupted = match exit::interrupted() {
        Ok(interrupted) => interrupted,
        Err(stop) => return stop.fail(),
    };
    let (exit, outcome) = measure(args.plan(), &interrupted);
    let validity = outcome.validity.clone();
    let report = Report { schema: "roundel.failover/1", outcome, environment: Environment::here() };
    result::conclude(exit, args.json, &report, &validity, |out| report.outcome.write_text(out))
}

/// Measures on hosts of its own; what was measured before something stopped it counts for nothing.
pub(crate) fn measure(plan: Plan, interrupted: &Arc<AtomicBool>) -> (Exit, Outcome) {
    let mut rounds = Vec::new();
    let ended = run_rounds(plan, interrupted, &mut rounds);
    let (exit, reason) = match ended.map_err(|stop| stop.or_interrupted(interrupted).exit()) {
        Ok(()) => (Exit::Ok, None),
        Err((exit, reason)) => (exit, Some(reason)),
    };
    (exit, Outcome::of(plan, &rounds, Validity::of(reason)))
}

fn run_rounds(
    plan: Plan,
    interrupted: &Arc<AtomicBool>,
    rounds: &mut Vec<[Effect; 4]>,
) -> Result<(), Stop> {
    let mut hosts = Hosts::new(plan.hosts.into(), plan.rate, Arc::clone(interrupted))?;
    let all: Vec<u32> = (1..=plan.hosts.into()).collect();
    let (last, others) = (u32::from(plan.hosts), &all[..all.len() - 1]);
    // The larger side is the first.
    let (one, two) = all.split_at(all.len().div_ceil(2));
    hosts.wait(&[&all])?;
    for round in 1..=plan.rounds {
        let crash = hosts.fault(&[others], QUIET, |hosts| hosts.crash(last))?;
        let rejoin = hosts.fault(&[&all], QUIET, |hosts| hosts.rejoin(last))?;
        let partition = hosts.fault(&[one, two], QUIET, |hosts| hosts.partition(&[one, two]))?;
        let merge = hosts.fault(&[&all], QUIET, |hosts| hosts.heal())?;
        let effects = [crash, rejoin, partition, merge];
        rounds.push(effects);
        let told = effects.map(|effect| effect.gap.as_millis());
        eprintln!("[{round}/{}] {}: {told:?} ms", plan.rounds, FAULTS.join(", "));
    }
    Ok(())
}
