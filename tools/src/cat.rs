//! `roundel cat`: a member whose messages are the lines of stdin, and whose events are the lines
//! of stdout.

mod input;
mod output;
mod views;

use std::io;
use std::time::{Duration, Instant};

use roundel::options::{MemberOptions, duration, service};
use roundel::{EndReason, EventRef, Facts, MessageId, Node, Service};

use crate::exit::Exit;
use crate::log::LogOptions;
use crate::stop::Stop;
use input::Input;
use output::{Output, Summary};

const EXAMPLES: &str = "\
Examples:
  roundel cat                              chat with every other `roundel cat` on this network
  seq 1000 | roundel cat --wait-members 3 --until-total 3000 --json
                                           one of three members that order 3 000 lines
  roundel cat --deliver-only --json        only listen, until Ctrl-C
  roundel cat --interface 127.0.0.2        a second member on this host (and 127.0.0.3, ...)
  roundel cat --views --primary majority:1,2,3 --id 1
                                           sees views of the primary component, and no parts

Lines become messages without their newline; an empty line is a message. A member is at first
alone in its configuration: what it sends before --wait-members is met reaches nobody else.

With --views lines wait for the first view, and for the next one while views change. A member that
is not in the primary component has stopped: until it comes back, as another process, its lines are
refused.

Exit codes: 0 it left as asked, 1 it failed, or a line was refused or lost, 2 options that cannot be used, 130 interrupted
(with --deliver-only being told to stop is the normal end: 0).";

/// How long a leave may take to deliver what was accepted.
const LEAVE_DEADLINE: Duration = Duration::from_secs(2);

/// What the engine adds to that.
const LEAVE_GRACE: Duration = Duration::from_secs(2);

/// Longest wait without looking for signals and the end of stdin.
const POLL: Duration = Duration::from_millis(50);

/// Packets taken at a time.
const BATCH_PACKETS: usize = 64;

/// Publish the lines of stdin, print every event in delivery order.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// How messages are delivered: reliable, fifo, causal, agreed or safe.
    #[arg(long, value_name = "SERVICE", default_value = "agreed", value_parser = service)]
    service: Service,
    /// Print views of the primary component, and messages in them, instead of configurations.
    #[arg(long)]
    views: bool,
    /// Publish nothing until a regular configuration (or a view) has N members.
    #[arg(long, value_name = "N")]
    wait_members: Option<usize>,
    /// Leave once N messages, of all members together, were delivered here.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    until_total: Option<u64>,
    /// Stay this long before leaving, so that others can finish.
    #[arg(long, value_name = "D", default_value = "1s", value_parser = duration)]
    linger: Duration,
    /// Do not read stdin; deliver until told to stop.
    #[arg(long)]
    deliver_only: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    member: MemberOptions,
    #[command(flatten)]
    log: LogOptions,
}

/// Joins, carries lines and events, leaves.
pub(crate) fn run(args: &Args) -> Exit {
    args.log.install();
    let builder = match args.member.builder() {
        Ok(builder) => builder,
        Err(error) => return refused(Exit::Usage, &error),
    };
    let stop = match Stop::on_signals() {
        Ok(stop) => stop,
        Err(error) => return refused(Exit::Failed, &error),
    };
    if args.views {
        return views::run(args, &builder, stop);
    }
    let node = match builder.join() {
        Ok(node) => node,
        Err(error) => return refused(Exit::from(&error), &error),
    };
    introduce(node.facts(), args);
    let session = Session::new(args, node, stop);
    match session.run() {
        Ok(exit) => exit,
        Err(error) => refused(Exit::Failed, &format_args!("stdout cannot be written: {error}")),
    }
}

/// Says which member this is.
fn introduce(facts: &Facts, args: &Args) {
    let on = &facts.interface;
    eprintln!(
        "roundel cat: member {} of {:?} on {} ({}), {}",
        facts.id,
        args.member.cluster(),
        on.name,
        on.address,
        facts.io
    );
}

fn refused(exit: Exit, error: &dyn std::fmt::Display) -> Exit {
    eprintln!("roundel cat: {error}");
    exit
}

/// Why the member leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    /// stdin ended and all of it was delivered.
    Input,
    /// The total was delivered.
    Total,
    /// A signal.
    Signal,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Total => "total",
            Self::Signal => "signal",
        }
    }
}

/// One member from its join to its end.
struct Session<'a> {
    args: &'a Args,
    node: Node,
    stop: Stop,
    input: Option<Input>,
    output: Output,
    /// The one life whose messages are this program's own.
    own: MessageId,
    /// Since when there is nothing left but to linger, and why.
    done: Option<(Instant, Cause)>,
    /// When the leave that was begun counts as failed.
    give_up: Option<Instant>,
}

