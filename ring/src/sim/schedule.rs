//! A schedule: all that a run is made of, drawn from a seed or read from a file.
//!
//! What it does not say (how long a frame takes, which ones are lost) comes from its seed, one
//! stream of randomness for each host and link: a schedule from which a fault is taken stays
//! what it was besides.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::buffer::{self, Buffer, BufferSize};
use super::node::MTU_BYTES;
use super::plan::{self, Planned, Profile};
use super::rng::{Random, Stream};
use super::run::Scenario;
use super::units::micros;
use super::votes::Primacy;
use super::workload::{Shape, Workload};
use super::world::{Happening, World};
use crate::params::Params;
use crate::time::Time;

/// All that a run is made of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// What it once violated, if it was found by a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violated: Option<String>,
    pub(super) seed: u64,
    /// Length of the chaos.
    #[serde(rename = "chaos_us", with = "micros")]
    pub(super) chaos: Duration,
    /// The chaos ends after so many steps, if that is earlier.
    pub(super) steps: Option<u64>,
    pub(super) tunables: Tunables,
    pub(super) hosts: Vec<Host>,
    pub(super) workload: Shape,
    pub(super) faults: Vec<Planned>,
    /// What the healed cluster is asked for besides one ring and order.
    pub(super) demands: Demands,
    /// Who may be the primary component, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) primacy: Option<Primacy>,
}

/// What a healed cluster is asked for besides one ring and order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Demands {
    /// Nothing.
    None,
    /// All that `demands` and `shares` know.
    All,
}

/// A host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) id: u32,
    #[serde(rename = "starts_at_us", with = "micros")]
    pub(super) starts_at: Duration,
    pub(super) mtu_bytes: usize,
    pub(super) buffer: BufferSize,
    /// What its wall clock shows at the start, if it has one.
    pub(super) clock_s: Option<u64>,
    /// What is on its disk at the start.
    pub(super) ceiling: u64,
}

impl Host {
    /// Starts with an empty disk.
    pub(super) const fn forget_ceiling(&mut self) {
        self.ceiling = 0;
    }
}

/// The tunables that runs differ in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tunables {
    window_packets: usize,
    personal_packets: u32,
    global_packets: u32,
    accelerated_packets: u32,
    retransmit_packets: u32,
    receive_packets: u32,
    /// None in schedules that do not say.
    #[serde(default)]
    free_packets: u32,
    #[serde(rename = "token_loss_us", with = "micros")]
    token_loss: Duration,
    #[serde(rename = "hold_us", with = "micros")]
    hold: Duration,
    #[serde(rename = "join_us", with = "micros")]
    join: Duration,
    #[serde(rename = "consensus_us", with = "micros")]
    consensus: Duration,
    #[serde(rename = "commit_loss_us", with = "micros")]
    commit_loss: Duration,
    #[serde(rename = "beacon_us", with = "micros")]
    beacon: Duration,
}

impl Tunables {
    /// Those of the defaults, with windows as small as needed for it to be soon that they count.
    pub(super) fn usual() -> Self {
        let usual = Params::default();
        Self {
            window_packets: 256,
            personal_packets: 20,
            global_packets: 60,
            accelerated_packets: 15,
            retransmit_packets: 8,
            receive_packets: usual.receive_packets,
            free_packets: usual.free_packets,
            token_loss: usual.token_loss,
            hold: usual.hold,
            join: usual.join,
            consensus: usual.consensus,
            commit_loss: usual.commit_loss,
            beacon: usual.beacon,
        }
    }

