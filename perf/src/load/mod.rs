//! `roundel-perf load`: one member of a ring under load, and what it sees.

mod args;
mod course;
mod measure;
mod report;
mod sender;
mod source;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel::{EventRef, Node, Publisher, Service, TryPublishError};

use args::Drive;
pub(crate) use args::{Args, Senders, seconds, size};
use course::{Course, End, Outcome, Phase, Turn};
pub(crate) use measure::{Measured, Measurement};
use report::{Report, missed_rate};
use sender::Sender;
pub(crate) use sender::{SLEEP_MAX, SLEEP_MIN};
use source::{Plan, Progress, Source};

use crate::counters::Counters;
use crate::exit::{self, Exit, fail};
use crate::usage::{clock_id, now_ns};

/// Longest wait for all members in one configuration.
const GATHER_MAX: Duration = Duration::from_secs(20);

/// What start and end marker may be late: they wait behind all that was accepted before.
const MARKER_LATE_MAX: Duration = Duration::from_secs(15);

/// Longest wait for the others after the end.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// What the leave may take.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// Packets received between two looks at the clock.
const BATCH_PACKETS: usize = 8;

/// Longest wait for an event: bounds how late an interrupt is noticed.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Runs one member of the load and prints what it saw.
pub(crate) fn run(args: &Args) -> Exit {
    let builder = match args.member.builder() {
        Ok(builder) => builder.drive(args.drive.into()),
        Err(error) => return fail(Exit::Usage, &error.to_string()),
    };
    let interrupted = match exit::interrupted() {
        Ok(interrupted) => interrupted,
        Err(cause) => return fail(Exit::Failed, &cause),
    };
    let node = match builder.join() {
        Ok(node) => node,
        Err(error) if error.is_configuration() => return fail(Exit::Usage, &error.to_string()),
        Err(error) => return fail(Exit::Failed, &error.to_string()),
    };
    let facts = node.facts();
    let (id, interface) = (facts.id, &facts.interface);
    eprintln!("member {id} on {} {}, io {:?}", interface.name, interface.address, facts.io);
    let outcome = Member::new(args, node, interrupted).run();
    conclude(args, &outcome).unwrap_or_else(|error| {
        fail(Exit::Failed, &format!("the result cannot be written: {error}"))
    })
}

/// Who sends the load of this member.
enum Sending {
    /// Nobody, not yet or at all.
    Nobody,
    /// A thread of its own.
    Thread(Sender),
    /// The receiving thread, which does the member's work, too.
    Inline(Box<Source>),
}

/// A member under load: the receiving thread.
struct Member<'a> {
    args: &'a Args,
    node: Node,
    publisher: Publisher,
    course: Course,
    load: Sending,
    interrupted: Arc<AtomicBool>,
    /// When the phase ends whatever happens.
    deadline: Instant,
}

impl<'a> Member<'a> {
    fn new(args: &'a Args, node: Node, interrupted: Arc<AtomicBool>) -> Self {
        let now = Instant::now();
        Self {
            args,
            publisher: node.publisher(),
            course: Course::new(node.facts().id, args.members.into(), args.hash(), clock_id()),
            node,
            load: Sending::Nobody,
            interrupted,
            deadline: now + GATHER_MAX,
        }
    }

    /// Runs to the end, whatever the others do, and leaves.
    fn run(mut self) -> Outcome {
        while !matches!(self.course.phase(), Phase::Over) {
            if self.interrupted.load(Ordering::Relaxed) {
                self.course.stop(End::Interrupted);
                break;
            }
            let rest = self.send_inline();
            let idle = self.receive() == 0;
            self.publish();
            let now = Instant::now();
            if self.sender_failed() {
                self.course.stop(End::SenderFailed);
            } else if now > self.deadline {
                self.course.handle_timeout();
            }
            if idle {
                self.node.wait(rest);
            } else {
                self.node.poll();
            }
        }
        // First, so that a sender that waits for room is told that there will be none.
        let _ = self.node.leave(LEAVE_MAX);
        if let Sending::Thread(sender) = self.load
            && let Some(problem) = sender.join()
        {
            self.course.blame_sender(problem);
        }
        self.course.into_outcome()
    }

    /// In inline drive: sends what is due. Yields how long there is nothing to send.
    fn send_inline(&mut self) -> Duration {
        let mut rest = WAIT_MAX;
        if let Sending::Inline(source) = &mut self.load {
            let now_ns = now_ns();
            match source.poll(now_ns) {
                Ok(Progress::Until(at_ns)) => {
                    rest = rest.min(Duration::from_nanos(at_ns.saturating_sub(now_ns)));
                }
                Ok(Progress::Due) => rest = Duration::ZERO,
                // Ends with the first work that makes some.
                Ok(Progress::Full) => {}
                Err(error) => self.course.stop(End::Invalid(error.to_string())),
            }
        }
        rest
    }

