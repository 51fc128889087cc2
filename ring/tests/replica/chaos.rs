//! Seeded runs: everything happens at once, then it heals.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use roundel_ring::id::{NodeId, RingId};
use roundel_ring::primary::Policy;
use roundel_ring::replica::lock::{Fence, LockCommand, LockOutput, Locks};
use roundel_ring::replica::map::{Map, MapCommand};
use roundel_ring::replica::{Context, Options, Progress, StateMachine};

use crate::book::{Line, Machine};
use crate::cluster::{Cluster, Tally};
use crate::evs::Dice;

fn map_command(dice: &mut Dice, count: u64) -> Bytes {
    let key = Bytes::from(format!("key{}", dice.below(6)));
    let value = Bytes::from(format!("value {count}"));
    let command = match dice.below(4) {
        // A name of its own for every command, so that the book can tell them apart.
        0 => MapCommand::Delete { key: Bytes::from(format!("none{count}")) },
        1 => MapCommand::CompareAndSet { key, expected: None, value },
        2 => {
            let expected = Bytes::from(format!("value {}", count.saturating_sub(1)));
            MapCommand::CompareAndSet { key, expected: Some(expected), value }
        }
        _ => MapCommand::Put { key, value },
    };
    command.encode()
}

/// Names repeat, so the tail of a command makes it one of its kind; the machine reads on without it.
fn lock_command(dice: &mut Dice, count: u64) -> Bytes {
    let name = Bytes::from(format!("lock{}", dice.below(3)));
    let fence = Fence { ring: RingId::default(), count };
    let command = match dice.below(4) {
        0 => LockCommand::Release { name, fence },
        _ => LockCommand::Acquire { name },
    };
    [&command.encode()[..], &count.to_le_bytes()].concat().into()
}

/// The lock service behind commands of the form above; `Release` gives back whatever is held.
#[derive(Clone, PartialEq, Debug, Default)]
struct Unique(Locks);

impl StateMachine for Unique {
    type Output = LockOutput;

    fn apply(&mut self, context: &Context<'_>, command: &[u8]) -> LockOutput {
        let command = &command[..command.len() - 8];
        match LockCommand::decode(command) {
            Some(LockCommand::Release { name, .. }) => {
                let fence = self.0.holder(&name).map(|grant| grant.fence).unwrap_or_default();
                self.0.apply(context, &LockCommand::Release { name, fence }.encode())
            }
            _ => self.0.apply(context, command),
        }
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        self.0.snapshot(out);
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), roundel_ring::replica::RestoreError> {
        self.0.restore(snapshot)
    }

    fn handle_view(&mut self, index: u64, view: &roundel_ring::replica::View) {
        self.0.handle_view(index, view);
    }
}

fn random_subset(dice: &mut Dice, of: &[NodeId]) -> Vec<NodeId> {
    let chosen: Vec<NodeId> = of.iter().copied().filter(|_| dice.below(3) > 0).collect();
    if chosen.is_empty() { vec![of[dice.below(of.len())]] } else { chosen }
}

/// One step of chaos.
fn step<M: Machine>(
    cluster: &mut Cluster<M>,
    count: &mut u64,
    command: fn(&mut Dice, u64) -> Bytes,
) {
    let live = cluster.evs.live();
    let node = live[cluster.dice.below(live.len())];
    match cluster.dice.below(100) {
        0..12 => {
            *count += 1;
            let barrier = cluster.dice.one_in(6);
            let command = command(&mut cluster.dice, *count);
            cluster.submit(node, (!barrier).then_some(command));
        }
        12..30 => drop(cluster.evs.originate(node)),
        30..50 => {
            for _ in 0..cluster.dice.below(6) {
                cluster.evs.receive(&mut cluster.dice, node, 4);
            }
        }
        50..65 => {
            let most = cluster.dice.below(5);
            cluster.deliver(node, most);
        }
        65..88 => {
            for _ in 0..cluster.dice.below(12) {
                cluster.carry_letter();
            }
        }
        88..92 => {
            let span = Duration::from_micros(cluster.dice.below(20_000) as u64);
            cluster.pass_time(span);
        }
        92..96 => {
            for _ in 0..8 {
                cluster.settle_rings();
            }
        }
        96 => {
            // Now and then somebody's letters do not arrive.
            cluster.mute.clear();
            if cluster.lossy > 0 && cluster.dice.one_in(2) {
                cluster.mute.insert(node);
            }
        }
        _ => change(cluster, &live, node),
    }
}

fn change<M: Machine>(cluster: &mut Cluster<M>, live: &[NodeId], node: NodeId) {
    let majority = cluster.nodes.len() / 2 + 1;
    match cluster.dice.below(12) {
        0..2 => {
            // A majority keeps its state: what is promised is promised for that.
            let holds = cluster.hosts[&node].replica.applied_index() > 0;
            if cluster.holders() >= majority + usize::from(holds) && live.len() > 1 {
                cluster.crash(node);
            }
        }
        2..5 => {
            let dead = cluster.nodes.iter().copied().find(|node| !cluster.evs.is_live(*node));
            if let Some(node) = dead {
                cluster.start(node);
            }
        }
        5 => {
            let some = random_subset(&mut cluster.dice, live);
            cluster.evs.attempt_in_vain(&mut cluster.dice, &some);
        }
        6..8 => {
            let some = random_subset(&mut cluster.dice, live);
            let installing: BTreeSet<NodeId> =
                random_subset(&mut cluster.dice, &some).into_iter().collect();
            cluster.install(&some, &installing);
        }
        8..10 => cluster.install_all(live),
        _ => {
            let some = random_subset(&mut cluster.dice, live);
            cluster.install_all(&some);
        }
    }
}

