//! `roundel-perf failover`: how long traffic stands still when a member crashes or returns and when
//! the network parts or heals.

mod args;
mod hosts;
mod log;
mod member;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use roundel::lan;
use serde::Serialize;

pub(crate) use args::{Args, MemberArgs};
use hosts::Hosts;
use log::Effect;
pub(crate) use member::run as run_member;

use crate::environment::Environment;
use crate::exit::{self, Exit, Stop, fail};
use crate::figures::{Spread, rounded};
use crate::result::{self, Validity};

/// How long the ring runs undisturbed before each fault.
const QUIET: Duration = Duration::from_millis(300);

/// The result, in the order in which it is printed.
#[derive(Serialize, Debug)]
struct Report {
    schema: &'static str,
    hosts: u16,
    rate: u32,
    rounds: usize,
    /// A member is killed: what the others see.
    crash: Figures,
    /// It is started again.
    rejoin: Figures,
    /// The network parts: what both sides see.
    partition: Figures,
    /// It heals.
    merge: Figures,
    environment: Environment,
    #[serde(flatten)]
    validity: Validity,
}

/// Of one kind of fault.
#[derive(Serialize, Default, Debug)]
struct Figures {
    /// The longest time without a delivery at the member that fared worst, over all rounds.
    gap_ms: Spread,
    /// From the fault to the configuration that it leads to, at the last member.
    agreed_ms: Spread,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> Exit {
    if let Some(missing) = lan::missing() {
        return fail(Exit::Usage, missing);
    }
    // Of each round: crash, rejoin, partition, merge.
    let mut rounds: Vec<[Effect; 4]> = Vec::new();
    let ended = exit::interrupted().and_then(|interrupted| {
        let ended = measure(args, &interrupted, &mut rounds);
        ended.map_err(|stop| stop.or_interrupted(&interrupted))
    });
    let (exit, reason) = match ended.map_err(Stop::exit) {
        Ok(()) => (Exit::Ok, None),
        Err((exit, reason)) => (exit, Some(reason)),
    };
    let validity = Validity::of(reason);
    let report = Report::new(args, &rounds, validity.clone());
    result::conclude(exit, args.json, &report, &validity, |out| report.write_text(out))
}

fn measure(
    args: &Args,
    interrupted: &Arc<AtomicBool>,
    rounds: &mut Vec<[Effect; 4]>,
) -> Result<(), Stop> {
    let interrupted = Arc::clone(interrupted);
    let mut hosts = Hosts::new(args.hosts.into(), args.rate, interrupted)?;
    let all: Vec<u32> = (1..=args.hosts.into()).collect();
    let (last, others) = (u32::from(args.hosts), &all[..all.len() - 1]);
    // The larger side is the first.
    let (one, two) = all.split_at(all.len().div_ceil(2));
    hosts.wait(&[&all])?;
    for round in 1..=args.runs {
        let crash = hosts.fault(&[others], QUIET, |hosts| hosts.crash(last))?;
        let rejoin = hosts.fault(&[&all], QUIET, |hosts| hosts.rejoin(last))?;
        let partition = hosts.fault(&[one, two], QUIET, |hosts| hosts.partition(&[one, two]))?;
        let merge = hosts.fault(&[&all], QUIET, |hosts| hosts.heal())?;
        rounds.push([crash, rejoin, partition, merge]);
        let told = [crash, rejoin, partition, merge].map(|effect| effect.gap.as_millis());
        eprintln!("[{round}/{}] crash, rejoin, partition, merge: {told:?} ms", args.runs);
    }
    Ok(())
}

impl Report {
    fn new(args: &Args, rounds: &[[Effect; 4]], validity: Validity) -> Self {
        let figures = |kind: usize| {
            let effects = || rounds.iter().map(move |round| round[kind]);
            Figures {
                gap_ms: spread(effects().map(|effect| effect.gap)),
                agreed_ms: spread(effects().map(|effect| effect.agreed)),
            }
        };
        Self {
            schema: "roundel.failover/1",
            hosts: args.hosts,
            rate: args.rate,
            rounds: rounds.len(),
            crash: figures(0),
            rejoin: figures(1),
            partition: figures(2),
            merge: figures(3),
            environment: Environment::here(),
            validity,
        }
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { hosts, rate, rounds, crash, rejoin, partition, merge, .. } = self;
        writeln!(out, "{hosts} members, each {rate} messages a second, {rounds} rounds")?;
        for (name, figures) in
            [("crash", crash), ("rejoin", rejoin), ("partition", partition), ("merge", merge)]
        {
            let Figures { gap_ms, agreed_ms } = figures;
            writeln!(
                out,
                "  {name:<10} no delivery for {} ms ({} to {}), agreed after {} ms ({} to {})",
                gap_ms.median,
                gap_ms.min,
                gap_ms.max,
                agreed_ms.median,
                agreed_ms.min,
                agreed_ms.max
            )?;
        }
        Ok(())
    }
}

fn spread(spans: impl Iterator<Item = Duration>) -> Spread {
    let Spread { median, min, max } = Spread::of(spans.map(|span| span.as_secs_f64() * 1e3));
    Spread { median: rounded(median, 10.0), min: rounded(min, 10.0), max: rounded(max, 10.0) }
}
