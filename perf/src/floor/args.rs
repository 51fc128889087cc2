//! The options of `roundel-perf floor`.

use std::time::Duration;

use roundel::options::MemberOptions;
use xxhash_rust::xxh3::xxh3_64;

use crate::load::{self, Senders};

const EXAMPLES: &str = "\
Examples, one line for each member, on three hosts:
  roundel-perf floor --members 3 --size 64 --seconds 5
  roundel-perf floor --members 3 --size 1350 --seconds 5 --io mmsg --json
On one host, without root:
  roundel-perf floor --members 3 --interface 127.0.0.1 &
  roundel-perf floor --members 3 --interface 127.0.0.2 &
  roundel-perf floor --members 3 --interface 127.0.0.3

The members send as many packets a turn as a ring's may: --personal-window.

Exit codes: 0 valid, 1 not valid (the reason is printed), 2 options that cannot be used,
5 not all members heard of each other within 20 s, 130 interrupted.";

/// Measure what this host does without a protocol: turns of multicast packets, nothing repaired.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Members to wait for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    pub(crate) members: u16,
    /// Bytes of a message; the packets are those that a ring would make of such messages.
    #[arg(long, value_name = "B", default_value = "64", value_parser = load::size)]
    pub(crate) size: usize,
    /// Seconds to measure.
    #[arg(long, value_name = "S", default_value = "5", value_parser = load::some_seconds)]
    pub(crate) seconds: Duration,
    /// Seconds of load before.
    #[arg(long, value_name = "S", default_value = "1", value_parser = load::seconds)]
    pub(crate) warmup: Duration,
    /// Who sends: all members, or the one with the lowest address.
    #[arg(long, value_name = "all|one", default_value = "all", hide_possible_values = true)]
    pub(crate) senders: Senders,
    /// One JSON object on one line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) member: MemberOptions,
}

impl Args {
    /// The same at members that belong together.
    pub(crate) fn cluster(&self) -> u64 {
        xxh3_64(self.member.cluster().as_bytes())
    }

    /// The same at members that run the same floor.
    pub(crate) fn hash(&self) -> u64 {
        let Self { members, size, seconds, warmup, senders, .. } = self;
        xxh3_64(format!("{members} {size} {seconds:?} {warmup:?} {senders:?}").as_bytes())
    }
}
