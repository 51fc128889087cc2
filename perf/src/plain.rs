//! `roundel-perf plain`: how long one multicast packet takes from one process to another, with a
//! ring's sockets and threads and without its protocol. What a message of a ring takes is told
//! beside it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use roundel::options::MemberOptions;
use roundel::{BareLink, Destination, PacketShape};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::environment::Environment;
use crate::exit::{self, Exit};
use crate::figures::{Percentiles, histogram};
use crate::floor::{FRAME_BYTES, Frame};
use crate::load;
use crate::pace::{nanoseconds, phase, planned};
use crate::result::{self, Validity};
use crate::start;
use crate::usage::now_ns;

const SCHEMA: &str = "roundel.plain/1";

/// Between two hellos.
const HELLO: Duration = Duration::from_millis(10);

/// Waited for the others, and behind the end for what is under way.
const GATHER_MAX: Duration = Duration::from_secs(20);

/// Measure what a multicast packet takes without a protocol: from its sending to its receipt.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Members to wait for; each sends.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=128))]
    members: u16,
    /// Bytes of a message.
    #[arg(long, value_name = "B", default_value = "64", value_parser = load::size)]
    size: usize,
    /// Seconds to measure.
    #[arg(long, value_name = "S", default_value = "5", value_parser = load::some_seconds)]
    seconds: Duration,
    /// Packets of each member a second, at planned times.
    #[arg(long, value_name = "R", default_value = "1000")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: u64,
    /// One JSON object on one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    member: MemberOptions,
}

/// The result, in the order in which it is printed.
#[derive(Serialize, Debug)]
struct Report {
    schema: &'static str,
    members: u16,
    size: usize,
    rate: u64,
    io: String,
    sent: u64,
    received: u64,
    /// Of what was received, from its sending.
    transit_others_us: Percentiles,
    environment: Environment,
    #[serde(flatten)]
    validity: Validity,
}

/// One member.
struct Member<'a> {
    args: &'a Args,
    bare: BareLink,
    cluster: u64,
    me: SocketAddrV4,
    /// What each other member says it knows.
    known: BTreeMap<SocketAddrV4, u16>,
    latencies: Histogram<u64>,
    /// When the first packet was sent or received.
    begun_ns: Option<u64>,
    heard_ns: u64,
    sent: u64,
}

/// Runs one member and prints what it saw.
pub(crate) fn run(args: &Args) -> Exit {
    let bare = match start::open(&args.member, |builder| builder.open_bare()) {
        Ok(bare) => bare,
        Err(exit) => return exit,
    };
    let me = bare.link.own_address();
    let mut member = Member {
        args,
        bare,
        cluster: xxh3_64(args.member.cluster().as_bytes()),
        me,
        known: BTreeMap::new(),
        latencies: histogram(),
        begun_ns: None,
        heard_ns: now_ns(),
        sent: 0,
    };
    let reason = member.run();
    let exit = if reason.is_none() { Exit::Ok } else { Exit::Failed };
    let validity = Validity::of(reason);
    let report = Report {
        schema: SCHEMA,
        members: args.members,
        size: args.size,
        rate: args.rate,
        io: member.bare.link.io().to_string(),
        sent: member.sent,
        received: member.latencies.len(),
        transit_others_us: Percentiles::of(&member.latencies),
        environment: Environment::of_member(),
        validity: validity.clone(),
    };
    result::conclude(exit, args.json, &report, &validity, |out| report.write_text(out))
}

