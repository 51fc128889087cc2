//! What happens in a demo, and when.

use std::io;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::fleet::Fleet;
use super::history::{Judged, judge};
use super::place::Place;
use super::report::{Checked, Reporter, Summary};
use super::words::{Order, Report, Spread};
use crate::exit::Exit;
use crate::stop::Stop;

/// Nothing in a demo takes longer than this, or it has failed.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often the rate is told.
const TELL: Duration = Duration::from_millis(500);

/// Longest wait without looking for signals.
const POLL: Duration = Duration::from_millis(20);

/// The member whose view is told: it is there from start to end.
const WITNESS: u8 = 1;

/// Why a demo ends early.
#[derive(Debug)]
enum Trouble {
    Interrupted,
    /// What was waited for.
    Late(&'static str),
    Died {
        id: u8,
        status: String,
    },
    Output(io::Error),
    Process(io::Error),
}

/// A demo under way.
#[derive(Debug)]
pub(super) struct Play<'a> {
    fleet: Fleet,
    place: &'a Place,
    reporter: Reporter,
    stop: Stop,
    nodes: u8,
    seconds: u32,
    started: Instant,
    told_at: (Instant, u64),
    summary: Summary,
    /// When the traffic began, and how many messages the witness had delivered when it ended.
    went_at: Option<Instant>,
    latencies: Histogram<u64>,
}

impl<'a> Play<'a> {
    pub(super) fn new(
        fleet: Fleet,
        place: &'a Place,
        reporter: Reporter,
        stop: Stop,
        latencies: Histogram<u64>,
        seconds: u32,
    ) -> Self {
        let nodes = u8::try_from(fleet.members.len()).unwrap_or(u8::MAX);
        let started = Instant::now();
        Self {
            fleet,
            place,
            reporter,
            stop,
            nodes,
            seconds,
            started,
            told_at: (started, 0),
            summary: Summary::new(nodes),
            went_at: None,
            latencies,
        }
    }

    /// All acts, the judge, and the summary; whatever happens, no member is left.
    pub(super) fn run(mut self) -> io::Result<Exit> {
        let outcome = self.acts().and_then(|()| self.settle());
        let reason = match &outcome {
            Ok(_) => None,
            Err(Trouble::Interrupted) => Some("interrupted".to_owned()),
            Err(Trouble::Late(what)) => Some(format!("{what} took more than {PATIENCE:?}")),
            Err(Trouble::Died { id, status }) => Some(format!("member {id} ended: {status}")),
            Err(Trouble::Process(error)) => Some(format!("a member cannot be run: {error}")),
            Err(Trouble::Output(_)) => None,
        };
        let judged = self.judge_and_leave(outcome.as_ref().is_ok_and(|settled| *settled));
        if let Err(Trouble::Output(error)) = outcome {
            return Err(error);
        }
        let reason = reason.or_else(|| judged.as_ref().err().cloned());
        self.finish(judged.ok().as_ref(), reason, matches!(outcome, Err(Trouble::Interrupted)))
    }

    /// Forms the ring, lets it work, kills a member, brings it back.
    fn acts(&mut self) -> Result<(), Trouble> {
        let (all, last) = (usize::from(self.nodes), self.nodes);
        self.reporter.start(self.nodes, self.place).map_err(Trouble::Output)?;
        self.started = Instant::now();
        for id in 1..=self.nodes {
            self.fleet.start(id, self.place).map_err(Trouble::Process)?;
        }
        self.wait_for("forming the ring", |play| play.is_ring_of(all))?;
        self.fleet.order_all(Order::Go).map_err(Trouble::Process)?;
        let went_at = Instant::now();
        self.went_at = Some(went_at);
        self.told_at.0 = went_at;
        self.wait_for("ordering the first message", |play| play.summary.first_ordered.is_some())?;
        let tenths = |n: u32| went_at + Duration::from_secs(1) * self.seconds * n / 10;
        let (kill_at, return_at, stop_at) = (tenths(4), tenths(7), tenths(10));
        self.work_until(kill_at)?;
        let process = self.fleet.members.last().and_then(super::fleet::Member::process);
        self.reporter.kill(self.started, last, process).map_err(Trouble::Output)?;
        let killed_at = Instant::now();
        self.fleet.kill(last).map_err(Trouble::Process)?;
        self.wait_for("going on without the killed member", |play| play.is_ring_of(all - 1))?;
        self.summary.killed_for = Some(killed_at.elapsed());
        self.work_until(return_at)?;
        self.reporter.restart(self.started, last).map_err(Trouble::Output)?;
        let back_at = Instant::now();
        self.fleet.start(last, self.place).map_err(Trouble::Process)?;
        self.wait_for("taking the member back", |play| play.is_ring_of(all))?;
        self.summary.back_after = Some(back_at.elapsed());
        self.fleet.order(last, Order::Go).map_err(Trouble::Process)?;
        self.work_until(stop_at.max(Instant::now() + TELL))
    }

    /// Ends the traffic; whether all have delivered all.
    fn settle(&mut self) -> Result<bool, Trouble> {
        self.fleet.order_all(Order::Stop).map_err(Trouble::Process)?;
        self.summary.worked_for = self.went_at.map(|at| at.elapsed());
        self.wait_for("delivering what was sent", |play| play.fleet.is_settled())?;
        let witness = self.fleet.members.iter().find(|member| member.id == WITNESS);
        let progress = witness.and_then(|member| member.progress);
        self.summary.messages = progress.map_or(0, |progress| progress.delivered);
        Ok(true)
    }

