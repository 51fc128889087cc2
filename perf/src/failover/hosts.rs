//! The members, each on a host of its own, and the faults that come to them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::log::{Effect, Log};
use super::member::Seen;
use crate::exit::Stop;
use crate::fleet::Fleet;
use crate::usage::now_ns;

/// Longest wait for the configurations that a fault leads to.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longest wait between two looks at the clock.
const PAUSE: Duration = Duration::from_millis(5);

/// The members, and what they saw.
pub(crate) struct Hosts {
    fleet: Fleet<Seen>,
    rate: u32,
    log: Log,
}

impl Hosts {
    /// A member on each of so many hosts.
    pub(crate) fn new(hosts: u32, rate: u32, interrupted: Arc<AtomicBool>) -> Result<Self, Stop> {
        let fleet = Fleet::new(hosts, interrupted)?;
        let mut made = Self { fleet, rate, log: Log::default() };
        (1..=hosts).try_for_each(|host| made.start(host))?;
        Ok(made)
    }

    /// Starts a member.
    pub(crate) fn start(&mut self, host: u32) -> Result<(), Stop> {
        self.log.forget(host);
        let rate = self.rate.to_string();
        let arguments = ["failover-member", "--cluster", "failover", "--rate", &rate];
        self.fleet.start(host, &arguments.map(str::to_owned))
    }

    /// Kills a member.
    pub(crate) fn kill(&mut self, host: u32) -> Result<(), Stop> {
        self.fleet.kill(host)
    }

    /// Parts the network.
    pub(crate) fn partition(&self, sides: &[&[u32]]) -> Result<(), Stop> {
        Ok(self.fleet.lan().partition(sides)?)
    }

    /// Ends the partition.
    pub(crate) fn heal(&self) -> Result<(), Stop> {
        Ok(self.fleet.lan().heal()?)
    }

    /// Lets a fault happen, after some quiet, and yields what it did to the members of the groups
    /// that it leads to.
    pub(crate) fn fault(
        &mut self,
        groups: &[&[u32]],
        quiet: Duration,
        fault: impl FnOnce(&mut Self) -> Result<(), Stop>,
    ) -> Result<Effect, Stop> {
        self.look(quiet)?;
        let at_ns = now_ns();
        fault(self)?;
        self.wait(groups)?;
        // The gap is told when it is over.
        self.look(quiet)?;
        Ok(self.log.effect(&groups.concat(), at_ns))
    }

    /// Waits until the members of each group are in one configuration.
    pub(crate) fn wait(&mut self, groups: &[&[u32]]) -> Result<(), Stop> {
        let deadline = Instant::now() + PATIENCE;
        while !groups.iter().all(|group| self.log.are_together(group)) {
            if Instant::now() > deadline {
                return Err(Stop::Failed(format!("{groups:?} did not come together in 20 s")));
            }
            self.look(PAUSE)?;
        }
        Ok(())
    }

    /// Takes what members see, for so long.
    fn look(&mut self, span: Duration) -> Result<(), Stop> {
        let deadline = Instant::now() + span;
        while let Some(line) = self.fleet.next(deadline)? {
            // What a member told before it was started again is over.
            if let Some(seen) = line.told.filter(|_| line.life == self.fleet.life(line.host)) {
                self.log.push(line.host, seen);
            }
        }
        Ok(())
    }
}
