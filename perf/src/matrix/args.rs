//! The options of `roundel-perf matrix`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;

use super::document::Options;
use super::plan::{self, Cell};
use crate::load;

const EXAMPLES: &str = "\
Examples, as root:
  roundel-perf matrix                             15 minutes; writes roundel-matrix.json and .html
  roundel-perf matrix --quick --output before     a minute
  roundel-perf matrix --only size= --runs 9       the cells whose names contain size=
  roundel-perf compare before.json after.json     what changed beyond noise

The hosts are network namespaces of this machine, on one bridge; they are removed at the end.
Nothing else should run meanwhile.

Exit codes: 0 done, 1 no cell is valid or a file cannot be written, 2 options that cannot be used
or not root, 130 interrupted (what was measured is written).";

/// Measure over sizes, members, services and faults, and write one report.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Hosts to make; cells with more members are left out.
    #[arg(long, value_name = "N", default_value_t = plan::MEMBERS_MAX)]
    #[arg(value_parser = hosts())]
    pub(crate) hosts: u16,
    /// A few cells of every kind, in about a minute.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only cells whose names contain PATTERN, and what they need.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
    /// Runs of each cell, alternating with the floor [default: 5, with --quick 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: Option<u32>,
    /// Seconds of each run [default: 0.5, with --quick 0.3].
    #[arg(long, value_name = "S", value_parser = load::some_seconds)]
    pub(crate) seconds: Option<Duration>,
    /// Seconds of load before each [default: 0.2].
    #[arg(long, value_name = "S", value_parser = load::seconds)]
    pub(crate) warmup: Option<Duration>,
    /// Rounds of `failover` behind the cells [default: 5, with --quick or --only none].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1000))]
    pub(crate) failover: Option<u32>,
    /// Writes FILE.json and FILE.html.
    #[arg(long, value_name = "FILE", default_value = "roundel-matrix")]
    pub(crate) output: PathBuf,
    /// One JSON object for each cell, on a line, as it is done.
    #[arg(long)]
    pub(crate) json: bool,
}

fn hosts() -> impl TypedValueParser<Value = u16> {
    clap::value_parser!(u16).range(i64::from(plan::MEMBERS)..=plan::MEMBERS_MAX.into())
}

impl Args {
    /// What is asked for, with what was left open.
    pub(crate) fn options(&self) -> Options {
        let (runs, seconds) = if self.quick { (3, 0.3) } else { (5, 0.5) };
        let failover = if self.quick || self.only.is_some() { 0 } else { 5 };
        Options {
            hosts: self.hosts,
            quick: self.quick,
            only: self.only.clone(),
            runs: self.runs.unwrap_or(runs),
            seconds: self.seconds.map_or(seconds, |seconds| seconds.as_secs_f64()),
            warmup: self.warmup.map_or(0.2, |warmup| warmup.as_secs_f64()),
            failover: self.failover.unwrap_or(failover),
        }
    }

    /// The cells to run.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let cells = if self.quick { plan::quick(self.hosts) } else { plan::full(self.hosts) };
        self.only.as_deref().map_or_else(|| cells.clone(), |pattern| plan::only(&cells, pattern))
    }

    /// The file with this extension.
    pub(crate) fn file(&self, extension: &str) -> PathBuf {
        // Not `with_extension`, which would cut `v1.2` short.
        let mut file = self.output.clone().into_os_string();
        file.push(".");
        file.push(extension);
        file.into()
    }
}
