//! `roundel-perf floor`: what the host does at most, with a ring's sockets and packets and without
//! its protocol.

mod args;
mod course;
mod report;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use roundel::{BareLink, Destination, PacketShape};

pub(crate) use args::Args;
use course::{Course, Output, Packets, Plan};
use report::Report;
use wire::Stage;
pub(crate) use wire::{FRAME_BYTES, Frame};

use crate::exit::{self, End, Exit};
use crate::figures::histogram;
use crate::load::Senders;
use crate::result::{self, Validity};
use crate::start;
use crate::usage::{cpu_ns, now_ns};

/// Why there may be no result although nothing failed.
const STALLED: &str = "the token stood still for longer than the time to measure: other processes \
                       had the processors; fix: end them, or take --idle park";

/// Runs one member of the floor and prints what it saw.
pub(crate) fn run(args: &Args) -> Exit {
    let interrupted = match exit::interrupted() {
        Ok(interrupted) => interrupted,
        Err(stop) => return stop.fail(),
    };
    let bare = match start::open(&args.member, |builder| builder.open_bare()) {
        Ok(bare) => bare,
        Err(exit) => return exit,
    };
    for notice in &bare.notices {
        tracing::warn!("{notice}");
    }
    let shape = PacketShape::of(args.size, bare.mtu_bytes);
    let mut member = Member::new(args, bare, shape);
    member.run(&interrupted);
    member.conclude(args)
}

/// One member of the floor.
struct Member {
    bare: BareLink,
    course: Course,
    cluster: u64,
    shape: PacketShape,
    head: Vec<u8>,
    body: Bytes,
    /// When this member's last turn began.
    visited_ns: Option<u64>,
    start: Option<Snapshot>,
    measured: Option<Measured>,
    rotations: Histogram<u64>,
}

/// What had happened at some time.
#[derive(Clone, Copy, Debug)]
struct Snapshot {
    now_ns: u64,
    cpu_ns: u64,
    packets: Packets,
    drops: u32,
}

/// What happened between the word to measure and the end.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) span: Duration,
    pub(crate) cpu: Duration,
    pub(crate) packets: Packets,
    pub(crate) socket_drops: u32,
}

impl Member {
    fn new(args: &Args, bare: BareLink, shape: PacketShape) -> Self {
        let plan = Plan {
            members: args.members.into(),
            options: args.hash(),
            warmup: args.warmup,
            seconds: args.seconds,
            one_sends: args.senders == Senders::One,
            packets: bare.personal_packets.into(),
        };
        Self {
            course: Course::new(plan, bare.link.own_address(), now_ns()),
            bare,
            cluster: args.cluster(),
            shape,
            head: vec![0; shape.head_bytes.max(FRAME_BYTES)],
            body: Bytes::from(vec![b'f'; shape.body_bytes]),
            visited_ns: None,
            start: None,
            measured: None,
            rotations: histogram(),
        }
    }

    fn run(&mut self, interrupted: &Arc<AtomicBool>) {
        let mut worked_at = Instant::now();
        while !self.course.is_over(now_ns()) {
            if interrupted.load(Ordering::Relaxed) {
                self.course.stop(End::Interrupted);
            }
            let now = Instant::now();
            if self.cycle(now) > 0 {
                worked_at = now;
            } else {
                self.bare.rest(worked_at, now);
            }
        }
    }

    /// Receives what there is and sends what is due; how much was done.
    fn cycle(&mut self, now: Instant) -> usize {
        let now_ns = now_ns();
        self.bare.link.receive(now);
        let mut work = 0;
        while let Some(frame) = self.bare.link.data().or_else(|| self.bare.link.token()) {
            work += 1;
            let Some(read) = Frame::parse(&frame.bytes, self.cluster) else { continue };
            let before = self.course.stage();
            self.course.handle_frame(now_ns, frame.from, read);
            self.follow(before);
        }
        let before = self.course.stage();
        self.course.handle_time(now_ns);
        self.follow(before);
        while let Some(output) = self.course.poll_output() {
            work += 1;
            self.send(now_ns, output);
        }
        self.bare.link.flush();
        work
    }

    /// Takes down what there is to take down when the stage has changed.
    fn follow(&mut self, before: Stage) {
        let stage = self.course.stage();
        if stage == before {
            return;
        }
        let now = self.snapshot();
        match (stage, self.start) {
            (Stage::Measuring, _) => {
                self.start = Some(now);
                self.rotations.clear();
            }
            (Stage::Over, Some(start)) => self.measured = Some(now.since(&start)),
            _ => {}
        }
    }

    fn snapshot(&self) -> Snapshot {
        let drops = self.bare.link.kernel_drops();
        Snapshot {
            now_ns: now_ns(),
            cpu_ns: cpu_ns(),
            packets: self.course.packets(),
            drops: drops.data + drops.token,
        }
    }

    fn send(&mut self, now_ns: u64, output: Output) {
        match output {
            Output::Hello(frame) => self.send_short(Destination::Group, frame),
            Output::Token { to, token } => {
                if let Some(before) = self.visited_ns.replace(now_ns)
                    && self.course.stage() != Stage::Over
                {
                    self.rotations.saturating_record(now_ns - before);
                }
                self.send_short(Destination::Member(to), Frame::Token(token));
            }
            Output::Data { first, count } => {
                for number in first..first + count {
                    self.send_data(number);
                }
            }
        }
    }

    fn send_short(&mut self, to: Destination, frame: Frame) {
        let mut bytes = Vec::with_capacity(FRAME_BYTES);
        frame.put(self.cluster, &mut bytes);
        self.bare.link.send(to, &bytes, Bytes::new());
    }

    fn send_data(&mut self, number: u64) {
        Frame::Data { number }.put(self.cluster, &mut &mut self.head[..]);
        self.bare.link.send(Destination::Group, &self.head, self.body.clone());
    }

    /// Prints the result, and says how the command ends.
    fn conclude(&self, args: &Args) -> Exit {
        let ended = self.course.end().map(End::exit);
        let refused = || Some((Exit::Failed, refusal(self.measured.as_ref())?));
        let ended = ended.or_else(refused);
        let (exit, reason) = ended.map_or((Exit::Ok, None), |(exit, reason)| (exit, Some(reason)));
        let validity = Validity::of(reason);
        let mut report = Report::new(args, &self.bare, self.shape, validity.clone());
        if let Some(measured) = &self.measured {
            report.take(measured, self.shape, &self.rotations);
        }
        result::conclude(exit, args.json, &report, &validity, |out| report.write_text(out))
    }
}

/// Why a run that ended as planned counts for nothing, if so.
fn refusal(measured: Option<&Measured>) -> Option<String> {
    match measured {
        None => Some(STALLED.to_owned()),
        Some(Measured { packets: Packets { received: 0, sent: 0, .. }, .. }) => {
            Some("no packet was sent or received; fix: more --seconds".to_owned())
        }
        Some(_) => None,
    }
}

impl Snapshot {
    fn since(&self, start: &Self) -> Measured {
        let (now, then) = (self.packets, start.packets);
        Measured {
            span: Duration::from_nanos(self.now_ns.saturating_sub(start.now_ns)),
            cpu: Duration::from_nanos(self.cpu_ns.saturating_sub(start.cpu_ns)),
            packets: Packets {
                received: now.received - then.received,
                sent: now.sent - then.sent,
                lost: now.lost - then.lost,
            },
            socket_drops: self.drops.wrapping_sub(start.drops),
        }
    }
}
