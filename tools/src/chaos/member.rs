//! A member under chaos: a process of its own, told what to publish on stdin, telling on stdout.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use roundel::options::MemberOptions;
use roundel::{ConfigurationKind, EndReason, EventRef, Node, Publisher, Service, TryPublishError};

use super::chance::Chance;
use super::words::{Load, Order, Progress, Report, ring_words};
use crate::exit::Exit;
use crate::log::LogOptions;
use crate::output::write_object;

/// How often progress is told.
const TELL: Duration = Duration::from_millis(50);

/// Longest wait without looking for orders or for something to publish.
const POLL: Duration = Duration::from_millis(4);

const LEAVE_DEADLINE: Duration = Duration::from_secs(5);

/// Messages published in one round at most.
const ROUND_MAX: u32 = 2_000;

const LARGE_BYTES_MAX: u32 = 100_000;

/// A member of `roundel chaos`, started by it.
#[derive(clap::Args, Debug)]
#[command(hide = true)]
pub(crate) struct Args {
    /// What it publishes depends on this.
    #[arg(long, value_name = "X")]
    seed: u64,
    /// Room of its sockets in bytes.
    #[arg(long, value_name = "N")]
    receive_buffer: Option<usize>,
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
            eprintln!("roundel chaos: member: {error}");
            Exit::Failed
        }
    }
}

fn session(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    // The pipe tells of a dead parent, too; this also ends a member that stands still.
    set_pdeathsig(Signal::SIGKILL)?;
    let orders = follow_orders()?;
    let mut builder = args.member.builder()?;
    if let Some(bytes) = args.receive_buffer {
        builder = builder.receive_buffer(bytes);
    }
    let node = builder.join()?;
    tell(&Report::Ready { incarnation: node.facts().incarnation.0 })?;
    Ok(Member::new(node, args.seed).run(&orders)?)
}

/// Reads orders in a thread of its own; the end of stdin is the end of the parent.
fn follow_orders() -> io::Result<Receiver<Order>> {
    let (sender, orders) = mpsc::channel();
    let read = move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            let Ok(order) = serde_json::from_str(&line) else { break };
            if sender.send(order).is_err() {
                break;
            }
        }
        std::process::exit(Exit::Failed as i32);
    };
    std::thread::Builder::new().name("chaos-orders".to_owned()).spawn(read)?;
    Ok(orders)
}

#[derive(Debug)]
struct Member {
    node: Node,
    traffic: Traffic,
    progress: Progress,
    told_at: Instant,
    read_pause: Duration,
    read_at: Instant,
    own_delivered: u64,
}

impl Member {
    fn new(node: Node, seed: u64) -> Self {
        let traffic = Traffic::new(node.publisher(), seed ^ node.facts().incarnation.0);
        let now = Instant::now();
        Self {
            node,
            traffic,
            progress: Progress::default(),
            told_at: now,
            read_pause: Duration::ZERO,
            read_at: now,
            own_delivered: 0,
        }
    }

    fn run(mut self, orders: &Receiver<Order>) -> io::Result<()> {
        loop {
            match orders.try_recv() {
                Ok(Order::Load(load)) => self.traffic.set_load(load),
                Ok(Order::Read { pause_ms }) => self.read_pause = Duration::from_millis(pause_ms),
                Ok(Order::Leave) => return self.leave(),
                Err(_) => {}
            }
            self.traffic.publish_due();
            let now = Instant::now();
            let is_time = self.read_pause.is_zero() || now >= self.read_at + self.read_pause;
            let taken = if is_time { self.take_events()? } else { 0 };
            if self.told_at.elapsed() >= TELL {
                self.tell_progress()?;
            }
            match (taken, self.read_pause.is_zero()) {
                (0, true) => self.node.wait(POLL),
                // What it does not read would end the wait at once.
                (_, false) => std::thread::sleep(POLL.min(self.read_pause)),
                (_, true) => {}
            }
        }
    }

