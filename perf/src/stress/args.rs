//! The options of `roundel-perf stress`.

use std::time::Duration;

use roundel::Service;
use roundel::options::{self, MemberOptions};

use super::faults::Faults;
use crate::load;

const EXAMPLES: &str = "\
Examples, as root:
  roundel-perf stress                                     3 members, a minute, no faults
  roundel-perf stress --seconds 14400 --interval 1m --json
  roundel-perf stress --members 5 --seconds 600 --faults all --loss 1 --seed 7
  roundel-perf stress --io mmsg -- --token-timeout 200ms --window 4096

What stands behind -- is given to every member. The hosts are network namespaces of this machine;
they are removed at the end.

Exit codes: 0 nothing was found, 1 it could not run, 2 options that cannot be used or not root, 6 an
order differs, a message is lost or something grows, 130 interrupted (the summary is printed).";

/// Load a ring for long, with faults, and watch its order, its losses and what its members hold.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Members, each on a host of its own.
    #[arg(long, value_name = "N", default_value = "3")]
    #[arg(value_parser = clap::value_parser!(u16).range(2..=64))]
    pub(crate) members: u16,
    /// Seconds of load.
    #[arg(long, value_name = "S", default_value = "60", value_parser = load::some_seconds)]
    pub(crate) seconds: Duration,
    /// Messages of each member a second, at planned times.
    #[arg(long, value_name = "R", default_value = "20000")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: u32,
    /// Decides sizes and faults.
    #[arg(long, value_name = "X", default_value = "1")]
    pub(crate) seed: u64,
    /// Of a hundred datagrams, so many are lost at each receiver.
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = loss)]
    pub(crate) loss: u32,
    /// What happens to the members.
    #[arg(
        long,
        value_name = "none|crashes|partitions|all",
        default_value = "none",
        hide_possible_values = true
    )]
    pub(crate) faults: Faults,
    /// Distance of the samples.
    #[arg(long, value_name = "D", default_value = "10s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Asked of the order: reliable, fifo, causal, agreed, safe.
    #[arg(long, default_value = "agreed", value_parser = options::service)]
    pub(crate) service: Service,
    /// The members' way to the kernel.
    #[arg(long, value_name = "auto|uring|mmsg", value_parser = ["auto", "uring", "mmsg"])]
    #[arg(default_value = "auto", hide_possible_values = true)]
    pub(crate) io: String,
    /// What their workers do when there is nothing to do.
    #[arg(long, value_name = "auto|spin|backoff|park", default_value = "auto")]
    #[arg(value_parser = ["auto", "spin", "backoff", "park"], hide_possible_values = true)]
    pub(crate) idle: String,
    /// One JSON object for each fault, configuration, finding and sample, and for the summary, on a
    /// line.
    #[arg(long)]
    pub(crate) json: bool,
    /// More options of every member.
    #[arg(last = true, value_name = "OPTION")]
    pub(crate) more: Vec<String>,
}

/// One of the members that `stress` starts; ends when its standard input does.
#[derive(clap::Args, Debug)]
pub(crate) struct MemberArgs {
    /// Messages a second.
    #[arg(long, value_name = "R")]
    pub(crate) rate: u32,
    /// Decides sizes.
    #[arg(long, value_name = "X")]
    pub(crate) seed: u64,
    /// Asked of the order.
    #[arg(long, value_parser = options::service)]
    pub(crate) service: Service,
    #[command(flatten)]
    pub(crate) member: MemberOptions,
}

impl Args {
    /// What a member is started with.
    pub(super) fn member(&self) -> Vec<String> {
        let options = [
            ("--cluster", "stress"),
            ("--rate", &self.rate.to_string()),
            ("--seed", &self.seed.to_string()),
            ("--service", self.service.name()),
            ("--io", &self.io),
            ("--idle", &self.idle),
        ];
        let options = options.into_iter().flat_map(|(name, value)| [name, value]);
        let own = ["stress-member"].into_iter().chain(options).map(str::to_owned);
        own.chain(self.more.iter().cloned()).collect()
    }
}

/// A percentage, in thousandths.
fn loss(text: &str) -> Result<u32, String> {
    let percent = text.parse().ok().filter(|percent| (0.0..=50.0).contains(percent));
    let mut per_mille = (0..=500).map(|it| (it, f64::from(it) / 10.0));
    percent
        .and_then(|percent: f64| per_mille.find(|(_, it)| (it - percent).abs() < 1e-9))
        .map(|(it, _)| it)
        .ok_or_else(|| "use a percentage from 0 to 50 with one digit, such as 0.5".to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = options::duration(text)?;
    if interval < Duration::from_secs(1) { Err("use 1s or more".to_owned()) } else { Ok(interval) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert_eq!((loss("1"), loss("0.3"), loss("0")), (Ok(10), Ok(3), Ok(0)));
        assert!(loss("0.01").is_err() && loss("51").is_err() && loss("x").is_err());
        assert_eq!(interval("1m"), Ok(Duration::from_secs(60)));
        assert!(interval("10ms").is_err());
    }
}