    /// Small windows, so that their bounds are met, and timeouts of all lengths.
    fn draw(rng: &mut Random) -> Self {
        let usual = Params::default();
        // As parts of the defaults; most hosts use those.
        let scale = |rng: &mut Random, usual: Duration| {
            let percent = rng.one_of([100, 100, 100, 60, 150, 300]);
            usual * percent / 100
        };
        let token_loss = scale(rng, usual.token_loss);
        let join = scale(rng, usual.join);
        // A quiet member is heard of in every third join at least.
        let consensus = scale(rng, usual.consensus).max(3 * join);
        Self {
            window_packets: rng.one_of([64, 256, 1024]),
            personal_packets: rng.one_of([4, 20, 64]),
            global_packets: rng.one_of([16, 60, 200]),
            accelerated_packets: rng.one_of([0, 2, 15]),
            retransmit_packets: rng.one_of([2, 8, 64]),
            receive_packets: rng.one_of([2_048, 40, 16]),
            free_packets: rng.one_of([0, 1, 4, 16, 16, 16]),
            token_loss,
            hold: scale(rng, usual.hold).min(token_loss / 4),
            join,
            consensus,
            commit_loss: scale(rng, usual.commit_loss).min(consensus),
            beacon: scale(rng, usual.beacon),
        }
    }

    pub(super) fn params(&self) -> Params {
        Params {
            window_packets: self.window_packets,
            personal_packets: self.personal_packets,
            global_packets: self.global_packets,
            accelerated_packets: self.accelerated_packets,
            retransmit_packets: self.retransmit_packets,
            receive_packets: self.receive_packets,
            free_packets: self.free_packets,
            stream_packets: 32,
            backlog_messages: 200,
            fail_to_receive: Duration::from_millis(600),
            token_loss: self.token_loss,
            hold: self.hold,
            join: self.join,
            consensus: self.consensus,
            commit_loss: self.commit_loss,
            beacon: self.beacon,
            ..Params::default()
        }
    }
}

/// Which wall clocks hosts have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Clocks {
    /// None: start epochs come from the disk alone.
    None,
    /// Good ones: a disk may be lost.
    Good,
    /// They differ, and jump.
    Wrong,
}

/// Some day.
const CLOCK_S: u64 = 1_700_000_000;

impl Schedule {
    /// Draws what a scenario does not say.
    #[must_use]
    pub fn draw(scenario: &Scenario) -> Self {
        let seed = scenario.seed;
        let mut rng = Random::new(seed, Stream::Schedule);
        let nodes = scenario.nodes.unwrap_or(draw_nodes(&mut rng));
        let profile = scenario.profile.unwrap_or(rng.one_of(Profile::ALL));
        let chaos = scenario.chaos.unwrap_or(rng.millis(1_000, 4_000));
        let tunables = Tunables::draw(&mut rng);
        let clocks = rng.one_of([Clocks::None, Clocks::None, Clocks::Good, Clocks::Wrong]);
        let workload = Shape::draw(&mut rng, nodes);
        let hosts = draw_hosts(&mut rng, nodes, clocks);
        let mut faults = Random::new(seed, Stream::Faults);
        let lose_disks = clocks == Clocks::Good && profile != Profile::Frames;
        let faults = plan::draw(&mut faults, profile, nodes, chaos, lose_disks);
        let ids: Vec<u32> = hosts.iter().map(|host| host.id).collect();
        let primacy = Primacy::draw(&mut Random::new(seed, Stream::Primacy), &ids);
        let mut drawn = Self {
            violated: None,
            seed,
            chaos,
            steps: scenario.steps,
            tunables,
            hosts,
            workload,
            faults,
            demands: Demands::All,
            primacy,
        };
        drawn.draw_buffers(&mut Random::new(seed, Stream::Buffers));
        drawn
    }

    /// A busy cluster on which nothing else is special: some messages are longer than a packet.
    #[cfg(test)]
    pub(super) fn usual(nodes: usize, chaos: Duration, faults: Vec<Planned>) -> Self {
        let host = |id| Host {
            id,
            starts_at: Duration::ZERO,
            mtu_bytes: MTU_BYTES,
            buffer: BufferSize::UNLIMITED,
            clock_s: Some(CLOCK_S),
            ceiling: 0,
        };
        let mut workload = Shape::small(Duration::from_millis(4));
        workload.large = 0.02;
        Self {
            violated: None,
            seed: 0,
            chaos,
            steps: None,
            tunables: Tunables::usual(),
            hosts: (1..).take(nodes).map(host).collect(),
            workload,
            faults,
            demands: Demands::None,
            primacy: None,
        }
    }

