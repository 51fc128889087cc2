//! The result of a floor run, for scripts and for people.

use std::io::{self, Write};

use hdrhistogram::Histogram;
use roundel::{BareLink, PacketShape};
use serde::Serialize;

use super::Measured;
use super::args::Args;
use crate::environment::Environment;
use crate::figures::{Percentiles, rounded};
use crate::result::Validity;

const SCHEMA: &str = "roundel.floor/1";

/// The result, in the order in which it is printed.
#[derive(Serialize, Debug)]
pub(crate) struct Report {
    schema: &'static str,
    members: u16,
    size: usize,
    io: String,
    mtu: usize,
    /// Payload of a datagram.
    packet_bytes: usize,
    /// Less than one where a message takes several.
    msgs_per_packet: f64,
    seconds: f64,
    /// Own ones and those received; what was lost is not in it.
    delivered_msgs: u64,
    msgs_per_s: f64,
    packets_per_s: f64,
    payload_mbit_per_s: f64,
    rotation_us: Percentiles,
    cpu_us_per_msg: f64,
    /// Packets missing between those received. Nothing sends them again.
    lost: u64,
    socket_drops: u32,
    environment: Environment,
    #[serde(flatten)]
    validity: Validity,
}

impl Report {
    /// The result of a run of which nothing was measured yet.
    pub(crate) fn new(
        args: &Args,
        bare: &BareLink,
        shape: PacketShape,
        validity: Validity,
    ) -> Self {
        Self {
            schema: SCHEMA,
            members: args.members,
            size: args.size,
            io: bare.link.io().to_string(),
            mtu: bare.mtu_bytes,
            packet_bytes: shape.head_bytes + shape.body_bytes,
            msgs_per_packet: rounded(msgs_per_packet(shape), 1e4),
            seconds: 0.0,
            delivered_msgs: 0,
            msgs_per_s: 0.0,
            packets_per_s: 0.0,
            payload_mbit_per_s: 0.0,
            rotation_us: Percentiles::default(),
            cpu_us_per_msg: 0.0,
            lost: 0,
            socket_drops: 0,
            environment: Environment::of_member(),
            validity,
        }
    }

    /// Takes in what was measured.
    pub(crate) fn take(
        &mut self,
        measured: &Measured,
        shape: PacketShape,
        rotations: &Histogram<u64>,
    ) {
        let seconds = measured.span.as_secs_f64();
        let per_second = |count: f64| if seconds > 0.0 { count / seconds } else { 0.0 };
        let count = measured.packets.received + measured.packets.sent;
        let delivered = count * shape.messages as u64 / shape.packets as u64;
        let (packets, messages) = (count as f64, delivered as f64);
        self.seconds = rounded(seconds, 1e6);
        self.delivered_msgs = delivered;
        self.msgs_per_s = rounded(per_second(messages), 10.0);
        self.packets_per_s = rounded(per_second(packets), 10.0);
        self.payload_mbit_per_s = rounded(per_second(messages * self.size as f64) * 8e-6, 100.0);
        self.rotation_us = Percentiles::of(rotations);
        self.cpu_us_per_msg = rounded(measured.cpu.as_secs_f64() * 1e6 / messages.max(1.0), 1e4);
        self.lost = measured.packets.lost;
        self.socket_drops = measured.socket_drops;
    }

    /// Writes it for people.
    pub(crate) fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { members, size, io, delivered_msgs, seconds, .. } = self;
        writeln!(
            out,
            "{members} members, {size} B, io {io}, no protocol: {delivered_msgs} messages in \
             {seconds:.3} s"
        )?;
        let Self { msgs_per_s, packets_per_s, payload_mbit_per_s, .. } = self;
        writeln!(
            out,
            "  throughput   {msgs_per_s:.0} messages/s, {payload_mbit_per_s:.1} Mbit/s of payload, \
             {packets_per_s:.0} packets/s of {} B",
            self.packet_bytes
        )?;
        writeln!(out, "  rotation     {}", self.rotation_us)?;
        writeln!(out, "  processor    {:.3} µs a message", self.cpu_us_per_msg)?;
        writeln!(
            out,
            "  lost         {} packets; {} dropped by the kernel",
            self.lost, self.socket_drops
        )
    }
}

fn msgs_per_packet(shape: PacketShape) -> f64 {
    shape.messages as f64 / shape.packets as f64
}
