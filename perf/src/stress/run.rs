//! The course of a run: load, faults and samples until the time is over, then a quiet end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roundel::lan::{Lan, LanError};

use super::args::Args;
use super::faults::{Fault, Faults, Planned};
use super::scene::{Expects, Scene};
use super::words::{LEAVE, STOP};
use crate::exit::Stop;

/// Longest wait for all members in one configuration.
const TOGETHER_MAX: Duration = Duration::from_secs(20);

/// From then on, without faults, nothing is to change.
const CALM_AFTER: Duration = Duration::from_secs(1);

/// Longest wait, when nothing more is published, until all have delivered everything.
const SETTLE_MAX: Duration = Duration::from_secs(30);

/// What the leave of all members may take.
const LEAVE_MAX: Duration = Duration::from_secs(6);

/// Between two looks whether something waited for is there.
const PAUSE: Duration = Duration::from_millis(20);

/// A run under way.
pub(super) struct Run<'a> {
    args: &'a Args,
    pub(super) scene: Scene<'a>,
    pub(super) crashes: u64,
    pub(super) partitions: u64,
}

impl<'a> Run<'a> {
    pub(super) const fn new(args: &'a Args, scene: Scene<'a>) -> Self {
        Self { args, scene, crashes: 0, partitions: 0 }
    }

    /// Runs to the end, as long as members go on.
    pub(super) fn run(&mut self) -> Result<(), Stop> {
        (1..=self.args.members.into()).try_for_each(|host| self.scene.start(host))?;
        self.wait_together()?;
        // A membership that has just formed may take in a late join once more.
        self.scene.look_until(Instant::now() + CALM_AFTER)?;
        self.wait_together()?;
        self.scene.watch.handle_begin();
        if self.args.faults == Faults::None {
            self.scene.expects = Expects::Calm;
        }
        let until = Instant::now() + self.args.seconds;
        let (faults, seed, hosts) = (self.args.faults, self.args.seed, self.args.members.into());
        for number in 0.. {
            let Some(planned) = faults.plan(seed, number, hosts) else { break };
            let length = planned.quiet + planned.lasts;
            if Instant::now() + length > until {
                break;
            }
            self.let_happen(&planned)?;
        }
        self.scene.look_until(until)?;
        self.settle()?;
        self.leave()
    }

    fn let_happen(&mut self, planned: &Planned) -> Result<(), Stop> {
        self.scene.look_until(Instant::now() + planned.quiet)?;
        match &planned.fault {
            Fault::Crash(host) => {
                self.crashes += 1;
                self.scene.reporter.fault("crash", &[*host]);
                self.scene.fleet.kill(*host);
                self.scene.look_until(Instant::now() + planned.lasts)?;
                self.scene.reporter.fault("start", &[*host]);
                self.scene.start(*host)?;
            }
            Fault::Partition(one) => {
                self.partitions += 1;
                let two: Vec<u32> =
                    self.scene.fleet.lan().hosts().filter(|host| !one.contains(host)).collect();
                self.scene.reporter.fault("partition", one);
                let one = one.clone();
                self.change(move |lan| lan.partition(&[&one, &two]))?;
                self.scene.look_until(Instant::now() + planned.lasts)?;
                self.scene.reporter.fault("heal", &[]);
                self.change(Lan::heal)?;
            }
        }
        self.wait_together()
    }

    /// Changes the network, and goes on meanwhile: on a busy host the kernel may take seconds for
    /// it.
    fn change(
        &mut self,
        change: impl FnOnce(&Lan) -> Result<(), LanError> + Send + 'static,
    ) -> Result<(), Stop> {
        let lan = Arc::clone(self.scene.fleet.lan());
        let changing = std::thread::spawn(move || change(&lan));
        let mut looked = Ok(());
        while looked.is_ok() && !changing.is_finished() {
            looked = self.scene.look_until(Instant::now() + PAUSE);
        }
        // Whatever happens, the network is removed by this thread and not by that.
        let changed = changing.join();
        looked?;
        changed.map_or_else(|_| Err(Stop::Failed("a thread panicked".to_owned())), |it| Ok(it?))
    }

    fn wait_together(&mut self) -> Result<(), Stop> {
        let deadline = Instant::now() + TOGETHER_MAX;
        while !self.scene.are_together() {
            if Instant::now() > deadline {
                let places = self.scene.places();
                let what = format!("the members did not come together in 20 s: {places:?}");
                self.scene.reporter.finding(&what);
                return Err(Stop::Failed(what));
            }
            self.scene.look_until(Instant::now() + PAUSE)?;
        }
        Ok(())
    }

    /// Nothing more is published: every member delivers what was accepted anywhere. At the quiet
    /// end all are in one configuration and have delivered the same in it (EVS 2.1, 3, 4).
    fn settle(&mut self) -> Result<(), Stop> {
        self.scene.is_loaded = false;
        self.scene.fleet.order(STOP)?;
        let deadline = Instant::now() + SETTLE_MAX;
        while let Err(what) = self.scene.is_settled() {
            if Instant::now() > deadline {
                self.scene.reporter.finding(&format!("30 s after the last publish {what}"));
                return Ok(());
            }
            self.scene.look_until(Instant::now() + PAUSE)?;
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Stop> {
        self.scene.expects = Expects::Leave;
        self.scene.fleet.order(LEAVE)?;
        let deadline = Instant::now() + LEAVE_MAX;
        while self.scene.fleet.lan().hosts().any(|host| self.scene.fleet.process(host).is_some()) {
            if Instant::now() > deadline {
                self.scene.reporter.finding("the members did not leave in 6 s");
                return Ok(());
            }
            self.scene.look_until(Instant::now() + PAUSE)?;
        }
        Ok(())
    }
}
