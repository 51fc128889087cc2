//! `roundel-perf load`: one member of a ring under load, and what it sees.

mod args;
mod course;
mod measure;
mod report;
mod sender;
mod source;
mod tally;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel::{EventRef, Node, Publisher, Service, TryPublishError};

pub(crate) use args::{Args, Senders, seconds, size, some_seconds};
use args::{Drive, Rate, Receive};
use course::{Course, Cue, Outcome, Phase, Run};
use measure::Pledge;
pub(crate) use measure::{Extras, Measured, Measurement};
use report::{Report, refusal};
use sender::Sender;
pub(crate) use sender::{SLEEP_MAX, SLEEP_MIN};
use source::{Plan, Progress, Source};
pub(crate) use tally::Tally;

use crate::counters::Counters;
use crate::exit::{self, End, Exit};
use crate::pace::phase;
use crate::result::{self, Validity};
use crate::start::{self, GATHER_MAX};
use crate::usage::{clock_id, now_ns};

/// What start and end marker may be late: they wait behind all that was accepted before.
const MARKER_LATE_MAX: Duration = Duration::from_secs(15);

/// Longest wait for the others after the end.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// What the leave may take.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// Packets and messages received between two looks at the clock, whichever come first.
const BATCH_PACKETS: usize = 8;
const BATCH_MESSAGES: u32 = 64;

/// Longest wait for an event: bounds how late an interrupt is noticed.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(100);

/// Runs one member of the load and prints what it saw.
pub(crate) fn run(args: &Args) -> Exit {
    let interrupted = match exit::interrupted() {
        Ok(interrupted) => interrupted,
        Err(stop) => return stop.fail(),
    };
    // This thread's, and so that of the sender, which it starts: as a member's threads have them.
    if !args.member.slice().is_zero()
        && let Err(error) = roundel::set_slice(args.member.slice())
    {
        eprintln!("slices of the processor as the system has them: {error}");
    }
    let node = match start::open(&args.member, |builder| builder.drive(args.drive.into()).join()) {
        Ok(node) => node,
        Err(exit) => return exit,
    };
    let facts = node.facts();
    let (id, interface) = (facts.id, &facts.interface);
    eprintln!("member {id} on {} {}, io {:?}", interface.name, interface.address, facts.io);
    let (outcome, pledge) = Member::new(args, node, interrupted).run();
    conclude(args, outcome, pledge)
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
    /// When this member began to send.
    begun_ns: Option<u64>,
    interrupted: Arc<AtomicBool>,
    /// When the phase ends whatever happens.
    deadline: Instant,
}

impl<'a> Member<'a> {
    fn new(args: &'a Args, node: Node, interrupted: Arc<AtomicBool>) -> Self {
        let now = Instant::now();
        let run = Run {
            members: args.members.into(),
            options: args.hash(),
            clock: clock_id(),
            is_paced: args.rate != Rate::Max,
            service: args.service,
        };
        Self {
            args,
            publisher: node.publisher(),
            course: Course::new(node.facts().id, run),
            node,
            load: Sending::Nobody,
            begun_ns: None,
            interrupted,
            deadline: now + GATHER_MAX,
        }
    }