impl<'a> Session<'a> {
    fn new(args: &'a Args, node: Node, stop: Stop) -> Self {
        let bytes_max = args.member.message_bytes_max();
        let input =
            (!args.deliver_only).then(|| Input::new(node.publisher(), args.service, bytes_max));
        let facts = node.facts();
        let own = MessageId { sender: facts.id, incarnation: facts.incarnation, counter: 0 };
        let output = Output::new(args.json, args.member.has_primary());
        Self { args, node, stop, input, output, own, done: None, give_up: None }
    }

    fn run(mut self) -> io::Result<Exit> {
        self.output.start(self.node.facts(), self.args.member.cluster())?;
        let written = self.carry();
        if written.is_err() {
            // Nobody reads any more; the others are told all the same.
            let _ = self.node.leave(LEAVE_DEADLINE);
            return written.map(|_| Exit::Failed);
        }
        let ended = written?;
        self.finish(ended)
    }

    /// Prints events until the member has ended.
    fn carry(&mut self) -> io::Result<Option<EndReason>> {
        if self.args.wait_members.is_none() {
            self.release_input();
        }
        loop {
            match self.take_events()? {
                Err(reason) => return Ok(Some(reason)),
                Ok(0) => {
                    self.output.flush()?;
                    self.see_to_end();
                    if self.give_up.is_some_and(|at| Instant::now() > at) {
                        return Ok(None);
                    }
                    self.node.wait(self.patience());
                }
                Ok(_) => self.see_to_end(),
            }
        }
    }

    /// Prints what is ready, up to a bound.
    fn take_events(&mut self) -> io::Result<Result<usize, EndReason>> {
        let Self { node, output, own, .. } = self;
        let mut written = Ok(());
        let taken = node.recv_batch(BATCH_PACKETS, |event| {
            if written.is_ok() {
                written = match event {
                    EventRef::Message(message) => {
                        let is_own = (message.id.sender, message.id.incarnation)
                            == (own.sender, own.incarnation);
                        output.message(&message, is_own)
                    }
                    EventRef::Configuration(configuration) => output.configuration(configuration),
                    EventRef::Primary { ring } => output.primary(ring),
                };
            }
        });
        written?;
        if self.args.wait_members.is_some_and(|wanted| self.output.members_most() >= wanted) {
            self.release_input();
        }
        Ok(taken)
    }

    fn release_input(&mut self) {
        if let Some(input) = &mut self.input {
            input.release();
        }
    }

    /// Begins to leave when there is nothing more to do.
    fn see_to_end(&mut self) {
        if self.give_up.is_some() {
            return;
        }
        let now = Instant::now();
        if self.done.is_none() {
            self.done = self.cause().map(|cause| (now, cause));
        }
        if self.stop.is_asked() {
            self.done = Some((now, Cause::Signal));
        }
        let Some((since, cause)) = self.done else { return };
        if cause == Cause::Signal || now.saturating_duration_since(since) >= self.args.linger {
            self.node.begin_leave(LEAVE_DEADLINE);
            self.give_up = Some(now + LEAVE_DEADLINE + LEAVE_GRACE);
        }
    }

    fn cause(&self) -> Option<Cause> {
        if let Some(total) = self.args.until_total {
            return (self.output.delivered() >= total).then_some(Cause::Total);
        }
        let input = self.input.as_ref()?;
        let all = input.accepted_all()?;
        (self.output.delivered_own() >= all).then_some(Cause::Input)
    }

    /// How long to wait for events at most.
    fn patience(&self) -> Duration {
        let left = self.done.map(|(since, _)| self.args.linger.saturating_sub(since.elapsed()));
        left.map_or(POLL, |left| left.clamp(Duration::from_millis(1), POLL))
    }

    /// Says how it went.
    fn finish(mut self, ended: Option<EndReason>) -> io::Result<Exit> {
        let members = self.output.members();
        let retransmits = self.counter("packets_retransmitted");
        let accepted = self.input.as_ref().map_or(0, Input::accepted);
        let input_failure = self.input.as_ref().and_then(Input::failure);
        let report = self.node.leave(Duration::ZERO);
        let reason = ended.unwrap_or(report.reason);
        let cause = self.done.map(|(_, cause)| cause);
        let valid = reason == EndReason::Left && report.undelivered == 0 && input_failure.is_none();
        if reason != EndReason::Left {
            eprintln!("roundel cat: {reason}");
        }
        if let Some(failure) = &input_failure {
            eprintln!("roundel cat: {failure}");
        }
        if report.undelivered > 0 {
            eprintln!("roundel cat: {} accepted messages were not delivered", report.undelivered);
        }
        self.output.summary(&Summary {
            left_after: cause.map_or("failure", Cause::name),
            accepted,
            undelivered: report.undelivered,
            members,
            retransmits,
            valid,
        })?;
        Ok(match cause {
            _ if !valid => Exit::Failed,
            Some(Cause::Signal) if !self.args.deliver_only => Exit::Interrupted,
            _ => Exit::Ok,
        })
    }

    fn counter(&self, name: &str) -> u64 {
        let mut counters = self.node.counters().into_iter();
        counters.find(|(own, _)| *own == name).map_or(0, |(_, value)| value)
    }
}
