//! `roundel cat --views`: the same in virtual synchrony. What is printed are views of the primary
//! component and the messages in them; of parts nothing is seen but that the process has stopped.

mod output;

use std::io;
use std::time::{Duration, Instant};

use roundel::vs::Output as Told;
use roundel::{
    Builder, EndReason, Incarnation, NodeId, TryPublishError, TryRecvError, ViewPublishError, Views,
};

use super::{Args, Cause, LEAVE_DEADLINE, introduce, refused};
use crate::exit::Exit;
use crate::shell::{Input, Line};
use crate::stop::Stop;
use output::{Ending, Output};

/// Longest wait without looking for lines and signals.
const POLL: Duration = Duration::from_millis(10);

/// Lines taken before what was told is looked at.
const LINES_PER_ROUND: usize = 64;

/// The same the other way round.
const TOLD_PER_ROUND: usize = 256;

/// Joins, carries lines and what is told, leaves.
pub(super) fn run(args: &Args, builder: &Builder, stop: Stop) -> Exit {
    let views = match builder.join_views() {
        Ok(views) => views,
        Err(error) => return refused(Exit::from(&error), &error),
    };
    let input = (!args.deliver_only).then(|| Input::start(args.member.message_bytes_max()));
    let input = match input.transpose() {
        Ok(input) => input,
        Err(error) => return refused(Exit::Failed, &error),
    };
    let facts = views.node().facts();
    introduce(facts, args);
    let own = (facts.id, facts.incarnation);
    let mut output = Output::new(args.json);
    let started = output.start(facts, args.member.cluster());
    let (is_released, open, done) = (false, 0, None);
    let session = Session { args, views, stop, input, output, own, is_released, open, done };
    match started.and_then(|()| session.run()) {
        Ok(exit) => exit,
        Err(error) => refused(Exit::Failed, &format_args!("stdin or stdout: {error}")),
    }
}

/// One member from its join to its end.
struct Session<'a> {
    args: &'a Args,
    views: Views,
    stop: Stop,
    input: Option<Input>,
    output: Output,
    /// The one life whose messages are this program's own.
    own: (NodeId, Incarnation),
    /// A view had as many processes as are waited for.
    is_released: bool,
    /// Lines of this process that are not known to be delivered here. Some may yet come of the
    /// process before, so that it can be too few, but never too many.
    open: u64,
    /// Since when there is nothing left but to linger, and why.
    done: Option<(Instant, Cause)>,
}

impl Session<'_> {
    fn run(mut self) -> io::Result<Exit> {
        let carried = self.carry();
        // The others are told all the same when nobody reads any more.
        let report = self.views.leave(LEAVE_DEADLINE);
        let reason = carried?.unwrap_or(report.reason);
        let cause = self.done.map(|(_, cause)| cause);
        let valid = reason == EndReason::Left && report.undelivered == 0;
        if reason != EndReason::Left {
            eprintln!("roundel cat: {reason}");
        }
        let left_after = cause.map_or("failure", Cause::name);
        let not_taken = self.output.refused_lines() + self.output.lost_lines();
        self.output.summary(&Ending { left_after, undelivered: report.undelivered, valid })?;
        Ok(match cause {
            _ if !valid => Exit::Failed,
            Some(Cause::Signal) if !self.args.deliver_only => Exit::Interrupted,
            _ if not_taken > 0 => Exit::Failed,
            _ => Exit::Ok,
        })
    }

    /// Carries lines and what is told until the member is to leave, or has ended.
    fn carry(&mut self) -> io::Result<Option<EndReason>> {
        loop {
            let ended = self.take_told()?;
            self.take_lines()?;
            self.output.flush()?;
            if ended.is_some() || self.is_over() {
                return Ok(ended);
            }
        }
    }

    /// Writes what there is, after waiting for it for a while.
    fn take_told(&mut self) -> io::Result<Option<EndReason>> {
        let mut patience = POLL;
        for _ in 0..TOLD_PER_ROUND {
            match self.views.recv_timeout(patience) {
                Ok(told) => self.tell(&told)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Ended(reason)) => return Ok(Some(reason)),
            }
            patience = Duration::ZERO;
        }
        Ok(None)
    }

    fn tell(&mut self, told: &Told) -> io::Result<()> {
        match told {
            Told::View(view) => {
                self.is_released |= view.processes.len() >= self.args.wait_members.unwrap_or(1);
                self.output.view(view)
            }
            Told::Message(message) => {
                let is_own = (message.id.sender, message.id.incarnation) == self.own;
                self.open = self.open.saturating_sub(is_own.into());
                self.output.message(&message.as_ref(), is_own)
            }
            Told::Stopped => {
                // Whoever goes on may have them; who is cut off is not told.
                self.output.stopped(std::mem::take(&mut self.open))
            }
        }
    }

    fn take_lines(&mut self) -> io::Result<()> {
        let Self { args, views, input: Some(input), output, .. } = self else { return Ok(()) };
        for _ in 0..LINES_PER_ROUND {
            if !self.is_released || self.done.is_some() {
                break;
            }
            let Some(Line { number, text }) = input.next()? else { break };
            match views.try_publish(args.service, text) {
                Ok(()) => {
                    self.open += 1;
                    output.accepted(number)?;
                }
                Err(ViewPublishError::Refused(TryPublishError::Full(text))) => {
                    input.hold(Line { number, text: text.into() });
                    break;
                }
                // The next view, or that there is none, is about to be told.
                Err(ViewPublishError::Blocked(text)) if views.view().is_some() => {
                    input.hold(Line { number, text: text.into() });
                    break;
                }
                Err(error) => output.refused(number, &error)?,
            }
        }
        Ok(())
    }

    /// Whether to leave now.
    fn is_over(&mut self) -> bool {
        let now = Instant::now();
        if self.stop.is_asked() {
            self.done = Some((now, Cause::Signal));
            return true;
        }
        if self.done.is_none() {
            self.done = self.cause().map(|cause| (now, cause));
        }
        self.done.is_some_and(|(since, _)| now.duration_since(since) >= self.args.linger)
    }

    fn cause(&self) -> Option<Cause> {
        if let Some(total) = self.args.until_total {
            return (self.output.delivered() >= total).then_some(Cause::Total);
        }
        let input = self.input.as_ref()?;
        (input.has_ended() && self.open == 0).then_some(Cause::Input)
    }
}