    /// The sending thread ended by itself while the load is on.
    fn sender_failed(&self) -> bool {
        let loads = matches!(self.course.phase(), Phase::Warming | Phase::Measuring(_));
        loads && matches!(&self.load, Sending::Thread(sender) if sender.has_ended())
    }

    fn receive(&mut self) -> usize {
        let (node, course) = (&mut self.node, &mut self.course);
        let now_ns = now_ns();
        let mut turns = Vec::new();
        let received = node.recv_batch(BATCH_PACKETS, |event| match event {
            EventRef::Configuration(configuration) => course.handle_configuration(configuration),
            EventRef::Message(message) => {
                let (sender, payload) = (message.id.sender, message.payload);
                turns.extend(course.handle_message(now_ns, sender, payload));
            }
        });
        for turn in turns {
            self.take_turn(turn);
        }
        received.unwrap_or_else(|reason| {
            self.course.stop(End::Invalid(reason.to_string()));
            0
        })
    }

    fn take_turn(&mut self, turn: Turn) {
        let now = Instant::now();
        match turn {
            Turn::Begun => {
                self.deadline = now + self.args.warmup + self.args.seconds + MARKER_LATE_MAX;
                if let Err(error) = self.start_sender() {
                    self.course.stop(End::Invalid(format!("no thread can be started: {error}")));
                }
            }
            Turn::Started => self.read_counters(),
            Turn::Ended => {
                self.read_counters();
                self.deadline = now + FINISH_MAX;
                match &self.load {
                    Sending::Thread(sender) => sender.stop(),
                    Sending::Inline(_) | Sending::Nobody => self.load = Sending::Nobody,
                }
            }
        }
    }

    fn read_counters(&mut self) {
        self.course.handle_counters(Counters::of(&self.node));
    }

    fn start_sender(&mut self) -> io::Result<()> {
        let Args { size, rate, service, warmup, seconds, .. } = *self.args;
        let lead = self.course.is_lead();
        if self.args.senders == Senders::One && !lead {
            return Ok(());
        }
        let markers = lead.then_some([warmup, warmup + seconds]);
        let me = self.node.facts().id;
        let plan = Plan { me, size, rate, service, begun_ns: now_ns(), markers };
        let source = Source::new(plan, self.publisher.clone());
        self.load = match self.args.drive {
            Drive::Threads => Sending::Thread(Sender::start(source)?),
            Drive::Inline => Sending::Inline(Box::new(source)),
        };
        Ok(())
    }

    /// Publishes the course's words. This thread never waits for room: it is the one that makes it.
    fn publish(&mut self) {
        while let Some(message) = self.course.poll_publish() {
            match self.publisher.try_publish(Service::Agreed, Bytes::clone(&message)) {
                Ok(()) => {}
                Err(TryPublishError::Full(_)) => return self.course.publish_later(message),
                Err(error) => return self.course.stop(End::Invalid(error.to_string())),
            }
        }
    }
}

/// Prints the result, and says how the command ends.
fn conclude(args: &Args, outcome: &Outcome) -> io::Result<Exit> {
    let Outcome { measured, end, same_clock } = outcome;
    let mut report = measured
        .as_ref()
        .map_or_else(|| Report::empty(args), |measured| Report::new(args, measured, *same_clock));
    let (exit, reason) = match end {
        None => {
            let senders = if args.senders == Senders::All { args.members.into() } else { 1 };
            match measured.as_ref().and_then(|measured| missed_rate(args, measured, senders)) {
                None => (Exit::Ok, None),
                reason => (Exit::Failed, reason),
            }
        }
        Some(End::NotTogether(reason)) => (Exit::Timeout, Some(reason.clone())),
        Some(End::Disagree(reason)) => (Exit::Usage, Some(reason.clone())),
        Some(End::Interrupted) => (Exit::Interrupted, Some("interrupted".to_owned())),
        Some(End::SenderFailed) => (Exit::Failed, Some("the sending thread ended".to_owned())),
        Some(End::Invalid(reason)) => (Exit::Failed, Some(reason.clone())),
    };
    if let Some(reason) = &reason {
        eprintln!("roundel-perf: not valid: {reason}");
    }
    report.refuse(reason);
    let mut out = io::stdout().lock();
    match args.json {
        true => report.write_json(&mut out)?,
        false => report.write_text(&mut out)?,
    }
    Ok(exit)
}
