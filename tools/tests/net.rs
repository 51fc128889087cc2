//! Members on real networks: a process each, in Linux network namespaces of their own, on veth
//! links to one bridge. What they delivered is compared and their traces are judged.
//!
//! Needs root, iproute2 and nftables; elsewhere each test says so in one line and is skipped. The
//! tests run one at a time. Nothing here asserts anything about time: waits are generous, and
//! bounded so that a ring that never comes is a failure.
//!
//! Variables:
//! - `NET_WAY=uring|mmsg|unicast|raw`: run every scenario that way (default `--io auto`, multicast).
//! - `NET_LINES=600`: lines of each member in runs about the order; loads grow along with it.
//! - `NET_LONG=1`: measure as well (`measure.rs`), in minutes; figures are printed.
//! - `NET_LONG_MINUTES=10`: how long the ring is watched for changes without a fault.
//!
//! The names do not begin with `ROUNDEL_`, because the command refuses variables of that kind
//! which it does not know.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails where it expects")]

#[path = "net/chatter.rs"]
mod chatter;
#[path = "net/faults.rs"]
mod faults;
#[path = "net/groups.rs"]
mod groups;
#[path = "net/judge.rs"]
mod judge;
#[path = "net/log.rs"]
mod log;
#[path = "net/measure.rs"]
mod measure;
#[path = "net/member.rs"]
mod member;
#[path = "net/names.rs"]
mod names;
#[path = "net/order.rs"]
mod order;
#[path = "net/primary.rs"]
mod primary;
#[path = "net/processes.rs"]
mod processes;
#[path = "net/replicas.rs"]
mod replicas;
#[path = "net/run.rs"]
mod run;
#[path = "net/stories.rs"]
mod stories;
#[path = "net/views.rs"]
mod views;

/// What the operator set a variable of this test to.
fn variable<T: std::str::FromStr>(name: &str, default: T) -> T {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number"))
}

/// Lines of a member in the runs of every commit.
const LINES: u64 = 600;

/// How many times as much as in the runs of every commit is to be ordered.
fn scale() -> u64 {
    (variable("NET_LINES", LINES) / LINES).max(1)
}

/// Says something past the test harness, which swallows `eprintln!` of tests that pass.
fn say(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "net: {line}");
}
