//! The options of `roundel-perf load`.

use std::time::Duration;

use clap::ValueEnum;
use roundel::options::{self, MemberOptions};
use roundel::{DriveMode, Service};
use xxhash_rust::xxh3::xxh3_64;

use crate::payload::HEAD_BYTES;

const EXAMPLES: &str = "\
Examples, one line for each member, on three hosts:
  roundel-perf load --members 3 --size 64 --seconds 10
  roundel-perf load --members 3 --size 1350 --seconds 10 --rate 10000 --service safe --json
On one host, without root:
  roundel-perf load --members 3 --interface 127.0.0.1 &
  roundel-perf load --members 3 --interface 127.0.0.2 &
  roundel-perf load --members 3 --interface 127.0.0.3

Every member prints its own result; order_digest is the same at all of
them (null with reliable and fifo messages, which may be delivered before they have a place).

Exit codes: 0 valid, 1 not valid (the reason is printed), 2 options that cannot be used,
5 not all members in one configuration within 20 s, 130 interrupted.";

/// Load the ring as one of its members, and measure it.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Members to wait for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    pub(crate) members: u16,
    /// Bytes of a message.
    #[arg(long, value_name = "B", default_value = "64", value_parser = size)]
    pub(crate) size: usize,
    /// Messages of all sizes from this one to --size, evenly, by their number.
    #[arg(long, value_name = "B", value_parser = size)]
    pub(crate) size_min: Option<usize>,
    /// Seconds to measure.
    #[arg(long, value_name = "S", default_value = "5", value_parser = some_seconds)]
    pub(crate) seconds: Duration,
    /// Seconds of load before.
    #[arg(long, value_name = "S", default_value = "1", value_parser = seconds)]
    pub(crate) warmup: Duration,
    /// Messages of each sender a second, at planned times; or as many as the ring takes.
    #[arg(long, value_name = "R|max", default_value = "max", value_parser = rate)]
    pub(crate) rate: Rate,
    /// Who sends: all members, or the one with the lowest id.
    #[arg(long, value_name = "all|one", default_value = "all", hide_possible_values = true)]
    pub(crate) senders: Senders,
    /// Asked of the order: reliable, fifo, causal, agreed, safe.
    #[arg(long, default_value = "agreed", value_parser = options::service)]
    pub(crate) service: Service,
    /// Fifo messages of each sender a second besides, of 64 B, which do not count.
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) beside: Option<u64>,
    /// Who does the member's work: threads of its own, or the one that sends and receives.
    #[arg(
        long,
        value_name = "threads|inline",
        default_value = "threads",
        hide_possible_values = true
    )]
    pub(crate) drive: Drive,
    /// How the receiving thread waits for events: sleeps, or polls with a yield.
    #[arg(long, value_name = "wait|poll", default_value = "wait", hide_possible_values = true)]
    pub(crate) receive: Receive,
    /// One JSON object on one line.
    #[arg(long)]
    pub(crate) json: bool,
    /// With --json: also latency_histogram, the V2 encoding of HdrHistogram, deflated, in base64.
    #[arg(long)]
    pub(crate) histogram: bool,
    #[command(flatten)]
    pub(crate) member: MemberOptions,
}

/// How fast a member sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rate {
    /// As fast as messages are accepted.
    Max,
    /// Messages a second.
    PerSecond(u64),
}

/// Who does a member's work.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Drive {
    Threads,
    Inline,
}

impl From<Drive> for DriveMode {
    fn from(drive: Drive) -> Self {
        match drive {
            Drive::Threads => Self::Threads,
            Drive::Inline => Self::Inline,
        }
    }
}

/// How a receiving thread waits.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Receive {
    Wait,
    Poll,
}

/// Who sends.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Senders {
    All,
    One,
}

impl Args {
    /// The same at members that run the same load.
    pub(crate) fn hash(&self) -> u64 {
        let Self { members, size, size_min, seconds, warmup, rate, senders, service, .. } = self;
        let beside = self.beside;
        let all = format!(
            "{members} {size} {size_min:?} {seconds:?} {warmup:?} {rate:?} {senders:?} \
                 {service:?} {beside:?}"
        );
        xxh3_64(all.as_bytes())
    }
}

pub(crate) fn size(text: &str) -> Result<usize, String> {
    match options::size(text)? {
        size if size < HEAD_BYTES => {
            Err(format!("use at least {HEAD_BYTES}: a message's own data"))
        }
        size => Ok(size),
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    const DAY: f64 = 86_400.0;
    let seconds = text.parse().ok().filter(|seconds| (0.0..=DAY).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "use seconds, such as 5 or 0.5".to_owned())
}

/// Takes what there is something to measure in.
pub(crate) fn some_seconds(text: &str) -> Result<Duration, String> {
    let seconds = seconds(text)?;
    if seconds.is_zero() {
        Err("use more than 0: nothing is measured".to_owned())
    } else {
        Ok(seconds)
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    const RATE_MAX: u64 = 100_000_000;
    if text == "max" {
        return Ok(Rate::Max);
    }
    let rate = text.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate));
    rate.map(Rate::PerSecond).ok_or_else(|| "use max, or messages a second from 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert_eq!(rate("max"), Ok(Rate::Max));
        assert_eq!(rate("100"), Ok(Rate::PerSecond(100)));
        assert!(rate("0").is_err() && rate("fast").is_err());
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert!(some_seconds("0").is_err() && some_seconds("1e-12").is_err());
        assert_eq!(some_seconds("1"), seconds("1"));
        assert!(seconds("-1").is_err() && seconds("NaN").is_err() && seconds("1e9").is_err());
        assert_eq!(size("8KiB"), Ok(8192));
        assert!(size("27").is_err());
    }
}
