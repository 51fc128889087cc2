//! One run of a peer: its members begin at one time and are measured from outside.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use roundel::lan::Lan;
use serde::{Deserialize, Serialize};

use super::document::{Order, Run, System};
use crate::children::Children;
use crate::environment::Ticks;
use crate::exit::Stop;
use crate::figures::{Percentiles, histogram, least, rounded};
use crate::matrix::document::Span;
use crate::pace::nanoseconds;
use crate::result::Validity;
use crate::usage::{cpu_ns_of, now_ns};

/// Longest wait until all members are in the group: their own bound is 20 s.
const GATHER_MAX: Duration = Duration::from_secs(30);

/// Longest wait for results after the planned end: the members' own bound is 15 s.
const FINISH_MAX: Duration = Duration::from_secs(30);

/// From the word to begin until it holds.
const LEAD_NS: u64 = 50_000_000;

/// Longest sleep: bounds how late an interrupt is noticed.
const SLEEP_MAX_NS: u64 = 20_000_000;

/// A system beside Roundel.
pub(crate) trait Peer {
    /// What it is.
    fn system(&self) -> &System;

    /// Starts what its members need: daemons, a broker.
    fn serve(
        &self,
        lan: &Lan,
        servers: &mut Children,
        interrupted: &AtomicBool,
    ) -> Result<(), Stop>;

    /// Whether it needs the host behind the members'.
    fn has_broker(&self) -> bool;

    /// The member on a host; behind what it has come id, members, size and rate (0 for as many as
    /// are accepted), and what they say to each other is a [`Word`].
    fn member(&self, lan: &Lan, servers: &Children, host: u32) -> Command;
}

/// What a run is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) members: u16,
    pub(crate) size: usize,
    /// Messages of each member a second; `None` for as many as are accepted.
    pub(crate) rate: Option<u64>,
    pub(crate) span: Span,
}

/// What a member says, one on a line.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Word {
    /// All members are in the group.
    Ready,
    /// What it saw.
    Result(Outcome),
}

/// What a member saw while it was measured.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) delivered: u64,
    pub(crate) span_ns: u64,
    /// Of the messages in their order, by whatever hash.
    pub(crate) digest: String,
    /// Of own messages, in any order; of planned rates alone.
    pub(crate) latency_ns: Vec<u64>,
    pub(crate) reason: Option<String>,
}

/// Runs the members once, beside servers that run.
pub(crate) fn run(
    peer: &dyn Peer,
    lan: &Lan,
    servers: &Children,
    plan: &Plan,
    interrupted: &AtomicBool,
) -> Result<Run, Stop> {
    let mut members = Children::new();
    for host in 1..=plan.members.into() {
        let mut command = peer.member(lan, servers, host);
        let words = [host.into(), plan.members.into(), plan.size as u64, plan.rate.unwrap_or(0)];
        command.args(words.map(|word| word.to_string())).stderr(Stdio::piped());
        members.start(host, &mut command)?;
    }
    for word in members.words(interrupted, GATHER_MAX)? {
        if let Word::Result(outcome) = word {
            return Err(Stop::Failed(outcome.reason.unwrap_or_default()));
        }
    }
    let begin_ns = now_ns() + LEAD_NS;
    let start_ns = begin_ns + nanoseconds(Duration::from_secs_f64(plan.span.warmup));
    let end_ns = start_ns + nanoseconds(Duration::from_secs_f64(plan.span.seconds));
    members.tell(&format!("{begin_ns} {start_ns} {end_ns}"))?;
    let used = || {
        let processes = members.ids().chain(servers.ids());
        (now_ns(), processes.map(|(_, process)| cpu_ns_of(process)).sum::<u64>())
    };
    let ticks = Ticks::now();
    sleep_until(start_ns, interrupted)?;
    let (from_ns, before_ns) = used();
    sleep_until(end_ns, interrupted)?;
    let (to_ns, after_ns) = used();
    let busy = after_ns.saturating_sub(before_ns) as f64 / (to_ns - from_ns).max(1) as f64;
    let mut outcomes = Vec::new();
    for word in members.words(interrupted, FINISH_MAX)? {
        let Word::Result(outcome) = word else {
            return Err(Stop::Failed("a member gave no result".to_owned()));
        };
        outcomes.push(outcome);
    }
    let steal_percent = Ticks::now().steal_percent_since(ticks);
    Ok(Run { steal_percent, ..judge(&outcomes, peer.system().order, plan, busy) })
}