    fn draw_buffers(&mut self, rng: &mut Random) {
        let nodes = self.hosts.len();
        if let Some(buffers) = buffer::draw(rng, &self.tunables.params(), nodes) {
            for (host, buffer) in self.hosts.iter_mut().zip(buffers) {
                host.buffer = buffer;
            }
            self.faults.extend(buffer::fill(rng, nodes, self.chaos));
        }
    }

    /// The same with another seed for whatever it does not say.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Whether it can be run.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), String> {
        let hosts = self.hosts.len();
        if !(1..=64).contains(&hosts) {
            return Err(format!("{hosts} hosts; 1 to 64 can be simulated"));
        }
        if !self.hosts.is_sorted_by(|a, b| a.id < b.id) || self.hosts[0].id == 0 {
            return Err("ids must ascend, from 1".to_owned());
        }
        if let Some(planned) = self.faults.iter().find(|planned| !planned.fault.fits(hosts)) {
            return Err(format!("{:?} names a host that is not there", planned.fault));
        }
        if let Some(primacy) = &self.primacy {
            primacy.policy().validate().map_err(|error| error.to_string())?;
        }
        self.tunables.params().validate().map_err(|error| error.to_string())
    }

    /// Takes a host away, with the faults that are about it.
    pub(super) fn remove_host(&mut self, host: usize) {
        self.hosts.remove(host);
        let without = |planned: &Planned| {
            Some(Planned { fault: planned.fault.without(host)?, ..planned.clone() })
        };
        self.faults = self.faults.iter().filter_map(without).collect();
        self.workload.only = match self.workload.only {
            Some(only) if only == host => None,
            only => only.map(|only| only - usize::from(only > host)),
        };
    }

    /// The cluster before anything has happened.
    pub(super) fn world(&self) -> World {
        let ids: Vec<u32> = self.hosts.iter().map(|host| host.id).collect();
        let workload = Workload::new(&ids, self.seed, self.workload.clone());
        let mut world = World::of(&ids, self.tunables.params(), self.seed, workload);
        for (node, host) in world.nodes.iter_mut().zip(&self.hosts) {
            let rng = Random::new(self.seed, Stream::Buffer(host.id));
            node.buffer = Buffer::new(host.buffer, rng);
            node.mtu_bytes = host.mtu_bytes;
            node.clock_s = host.clock_s;
            node.disk.ceiling = crate::id::Epoch(host.ceiling);
            if let Some(primacy) = &self.primacy {
                (node.policy, node.filtered) = (primacy.policy(), primacy.filtered);
            }
        }
        for (node, host) in self.hosts.iter().enumerate() {
            let at = Time::ZERO + host.starts_at;
            world.at(at, node, Happening::Restart);
            world.at(at + Duration::from_millis(1), node, Happening::Submit);
        }
        for planned in &self.faults {
            let begin = Time::ZERO + planned.at;
            world.at(begin, 0, Happening::Begin(planned.fault.clone()));
            let end = (planned.at + planned.lasts).min(self.chaos);
            world.at(Time::ZERO + end, 0, Happening::End(planned.fault.clone()));
        }
        world
    }
}

/// Mostly few, where faults meet each other.
fn draw_nodes(rng: &mut Random) -> usize {
    rng.one_of([1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9])
}

fn draw_hosts(rng: &mut Random, nodes: usize, clocks: Clocks) -> Vec<Host> {
    // Some clusters start all at once, some one by one.
    let apart = rng.one_of([0, 0, 50_000, 400_000]);
    let mtu_differs = rng.chance(0.4);
    // Near the end of what a history can say of an epoch, too, which is beyond any clock.
    let ceiling = rng.one_of([0, 0, 0, 1 << 52]);
    let ceiling = if clocks == Clocks::Good { 0 } else { ceiling };
    let host = |id| Host {
        id,
        starts_at: rng.micros(0, apart),
        mtu_bytes: if mtu_differs { rng.one_of([1_280, 1_500, 9_000]) } else { MTU_BYTES },
        buffer: BufferSize::UNLIMITED,
        clock_s: match clocks {
            Clocks::None => None,
            Clocks::Good => Some(CLOCK_S),
            Clocks::Wrong => Some(CLOCK_S - rng.between(0, 3_600)),
        },
        ceiling,
    };
    (1..).take(nodes).map(host).collect()
}
