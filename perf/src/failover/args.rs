//! The options of `roundel-perf failover`.

use roundel::options::MemberOptions;

use super::member::GAP_MIN;

const EXAMPLES: &str = "\
Examples, as root:
  roundel-perf failover                     3 hosts, 5 rounds, about 20 s
  roundel-perf failover --hosts 5 --runs 20 --json

A round is a crash (kill -9), the return of the crashed member, a partition and the merge of its
sides. The gap is the longest time between two deliveries at the member that fared worst.

Exit codes: 0 done, 1 something does not work or traffic does not go on, 2 options that cannot be
used or not root, 5 members did not come together within 20 s, 130 interrupted.";

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// One member on each.
    pub(crate) hosts: u16,
    /// Messages of each member a second.
    pub(crate) rate: u32,
    pub(crate) rounds: u32,
}

impl Plan {
    /// So many rounds of what is measured when nothing else is asked for.
    pub(crate) const fn usual(rounds: u32) -> Self {
        Self { hosts: 3, rate: RATE_MIN, rounds }
    }
}

/// Messages of one member a second: three of its periods are at most the shortest gap that is told.
const RATE_MIN: u32 = 1_000;
const RATE_MAX: i64 = 100_000;

const _: () = assert!(3_000 / RATE_MIN as u128 <= GAP_MIN.as_millis());

/// Measure the gap that traffic sees at a crash, a return, a partition and a merge.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Hosts to make, one member on each.
    #[arg(long, value_name = "N", default_value = "3")]
    #[arg(value_parser = clap::value_parser!(u16).range(3..=64))]
    pub(crate) hosts: u16,
    /// Rounds.
    #[arg(long, value_name = "N", default_value = "5")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,
    /// Messages of each member a second.
    #[arg(long, value_name = "R", default_value = "1000")]
    #[arg(value_parser = clap::value_parser!(u32).range(i64::from(RATE_MIN)..=RATE_MAX))]
    pub(crate) rate: u32,
    /// One JSON object on one line.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// What is asked for.
    pub(crate) const fn plan(&self) -> Plan {
        Plan { hosts: self.hosts, rate: self.rate, rounds: self.runs }
    }
}

/// One of the members that `failover` starts; ends when its standard input does.
#[derive(clap::Args, Debug)]
pub(crate) struct MemberArgs {
    /// Messages a second.
    #[arg(long, value_name = "R")]
    #[arg(value_parser = clap::value_parser!(u32).range(i64::from(RATE_MIN)..=RATE_MAX))]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) member: MemberOptions,
}
