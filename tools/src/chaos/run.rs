//! A run: sittings of many episodes, each healed, and judged at its end.

use std::io;
use std::time::{Duration, Instant};

use super::fleet::Life;
use super::judge::{self, Judged};
use super::plan::{Episode, Plan, Step};
use super::policy::Policies;
use super::report::Report;
use super::scene::{Miss, Scene};
use crate::stop::Stop;

/// How long members may take to be one ring once all is healed, to be the primary component, and to
/// deliver what there is.
const PRIMARY_PATIENCE: Duration = Duration::from_secs(20);
const RING_PATIENCE: Duration = Duration::from_secs(20);
const SETTLE_PATIENCE: Duration = Duration::from_secs(40);
const LEAVE_PATIENCE: Duration = Duration::from_secs(15);

/// After this the histories are judged, so that disk and memory stay bounded.
const SITTING: Duration = Duration::from_secs(60);

/// A sitting that would be shorter is not begun.
const SITTING_MIN: Duration = Duration::from_secs(5);

/// Longest wait without looking for signals and times.
const POLL: Duration = Duration::from_millis(5);

/// What members have told in the meantime is read within this time.
const DRAIN: Duration = Duration::from_millis(3);

/// A run ends with so many violating sittings.
const BAD_SITTINGS_MAX: u32 = 5;

/// Why a run ends early.
#[derive(Debug)]
pub(super) enum Trouble {
    Interrupted,
    Output(io::Error),
    /// The place does not do what it must.
    Place(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<String> for Trouble {
    fn from(reason: String) -> Self {
        Self::Place(reason)
    }
}

/// Whether a sitting went well so far; if not, that was told.
type Well = Result<bool, Trouble>;

/// A run under way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) scene: Scene,
    pub(super) report: Report,
    plan: Plan,
    policies: Policies,
    stop: Stop,
    ends_at: Instant,
    /// Traces of clean sittings stay, too.
    keeps_all: bool,
    /// Traces or words of violating sittings stay.
    pub(super) has_kept: bool,
}

impl Run {
    pub(super) fn new(
        scene: Scene,
        report: Report,
        (plan, policies): (Plan, Policies),
        stop: Stop,
        seconds: u32,
        keeps_all: bool,
    ) -> Self {
        let ends_at = report.started + Duration::from_secs(seconds.into());
        Self { scene, report, plan, policies, stop, ends_at, keeps_all, has_kept: false }
    }

    /// All sittings.
    pub(super) fn run(&mut self) -> Result<(), Trouble> {
        let mut bad = 0;
        while bad < BAD_SITTINGS_MAX
            && (self.report.sittings == 0 || Instant::now() + SITTING_MIN < self.ends_at)
        {
            let well = self.sitting()?;
            bad += u32::from(!well);
        }
        Ok(())
    }

    /// All members from their start to their leave; whether there was nothing to find.
    fn sitting(&mut self) -> Well {
        self.report.sittings += 1;
        self.scene.policy = self.policies.draw();
        self.report.policy(self.scene.policy.name);
        let until = self.ends_at.min(Instant::now() + SITTING);
        let mut well = self.acts(until)?;
        let settled = well && {
            let rest = self.plan.rest();
            self.scene.set_load(rest, None);
            let settled = self.wait(SETTLE_PATIENCE, Scene::is_settled)?;
            if !settled {
                self.wrong("everything accepted is delivered", &self.scene.describe())?;
            }
            well &= settled;
            settled
        };
        if !well {
            self.end_all();
        }
        match judge::judge(&self.scene.fleet, settled) {
            Ok(Judged { verdict, counts }) => well &= self.report.sitting(&verdict, counts)?,
            Err(reason) => {
                self.wrong("a quiet end", &reason)?;
                well = false;
            }
        }
        if well {
            well = self.leave()?;
            self.end_all();
            let verdict = judge::judge_ended(&self.scene.fleet)?;
            well &= self.report.ended(&verdict)?;
        }
        self.end_all();
        let lives: Vec<Life> = std::mem::take(&mut self.scene.fleet.lives);
        if self.keeps_all || !well {
            judge::keep(&lives)?;
            self.has_kept |= !well;
        } else {
            lives.iter().for_each(judge::remove);
        }
        Ok(well)
    }

