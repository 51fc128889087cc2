//! The real worker and control, driven by hand over links in memory: the order in which members
//! run, pauses, crashes and the faults of the links come from a seed; the traces are judged.

mod stalls;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use roundel_ring::id::{Epoch, NodeId};
use roundel_ring::sim::check::{Options, check, parse::parse};
use roundel_ring::time::Time;
use roundel_ring::trace::{Entry, Event as TraceEvent, History};
use roundel_transport::{Faults, Interface, Network, Opened};

use crate::builder::{Builder, DriveMode};
use crate::member::start_over;
use crate::node::Node;
use crate::state_dir::StateDir;
use crate::{ConfigurationKind, Event, Service};

/// A healed cluster that is not one ring after this long never will be.
const PATIENCE: Duration = Duration::from_secs(30);

struct Cluster {
    network: Network,
    root: tempfile::TempDir,
    nodes: Vec<Option<Node>>,
    /// Members of the regular configuration each was told of last.
    members: Vec<usize>,
    traces: Vec<PathBuf>,
    random: Xoshiro256PlusPlus,
    lives: u16,
    faults: Faults,
}

impl Cluster {
    fn new(nodes: usize, seed: u64) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let loss = [0.0, 0.02, 0.1][random.random_range(0..3)];
        let (duplicate, reorder) = (loss / 2.0, loss / 2.0);
        let held_back = Duration::from_millis(2);
        let faults = Faults { loss, duplicate, reorder, held_back, ..Faults::default() };
        let mut cluster = Self {
            network: Network::new(),
            root: tempfile::tempdir().unwrap(),
            nodes: (0..nodes).map(|_| None).collect(),
            members: vec![0; nodes],
            traces: Vec::new(),
            random,
            lives: 0,
            faults,
        };
        (0..nodes).for_each(|node| cluster.start(node));
        cluster
    }

    fn start(&mut self, node: usize) {
        self.lives += 1;
        let host = u8::try_from(node).unwrap() + 1;
        // A new life has new ports, as with `--unicast-port 0`.
        let token = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host), 7000 + 2 * self.lives);
        let (mut data, mut control) = self.network.join(token).unwrap();
        let seed = self.random.random();
        data.impair(seed, self.faults);
        control.impair(seed ^ 1, self.faults);
        let trace = self.root.path().join(format!("{}.{}.jsonl", host, self.lives));
        let builder = Builder::new("by-hand").drive(DriveMode::Inline).trace(&trace);
        let id = NodeId(u32::from(host));
        let state = StateDir::open(self.root.path(), "by-hand", id).unwrap();
        let opened = Opened { data, control, neighbours: None, notices: Vec::new() };
        let started = start_over(&builder, id, interface(*token.ip()), opened, state);
        self.nodes[node] = Some(started.unwrap());
        self.traces.push(trace);
    }

    /// The process is gone: nothing more is written or sent.
    fn kill(&mut self, node: usize) {
        self.nodes[node] = None;
        self.members[node] = 0;
    }

    /// One round of one member.
    fn run(&mut self, node: usize) {
        let Some(member) = &mut self.nodes[node] else { return };
        member.poll();
        while let Ok(event) = member.try_recv() {
            if let Event::Configuration(configuration) = event
                && configuration.kind == ConfigurationKind::Regular
            {
                self.members[node] = configuration.members.len();
            }
        }
    }

    fn publish(&mut self, node: usize) {
        let (kind, size) = (self.random.random_range(0..5), self.random.random_range(0..4000));
        if let Some(member) = &self.nodes[node] {
            // Without room it is not accepted, which is no loss.
            let _ = member.try_publish(Service::ALL[kind], vec![b'x'; size]);
        }
    }

    /// Chaos for a while: members run in random order, stand still, are killed and come back.
    fn chaos(&mut self, span: Duration) {
        let until = Instant::now() + span;
        let mut still: Vec<Option<Instant>> = vec![None; self.nodes.len()];
        while Instant::now() < until {
            let node = self.random.random_range(0..self.nodes.len());
            if still[node].is_none_or(|until| Instant::now() >= until) {
                still[node] = None;
                self.run(node);
            }
            match self.random.random_range(0..20_000) {
                0..200 => self.publish(node),
                200..202 => {
                    let span = Duration::from_millis(self.random.random_range(1..200));
                    still[node] = Some(Instant::now() + span);
                }
                202 if self.nodes[node].is_some() => self.kill(node),
                203..206 if self.nodes[node].is_none() => self.start(node),
                _ => {}
            }
        }
    }

    /// Everybody runs, nothing is lost: one ring, and everything accepted is delivered.
    fn heal(&mut self) -> bool {
        let whole = self.nodes.len();
        for node in 0..whole {
            if self.nodes[node].is_none() {
                self.start(node);
            }
        }
        let deadline = Instant::now() + PATIENCE;
        let mut quiet_since = Instant::now();
        while Instant::now() < deadline {
            (0..whole).for_each(|node| self.run(node));
            let one = self.members.iter().all(|members| *members == whole);
            let quiet = self.nodes.iter().flatten().all(Node::is_quiet);
            if !(one && quiet) {
                quiet_since = Instant::now();
            } else if quiet_since.elapsed() > Duration::from_millis(300) {
                return true;
            }
        }
        false
    }
}

fn histories_of(traces: &[PathBuf]) -> Vec<History> {
    let mut histories: Vec<History> = traces.iter().flat_map(|trace| read_trace(trace)).collect();
    // A later life of the same member tells that the one before has failed.
    histories.sort_by_key(|history| (history.node, history.incarnation));
    for at in 1..histories.len() {
        let (before, after) = histories.split_at_mut(at);
        let (Some(before), Some(after)) = (before.last_mut(), after.first()) else { break };
        let failed = before.entries.last().is_some_and(|e| e.event == TraceEvent::Fail);
        if before.node == after.node && !failed {
            let time = before.entries.last().map_or(Time::ZERO, |entry| entry.time);
            before.entries.push(Entry { time, event: TraceEvent::Fail });
        }
    }
    histories
}

fn read_trace(path: &Path) -> Vec<History> {
    parse(&std::fs::read(path).unwrap()).unwrap()
}

fn interface(address: Ipv4Addr) -> Interface {
    Interface { name: "memory".to_owned(), index: 1, address, mtu_bytes: 1500, loopback: true }
}

#[test]
fn members_driven_by_hand_obey_extended_virtual_synchrony() {
    for seed in 0..6 {
        let mut cluster = Cluster::new(2 + usize::try_from(seed).unwrap() % 4, seed);
        cluster.chaos(Duration::from_millis(1_500));
        assert!(cluster.heal(), "seed {seed}: not one quiet ring in time");
        let histories = histories_of(&cluster.traces);
        let verdict = check(&histories, Options { quiescent: true });
        let violations: Vec<_> = verdict.violations().take(3).collect();
        assert!(violations.is_empty(), "seed {seed}: {violations:?}");
        assert!(verdict.instances() > 1_000, "seed {seed}: {} judged", verdict.instances());
        let newest = histories.iter().map(|history| history.incarnation).max();
        assert!(newest > Some(Epoch(1)));
    }
}
