//! Members with a layer, driven by the lines of stdin: what `roundel endpoint` and `roundel store`
//! have in common.

mod absent;
mod input;
mod witness;

use std::fmt::Display;
use std::io;
use std::time::{Duration, Instant};

use roundel::options::MemberOptions;
use roundel::{EndReason, Layered, LeaveReport};
use serde::Serialize;

use crate::events::Events;
use crate::exit::Exit;
use crate::output::write_object;
use crate::stop::Stop;
use absent::Absent;
pub(crate) use input::{Input, Line, split_word, text};
pub(crate) use witness::Telling;
use witness::{News, Witness};

/// How long a leave may take to deliver what was accepted.
const LEAVE_DEADLINE: Duration = Duration::from_secs(2);

/// How long what is said on the way out may take to have its effect.
const FAREWELL: Duration = Duration::from_secs(1);

/// Longest wait without looking for lines and signals.
const POLL: Duration = Duration::from_millis(10);

/// Lines taken before the member works on.
const LINES_PER_ROUND: usize = 64;

/// What one of these commands makes of lines and of what its layer tells.
pub(crate) trait Shell {
    /// What stands on the member's stream.
    type Layer: Telling;
    /// What is counted for the summary.
    type Counts: Serialize + Display;

    /// The command's name.
    const NAME: &'static str;
    /// The name and version of its JSON.
    const SCHEMA: &'static str;

    /// Whether lines are read, the first configuration being known.
    fn is_ready(&self, layer: &Self::Layer) -> bool;
    /// Carries out a line.
    fn take(
        &mut self,
        layer: &mut Self::Layer,
        line: &Line,
        events: &mut Events,
    ) -> io::Result<Result<(), NotTaken>>;
    /// Writes what the layer tells.
    fn tell(&mut self, told: <Self::Layer as Telling>::Told, events: &mut Events)
    -> io::Result<()>;
    /// All that lines asked for has had its effect.
    fn is_at_rest(&self, layer: &Self::Layer) -> bool;
    /// The member is about to leave: says what others should know.
    fn bid_farewell(&mut self, layer: &mut Self::Layer);
    /// What happened so far.
    fn counts(&self) -> Self::Counts;
}

/// A line was not carried out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NotTaken {
    /// There is no room now, or what it needs is not here: it comes again.
    NotYet,
    /// For this reason, with what to do.
    Refused(String),
}

impl<E: std::error::Error> From<E> for NotTaken {
    fn from(error: E) -> Self {
        Self::Refused(error.to_string())
    }
}

/// What commands of this kind are started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) member: &'a MemberOptions,
    pub(crate) json: bool,
    /// Stay this long after the last line has had its effect.
    pub(crate) linger: Duration,
}

/// Why the member leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    Input,
    Signal,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Signal => "signal",
        }
    }
}

/// How far a member is on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Running,
    /// Stdin has ended and all is done, since then.
    Lingering(Instant),
    /// It says farewell, until then at most.
    Farewell(Instant, Cause),
    Over(Cause),
}

#[derive(Serialize)]
struct RefusedLine<'a> {
    event: &'static str,
    line: u64,
    reason: &'a str,
}

#[derive(Serialize)]
struct SummaryLine<C: Serialize> {
    event: &'static str,
    schema: &'static str,
    left_after: &'static str,
    #[serde(flatten)]
    counts: C,
    refused: u64,
    undelivered: u64,
    valid: bool,
}

/// Joins with `layer`, carries lines and events, leaves.
pub(crate) fn run<S: Shell>(setting: Setting<'_>, shell: S, layer: S::Layer) -> Exit {
    let refused = |exit: Exit, error: &dyn Display| {
        eprintln!("roundel {}: {error}", S::NAME);
        exit
    };
    let builder = match setting.member.builder() {
        Ok(builder) => builder,
        Err(error) => return refused(Exit::Usage, &error),
    };
    let stop = match Stop::on_signals() {
        Ok(stop) => stop,
        Err(error) => return refused(Exit::Failed, &error),
    };
    let input = match Input::start(setting.member.message_bytes_max()) {
        Ok(input) => input,
        Err(error) => return refused(Exit::Failed, &error),
    };
    let node = match builder.join() {
        Ok(node) => node,
        Err(error) => return refused(Exit::from(&error), &error),
    };
    let (facts, cluster) = (node.facts(), setting.member.cluster());
    let on = &facts.interface;
    eprintln!(
        "roundel {}: member {} of {cluster:?} on {} ({}), {}",
        S::NAME,
        facts.id,
        on.name,
        on.address,
        facts.io
    );
    let mut events = Events::new(setting.json, setting.member.has_primary());
    let started = events.start(S::SCHEMA, facts, cluster);
    let member = Layered::new(node, Witness::new(layer));
    let session = Session {
        shell,
        member,
        events,
        input,
        stop,
        linger: setting.linger,
        stage: Stage::Running,
        has_joined: false,
        absent: Absent::default(),
        refused: 0,
    };
    match started.and_then(|()| session.run()) {
        Ok(exit) => exit,
        Err(error) => refused(Exit::Failed, &format_args!("stdin or stdout: {error}")),
    }
}

