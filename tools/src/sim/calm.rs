//! `roundel sim --calm`: hours of one calm cluster, and how fast they are simulated.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use roundel_ring::sim::{Soak, Soaked, soak};
use serde::Serialize;

use super::{Args, SCHEMA};
use crate::exit::Exit;
use crate::output::write_object;

#[derive(Serialize)]
struct Summary {
    event: &'static str,
    schema: &'static str,
    members: u32,
    messages_per_s: u32,
    hop_us: u64,
    simulated_s: f64,
    events: u64,
    delivered: u64,
    gathers: u64,
    invariants_judged: u64,
    clauses: BTreeMap<&'static str, u64>,
    violations: u64,
    elapsed_s: f64,
    /// Simulated on one core.
    cluster_hours_per_minute: f64,
    clause: Option<String>,
    detail: Option<String>,
}

/// Simulates a calm cluster for `span`.
pub(super) fn run(args: &Args, span: Duration) -> Exit {
    let calm = Soak {
        seed: args.seeds.as_ref().map_or(0, |seeds| seeds.start),
        members: args.nodes.unwrap_or(5).into(),
        messages_per_s: args.rate,
        hop: args.hop,
        span,
    };
    let started = Instant::now();
    let mut told = started;
    let soaked = soak(&calm, &mut |simulated| {
        if !args.json && told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            eprintln!("{:.0} s simulated", simulated.as_secs_f64());
        }
    });
    let elapsed = started.elapsed();
    let written = if args.json {
        write_object(&mut io::stdout().lock(), &summary(&calm, &soaked, elapsed))
    } else {
        write_text(&mut io::stdout().lock(), &soaked, elapsed)
    };
    match written {
        Err(_) => Exit::Failed,
        Ok(()) if soaked.failure.is_some() => Exit::Violation,
        Ok(()) => Exit::Ok,
    }
}

fn cluster_hours_per_minute(soaked: &Soaked, elapsed: Duration) -> f64 {
    soaked.simulated.as_secs_f64() / 3_600.0 / (elapsed.as_secs_f64() / 60.0)
}

fn summary(calm: &Soak, soaked: &Soaked, elapsed: Duration) -> Summary {
    let judged = soaked.verdict.judgements().iter();
    Summary {
        event: "summary",
        schema: SCHEMA,
        members: calm.members,
        messages_per_s: calm.messages_per_s,
        hop_us: u64::try_from(calm.hop.as_micros()).unwrap_or(u64::MAX),
        simulated_s: soaked.simulated.as_secs_f64(),
        events: soaked.events,
        delivered: soaked.delivered,
        gathers: soaked.gathers,
        invariants_judged: soaked.invariants_judged,
        clauses: judged.map(|it| (it.clause.name(), it.instances)).collect(),
        violations: soaked.verdict.violation_count(),
        elapsed_s: elapsed.as_secs_f64(),
        cluster_hours_per_minute: cluster_hours_per_minute(soaked, elapsed),
        clause: soaked.failure.as_ref().map(|it| it.clause.clone()),
        detail: soaked.failure.as_ref().map(|it| it.detail.clone()),
    }
}

fn write_text(out: &mut impl Write, soaked: &Soaked, elapsed: Duration) -> io::Result<()> {
    writeln!(
        out,
        "{:.0} s simulated in {:.1} s, {:.2} cluster hours a minute on one core; {} events, {} \
         messages delivered, {} gathers; {} invariants and {} clause instances judged",
        soaked.simulated.as_secs_f64(),
        elapsed.as_secs_f64(),
        cluster_hours_per_minute(soaked, elapsed),
        soaked.events,
        soaked.delivered,
        soaked.gathers,
        soaked.invariants_judged,
        soaked.verdict.instances(),
    )?;
    match &soaked.failure {
        Some(failure) => writeln!(out, "{}: {}", failure.clause, failure.detail),
        None => writeln!(out, "no violation"),
    }
}
