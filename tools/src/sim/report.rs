//! What is said of the runs: each failure as it comes, and all together at the end.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::totals::Totals;
use super::{Args, Came, SCHEMA};
use crate::exit::Exit;
use crate::output::write_object;

/// Takes what the seeds came to, in their order.
pub(super) struct Report<'a> {
    args: &'a Args,
    totals: Totals,
    /// With the clause.
    failed: Vec<(u64, String)>,
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
struct Summary<'t> {
    event: &'static str,
    schema: &'static str,
    seeds: u64,
    failures: u64,
    violations: u64,
    simulated_s: f64,
    merge_ms: Merge,
    digest: String,
    invariants_judged: u64,
    faults: &'t BTreeMap<String, u64>,
    clauses: &'t BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Merge {
    p50: u64,
    max: u64,
}

impl<'a> Report<'a> {
    /// Goes on from what earlier runs came to.
    pub(super) const fn new(args: &'a Args, totals: Totals) -> Self {
        Self { args, totals, failed: Vec::new() }
    }

    pub(super) const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The seeds that failed this time.
    pub(super) fn failed(&self) -> &[(u64, String)] {
        &self.failed
    }

    pub(super) fn take(&mut self, seed: u64, came: Came) {
        let failure = match came {
            Ok(run) => {
                self.totals.add(&run);
                run.failure
            }
            Err(failure) => {
                self.totals.add_broken();
                Some(failure)
            }
        };
        if let Some((clause, detail)) = failure {
            self.write_failure(seed, &clause, &detail);
            self.failed.push((seed, clause));
        }
    }

    fn write_failure(&self, seed: u64, clause: &str, detail: &str) {
        let replay = format!("roundel sim --seeds {seed}..{} {}", seed + 1, self.args.options());
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

    pub(super) fn finish(&self) -> io::Result<Exit> {
        let mut out = io::stdout().lock();
        if self.args.json {
            write_object(&mut out, &self.summary())?;
        } else {
            self.write_text(&mut out)?;
        }
        out.flush()?;
        Ok(if self.totals.failures > 0 { Exit::Violation } else { Exit::Ok })
    }

    fn summary(&self) -> Summary<'_> {
        let totals = &self.totals;
        Summary {
            event: "summary",
            schema: SCHEMA,
            seeds: totals.seeds,
            failures: totals.failures,
            violations: totals.violations,
            simulated_s: self.simulated_s(),
            merge_ms: Merge { p50: totals.merge_ms(50), max: totals.merge_ms(100) },
            digest: format!("{:016x}", totals.digest),
            invariants_judged: totals.invariants,
            faults: &totals.faults,
            clauses: &totals.clauses,
        }
    }

    fn simulated_s(&self) -> f64 {
        std::time::Duration::from_nanos(self.totals.simulated_ns).as_secs_f64()
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let totals = &self.totals;
        for (name, count) in &totals.faults {
            writeln!(out, "{name:<28} {count:>12}")?;
        }
        for (name, count) in &totals.clauses {
            writeln!(out, "{name:<28} {count:>12} judged")?;
        }
        writeln!(
            out,
            "{} seeds, {:.0} s simulated, {} invariants and {} clause instances judged; \
             healed to one ring in {} ms (median), {} ms (most); {} failures",
            totals.seeds,
            self.simulated_s(),
            totals.invariants,
            totals.clauses.values().sum::<u64>(),
            totals.merge_ms(50),
            totals.merge_ms(100),
            totals.failures,
        )
    }
}
