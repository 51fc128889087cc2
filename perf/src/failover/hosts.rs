//! The members, each on a host of its own, and the faults that come to them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::log::{Effect, Log};
use super::member::Seen;
use crate::exit::Stop;
use crate::fleet::Fleet;
use crate::usage::now_ns;

/// Longest wait until a fault is over: for the configurations that it leads to, and for traffic in
/// them.
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

    /// A crash of a member.
    pub(crate) fn crash(&mut self, host: u32) -> Result<u64, Stop> {
        let at_ns = now_ns();
        self.fleet.kill(host);
        Ok(at_ns)
    }

    /// The start of a member, its process and all.
    pub(crate) fn rejoin(&mut self, host: u32) -> Result<u64, Stop> {
        let at_ns = now_ns();
        self.start(host)?;
        Ok(at_ns)
    }

    /// A partition of the network, when it is one: the tools that make it take their time.
    pub(crate) fn partition(&self, sides: &[&[u32]]) -> Result<u64, Stop> {
        self.fleet.lan().partition(sides)?;
        Ok(now_ns())
    }

    /// The end of the partition, when it is over.
    pub(crate) fn heal(&self) -> Result<u64, Stop> {
        self.fleet.lan().heal()?;
        Ok(now_ns())
    }

    /// Lets a fault happen, after some quiet, and yields what it did to the members of the groups
    /// that it leads to. The fault yields when it was.
    pub(crate) fn fault(
        &mut self,
        groups: &[&[u32]],
        quiet: Duration,
        fault: impl FnOnce(&mut Self) -> Result<u64, Stop>,
    ) -> Result<Effect, Stop> {
        self.look(quiet)?;
        let begun_ns = now_ns();
        let at_ns = fault(self)?;
        self.wait(groups)?;
        // Another gap may follow, and is told when it is over.
        self.look(quiet)?;
        Ok(self.log.effect(&groups.concat(), [begun_ns, at_ns]))
    }

    /// Waits until the members of each group are in one configuration and deliver in it.
    pub(crate) fn wait(&mut self, groups: &[&[u32]]) -> Result<(), Stop> {
        let deadline = Instant::now() + PATIENCE;
        while !groups.iter().all(|group| self.log.have_resumed(group)) {
            if Instant::now() > deadline {
                let stuck = groups.iter().find(|group| self.log.are_together(group));
                return Err(match stuck {
                    Some(group) => Stop::Failed(format!(
                        "{group:?} came together and did not all deliver again in 20 s"
                    )),
                    None => Stop::Timeout(format!("{groups:?} did not come together in 20 s")),
                });
            }
            self.look(PAUSE)?;
        }
        Ok(())
    }

    /// A member's output has ended; it was not killed here if its process is still known.
    fn see_end(&mut self, host: u32) -> Result<(), Stop> {
        let ended = self.fleet.ended(host);
        ended.map_or(Ok(()), |status| {
            Err(Stop::Failed(format!("member {host} ended by itself: {status}")))
        })
    }

    /// Takes what members see, for so long.
    fn look(&mut self, span: Duration) -> Result<(), Stop> {
        let deadline = Instant::now() + span;
        while let Some(word) = self.fleet.next(deadline)? {
            // What a member told before it was started again is over.
            let is_current = word.life == self.fleet.life(word.host);
            match word.told.filter(|_| is_current) {
                Some(seen) => self.log.push(word.host, seen),
                None if is_current => self.see_end(word.host)?,
                None => {}
            }
        }
        Ok(())
    }
}
