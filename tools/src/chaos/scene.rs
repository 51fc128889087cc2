//! The place of a run: hosts, disks and processes, and what is done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use roundel::lan::{Detour, Drops, Lan, LanError, LinkRate};
use tempfile::TempDir;

use super::disks::Disks;
use super::fleet::{CLUSTER, Ended, Fleet, Spec};
use super::noise::{Garbage, Hogs};
use super::plan::Step;
use super::policy::Policy;
use super::words::{Load, Order};

/// Hosts beyond those of the members: the second of an id, two foreign members, garbage.
const SPARE_HOSTS: u32 = 4;

/// What a slow link keeps for a host.
const PORT_BUFFER_BYTES: u32 = 200_000;

/// Why a step did not come to what it should.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Miss {
    /// It could not be done.
    NotApplied(String),
    /// It was done, and the members did what they must not.
    Wrong(String),
}

impl From<String> for Miss {
    fn from(reason: String) -> Self {
        Self::NotApplied(reason)
    }
}

/// How often a step has struck so far.
pub(super) type Outcome = Result<u64, Miss>;

/// Everything that a run has made. Gone when it is dropped.
#[derive(Debug)]
pub(super) struct Scene {
    // Before the network, which would take what runs there with it.
    pub(super) fleet: Fleet,
    /// By host, each with the fault it is of.
    detours: BTreeMap<u32, (usize, Detour)>,
    hogs: Option<Hogs>,
    garbage: Option<Garbage>,
    pub(super) lan: Lan,
    pub(super) members: u32,
    /// Drops in force, by the fault they are of.
    drops: Vec<(usize, Drops)>,
    dropped: BTreeMap<usize, u64>,
    rated: Vec<u32>,
    /// Hosts whose interface, or whose cable, is out.
    interfaces_out: BTreeSet<u32>,
    /// Hosts whose interface was down at some time.
    interfaces_were_out: BTreeSet<u32>,
    cables_out: BTreeSet<u32>,
    /// What members publish, and who; all when none.
    load: (Load, Option<u32>),
    /// Of members that are started.
    pub(super) policy: Policy,
    pub(super) traces: PathBuf,
    pub(super) disks: Disks,
    folder: TempDir,
}

fn told(error: &LanError) -> String {
    error.to_string()
}