    fn take_events(&mut self) -> io::Result<usize> {
        self.read_at = Instant::now();
        let Self { node, progress, own_delivered, .. } = self;
        let own = (node.facts().id, node.facts().incarnation);
        let mut reports = Vec::new();
        let taken = node.recv_batch(32, |event| match event {
            EventRef::Configuration(configuration) => {
                if configuration.kind == ConfigurationKind::Regular {
                    progress.ring = ring_words(configuration.ring);
                    progress.delivered_in_ring = 0;
                    let members = configuration.members.iter().map(|member| member.0).collect();
                    reports.push(Report::Ring { ring: progress.ring, members });
                }
            }
            EventRef::Primary { .. } => reports.push(Report::Primary),
            EventRef::Message(message) => {
                progress.delivered_in_ring += 1;
                *own_delivered += u64::from((message.id.sender, message.id.incarnation) == own);
            }
        });
        reports.iter().try_for_each(tell)?;
        taken.map_err(io::Error::other)
    }

    fn tell_progress(&mut self) -> io::Result<()> {
        self.told_at = Instant::now();
        self.progress.load = self.traffic.load.number;
        self.progress.outstanding = self.traffic.accepted.saturating_sub(self.own_delivered);
        tell(&Report::Progress(self.progress))
    }

    fn leave(self) -> io::Result<()> {
        let report = self.node.leave(LEAVE_DEADLINE);
        if report.reason != EndReason::Left {
            return Err(io::Error::other(report.reason));
        }
        tell(&Report::Left { undelivered: report.undelivered })
    }
}

/// Publishes messages of all services and sizes.
#[derive(Debug)]
struct Traffic {
    publisher: Publisher,
    chance: Chance,
    load: Load,
    /// Since when the messages of this load are due, and how many were.
    since: Instant,
    done: u64,
    accepted: u64,
}

impl Traffic {
    fn new(publisher: Publisher, seed: u64) -> Self {
        let (chance, load) = (Chance::new(seed), Load::default());
        Self { publisher, chance, load, since: Instant::now(), done: 0, accepted: 0 }
    }

    fn set_load(&mut self, load: Load) {
        (self.load, self.since, self.done) = (load, Instant::now(), 0);
    }

    fn publish_due(&mut self) {
        let burst_ms = u128::from(self.load.burst_ms.max(1));
        let ms = self.since.elapsed().as_millis() / burst_ms * burst_ms;
        let due = u64::try_from(ms * u128::from(self.load.pace) / 1000).unwrap_or(u64::MAX);
        // One that stood still does not make up for it.
        self.done = self.done.max(due.saturating_sub(u64::from(ROUND_MAX)));
        while self.done < due {
            self.done += 1;
            let (service, payload) = (self.service(), self.payload());
            match self.publisher.try_publish(service, payload) {
                Ok(()) => self.accepted += 1,
                // What does not fit is not sent: the pace is what counts.
                Err(TryPublishError::Full(_)) => {}
                Err(_) => return,
            }
        }
    }

    fn service(&mut self) -> Service {
        match self.chance.index(10) {
            0 => Service::Reliable,
            1 => Service::Fifo,
            2 => Service::Causal,
            3..=6 => Service::Agreed,
            _ => Service::Safe,
        }
    }

    fn payload(&mut self) -> Vec<u8> {
        let chance = &mut self.chance;
        let length = if chance.number(0, 999) < self.load.large_per_mille {
            chance.number(20_000, LARGE_BYTES_MAX)
        } else {
            match chance.index(100) {
                0..=9 => 0,
                10..=79 => chance.number(1, 200),
                80..=97 => chance.number(200, 2_000),
                _ => chance.number(2_000, 20_000),
            }
        };
        let mut payload = vec![0; usize::try_from(length).unwrap_or(0)];
        chance.fill(&mut payload);
        payload
    }
}

fn tell(report: &Report) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write_object(&mut out, report)?;
    out.flush()
}