fn run<M: Machine>(
    seed: u64,
    progress: fn(u32) -> Progress,
    make: fn() -> M,
    command: fn(&mut Dice, u64) -> Bytes,
) -> Cluster<M> {
    let nodes = [3, 5, 4, 3, 7][usize::try_from(seed % 5).unwrap()];
    let mut options = Options::new(progress(nodes));
    options.in_flight_max = [1, 4, 64][usize::try_from(seed % 3).unwrap()];
    if seed % 7 < 3 {
        // Impatient: donors are left, checkpoints given up.
        (options.retry, options.silence) = (Duration::from_millis(4), Duration::from_millis(8));
    }
    let ballast = [0, 3_000, 30_000, 150_000][usize::try_from(seed / 5 % 4).unwrap()];
    let mut cluster = Cluster::new(seed, nodes, options, make, ballast);
    cluster.late_words = !seed.is_multiple_of(4);
    cluster.lossy = [0, 5, 20][usize::try_from(seed / 20 % 3).unwrap()];
    if seed.is_multiple_of(2) {
        let all = cluster.nodes.clone();
        cluster.install_all(&all);
        cluster.settle_rings();
        cluster.settle_rings();
    }
    let mut count = 0;
    for _ in 0..1_500 {
        step(&mut cluster, &mut count, command);
    }
    cluster.heal();
    cluster
}

fn majority(nodes: u32) -> Progress {
    Progress::Majority((1..=nodes).map(NodeId).collect())
}

fn primary(nodes: u32) -> Progress {
    let of = (1..=nodes).map(NodeId);
    Progress::Primary(match nodes {
        3 => Policy::Weighted(of.map(|node| (node, if node.0 == 3 { 2 } else { 1 })).collect()),
        _ => Policy::Majority(of.collect()),
    })
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let first = number("REPLICA_SEED").unwrap_or(0);
    first..first + number("REPLICA_SEEDS").unwrap_or(150)
}

/// Runs every seed, naming the one that fails, and demands that something happened.
fn all_seeds(mut one: impl FnMut(u64) -> Tally) {
    let mut sum = Tally::default();
    for seed in seeds() {
        let run = std::panic::AssertUnwindSafe(|| one(seed));
        let tally = std::panic::catch_unwind(run).unwrap_or_else(|_| panic!("seed {seed}"));
        sum.answered += tally.answered;
        sum.passed += tally.passed;
        sum.lost += tally.lost;
        sum.restored += tally.restored;
        sum.crashes += tally.crashes;
        sum.installations += tally.installations;
        sum.partial += tally.partial;
        sum.again += tally.again;
        assert_eq!((tally.refused, tally.too_long), (0, 0), "seed {seed}");
    }
    println!("seeds {:?}: {sum:?}", seeds());
    if seeds().count() >= 100 {
        assert!(sum.answered > 1_000 && sum.passed > 100 && sum.restored > 100);
        assert!(sum.lost > 10 && sum.again > 10 && sum.crashes > 100);
        assert!(sum.installations > 1_000 && sum.partial > 100);
    }
}

#[test]
fn a_map_is_one_map_under_partitions_crashes_and_merges() {
    all_seeds(|seed| {
        let cluster = run(seed, majority, Map::default, map_command);
        // The history of answers is that of one map, played in the order of the log.
        let mut map = Map::default();
        for (index, (line, _)) in &cluster.book.borrow().lines {
            if let Line::Command { sender, incarnation, view, command, output } = line {
                let (sender, incarnation) = (*sender, *incarnation);
                let context = Context { index: *index, sender, incarnation, view };
                assert_eq!(map.apply(&context, command), *output);
            }
        }
        let host = cluster.hosts.values().next().unwrap();
        assert_eq!(host.replica.machine().machine, map);
        cluster.tally
    });
}

#[test]
fn a_lock_has_one_holder_and_tokens_ascend() {
    all_seeds(|seed| {
        let cluster = run(seed, majority, Unique::default, lock_command);
        let mut locks = Unique::default();
        let mut greatest = Fence::default();
        for (index, (line, _)) in &cluster.book.borrow().lines {
            match line {
                Line::View(view) => {
                    locks.handle_view(*index, view);
                    let (leader, _) = locks.0.leader().unwrap();
                    assert_eq!(leader, view.synced[0]);
                    assert!(locks.0.iter().all(|(_, grant)| view.synced.contains(&grant.node)));
                }
                Line::Command { sender, incarnation, view, command, output } => {
                    let (sender, incarnation) = (*sender, *incarnation);
                    let context = Context { index: *index, sender, incarnation, view };
                    let held: Vec<_> = locks.0.iter().map(|(_, grant)| *grant).collect();
                    assert_eq!(locks.apply(&context, command), *output);
                    if let LockOutput::Granted(grant) = output
                        && !held.contains(grant)
                    {
                        assert!(grant.fence > greatest, "{grant:?} after {greatest:?}");
                        assert!(locks.0.iter().len() == held.len() + 1, "it was free");
                        greatest = grant.fence;
                    }
                }
            }
        }
        cluster.tally
    });
}

#[test]
fn in_the_primary_component_a_map_is_one_map() {
    all_seeds(|seed| run(seed, primary, Map::default, map_command).tally);
}

#[test]
fn where_every_part_goes_on_all_end_with_one_state() {
    all_seeds(|seed| run(seed, |_| Progress::Always, Map::default, map_command).tally);
}