struct Session<S: Shell> {
    shell: S,
    member: Layered<Witness<S::Layer>>,
    events: Events,
    input: Input,
    stop: Stop,
    linger: Duration,
    stage: Stage,
    /// The first configuration has come.
    has_joined: bool,
    absent: Absent,
    refused: u64,
}

impl<S: Shell> Session<S> {
    fn run(mut self) -> io::Result<Exit> {
        let carried = self.carry();
        let Self { member, .. } = self;
        let report = member.leave(LEAVE_DEADLINE);
        let (ended, cause) = carried?;
        let LeaveReport { reason, undelivered } = report;
        let reason = ended.unwrap_or(reason);
        let valid = reason == EndReason::Left && undelivered == 0;
        if reason != EndReason::Left {
            eprintln!("roundel {}: {reason}", S::NAME);
        }
        let (counts, refused) = (self.shell.counts(), self.refused);
        if self.events.is_json() {
            let (event, schema) = ("summary", S::SCHEMA);
            let left_after = cause.map_or("failure", Cause::name);
            let line =
                SummaryLine { event, schema, left_after, counts, refused, undelivered, valid };
            write_object(self.events.out(), &line)?;
        } else {
            eprintln!("roundel {}: {counts}; {refused} lines refused", S::NAME);
        }
        self.events.flush()?;
        Ok(match cause {
            _ if !valid => Exit::Failed,
            Some(Cause::Signal) => Exit::Interrupted,
            _ if refused > 0 => Exit::Failed,
            _ => Exit::Ok,
        })
    }

    /// Carries lines and events until the member is to leave, or has ended.
    fn carry(&mut self) -> io::Result<(Option<EndReason>, Option<Cause>)> {
        loop {
            let driven = self.member.drive(self.patience());
            while let Some(news) = self.member.layer_mut().poll_news() {
                match news {
                    News::Configuration(it) => {
                        self.has_joined = true;
                        self.events.configuration(&it)?;
                    }
                    News::Primary(ring) => self.events.primary(ring)?,
                    News::Told(told) => self.shell.tell(told, &mut self.events)?,
                }
            }
            let missing = self.member.layer_mut().layer.waiting_for();
            self.absent.see(Instant::now(), &missing, S::NAME, &mut self.events)?;
            self.take_lines()?;
            self.events.flush()?;
            if let Err(reason) = driven {
                return Ok((Some(reason), None));
            }
            self.see_to_end();
            if let Stage::Over(cause) = self.stage {
                return Ok((None, Some(cause)));
            }
        }
    }

    fn take_lines(&mut self) -> io::Result<()> {
        let Self { shell, member, events, input, refused, .. } = self;
        let layer = &mut member.layer_mut().layer;
        for _ in 0..LINES_PER_ROUND {
            if self.stage != Stage::Running || !self.has_joined || !shell.is_ready(layer) {
                return Ok(());
            }
            let Some(line) = input.next()? else { return Ok(()) };
            match shell.take(layer, &line, events)? {
                Ok(()) => {}
                Err(NotTaken::NotYet) => {
                    input.hold(line);
                    return Ok(());
                }
                Err(NotTaken::Refused(reason)) => {
                    *refused += 1;
                    let (event, line) = ("refused", line.number);
                    if events.is_json() {
                        let line = RefusedLine { event, line, reason: &reason };
                        write_object(events.out(), &line)?;
                    } else {
                        eprintln!("roundel {}: line {line}: {reason}", S::NAME);
                    }
                }
            }
        }
        Ok(())
    }

    fn see_to_end(&mut self) {
        let now = Instant::now();
        let layer = &mut self.member.layer_mut().layer;
        let leaves = match self.stage {
            _ if self.stop.is_asked() => Some(Cause::Signal),
            Stage::Lingering(since) if now.duration_since(since) >= self.linger => {
                Some(Cause::Input)
            }
            _ => None,
        };
        self.stage = match (self.stage, leaves) {
            (Stage::Running | Stage::Lingering(_), Some(cause)) => {
                self.shell.bid_farewell(layer);
                Stage::Farewell(now + FAREWELL, cause)
            }
            (Stage::Running, None) if self.input.has_ended() && self.shell.is_at_rest(layer) => {
                Stage::Lingering(now)
            }
            (Stage::Farewell(until, cause), _) if now >= until || self.shell.is_at_rest(layer) => {
                Stage::Over(cause)
            }
            (stage, _) => stage,
        };
    }

    /// How long to wait for something to do.
    fn patience(&self) -> Duration {
        match self.stage {
            Stage::Running | Stage::Lingering(_) => POLL,
            Stage::Farewell(..) | Stage::Over(_) => Duration::from_millis(1),
        }
    }
}
