//! A member under stress: publishes, receives, and tells its parent what it delivered.

use std::error::Error;
use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use roundel::{EventRef, Node};

use super::args::MemberArgs;
use super::history::History;
use super::source::Source;
use super::words::{LEAVE, STOP, Tally, Told};
use crate::counters::Counters;
use crate::exit::{Exit, fail};
use crate::payload::Payload;
use crate::start;
use crate::talk::{orders, tell};
use crate::usage::{cpu_ns, now_ns};

/// Between two tallies.
const TALLY_NS: u64 = 500_000_000;

/// Shortest and longest wait for an event.
const WAIT: [Duration; 2] = [Duration::from_micros(50), Duration::from_millis(20)];

/// What the leave may take.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// Packets received between two looks at the clock.
const BATCH_PACKETS: usize = 8;

/// Publishes and receives until told to leave, or until standard input ends.
pub(crate) fn run(args: &MemberArgs) -> Exit {
    let node = match start::open(&args.member, |builder| builder.join()) {
        Ok(node) => node,
        Err(exit) => return exit,
    };
    let ended =
        orders().map_err(Into::into).and_then(|orders| Member::new(args, node).run(&orders));
    ended.map_or_else(|error| fail(Exit::Failed, &error.to_string()), |()| Exit::Ok)
}

struct Member {
    node: Node,
    source: Source,
    history: History,
    /// Publishes nothing more.
    is_stopped: bool,
    tally: Tally,
    tallied_ns: u64,
    delivered_ns: u64,
}

impl Member {
    fn new(args: &MemberArgs, node: Node) -> Self {
        let (me, now) = (node.facts().id, now_ns());
        let plan = [args.rate.into(), args.seed];
        let source = Source::new(me, plan, now, &node.publisher(), args.service);
        Self {
            node,
            source,
            history: History::default(),
            is_stopped: false,
            tally: Tally::default(),
            tallied_ns: now,
            delivered_ns: now,
        }
    }

    fn run(mut self, orders: &Receiver<String>) -> Result<(), Box<dyn Error>> {
        loop {
            match orders.try_recv() {
                Ok(word) if word == STOP => self.is_stopped = true,
                Ok(word) if word == LEAVE => return Ok(self.leave()?),
                Err(TryRecvError::Disconnected) => return Ok(self.leave()?),
                Ok(_) | Err(TryRecvError::Empty) => {}
            }
            let now = now_ns();
            let again_ns = if self.is_stopped {
                self.source.flush()?;
                u64::MAX
            } else {
                self.source.poll(now)?
            };
            let received = self.receive(now)?;
            self.tell(now)?;
            if received == 0 {
                let [shortest, longest] = WAIT;
                let left = Duration::from_nanos(again_ns.saturating_sub(now_ns()));
                self.node.wait(left.clamp(shortest, longest));
            }
        }
    }

    fn receive(&mut self, now: u64) -> Result<usize, roundel::EndReason> {
        let Self { node, history, tally, delivered_ns, .. } = self;
        let me = node.facts().id;
        node.recv_batch(BATCH_PACKETS, |event| match event {
            EventRef::Configuration(configuration) => history.handle_configuration(configuration),
            EventRef::Primary { .. } => {}
            EventRef::Message(message) => {
                let Some(Payload::Load(load)) = Payload::parse(message.payload) else { return };
                history.handle_message(message.ring, message.id, load, message.payload);
                tally.delivered += 1;
                tally.delivered_bytes += message.payload.len() as u64;
                tally.own_delivered += u64::from(load.sender == me);
                tally.gap_ns = tally.gap_ns.max(now.saturating_sub(*delivered_ns));
                *delivered_ns = now;
            }
        })
    }

    fn tell(&mut self, now: u64) -> io::Result<()> {
        let mut lines: Vec<Told> = std::iter::from_fn(|| self.history.poll_told()).collect();
        if now.saturating_sub(self.tallied_ns) >= TALLY_NS {
            lines.push(Told::Tally(self.tally(now)));
            self.tallied_ns = now;
            self.tally.gap_ns = 0;
        }
        tell(&lines)
    }

    fn tally(&self, now: u64) -> Tally {
        let counters = Counters::of(&self.node);
        let (ring, point) = self.history.place();
        // Once told to stop there is nothing to wait for.
        let waiting = if self.is_stopped { 0 } else { now.saturating_sub(self.delivered_ns) };
        Tally {
            ring,
            point,
            is_done: self.is_stopped && self.source.is_flushed(),
            accepted: self.source.accepted(),
            skipped: self.source.skipped(),
            retransmits: counters.value("packets_retransmitted"),
            token_retransmits: counters.value("token_retransmits"),
            socket_drops: counters.socket_drops(),
            cpu_ns: cpu_ns(),
            gap_ns: self.tally.gap_ns.max(waiting),
            ..self.tally
        }
    }

    fn leave(self) -> io::Result<()> {
        let report = self.node.leave(LEAVE_MAX);
        if report.undelivered == 0 {
            return Ok(());
        }
        let what =
            format!("{} accepted messages were not delivered at its leave", report.undelivered);
        tell(&[Told::Violation { what }])
    }
}