    /// Episodes until then, all members in one ring before and after each.
    fn acts(&mut self, until: Instant) -> Well {
        let rest = self.plan.rest();
        self.scene.set_load(rest, None);
        if !self.heal()? || !self.await_primary()? {
            return Ok(false);
        }
        while Instant::now() < until {
            self.report.episodes += 1;
            let episode = self.plan.draw();
            if !self.play(&episode)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn play(&mut self, episode: &Episode) -> Well {
        self.scene.set_load(episode.load, episode.sender);
        let mut struck: Vec<(u64, Option<String>)> = vec![(0, None); episode.faults.len()];
        let mut well = true;
        let mut steps: Vec<(Duration, usize, &Step)> = Vec::new();
        for (fault, steps_of) in episode.faults.iter().enumerate() {
            steps.extend(steps_of.steps.iter().map(|(at, step)| (*at, fault, step)));
        }
        steps.sort_by_key(|(at, fault, _)| (*at, *fault));
        let mut begun = Instant::now();
        for (at, fault, step) in steps {
            well &= self.pump_until(begun + at)?;
            let struck_at = Instant::now();
            let outcome = self.scene.strike(fault, step);
            // On a busy host tools take long; what was begun still lasts as planned.
            begun += struck_at.elapsed();
            match outcome {
                Ok(hits) => struck[fault].0 += hits,
                Err(Miss::NotApplied(reason)) => struck[fault].1 = Some(reason),
                Err(Miss::Wrong(what)) => {
                    self.wrong("what a fault must come to", &what)?;
                    well = false;
                }
            }
        }
        for (fault, (hits, reason)) in episode.faults.iter().zip(&struck) {
            self.report.fault(fault.kind, *hits);
            if *hits == 0 {
                let reason = reason.as_deref().unwrap_or("it hit nothing");
                self.report.not_applied(fault.kind, reason)?;
            }
        }
        let healed_at = Instant::now();
        // What was told while the last step was done.
        well &= self.pump_until(healed_at + DRAIN)?;
        let were_apart = !self.scene.is_one_ring();
        if !well || !self.heal()? {
            return Ok(false);
        }
        let heal = were_apart.then(|| healed_at.elapsed());
        let names: Vec<&'static str> =
            episode.faults.iter().map(|fault| fault.kind.name()).collect();
        self.report.episode(&names, heal)?;
        if !self.await_primary()? {
            return Ok(false);
        }
        self.pump_until(Instant::now() + episode.calm)
    }

    /// Ends all faults and waits for one ring of all members.
    fn heal(&mut self) -> Well {
        self.scene.heal()?;
        let give_up = Instant::now() + RING_PATIENCE;
        let mut is_one = false;
        while !is_one && Instant::now() < give_up {
            // One that was told to leave may end only now.
            self.scene.start_missing()?;
            is_one = self.scene.is_one_ring();
            if !is_one && !self.pump(POLL)? {
                return Ok(false);
            }
        }
        if !is_one {
            self.wrong("one ring after healing", &self.scene.describe())?;
        }
        Ok(is_one)
    }

    /// Waits until all members together are the primary component, if there is a policy.
    fn await_primary(&mut self) -> Well {
        let is_primary = self.wait(PRIMARY_PATIENCE, Scene::is_primary)?;
        if !is_primary {
            self.wrong("an eligible cluster has a primary", &self.scene.describe())?;
        }
        Ok(is_primary)
    }

    /// Lets all leave, and sees that they do.
    fn leave(&mut self) -> Well {
        for host in self.scene.ids() {
            // Who does not listen is found below.
            let _ = self.scene.fleet.order(host, super::words::Order::Leave);
        }
        let left = self.wait(LEAVE_PATIENCE, |scene| scene.fleet.all().next().is_none())?;
        if !left {
            self.wrong("members leave", &self.scene.describe())?;
        }
        Ok(left)
    }

    fn end_all(&mut self) {
        let hosts: Vec<u32> = self.scene.fleet.all().map(|process| process.spec.host).collect();
        for host in hosts {
            self.scene.fleet.kill(host);
        }
    }

    fn wrong(&mut self, clause: &str, detail: &str) -> io::Result<()> {
        self.report.violation(clause, detail)
    }

    fn wait(&mut self, patience: Duration, holds: impl Fn(&Scene) -> bool) -> Well {
        let give_up = Instant::now() + patience;
        while !holds(&self.scene) {
            if Instant::now() > give_up || !self.pump(POLL)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn pump_until(&mut self, until: Instant) -> Well {
        let mut well = true;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(well);
            }
            well &= self.pump(left.min(POLL))?;
        }
    }

    /// Takes what members tell; whether none has ended without a reason.
    fn pump(&mut self, timeout: Duration) -> Well {
        if self.stop.is_asked() {
            return Err(Trouble::Interrupted);
        }
        let Some(ended) = self.scene.fleet.next(timeout) else { return Ok(true) };
        if self.scene.explains(&ended) {
            return Ok(true);
        }
        let detail = format!("member {}: {}: {}", ended.spec.id, ended.status, ended.words);
        self.wrong("members run until they are ended", &detail)?;
        Ok(false)
    }
}