/// What all members together make of a run, in which so many processors were used.
fn judge(outcomes: &[Outcome], order: Order, plan: &Plan, busy: f64) -> Run {
    let rate = |it: &Outcome| it.delivered as f64 * 1e9 / it.span_ns.max(1) as f64;
    let msgs_per_s = least(outcomes.iter().map(rate));
    let latencies: Vec<Percentiles> = outcomes.iter().map(latency).collect();
    let reason = outcomes.iter().find_map(|outcome| outcome.reason.clone());
    let reason = reason.or_else(|| {
        let differ = |two: &[Outcome]| {
            (two[0].delivered, &two[0].digest) != (two[1].delivered, &two[1].digest)
        };
        let one_order = order != Order::Total || !outcomes.windows(2).any(differ);
        (!one_order).then(|| "the members delivered different orders".to_owned())
    });
    let reason = reason.or_else(|| {
        let planned = plan.rate.unwrap_or(0) as f64 * f64::from(plan.members);
        let missed = msgs_per_s < planned * 0.98 || msgs_per_s == 0.0;
        missed.then(|| format!("{msgs_per_s:.0} of {planned:.0} planned messages a second came"))
    });
    Run {
        msgs_per_s: rounded(msgs_per_s, 10.0),
        cpu_us_per_msg: rounded(busy * 1e6 / msgs_per_s.max(1.0), 1e4),
        latency_us: plan.rate.map(|_| Percentiles::worst(latencies.iter())),
        steal_percent: 0.0,
        validity: Validity::of(reason),
    }
}

fn latency(outcome: &Outcome) -> Percentiles {
    let mut histogram = histogram();
    for value in &outcome.latency_ns {
        histogram.saturating_record(*value);
    }
    Percentiles::of(&histogram)
}

fn sleep_until(at_ns: u64, interrupted: &AtomicBool) -> Result<(), Stop> {
    loop {
        let left_ns = at_ns.saturating_sub(now_ns());
        if interrupted.load(Ordering::Relaxed) {
            return Err(Stop::Interrupted);
        } else if left_ns == 0 {
            return Ok(());
        }
        std::thread::sleep(Duration::from_nanos(left_ns.min(SLEEP_MAX_NS)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(delivered: u64, digest: &str) -> Outcome {
        let digest = digest.to_owned();
        Outcome { delivered, span_ns: 1_000_000_000, digest, ..Outcome::default() }
    }

    fn plan(rate: Option<u64>) -> Plan {
        let span = Span { warmup: 0.0, seconds: 1.0 };
        Plan { members: 2, size: 64, rate, span }
    }

    #[test]
    fn a_run_is_as_good_as_its_worst_member() {
        let both = [member(100, "a"), member(90, "a")];
        let run = judge(&both, Order::PerPublisher, &plan(None), 0.9);
        assert!(run.validity.valid && run.latency_us.is_none(), "{run:?}");
        assert_eq!((run.msgs_per_s, run.cpu_us_per_msg), (90.0, 10_000.0));
        let paced = Outcome { latency_ns: vec![5_000, 7_000], ..member(100, "a") };
        let run = judge(&[paced, member(100, "a")], Order::Total, &plan(Some(50)), 0.1);
        assert_eq!(run.latency_us.map(|latency| latency.max), Some(7.0));
    }

    #[test]
    fn what_counts_for_nothing_says_why() {
        let judged = |both: [Outcome; 2], rate| {
            let run = judge(&both, Order::Total, &plan(rate), 1.0);
            assert!(!run.validity.valid);
            run.validity.reason.unwrap()
        };
        assert!(judged([member(9, "a"), member(9, "b")], None).contains("different orders"));
        assert!(judged([member(9, "a"), member(9, "a")], Some(9)).contains("9 of 18"));
        assert!(judged([member(0, "a"), member(0, "a")], None).contains("0 of"));
        let lost = Outcome { reason: Some("lost".to_owned()), ..member(9, "a") };
        assert_eq!(judged([member(9, "a"), lost], None), "lost");
    }

    #[test]
    fn words_are_those_of_the_client_in_c() {
        assert_eq!(serde_json::from_str::<Word>(r#"{"event":"ready"}"#).unwrap(), Word::Ready);
        let line = concat!(
            r#"{"event":"result","delivered":3,"span_ns":7,"digest":"0f","#,
            r#""latency_ns":[1,2],"reason":null}"#
        );
        let Word::Result(outcome) = serde_json::from_str(line).unwrap() else {
            panic!("no result")
        };
        assert_eq!((outcome.delivered, outcome.latency_ns.len()), (3, 2));
    }
}
