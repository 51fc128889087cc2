//! The members of a run as their parent sees them: what they tell is judged, their processes are
//! looked at, and samples are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::args::Args;
use super::judge::Judge;
use super::process::holdings;
use super::report::Reporter;
use super::watch::Watch;
use super::words::{Ring, Told};
use crate::exit::{Exit, Stop};
use crate::fleet::{Fleet, Word};

/// Distance of the looks at the processes.
const LOOK: Duration = Duration::from_secs(1);

/// Ends by themselves after which a run does not go on.
const ENDS_MAX: u32 = 10;

/// The members, and what is known of them.
pub(super) struct Scene<'a> {
    args: &'a Args,
    pub(super) fleet: Fleet<Told>,
    pub(super) judge: Judge,
    pub(super) watch: Watch,
    pub(super) reporter: &'a mut Reporter,
    /// Regular configurations that a member installed.
    pub(super) rings: BTreeSet<Ring>,
    /// The last one of each member in its last life.
    places: BTreeMap<u32, (Ring, Vec<u32>)>,
    pub(super) expects: Expects,
    /// Members are to publish.
    pub(super) is_loaded: bool,
    /// Lives that ended by themselves.
    ends: u32,
    started: Instant,
    look_at: Instant,
    sample_at: Instant,
}

/// What may happen by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expects {
    /// Configurations change.
    Changes,
    /// Nothing.
    Calm,
    /// Members end, too.
    Leave,
}

impl<'a> Scene<'a> {
    /// Makes the hosts.
    pub(super) fn new(
        args: &'a Args,
        reporter: &'a mut Reporter,
        interrupted: Arc<AtomicBool>,
    ) -> Result<Self, Stop> {
        let fleet = Fleet::new(args.members.into(), interrupted)?;
        fleet.lan().lose(args.loss)?;
        let now = Instant::now();
        Ok(Self {
            args,
            fleet,
            judge: Judge::default(),
            watch: Watch::default(),
            reporter,
            rings: BTreeSet::new(),
            places: BTreeMap::new(),
            expects: Expects::Changes,
            is_loaded: true,
            ends: 0,
            started: now,
            look_at: now,
            sample_at: now + args.interval,
        })
    }

    /// Where each member is.
    pub(super) const fn places(&self) -> &BTreeMap<u32, (Ring, Vec<u32>)> {
        &self.places
    }

    fn at_s(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Starts a member, for the first time or again.
    pub(super) fn start(&mut self, host: u32) -> Result<(), Stop> {
        self.places.remove(&host);
        self.fleet.start(host, &self.args.member())?;
        let grown = self.watch.handle_start(host, self.fleet.life(host), self.at_s());
        for what in grown {
            self.reporter.finding(&format!("member {host} {what}"));
        }
        Ok(())
    }

    /// All are in one regular configuration of all.
    pub(super) fn are_together(&self) -> bool {
        let all: Vec<u32> = self.fleet.lan().hosts().collect();
        let first = self.places.get(&1).filter(|(_, members)| *members == all);
        first.is_some() && all.iter().all(|host| self.places.get(host) == first)
    }

    /// Whether all have delivered all there is, alike; else what is missing.
    pub(super) fn is_settled(&self) -> Result<(), String> {
        let mut places = Vec::new();
        for (host, tally) in self.watch.tallies() {
            let Some(tally) = tally else { return Err(format!("member {host} says nothing")) };
            if !tally.is_done {
                return Err(format!("the ring does not accept all of member {host}"));
            }
            let missing = tally.accepted.saturating_sub(tally.own_delivered);
            if missing > 0 {
                return Err(format!("{missing} own messages of member {host} are not delivered"));
            }
            places.push((host, tally.ring, tally.point));
        }
        let differ = places.windows(2).any(|two| (two[0].1, two[0].2) != (two[1].1, two[1].2));
        if differ { Err(format!("the members differ: {places:?}")) } else { Ok(()) }
    }

    /// Takes what members tell, looks at their processes and samples, until then.
    pub(super) fn look_until(&mut self, until: Instant) -> Result<(), Stop> {
        while Instant::now() < until {
            if let Some(word) = self.fleet.next(until.min(self.look_at))? {
                self.handle_word(word)?;
            }
            let now = Instant::now();
            if now >= self.look_at {
                self.look_at = now + LOOK;
                self.look(now);
            }
        }
        Ok(())
    }

    fn look(&mut self, now: Instant) {
        if self.expects == Expects::Leave {
            return;
        }
        for host in self.fleet.lan().hosts() {
            if let Some(holds) = self.fleet.process(host).and_then(holdings) {
                self.watch.handle_look(host, holds);
            }
        }
        if now >= self.sample_at {
            self.sample_at = now + self.args.interval;
            let at_s = self.at_s();
            let members = self.watch.sample(at_s);
            self.reporter.sample(at_s, members, self.rings.len());
        }
    }

    fn handle_word(&mut self, word: Word<Told>) -> Result<(), Stop> {
        let Word { host, life, told } = word;
        let is_current = life == self.fleet.life(host);
        let Some(told) = told else {
            self.judge.handle_end(host);
            return if is_current { self.handle_end(host) } else { Ok(()) };
        };
        if let Some(what) = self.judge.handle_told(host, &told) {
            self.reporter.finding(&what);
        }
        match told {
            Told::Configuration { ring, members } => {
                if self.rings.insert(ring) && self.expects == Expects::Calm {
                    self.reporter.finding(&format!(
                        "member {host} changed to {ring:?} of {members:?} without a fault"
                    ));
                }
                self.reporter.configuration(host, ring, &members);
                if is_current {
                    self.places.insert(host, (ring, members));
                }
            }
            Told::Tally(tally) => self.watch.handle_tally(host, life, tally),
            Told::Checkpoint { .. } | Told::Passage(_) | Told::Violation { .. } => {}
        }
        Ok(())
    }

    /// A member's output has ended; it was not killed here if its process is still known. That is
    /// a finding, and the run goes on with another life of it as long as there is load.
    fn handle_end(&mut self, host: u32) -> Result<(), Stop> {
        let Some(status) = self.fleet.ended(host) else { return Ok(()) };
        if self.expects == Expects::Leave && status.success() {
            return Ok(());
        }
        let what = format!("member {host} ended by itself: {status}");
        if status.code() == Some(Exit::Usage as i32) {
            return Err(Stop::Failed(what));
        }
        self.reporter.finding(&what);
        self.ends += 1;
        if !self.is_loaded || self.ends > ENDS_MAX {
            return Err(Stop::Failed(what));
        }
        self.start(host)
    }
}