    /// Every running member is in one ring of so many.
    fn is_ring_of(&self, members: usize) -> bool {
        let running = self.fleet.members.iter().filter(|member| member.process().is_some());
        let mut rings: Vec<_> = running.map(|member| (member.ring, member)).collect();
        let ring = rings.first().map(|(ring, _)| *ring);
        rings.retain(|(own, member)| Some(*own) == ring && member.is_in_ring_of(members));
        rings.len() == members
    }

    fn work_until(&mut self, until: Instant) -> Result<(), Trouble> {
        while Instant::now() < until {
            self.step()?;
        }
        Ok(())
    }

    fn wait_for(
        &mut self,
        what: &'static str,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), Trouble> {
        let since = Instant::now();
        while !holds(self) {
            if since.elapsed() > PATIENCE {
                return Err(Trouble::Late(what));
            }
            self.step()?;
        }
        Ok(())
    }

    /// Takes one report, if one comes soon.
    fn step(&mut self) -> Result<(), Trouble> {
        if self.stop.is_asked() {
            return Err(Trouble::Interrupted);
        }
        match self.fleet.next(POLL) {
            None => {}
            Some((id, Err(status))) => return Err(Trouble::Died { id, status }),
            Some((id, Ok(report))) => self.take(id, report).map_err(Trouble::Output)?,
        }
        self.tell_progress().map_err(Trouble::Output)
    }

    fn take(&mut self, id: u8, report: Report) -> io::Result<()> {
        match report {
            Report::Ready { io, notices } if id == WITNESS => {
                self.reporter.ready(self.started, &io, &notices)?;
                self.summary.io = io;
            }
            Report::Ring { members, .. } if id == WITNESS => {
                let is_first = self.summary.configurations.is_empty();
                if !is_first || members.len() == usize::from(self.nodes) {
                    self.summary.configurations.push(members.len());
                    self.reporter.configuration(self.started, &members)?;
                }
            }
            Report::Ordered if self.summary.first_ordered.is_none() => {
                let after = self.started.elapsed();
                self.summary.first_ordered = Some(after);
                self.reporter.first_ordered(after)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn tell_progress(&mut self) -> io::Result<()> {
        let (told_at, told) = self.told_at;
        let span = told_at.elapsed();
        if self.went_at.is_none() || span < TELL {
            return Ok(());
        }
        let witness = self.fleet.members.iter().find(|member| member.id == WITNESS);
        let Some(progress) = witness.and_then(|member| member.progress) else { return Ok(()) };
        let rate = (progress.delivered - told) as f64 / span.as_secs_f64();
        self.told_at = (Instant::now(), progress.delivered);
        self.reporter.progress(self.started, rate, &progress)
    }

    /// Judges the histories while the members are quiet, then lets them leave.
    fn judge_and_leave(&mut self, settled: bool) -> Result<Judged, String> {
        let judged = if self.stop.is_asked() {
            Err("interrupted".to_owned())
        } else {
            judge(&self.fleet.traces(self.place), settled)
        };
        for (id, report) in self.fleet.leave() {
            if let Report::Measured { latency_us, rotation_us } = report {
                for (us, count) in latency_us {
                    // A histogram that grows takes every value.
                    let _ = self.latencies.record_n(us, count);
                }
                if id == WITNESS {
                    self.summary.rotation_us = rotation_us;
                }
            }
        }
        self.summary.latency_us = Spread::of_latencies(&self.latencies);
        judged
    }

    fn finish(
        mut self,
        judged: Option<&Judged>,
        reason: Option<String>,
        interrupted: bool,
    ) -> io::Result<Exit> {
        let checked = judged.map(Checked::new).unwrap_or_default();
        let all = usize::from(self.nodes);
        let reason = reason.or_else(|| {
            if checked.violations > 0 {
                Some("the histories violate the specification".to_owned())
            } else if checked.instances == 0 {
                Some("the judge had nothing to judge".to_owned())
            } else if !judged.is_some_and(|judged| judged.is_quiescent) {
                Some("the members did not come to rest".to_owned())
            } else if !tells_of_kill_and_return(&self.summary.configurations, all) {
                Some("the kill and the return are not among the configurations".to_owned())
            } else {
                None
            }
        });
        let exit = match &reason {
            _ if checked.violations > 0 => Exit::Violation,
            _ if interrupted => Exit::Interrupted,
            Some(_) => Exit::Failed,
            None => Exit::Ok,
        };
        if let Some(judged) = judged {
            for violation in judged.verdict.violations() {
                eprintln!("roundel demo: {}: {}", violation.clause.name(), violation.text);
            }
        }
        if let Some(reason) = &reason {
            eprintln!("roundel demo: {reason}");
        }
        self.summary.checked = checked;
        self.summary.reason = reason;
        self.reporter.summary(&self.summary, self.place)?;
        Ok(exit)
    }
}

/// Whether the first and the last configuration are complete, and one between them lacks one
/// member. A host that is too busy may add further ones: no violation, and told.
fn tells_of_kill_and_return(configurations: &[usize], all: usize) -> bool {
    match configurations {
        [first, between @ .., last] => {
            (*first, *last) == (all, all) && between.contains(&(all - 1))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_and_a_return_are_asked_for_whatever_else_there_is() {
        for (configurations, told) in [
            (&[3, 2, 3][..], true),
            (&[3, 2, 1, 3], true),
            (&[3, 2, 3, 2, 3], true),
            (&[3, 2], false),
            (&[3, 3], false),
            (&[3, 1, 3], false),
            (&[], false),
        ] {
            assert_eq!(tells_of_kill_and_return(configurations, 3), told, "{configurations:?}");
        }
    }
}
