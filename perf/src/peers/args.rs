//! The options of `roundel-perf peers`.

use std::path::PathBuf;
use std::time::Duration;

use super::document::Options;
use crate::load;

const EXAMPLES: &str = "\
Examples, as root:
  roundel-perf peers                                    about 5 minutes
  roundel-perf peers --sizes 64 --only nats --runs 1    a few seconds
  roundel-perf peers --members 5 --output peers.json
  roundel-perf peers --link 1000                        on links of 1 Gbit/s

Peers that are not installed are left out and named; fix: apt-get install corosync libcpg-dev gcc
nats-server. Their services need not run. Nothing else should run meanwhile.

Exit codes: 0 done, 1 nothing is valid or the file cannot be written, 2 options that cannot be used
or not root, 130 interrupted (what was measured is told).";

/// Measure Roundel and its peers by turns on the same hosts.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Members, each on a host of its own.
    #[arg(long, value_name = "N", default_value = "3")]
    #[arg(value_parser = clap::value_parser!(u16).range(2..=8))]
    pub(crate) members: u16,
    /// Bytes of a message, one after the other.
    #[arg(long, value_name = "B,…", default_value = "64,1350,8192", value_delimiter = ',')]
    #[arg(value_parser = size)]
    pub(crate) sizes: Vec<usize>,
    /// Runs of each system and size.
    #[arg(long, value_name = "N", default_value = "3")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// Seconds to measure in each run, once for throughput and once for latency.
    #[arg(long, value_name = "S", default_value = "2", value_parser = load::some_seconds)]
    pub(crate) seconds: Duration,
    /// Seconds of load before.
    #[arg(long, value_name = "S", default_value = "0.5", value_parser = load::seconds)]
    pub(crate) warmup: Duration,
    /// Messages of each member a second where latency is measured.
    #[arg(long, value_name = "R", default_value = "2000")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) rate: u64,
    /// What each link carries, in Mbit/s [default: as much as the machine can].
    #[arg(long, value_name = "MBIT", value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub(crate) link: Option<u32>,
    /// Only peers and sizes whose names contain PATTERN, such as nats or size=64, beside Roundel.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Option<String>,
    /// Writes FILE, one JSON object with all runs.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// One JSON object for each system and size, on a line.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// What is asked for.
    pub(crate) fn options(&self) -> Options {
        Options {
            members: self.members,
            sizes: self.sizes.clone(),
            runs: self.runs,
            seconds: self.seconds.as_secs_f64(),
            warmup: self.warmup.as_secs_f64(),
            rate: self.rate,
            link: self.link,
            only: self.only.clone(),
        }
    }
}

/// Takes what every system takes.
fn size(text: &str) -> Result<usize, String> {
    const SIZE_MIN: usize = 32;
    const SIZE_MAX: usize = 512 << 10;
    let size = load::size(text)?;
    let fits = (SIZE_MIN..=SIZE_MAX).contains(&size);
    fits.then_some(size).ok_or_else(|| format!("use {SIZE_MIN} to {SIZE_MAX} bytes"))
}