impl Member<'_> {
    /// Until the time is over; why it counts for nothing, if so.
    fn run(&mut self) -> Option<String> {
        let interrupted = exit::interrupted().ok()?;
        let began = Instant::now();
        let (mut hello_at, mut worked_at) = (began, began);
        while !self.is_over() {
            let now = Instant::now();
            if interrupted.load(std::sync::atomic::Ordering::Relaxed) {
                return Some("interrupted".to_owned());
            }
            if self.begun_ns.is_none() && now - began > GATHER_MAX {
                return Some(format!("{} of {} came", self.known.len() + 1, self.args.members));
            }
            let mut work = self.receive(now);
            if now >= hello_at && self.latencies.is_empty() {
                hello_at = now + HELLO;
                let known = u16::try_from(self.known.len() + 1).unwrap_or(u16::MAX);
                self.send(Frame::Hello { options: 0, known }, 0);
            }
            work |= self.is_complete() && self.send_due();
            self.bare.link.flush();
            if work {
                worked_at = now;
            } else if let Some(left) = self.until_due() {
                self.bare.rest_at_most(worked_at, now, left.min(load::WAIT_MAX));
            } else {
                self.bare.rest(worked_at, now);
            }
        }
        None
    }

    /// Everybody is here and knows it.
    fn is_complete(&self) -> bool {
        let all = self.args.members;
        let known = self.known.len() + 1 == usize::from(all);
        known && self.known.values().all(|known| *known == all)
    }

    fn is_over(&self) -> bool {
        let lasts = nanoseconds(self.args.seconds);
        let over = |begun: u64| now_ns() >= begun + lasts;
        self.begun_ns.is_some_and(over) && now_ns() >= self.heard_ns + nanoseconds(HELLO)
    }

    fn receive(&mut self, now: Instant) -> bool {
        self.bare.link.receive(now);
        let mut some = false;
        while let Some(frame) = self.bare.link.data().or_else(|| self.bare.link.token()) {
            some = true;
            match Frame::parse(&frame.bytes, self.cluster) {
                Some(Frame::Hello { known, .. }) if frame.from != self.me => {
                    self.known.insert(frame.from, known);
                }
                Some(Frame::Data { number: planned_ns }) if frame.from != self.me => {
                    let came_ns = now_ns();
                    if Some(&frame.from) == self.known.keys().next() {
                        self.begun_ns.get_or_insert(planned_ns);
                    }
                    self.heard_ns = came_ns;
                    self.latencies.saturating_record(came_ns.saturating_sub(planned_ns));
                }
                _ => {}
            }
        }
        some
    }

    /// How long there is nothing to send, while it is sent.
    fn until_due(&self) -> Option<Duration> {
        let due = self.due(self.begun_ns?);
        self.is_complete().then(|| Duration::from_nanos(due.saturating_sub(now_ns())))
    }

    /// The member's place among all.
    fn place(&self) -> usize {
        self.known.keys().filter(|other| **other < self.me).count()
    }

    /// When the next packet is to be sent.
    fn due(&self, begun_ns: u64) -> u64 {
        let phase = phase(self.place(), self.args.members.into(), self.args.rate);
        begun_ns + phase + planned(self.sent, self.args.rate)
    }

    /// Sends the packet whose time has come.
    fn send_due(&mut self) -> bool {
        if self.place() == 0 {
            self.begun_ns.get_or_insert_with(now_ns);
        }
        // The others begin with the first packet of the lowest.
        let Some(begun) = self.begun_ns else { return false };
        let due = self.due(begun);
        if now_ns() < due || due >= begun + nanoseconds(self.args.seconds) {
            return false;
        }
        self.send(Frame::Data { number: now_ns() }, self.args.size);
        self.sent += 1;
        true
    }

    fn send(&mut self, frame: Frame, bytes: usize) {
        let shape = PacketShape::of(bytes.max(1), self.bare.mtu_bytes);
        let mut head = Vec::with_capacity(shape.head_bytes.max(FRAME_BYTES));
        frame.put(self.cluster, &mut head);
        if bytes > 0 {
            head.resize(shape.head_bytes.max(FRAME_BYTES), 0);
        }
        self.bare.link.send(Destination::Group, &head, Bytes::from(vec![b'p'; bytes]));
    }
}

impl Report {
    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { members, size, rate, io, sent, received, .. } = self;
        writeln!(
            out,
            "{members} members, {size} B, {rate} packets/s, io {io}, no protocol: {sent} sent, \
             {received} received"
        )?;
        writeln!(out, "  transit      {}", self.transit_others_us)
    }
}
