//! The options of `roundel-perf failover`.

use roundel::options::MemberOptions;

const EXAMPLES: &str = "\
Examples, as root:
  roundel-perf failover                     3 hosts, 5 rounds, about 20 s
  roundel-perf failover --hosts 5 --runs 20 --json

A round is a crash (kill -9), the return of the crashed member, a partition and the merge of its
sides. The gap is the longest time between two deliveries at the member that fared worst.

Exit codes: 0 done, 1 members did not come together in time, 2 options that cannot be used or not
root, 130 interrupted.";

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
    #[arg(value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(crate) rate: u32,
    /// One JSON object on one line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// One of the members that `failover` starts; ends when its standard input does.
#[derive(clap::Args, Debug)]
pub(crate) struct MemberArgs {
    /// Messages a second.
    #[arg(long, value_name = "R")]
    pub(crate) rate: u32,
    #[command(flatten)]
    pub(crate) member: MemberOptions,
}