pub(super) fn failed(what: &str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

impl Scene {
    pub(super) fn new(members: u32, seed: u64, traces: Option<&Path>) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("roundel-chaos-").tempdir();
        let folder = folder.map_err(failed("no directory for the members' files"))?;
        let traces = traces.map_or_else(|| folder.path().join("traces"), Path::to_owned);
        fs::create_dir_all(&traces).map_err(failed(&traces.display().to_string()))?;
        let disks = Disks::new(folder.path().join("disks"), members + SPARE_HOSTS)?;
        let fleet = Fleet::new(folder.path(), seed).map_err(failed("the program's copy"))?;
        Ok(Self {
            fleet,
            detours: BTreeMap::new(),
            hogs: None,
            garbage: None,
            lan: Lan::new(members + SPARE_HOSTS).map_err(|error| told(&error))?,
            members,
            drops: Vec::new(),
            dropped: BTreeMap::new(),
            rated: Vec::new(),
            interfaces_out: BTreeSet::new(),
            interfaces_were_out: BTreeSet::new(),
            cables_out: BTreeSet::new(),
            load: (Load::default(), None),
            policy: Policy::none(),
            traces,
            disks,
            folder,
        })
    }

    /// Its files stay when the run ends.
    pub(super) fn keep(self) {
        let Self { fleet, detours, disks, folder, .. } = self;
        drop((fleet, detours, disks));
        let _ = folder.keep();
    }

    /// The members' ids; each is its host's number.
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> + use<> {
        1..=self.members
    }

    /// Starts a member on its host unless it runs; whether it was started.
    pub(super) fn start(&mut self, id: u32, receive_buffer: Option<usize>) -> io::Result<bool> {
        self.start_as(id, id, CLUSTER, receive_buffer)
    }

    pub(super) fn start_as(
        &mut self,
        host: u32,
        id: u32,
        cluster: &'static str,
        receive_buffer: Option<usize>,
    ) -> io::Result<bool> {
        let (state, primary) = (self.disks.of(host), self.policy.option.clone());
        let spec = Spec { host, id, cluster, state, receive_buffer, primary };
        let (lan, traces) = (&self.lan, &self.traces);
        let started = self.fleet.start(spec, |program| lan.command(host, program), traces)?;
        if started {
            self.order_load(host);
        }
        Ok(started)
    }

    /// From now on members publish like this, also those that are started later.
    pub(super) fn set_load(&mut self, load: Load, sender: Option<u32>) {
        self.load = (load, sender);
        for host in self.ids() {
            self.order_load(host);
        }
    }

    fn order_load(&mut self, host: u32) {
        let (load, sender) = self.load;
        let pace = if sender.is_none_or(|sender| sender == host) { load.pace } else { 0 };
        // One that is gone is told when it is back.
        let _ = self.fleet.order(host, Order::Load(Load { pace, ..load }));
    }

    /// All members have delivered all there is, alike, and publish nothing more.
    pub(super) fn is_settled(&self) -> bool {
        let (load, _) = self.load;
        let place = |id| self.fleet.process(id).map(|process| process.progress);
        let first = place(1);
        self.is_one_ring()
            && self.ids().all(|id| {
                place(id).is_some_and(|progress| {
                    progress.load == load.number
                        && progress.outstanding == 0
                        && self.fleet.process(id).is_some_and(|one| one.ring == progress.ring)
                        && Some(progress) == first
                })
            })
    }

    /// Every member runs and is in one regular configuration of exactly all members.
    pub(super) fn is_one_ring(&self) -> bool {
        let all: Vec<u32> = self.ids().collect();
        let first = self.fleet.process(1).map(|process| process.ring);
        all.iter().all(|id| {
            self.fleet.process(*id).is_some_and(|process| {
                process.members == all && Some(process.ring) == first && !process.is_leaving
            })
        })
    }

    /// With a policy, all members together are the primary component, and know it.
    pub(super) fn is_primary(&self) -> bool {
        let knows = |id| self.fleet.process(id).is_some_and(|process| process.is_primary);
        !self.policy.is_some() || self.is_one_ring() && self.ids().all(knows)
    }

    /// Where everybody is, for people.
    pub(super) fn describe(&self) -> String {
        let place = |id: u32| match self.fleet.process(id) {
            None => format!("{id}: does not run ({})", self.fleet.words(id)),
            Some(process) => format!(
                "{id}: {:?} of {:?}{}, {} own messages outstanding{} {}",
                process.ring,
                process.members,
                if process.is_primary { ", primary" } else { "" },
                process.progress.outstanding,
                if process.is_ready { "" } else { ", not ready" },
                self.fleet.words(id),
            ),
        };
        self.ids().map(place).collect::<Vec<_>>().join(" | ")
    }

    /// An end that what was done to the member explains.
    pub(super) fn explains(&self, ended: &Ended) -> bool {
        let Ended { spec, status, was_ready, was_leaving, words } = ended;
        let disk_refuses = self.disks.is_refusing(spec.host);
        // The state directory may be mended by now, but it says what it found at its start.
        let start_refused = !was_ready && words.contains("cannot be");
        // So does one that was started while its interface was down.
        let had_no_interface = !was_ready
            && self.interfaces_were_out.contains(&spec.host)
            && words.contains("no interface that is up");
        *was_leaving && status.success()
            || words.contains("started later")
            || spec.host > self.members
            || !was_ready && disk_refuses
            || start_refused
            || had_no_interface
    }

    /// Does a step of a fault.
    pub(super) fn strike(&mut self, fault: usize, step: &Step) -> Outcome {
        match *step {
            Step::Kill(host) => ran(self.fleet.kill(host)),
            Step::Start(id) => self.begin(id, None),
            Step::StartSmall(id, bytes) => self.begin(id, Some(bytes)),
            Step::Leave(host) => ran(self.fleet.order(host, Order::Leave)),
            Step::Pause(host) => ran(self.fleet.pause(host, true)),
            Step::Resume(host) => end(ran(self.fleet.pause(host, false))),
            Step::Read(host, 0) => end(ran(self.fleet.order(host, Order::Read { pause_ms: 0 }))),
            Step::Read(host, pause_ms) => ran(self.fleet.order(host, Order::Read { pause_ms })),
            Step::Hogs(threads) => {
                self.hogs = Some(Hogs::start(threads).map_err(failed("a thread"))?);
                Ok(1)
            }
            Step::HogsEnd => {
                self.hogs = None;
                Ok(0)
            }
            Step::Fill(host) => Ok(self.disks.fill(host).map(|()| 1)?),
            Step::FillEnd(host) => Ok(self.disks.free(host).map(|()| 0)?),
            Step::Seal(host) => Ok(self.disks.seal(host).map(|()| 1)?),
            Step::SealEnd(host) => Ok(self.disks.unseal(host).map(|()| 0)?),
            Step::Twin(id) => self.twin(id),
            Step::TwinEnd(id) => self.twin_end(id),
            Step::Second(id) => self.second(id),
            Step::SecondEnd(id) => self.second_end(id),
            Step::Foreign => self.foreign(),
            Step::ForeignEnd => self.foreign_end(),
            _ => self.strike_network(fault, step),
        }
    }

    fn strike_network(&mut self, fault: usize, step: &Step) -> Outcome {
        let lan = |result: Result<(), LanError>| result.map(|()| 1).map_err(|e| told(&e).into());
        match *step {
            Step::Interface(host, false) => {
                self.interfaces_out.insert(host);
                self.interfaces_were_out.insert(host);
                lan(self.lan.set_interface(host, false))
            }
            Step::Interface(host, true) => {
                self.interfaces_out.remove(&host);
                end(lan(self.lan.set_interface(host, true)))
            }
            Step::Cable(host, false) => {
                self.cables_out.insert(host);
                lan(self.lan.set_cable(host, false))
            }
            Step::Cable(host, true) => {
                self.cables_out.remove(&host);
                end(lan(self.lan.set_cable(host, true)))
            }
            Step::Drops(ref drops) => {
                let new = drops.iter().map(|drop| (fault, drop.clone()));
                let drops = self.drops.iter().cloned().chain(new).collect();
                self.set_drops(drops)?;
                Ok(0)
            }
            Step::DropsEnd => {
                let rest = self.drops.iter().filter(|(of, _)| *of != fault).cloned().collect();
                self.set_drops(rest)?;
                Ok(self.dropped.get(&fault).copied().unwrap_or(0))
            }
            Step::Rate(host, mbit_per_s) => {
                let rate = LinkRate { mbit_per_s, port_buffer_bytes: PORT_BUFFER_BYTES };
                self.rated.push(host);
                end(lan(self.lan.set_host_rate(host, Some(rate))))
            }
            Step::RateEnd(host) => {
                let hit = self.lan.rate_hit(host).map_err(|error| told(&error))?;
                self.rated.retain(|one| *one != host);
                lan(self.lan.set_host_rate(host, None)).and(Ok(hit))
            }
            Step::Detour(host, seed, faults) => {
                if self.detours.contains_key(&host) {
                    let reason = format!("the link of {host} goes through here already");
                    return Err(reason.into());
                }
                let detour = self.lan.detour(host, seed, faults).map_err(|error| told(&error))?;
                self.detours.insert(host, (fault, detour));
                Ok(0)
            }
            Step::DetourEnd(host) => {
                if self.detours.get(&host).is_none_or(|(of, _)| *of != fault) {
                    return Err(format!("the link of {host} is not led by this fault").into());
                }
                let hit = self.detours.remove(&host).map(|(_, detour)| detour.end());
                let hit = hit.unwrap_or_default();
                let marked = hit.duplicated + hit.corrupted + hit.reordered;
                Ok(if marked > 0 { marked } else { hit.frames })
            }
            Step::Garbage(seed) => {
                let socket = self.lan.socket(self.members + 4).map_err(|error| told(&error))?;
                let members = self.ids().map(Lan::address).collect();
                let garbage = Garbage::start(socket, members, seed);
                self.garbage = Some(garbage.map_err(failed("a thread"))?);
                Ok(0)
            }
            Step::GarbageEnd => Ok(self.garbage.take().map_or(0, Garbage::end)),
            _ => Ok(0),
        }
    }

    /// Ends whatever is done to network, disks and processes.
    pub(super) fn heal(&mut self) -> Result<(), String> {
        (self.hogs, self.garbage) = (None, None);
        self.detours.clear();
        if !self.drops.is_empty() {
            self.set_drops(Vec::new())?;
        }
        self.dropped.clear();
        for host in std::mem::take(&mut self.rated) {
            self.lan.set_host_rate(host, None).map_err(|error| told(&error))?;
        }
        for host in std::mem::take(&mut self.interfaces_out) {
            self.lan.set_interface(host, true).map_err(|error| told(&error))?;
        }
        for host in std::mem::take(&mut self.cables_out) {
            self.lan.set_cable(host, true).map_err(|error| told(&error))?;
        }
        self.disks.heal()?;
        for host in self.ids() {
            self.fleet.pause(host, false);
        }
        Ok(())
    }

    /// Starts members that do not run.
    pub(super) fn start_missing(&mut self) -> Result<(), String> {
        for id in self.ids() {
            self.start(id, None).map_err(failed("a member cannot be started"))?;
        }
        Ok(())
    }

    fn begin(&mut self, id: u32, receive_buffer: Option<usize>) -> Outcome {
        let started = self.start(id, receive_buffer).map_err(failed("it cannot be started"))?;
        // Who was killed or left is back: that is no fault of its own.
        if receive_buffer.is_some() { ran(started) } else { Ok(0) }
    }

    fn set_drops(&mut self, drops: Vec<(usize, Drops)>) -> Result<(), String> {
        if !self.drops.is_empty() {
            let hits = self.lan.drops_hit().map_err(|error| told(&error))?;
            for ((fault, _), hit) in self.drops.iter().zip(hits) {
                *self.dropped.entry(*fault).or_default() += hit;
            }
        }
        let plain: Vec<Drops> = drops.iter().map(|(_, drop)| drop.clone()).collect();
        self.lan.set_drops(&plain).map_err(|error| told(&error))?;
        self.drops = drops;
        Ok(())
    }
}

/// Whether something was there to be struck.
pub(super) fn ran(it_did: bool) -> Outcome {
    let none = || "the member does not run, or is in that state already".to_owned().into();
    if it_did { Ok(1) } else { Err(none()) }
}

/// The begin of a fault that tells at its end, or an end.
pub(super) fn end(outcome: Outcome) -> Outcome {
    outcome.and(Ok(0))
}
