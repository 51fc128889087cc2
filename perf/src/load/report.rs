//! The result of a run, for scripts and for people.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::args::{Args, Rate};
use super::measure::Measured;
use crate::environment::Environment;
use crate::figures::{Percentiles, rounded};
use crate::latencies::Latencies;
use crate::result::Validity;

const SCHEMA: &str = "roundel.load/1";

/// The result, in the order in which it is printed.
#[derive(Serialize, Debug)]
pub(crate) struct Report {
    schema: &'static str,
    members: u16,
    size: usize,
    /// The least size, where they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_min: Option<usize>,
    service: &'static str,
    /// Between the markers, here.
    seconds: f64,
    delivered_msgs: u64,
    msgs_per_s: f64,
    payload_mbit_per_s: f64,
    latency_us: Percentiles,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_others_us: Option<Percentiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transit_others_us: Option<Percentiles>,
    open_loop: bool,
    /// Of each sender; absent where it is the greatest possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    /// Planned send to real send: what is the instrument's own in the latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    lateness_us: Option<Percentiles>,
    rotation_us: Percentiles,
    cpu_us_per_msg: f64,
    /// Of the data worker; looking for more without finding any is some of them.
    system_calls_per_msg: f64,
    retransmits: u64,
    token_retransmits: u64,
    socket_drops: u64,
    order_digest: Option<String>,
    /// What `latency_us` is of, where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_histogram: Option<Latencies>,
    environment: Environment,
    #[serde(flatten)]
    validity: Validity,
}

impl Report {
    /// The result of a run, measured or not.
    pub(crate) fn new(args: &Args, measured: Option<&Measured>, validity: Validity) -> Self {
        let empty = Self::empty(args, validity);
        let Some(measured) = measured else { return empty };
        let seconds = measured.span.as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let messages = measured.delivered.max(1) as f64;
        Self {
            seconds: rounded(seconds, 1e6),
            delivered_msgs: measured.delivered,
            msgs_per_s: rounded(per_second(measured.delivered), 10.0),
            payload_mbit_per_s: rounded(per_second(measured.bytes) * 8e-6, 100.0),
            latency_us: Percentiles::of(&measured.own),
            latency_others_us: measured.others.as_ref().map(Percentiles::of),
            transit_others_us: measured.transit.as_ref().map(Percentiles::of),
            lateness_us: measured.lateness.as_ref().map(Percentiles::of),
            rotation_us: Percentiles::of_rotations(&measured.rotations()),
            cpu_us_per_msg: rounded(measured.cpu.as_secs_f64() * 1e6 / messages, 1e4),
            system_calls_per_msg: rounded(
                measured.counted("link_system_calls") as f64 / messages,
                1e6,
            ),
            retransmits: measured.counted("packets_retransmitted"),
            token_retransmits: measured.counted("token_retransmits"),
            socket_drops: measured.counted("kernel_drops_data")
                + measured.counted("kernel_drops_token"),
            order_digest: measured.digest.map(|digest| format!("{digest:016x}")),
            latency_histogram: args.histogram.then(|| Latencies::new(measured.own.clone())),
            ..empty
        }
    }

    /// The result of a run of which nothing was measured.
    fn empty(args: &Args, validity: Validity) -> Self {
        Self {
            schema: SCHEMA,
            members: args.members,
            size: args.size,
            size_min: args.size_min,
            service: args.service.name(),
            seconds: 0.0,
            delivered_msgs: 0,
            msgs_per_s: 0.0,
            payload_mbit_per_s: 0.0,
            latency_us: Percentiles::default(),
            latency_others_us: None,
            transit_others_us: None,
            open_loop: args.rate != Rate::Max,
            rate: match args.rate {
                Rate::Max => None,
                Rate::PerSecond(rate) => Some(rate),
            },
            lateness_us: None,
            rotation_us: Percentiles::default(),
            cpu_us_per_msg: 0.0,
            system_calls_per_msg: 0.0,
            retransmits: 0,
            token_retransmits: 0,
            socket_drops: 0,
            order_digest: None,
            latency_histogram: None,
            environment: Environment::of_member(),
            validity,
        }
    }

