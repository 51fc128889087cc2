//! The members, each on a host of its own, and the faults that come to them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use roundel::lan::Lan;
use tempfile::TempDir;

use super::log::{Effect, Log};
use super::member::Seen;
use crate::exit::Stop;
use crate::usage::now_ns;

/// Longest wait for the configurations that a fault leads to.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longest wait between two looks at the clock.
const PAUSE: Duration = Duration::from_millis(5);

/// The members and the network between them; all end with it.
pub(crate) struct Hosts {
    members: BTreeMap<u32, Child>,
    lan: Lan,
    program: PathBuf,
    states: TempDir,
    rate: u32,
    interrupted: Arc<AtomicBool>,
    seen: Receiver<(u32, Seen)>,
    sender: Sender<(u32, Seen)>,
    log: Log,
}

impl Hosts {
    /// A member on each of so many hosts.
    pub(crate) fn new(hosts: u32, rate: u32, interrupted: Arc<AtomicBool>) -> Result<Self, Stop> {
        let (sender, seen) = mpsc::channel();
        let mut made = Self {
            members: BTreeMap::new(),
            lan: Lan::new(hosts)?,
            program: std::env::current_exe()?,
            states: tempfile::tempdir()?,
            rate,
            interrupted,
            seen,
            sender,
            log: Log::default(),
        };
        (1..=hosts).try_for_each(|host| made.start(host))?;
        Ok(made)
    }

    /// Starts a member.
    pub(crate) fn start(&mut self, host: u32) -> Result<(), Stop> {
        self.log.forget(host);
        let mut command = self.lan.command(host, &self.program);
        command.args(["failover-member", "--interface", "eth0", "--cluster", "failover"]);
        command.args(["--rate", &self.rate.to_string(), "--id", &host.to_string()]);
        command.arg("--state-dir").arg(self.states.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn();
        let mut child =
            child.map_err(|error| Stop::Failed(format!("no member starts: {error}")))?;
        if let Some(stdout) = child.stdout.take() {
            let sender = self.sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    let Ok(seen) = serde_json::from_str(&line) else { continue };
                    if sender.send((host, seen)).is_err() {
                        break;
                    }
                }
            });
        }
        self.members.insert(host, child);
        Ok(())
    }

    /// Kills a member, which has no time to say anything.
    pub(crate) fn kill(&mut self, host: u32) -> Result<(), Stop> {
        let Some(mut member) = self.members.remove(&host) else { return Ok(()) };
        member.kill()?;
        member.wait()?;
        Ok(())
    }

    /// Parts the network.
    pub(crate) fn partition(&self, sides: &[&[u32]]) -> Result<(), Stop> {
        Ok(self.lan.partition(sides)?)
    }

    /// Ends the partition.
    pub(crate) fn heal(&self) -> Result<(), Stop> {
        Ok(self.lan.heal()?)
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
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return Err(Stop::Interrupted);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if let Ok((host, seen)) = self.seen.recv_timeout(left.min(PAUSE)) {
                self.log.push(host, seen);
            } else if left.is_zero() {
                return Ok(());
            }
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for member in self.members.values_mut() {
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}
