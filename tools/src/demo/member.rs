//! A member of the demo: a process of its own, told what to do on stdin, telling on stdout.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use roundel::options::MemberOptions;
use roundel::{ConfigurationKind, EventRef, MessageId, Node, Publisher, Rotations, Service};

use super::words::{Order, Progress, Report, Spread, ring_words};
use crate::exit::Exit;
use crate::log::LogOptions;
use crate::output::write_object;

/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);

/// Longest wait without looking for orders.
const POLL: Duration = Duration::from_millis(20);

const LEAVE_DEADLINE: Duration = Duration::from_secs(2);

const PAYLOAD_BYTES: usize = 64;

/// Latencies up to a minute, to 1 %.
const LATENCY_US_MAX: u64 = 60_000_000;

/// A member of the demo, started by it.
#[derive(clap::Args, Debug)]
#[command(hide = true)]
pub(crate) struct Args {
    /// Messages a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pace: u32,
    #[command(flatten)]
    member: MemberOptions,
    #[command(flatten)]
    log: LogOptions,
}

/// Runs until told to leave; ends with its parent, whatever happens to that.
pub(crate) fn run(args: &Args) -> Exit {
    args.log.install();
    match session(args) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("roundel demo: member: {error}");
            Exit::Failed
        }
    }
}

fn session(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    // The pipe tells of a dead parent, too; this also ends a member that stands still.
    set_pdeathsig(Signal::SIGKILL)?;
    let orders = follow_orders()?;
    let node = args.member.builder()?.join()?;
    Ok(Member::new(node, args.pace)?.run(&orders)?)
}

/// Reads orders in a thread of its own; the end of stdin is the end of the parent.
fn follow_orders() -> io::Result<Receiver<Order>> {
    let (sender, orders) = mpsc::channel();
    let read = move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if Order::from_word(&line).is_none_or(|order| sender.send(order).is_err()) {
                break;
            }
        }
        std::process::exit(Exit::Failed as i32);
    };
    std::thread::Builder::new().name("demo-orders".to_owned()).spawn(read)?;
    Ok(orders)
}

#[derive(Debug)]
struct Member {
    node: Node,
    own: MessageId,
    pace: u32,
    traffic: Option<Traffic>,
    progress: Progress,
    told_at: Instant,
    is_ordered: bool,
    /// Own messages delivered.
    own_delivered: u64,
    latencies: Histogram<u64>,
    /// Since the last progress.
    recent: Histogram<u64>,
    rotations_told: Rotations,
    rotations_at_go: Rotations,
    /// While there was traffic.
    rotations_worked: Rotations,
}

/// The pace, and the planned time of each message in the order of publishing.
#[derive(Debug)]
struct Traffic {
    planned: Receiver<Instant>,
    state: Arc<Pacing>,
}

#[derive(Default, Debug)]
struct Pacing {
    stop: AtomicBool,
    has_ended: AtomicBool,
    accepted: AtomicU64,
}

impl Member {
    fn new(node: Node, pace: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let facts = node.facts();
        let own = MessageId { sender: facts.id, incarnation: facts.incarnation, counter: 0 };
        let latencies = Histogram::new_with_bounds(1, LATENCY_US_MAX, 2)?;
        let recent = latencies.clone();
        Ok(Self {
            node,
            own,
            pace,
            traffic: None,
            progress: Progress::default(),
            told_at: Instant::now(),
            is_ordered: false,
            own_delivered: 0,
            latencies,
            recent,
            rotations_told: Rotations::default(),
            rotations_at_go: Rotations::default(),
            rotations_worked: Rotations::default(),
        })
    }

    fn run(mut self, orders: &Receiver<Order>) -> io::Result<()> {
        let facts = self.node.facts();
        let (io, notices) = (facts.io.to_string(), facts.notices.clone());
        tell(&Report::Ready { io, notices })?;
        loop {
            match orders.try_recv() {
                Ok(Order::Go) => self.go()?,
                Ok(Order::Stop) => {
                    if let Some(traffic) = &self.traffic {
                        traffic.state.stop.store(true, Ordering::Release);
                        let rotations = self.node.rotations();
                        self.rotations_worked = rotations.since(&self.rotations_at_go);
                    }
                }
                Ok(Order::Leave) => return self.leave(),
                Err(_) => {}
            }
            let mut reports = Vec::new();
            let taken = self.take_events(&mut reports);
            for report in &reports {
                tell(report)?;
            }
            match taken {
                Err(reason) => return Err(io::Error::other(reason)),
                Ok(0) => self.node.wait(POLL),
                Ok(_) => {}
            }
            if self.told_at.elapsed() >= TELL {
                self.tell_progress()?;
            }
        }
    }

