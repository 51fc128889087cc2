//! One path again, told step by step.

use super::choice::{Path, kind_of, port_name};
use super::scenario::{self, Size};
use super::search::{guarded, is_over};
use super::world::{Next, Pending, What, World};
use crate::sim::check::Verdict;
use crate::sim::run::Failure;
use crate::trace::{self, History};
use crate::wire::commit::Commit;
use crate::wire::join::Join;
use crate::wire::token::Token;

/// What a path came to.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The first thing that was not as it must be.
    pub failure: Option<Failure>,
    /// The checker's judgement, when the run ended well enough for one.
    pub verdict: Option<Verdict>,
    /// What every member did.
    pub histories: Vec<History>,
}

/// Runs a path again and tells a line per event.
pub fn replay(path: &Path, size: Size, tell: &mut dyn FnMut(&str)) -> Replayed {
    let mut world = match scenario::world(path.start, size) {
        Ok(world) => world,
        Err(violated) => {
            let failure = Some(violated.into());
            return Replayed { failure, verdict: None, histories: Vec::new() };
        }
    };
    tell(&format!("start {}: {}", path.start.name(), world.describe()));
    let mut teller = Teller { base: world.steps, told: lengths(&world), tell };
    let result = guarded(|| teller.run(&mut world, path));
    let verdict = result.is_ok().then(|| world.judge());
    let violation = verdict.as_ref().and_then(|verdict| verdict.violations().next().cloned());
    let failure = violation.map(|it| Failure::new(it.clause.name(), it.text)).or(result.err());
    Replayed { failure, verdict, histories: world.histories() }
}

struct Teller<'t> {
    base: u64,
    /// Events of each member's histories told so far.
    told: Vec<usize>,
    tell: &'t mut dyn FnMut(&str),
}

impl Teller<'_> {
    fn run(&mut self, world: &mut World, path: &Path) -> Result<(), Failure> {
        let mut choices = path.choices.iter().peekable();
        let mut since = world.now;
        while choices.peek().is_some() || !is_over(world, since) {
            let step = world.steps - self.base;
            while let Some(choice) = choices.next_if(|choice| choice.step == step) {
                (self.tell)(&format!("{step:>5} ! {} strikes {}", choice.fault, next(world)));
                world.strike(choice.fault);
                since = world.now;
            }
            self.step(world)?;
        }
        (self.tell)(&format!("      heal: {}", world.describe()));
        world.heal()?;
        world.demand_one_ring()?;
        self.events(world);
        (self.tell)(&format!("      end: {}", world.describe()));
        Ok(())
    }

    fn step(&mut self, world: &mut World) -> Result<(), Failure> {
        let step = world.steps - self.base;
        let line = format!(
            "{step:>5} {:>12} {}",
            world.next_at().as_ns() % 1_000_000_000_000,
            next(world)
        );
        (self.tell)(&line);
        let result = world.step();
        self.events(world);
        Ok(result?)
    }

    /// What the members wrote down since.
    fn events(&mut self, world: &World) {
        for (host, told) in world.hosts.iter().zip(&mut self.told) {
            let entries = host.histories.iter().flat_map(|history| {
                history.entries.iter().map(|entry| (history.node, history.incarnation, entry))
            });
            for (node, incarnation, entry) in entries.skip(*told) {
                let mut line = Vec::new();
                trace::write_line(&mut line, node, incarnation, entry);
                (self.tell)(&format!("      {}", String::from_utf8_lossy(&line).trim_end()));
                *told += 1;
            }
        }
    }
}

fn lengths(world: &World) -> Vec<usize> {
    let length = |histories: &[History]| histories.iter().map(|it| it.entries.len()).sum();
    world.hosts.iter().map(|host| length(&host.histories)).collect()
}

/// What happens next, in words.
fn next(world: &World) -> String {
    match (world.next(), world.first()) {
        (Some(Next::Arrival), Some(first)) => arrival(first),
        (Some(Next::Timer { node, half, .. }), _) => format!("{}: timer of {half:?}", node + 1),
        _ => "nothing".to_owned(),
    }
}

fn arrival(first: &Pending) -> String {
    let to = first.node + 1;
    match &first.what {
        What::Frame { from, port, frame } => {
            format!("{} → {to} ({}): {}", from + 1, port_name(*port), content(frame))
        }
        What::Directive(directive) => {
            let text = format!("{directive:?}");
            format!("{to}: directive {}", text.split(['(', ' ']).next().unwrap_or_default())
        }
        What::Report(report) => {
            let text = format!("{report:?}");
            format!("{to}: report {}", text.split(['(', ' ']).next().unwrap_or_default())
        }
        What::Written(ceiling) => format!("{to}: {ceiling} is on disk"),
        What::Stored(_) => format!("{to}: its record of primary components is on disk"),
        What::Start => format!("{to}: starts"),
        What::Publish(service, _) => format!("{to}: publishes a message, {}", service.name()),
    }
}

fn content(frame: &[u8]) -> String {
    let cluster = crate::sim::node::cluster();
    if let Ok(join) = Join::parse(frame, cluster) {
        return format!(
            "join of {:?} without {:?}, epoch {}",
            join.proc_set, join.fail_set, join.epoch
        );
    }
    if let Ok(commit) = Commit::parse(frame, cluster) {
        return format!("commit token of {}, hop {}", commit.ring, commit.hop);
    }
    let mut token = Token::default();
    if token.parse_into(frame, cluster).is_ok() {
        let arus: Vec<u64> = token.promises.iter().map(|promise| promise.aru.0).collect();
        let (hop, seq, requests) = (token.hop, token.seq, token.requests.len());
        return format!(
            "token of {}, hop {hop}, seq {seq}, arus {arus:?}, {requests} requests",
            token.ring
        );
    }
    kind_of(frame).map_or_else(|| "garbage".to_owned(), |kind| format!("{kind:?}"))
}