    /// Writes it for people.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { members, size, service, seconds, delivered_msgs, .. } = self;
        writeln!(
            out,
            "{members} members, {size} B, {service}: {delivered_msgs} messages in {seconds:.3} s"
        )?;
        let (rate, mbit) = (self.msgs_per_s, self.payload_mbit_per_s);
        writeln!(out, "  throughput   {rate:.0} messages/s, {mbit:.1} Mbit/s of payload")?;
        let from = if self.open_loop { "from the planned send" } else { "from the submit" };
        let all = [
            ("latency", Some(self.latency_us), from),
            ("  of others", self.latency_others_us, "the same"),
            ("  in transit", self.transit_others_us, "of others, from the real send"),
            ("sent late", self.lateness_us, "after the planned send"),
            ("rotation", Some(self.rotation_us), "of the token, to 6 %"),
        ];
        for (what, percentiles, note) in all {
            let Some(percentiles) = percentiles else { continue };
            writeln!(out, "  {what:<12} {percentiles} ({note})")?;
        }
        let Self { cpu_us_per_msg, system_calls_per_msg, .. } = self;
        writeln!(
            out,
            "  processor    {cpu_us_per_msg:.3} µs and {system_calls_per_msg:.4} system calls of \
             the ring a message"
        )?;
        let Self { retransmits, token_retransmits, socket_drops, .. } = self;
        writeln!(
            out,
            "  repaired     {retransmits} packets and {token_retransmits} tokens sent again; \
             {socket_drops} dropped by the kernel"
        )?;
        match &self.order_digest {
            Some(digest) => writeln!(out, "  order        {digest}"),
            None => Ok(()),
        }
    }
}

/// Why what was measured counts for nothing, if so: nothing came, a sender was not heard, or one
/// of which more than one planned message in a hundred is missing. A few milliseconds at the
/// markers are no reason.
pub(crate) fn refusal(args: &Args, measured: &Measured, senders: usize) -> Option<String> {
    if measured.delivered == 0 {
        return Some("nothing was delivered between the markers; fix: more --seconds".to_owned());
    }
    let least = match args.rate {
        // Whoever sends as fast as it can is heard.
        Rate::Max => 1.0,
        Rate::PerSecond(rate) => {
            let planned = rate as f64 * measured.span.as_secs_f64();
            let least = planned * 0.99 - rate as f64 * AT_MARKERS.as_secs_f64() - 1.0;
            let late = measured.senders.iter().find(|(_, delivered)| (*delivered as f64) < least);
            if let Some((sender, delivered)) = late {
                return Some(format!(
                    "member {sender} missed the planned rate: {delivered} of {planned:.0} \
                     messages; fix: a lower --rate"
                ));
            }
            least
        }
    };
    let heard = measured.senders.len();
    (heard < senders && least > 0.0).then(|| format!("{heard} of {senders} senders were heard"))
}

const AT_MARKERS: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use clap::Parser;
    use roundel::NodeId;

    use super::super::measure::{Extras, Measurement};
    use super::super::tally::Tally;
    use super::*;
    use crate::payload::Load;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(rate: &str) -> Args {
        Cli::parse_from(["load", "--members", "2", "--rate", rate]).args
    }

    /// A second in which these senders were heard so often.
    fn measured(senders: &[(u32, u64)]) -> Measured {
        let mut measurement =
            Measurement::start(NodeId(1), Tally::new(roundel::Service::Agreed), Extras::default());
        for (sender, messages) in senders {
            for counter in 0..*messages {
                let sender = NodeId(*sender);
                let load = Load { sender, counter, planned_ns: 0, lateness_ns: 0 };
                measurement.message(0, Some(roundel::Ordinal(1)), load, b"").unwrap();
            }
        }
        let mut measured = measurement.end(roundel::Ordinal(9));
        measured.span = Duration::from_secs(1);
        measured
    }

    #[test]
    fn a_run_counts_when_all_senders_were_heard_as_often_as_planned() {
        for (rate, senders, reason) in [
            ("1000", &[(1, 1000), (2, 979)][..], None),
            ("1000", &[(1, 1000), (2, 978)], Some("member 2 missed the planned rate: 978 of 1000")),
            ("1000", &[(1, 1000)], Some("1 of 2 senders were heard")),
            ("max", &[(1, 1000), (2, 1)], None),
            ("max", &[(1, 1000)], Some("1 of 2 senders were heard")),
            ("max", &[], Some("nothing was delivered")),
            ("1", &[(1, 1)], None),
            ("1", &[], Some("nothing was delivered")),
        ] {
            let refused = refusal(&args(rate), &measured(senders), 2);
            match reason {
                None => assert_eq!(refused, None, "{rate} {senders:?}"),
                Some(why) => assert!(refused.unwrap().contains(why), "{rate} {senders:?}"),
            }
        }
    }
}