    fn go(&mut self) -> io::Result<()> {
        let (sender, planned) = mpsc::channel();
        let state = Arc::new(Pacing::default());
        let pacing = Arc::clone(&state);
        let (publisher, pace, own) = (self.node.publisher(), self.pace, self.own);
        let publish = move || {
            publish_at_pace(&publisher, pace, own, &pacing, &sender);
            pacing.has_ended.store(true, Ordering::Release);
        };
        std::thread::Builder::new().name("demo-traffic".to_owned()).spawn(publish)?;
        self.traffic = Some(Traffic { planned, state });
        self.rotations_at_go = self.node.rotations();
        self.rotations_told = self.rotations_at_go.clone();
        Ok(())
    }

    fn take_events(&mut self, reports: &mut Vec<Report>) -> Result<usize, roundel::EndReason> {
        let now = Instant::now();
        let Self { node, own, traffic, progress, is_ordered, own_delivered, recent, .. } = self;
        node.recv_batch(64, |event| match event {
            EventRef::Configuration(configuration) => {
                if configuration.kind == ConfigurationKind::Regular {
                    progress.ring = ring_words(configuration.ring);
                    progress.delivered_in_ring = 0;
                    let members = configuration.members.iter().map(|member| member.0).collect();
                    reports.push(Report::Ring { ring: progress.ring, members });
                }
            }
            EventRef::Primary { .. } => {}
            EventRef::Message(message) => {
                progress.delivered += 1;
                progress.delivered_in_ring += 1;
                if !std::mem::replace(is_ordered, true) {
                    reports.push(Report::Ordered);
                }
                let id = (message.id.sender, message.id.incarnation);
                if let Some(traffic) = traffic
                    && id == (own.sender, own.incarnation)
                {
                    *own_delivered += 1;
                    if let Ok(planned) = traffic.planned.try_recv() {
                        let us = now.saturating_duration_since(planned).as_micros();
                        recent.saturating_record(u64::try_from(us).unwrap_or(u64::MAX).max(1));
                    }
                }
            }
        })
    }

    fn tell_progress(&mut self) -> io::Result<()> {
        self.told_at = Instant::now();
        self.progress.is_idle = self.traffic.as_ref().is_some_and(|traffic| {
            let state = &traffic.state;
            let has_ended = state.has_ended.load(Ordering::Acquire);
            has_ended && self.own_delivered == state.accepted.load(Ordering::Acquire)
        });
        let rotations = self.node.rotations();
        let recent_rotations = rotations.since(&self.rotations_told);
        self.rotations_told = rotations;
        self.progress.latency_us = Spread::of_latencies(&self.recent);
        self.progress.rotation_us = Spread::of_rotations(&recent_rotations);
        self.keep_recent();
        tell(&Report::Progress(self.progress))
    }

    fn keep_recent(&mut self) {
        // Both have the same bounds.
        let _ = self.latencies.add(&self.recent);
        self.recent.reset();
    }

    fn leave(mut self) -> io::Result<()> {
        self.keep_recent();
        let counts = self.latencies.iter_recorded();
        let latency_us = counts.map(|step| (step.value_iterated_to(), step.count_at_value()));
        let rotation_us = Spread::of_rotations(&self.rotations_worked);
        tell(&Report::Measured { latency_us: latency_us.collect(), rotation_us })?;
        let report = self.node.leave(LEAVE_DEADLINE);
        if report.reason == roundel::EndReason::Left {
            Ok(())
        } else {
            Err(io::Error::other(report.reason))
        }
    }
}

/// Publishes messages at their planned times, or as soon after as there is room.
fn publish_at_pace(
    publisher: &Publisher,
    pace: u32,
    own: MessageId,
    pacing: &Pacing,
    planned: &Sender<Instant>,
) {
    let start = Instant::now();
    for count in 0..u32::MAX {
        let at = start + Duration::from_secs(1) * count / pace;
        loop {
            if pacing.stop.load(Ordering::Acquire) {
                return;
            }
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(POLL));
        }
        let mut payload = format!("{}.{}.{count}", own.sender, own.incarnation).into_bytes();
        payload.resize(PAYLOAD_BYTES, b' ');
        if planned.send(at).is_err() || publisher.publish(Service::Agreed, payload).is_err() {
            return;
        }
        pacing.accepted.fetch_add(1, Ordering::AcqRel);
    }
}

/// Tells the parent.
fn tell(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write_object(&mut out, report)?;
    out.flush()
}
