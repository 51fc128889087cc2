//! The result of a run, for scripts and for people.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::args::{Args, Rate};
use super::measure::Measured;
use crate::figures::{Percentiles, rounded};

const SCHEMA: &str = "roundel.load/1";

/// The result, in the order in which it is printed.
#[derive(Serialize, Debug)]
pub(crate) struct Report {
    schema: &'static str,
    members: u16,
    size: usize,
    service: &'static str,
    /// Between the markers, here.
    seconds: f64,
    delivered_msgs: u64,
    msgs_per_s: f64,
    payload_mbit_per_s: f64,
    latency_us: Percentiles,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_others_us: Option<Percentiles>,
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
    order_digest: String,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Report {
    /// The result of a run that was measured.
    pub(crate) fn new(args: &Args, measured: &Measured, same_clock: bool) -> Self {
        let seconds = measured.span.as_secs_f64();
        let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let messages = measured.delivered.max(1) as f64;
        let is_max = args.rate == Rate::Max;
        Self {
            seconds: rounded(seconds, 1e6),
            delivered_msgs: measured.delivered,
            msgs_per_s: rounded(per_second(measured.delivered), 10.0),
            payload_mbit_per_s: rounded(per_second(measured.bytes) * 8e-6, 100.0),
            latency_us: Percentiles::of(&measured.own),
            latency_others_us: same_clock.then(|| Percentiles::of(&measured.others)),
            lateness_us: (!is_max).then(|| Percentiles::of(&measured.lateness)),
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
            order_digest: format!("{:016x}", measured.digest),
            ..Self::empty(args)
        }
    }

    /// The result of a run of which nothing was measured.
    pub(crate) fn empty(args: &Args) -> Self {
        Self {
            schema: SCHEMA,
            members: args.members,
            size: args.size,
            service: args.service.name(),
            seconds: 0.0,
            delivered_msgs: 0,
            msgs_per_s: 0.0,
            payload_mbit_per_s: 0.0,
            latency_us: Percentiles::default(),
            latency_others_us: None,
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
            order_digest: format!("{:016x}", 0),
            valid: true,
            reason: None,
        }
    }

    /// Says why the result counts for nothing.
    pub(crate) fn refuse(&mut self, reason: Option<String>) {
        self.valid = reason.is_none();
        self.reason = reason;
    }

    /// Writes it as one line of JSON.
    pub(crate) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")?;
        out.flush()
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
            ("sent late", self.lateness_us, "after the planned send"),
            ("rotation", Some(self.rotation_us), "of the token, to 6 %"),
        ];
        for (what, percentiles, note) in all {
            let Some(Percentiles { p50, p90, p99, p999, max }) = percentiles else { continue };
            writeln!(
                out,
                "  {what:<12} p50 {p50} µs, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max} ({note})"
            )?;
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
        writeln!(out, "  order        {}", self.order_digest)?;
        match &self.reason {
            None => writeln!(out, "valid"),
            Some(reason) => writeln!(out, "NOT VALID: {reason}"),
        }
    }
}

/// Why a measured run missed what was planned, if it did: a sender of which more than one
/// message in a hundred is missing. A few milliseconds at the markers are no reason.
pub(crate) fn missed_rate(args: &Args, measured: &Measured, senders: usize) -> Option<String> {
    let Rate::PerSecond(rate) = args.rate else { return None };
    let planned = rate as f64 * measured.span.as_secs_f64();
    let least = planned * 0.99 - rate as f64 * AT_MARKERS.as_secs_f64() - 1.0;
    let late = measured.senders.iter().find(|(_, delivered)| (*delivered as f64) < least);
    if let Some((sender, delivered)) = late {
        return Some(format!(
            "member {sender} missed the planned rate: {delivered} of {planned:.0} messages; fix: \
             a lower --rate"
        ));
    }
    let heard = measured.senders.len();
    (heard < senders && least > 0.0).then(|| format!("{heard} of {senders} senders were heard"))
}

const AT_MARKERS: Duration = Duration::from_millis(10);