    /// Runs to the end, whatever the others do, and leaves. Yields what came of it, and what this
    /// member was to send at planned times, if anything.
    fn run(mut self) -> (Outcome, Option<Pledge>) {
        let mut sender_failed = false;
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
                sender_failed = true;
                self.course.stop(End::Invalid("the sending thread ended".to_owned()));
            } else if now > self.deadline {
                self.course.handle_timeout();
            }
            if idle && self.args.receive == Receive::Wait {
                self.node.wait(rest);
            } else if self.node.poll() == 0 && idle {
                std::thread::yield_now();
            }
        }
        // First, so that a sender that waits for room is told that there will be none.
        let _ = self.node.leave(LEAVE_MAX);
        let (sent, problem) = match self.load {
            Sending::Thread(sender) => sender.join(),
            Sending::Inline(source) => (source.sent(), None),
            Sending::Nobody => (0, None),
        };
        if let Some(problem) = problem.filter(|_| sender_failed) {
            self.course.explain(problem);
        }
        let pledge = match (self.args.rate, self.begun_ns) {
            (Rate::PerSecond(rate), Some(begun_ns)) => Some(Pledge { begun_ns, rate, sent }),
            _ => None,
        };
        (self.course.into_outcome(), pledge)
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
        let loads = matches!(self.course.phase(), Phase::Warming(_) | Phase::Measuring(_));
        loads && matches!(&self.load, Sending::Thread(sender) if sender.has_ended())
    }

    fn receive(&mut self) -> usize {
        let (node, course) = (&mut self.node, &mut self.course);
        let (mut at_ns, mut messages) = (now_ns(), 0);
        let mut cues = Vec::new();
        let received = node.recv_batch(BATCH_PACKETS, |event| match event {
            EventRef::Configuration(configuration) => course.handle_configuration(configuration),
            EventRef::Primary { .. } => {}
            EventRef::Message(message) => {
                // A few packets may hold a thousand small ones.
                if messages == BATCH_MESSAGES {
                    (at_ns, messages) = (now_ns(), 0);
                }
                messages += 1;
                let (sender, payload) = (message.id.sender, message.payload);
                cues.extend(course.handle_message(at_ns, sender, message.ordinal, payload));
            }
        });
        for cue in cues {
            self.take_cue(cue);
        }
        received.unwrap_or_else(|reason| {
            self.course.stop(End::Invalid(reason.to_string()));
            0
        })
    }

    fn take_cue(&mut self, cue: Cue) {
        let now = Instant::now();
        match cue {
            Cue::Begun => {
                self.deadline = now + self.args.warmup + self.args.seconds + MARKER_LATE_MAX;
                if let Err(error) = self.start_sender() {
                    self.course.stop(End::Invalid(format!("no thread can be started: {error}")));
                }
            }
            Cue::Started => self.read_counters(),
            Cue::Ended => {
                self.read_counters();
                self.deadline = now + FINISH_MAX;
                if let Sending::Thread(sender) = &self.load {
                    sender.stop();
                }
            }
        }
    }

    fn read_counters(&mut self) {
        self.course.handle_counters(Counters::of(&self.node));
    }

    fn start_sender(&mut self) -> io::Result<()> {
        let Args { size, size_min, rate, service, beside, warmup, seconds, .. } = *self.args;
        let size_min = size_min.map_or(size, |least| least.min(size));
        let lead = self.course.is_lead();
        if self.args.senders == Senders::One && !lead {
            return Ok(());
        }
        let markers = lead.then_some([warmup, warmup + seconds]);
        let me = self.node.facts().id;
        let begun_ns = now_ns() + self.phase();
        let plan = Plan { me, size, size_min, rate, service, beside, begun_ns, markers };
        let source = Source::new(plan, self.publisher.clone());
        self.begun_ns = Some(begun_ns);
        self.load = match self.args.drive {
            Drive::Threads => Sending::Thread(Sender::start(source)?),
            Drive::Inline => Sending::Inline(Box::new(source)),
        };
        Ok(())
    }

    /// How long this member begins behind the lead.
    fn phase(&self) -> u64 {
        match self.args.rate {
            Rate::PerSecond(rate) => phase(self.course.place(), self.args.members.into(), rate),
            Rate::Max => 0,
        }
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
fn conclude(args: &Args, outcome: Outcome, pledge: Option<Pledge>) -> Exit {
    let Outcome { mut measured, end } = outcome;
    let senders = if args.senders == Senders::All { args.members.into() } else { 1 };
    let refused = || Some((Exit::Failed, refusal(args, measured.as_ref()?, senders)?));
    let ended = end.map(|end| end.exit()).or_else(refused);
    if let (None, Some(measured), Some(pledge)) = (&ended, &mut measured, pledge) {
        // At most what a run may miss and still be valid.
        measured.complete(pledge);
    }
    let (exit, reason) = ended.map_or((Exit::Ok, None), |(exit, reason)| (exit, Some(reason)));
    let validity = Validity::of(reason);
    let report = Report::new(args, measured.as_ref(), validity.clone());
    result::conclude(exit, args.json, &report, &validity, |out| report.write_text(out))
}
