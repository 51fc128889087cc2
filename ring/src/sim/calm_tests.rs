//! No more changes than there are reasons: steady loss is none, and one crash is one.

use std::time::Duration;

use super::fault::Fault;
use super::god::Violated;
use super::world::{Happening, World};
use crate::params::Params;
use crate::time::Time;

const NODES: usize = 5;

/// Members on one ring, with a mean time between two messages of one of them; `None`: silence.
fn cluster(nodes: usize, seed: u64, interval: Option<Duration>) -> Result<World, Violated> {
    let mut world = World::new(nodes, Params::default(), seed);
    world.workload.shape.interval = interval;
    for node in 0..nodes {
        world.at(Time::ZERO, node, Happening::Restart);
        world.at(Time::ZERO, node, Happening::Submit);
    }
    world.run_for(Duration::from_secs(2))?;
    Ok(world)
}

/// Entries into gather of all members under a tenth of loss on every link.
fn gathers_under_loss(seed: u64, interval: Option<Duration>) -> Result<u64, Violated> {
    let mut world = cluster(NODES, seed, interval)?;
    let before = world.gathers();
    world.network.each_link(|_, _, link| link.loss = 0.1);
    world.run_for(Duration::from_secs(10))?;
    Ok(world.gathers() - before)
}

/// Also while the ring is idle: its token is held most of the time, and must be missed in time.
#[test]
fn loss_alone_changes_nothing() -> Result<(), Violated> {
    for interval in [None, Some(Duration::from_millis(20)), Some(Duration::from_millis(2))] {
        for seed in 0..2 {
            let gathers = gathers_under_loss(seed, interval)?;
            assert_eq!(gathers, 0, "seed {seed}, a message every {interval:?}");
        }
    }
    Ok(())
}

/// The survivors agree on who is gone in the same instant in which their timers end: nobody alive
/// may be excluded by that.
#[test]
fn a_crash_excludes_nobody_alive() -> Result<(), Violated> {
    const MEMBERS: usize = 3;
    for seed in 0..60 {
        let mut world = cluster(MEMBERS, seed, Some(Duration::from_millis(5)))?;
        let killed_at = world.now;
        #[expect(clippy::cast_possible_truncation, reason = "few seeds")]
        world.kill(seed as usize % MEMBERS);
        world.run_for(Duration::from_secs(1))?;
        let living = world.nodes.iter().filter(|node| node.life.is_some());
        let sizes: Vec<usize> =
            living.flat_map(|node| world.regular_sizes(node.index, killed_at)).collect();
        assert_eq!(sizes, [MEMBERS - 1; MEMBERS - 1], "seed {seed}");
    }
    Ok(())
}

/// Who stood still for long is back as soon as who was started: it does not take its own stop for a
/// slow network.
#[test]
fn a_member_that_stood_still_is_soon_back() -> Result<(), Violated> {
    for seed in 0..20 {
        let mut world = cluster(3, seed, Some(Duration::from_millis(5)))?;
        let pause = Fault::Pause { node: 1, half: None };
        world.begin(pause.clone())?;
        world.run_for(Duration::from_millis(1_500))?;
        let since = world.now;
        world.end(pause)?;
        world.run_for(2 * world.params.consensus + 3 * world.params.beacon)?;
        assert_eq!(world.regular_sizes(1, since).last(), Some(3), "seed {seed}");
    }
    Ok(())
}

/// Hops of an idle ring take longer than those of a busy one, whose rotation is the usual one; its
/// token is not in a hurry. (Seed 504881 of the simulator.)
#[test]
fn an_idle_ring_repeats_no_token() -> Result<(), Violated> {
    for seed in 0..30 {
        #[expect(clippy::cast_possible_truncation, reason = "few seeds")]
        let nodes = 2 + seed as usize % 6;
        let mut world = cluster(nodes, seed, Some(Duration::from_millis(1)))?;
        world.workload.shape.interval = None;
        world.run_for(Duration::from_millis(500))?;
        let before = world.token_retransmits();
        let slow = (Duration::from_micros(300), Duration::from_micros(500));
        world.network.each_link(|_, _, link| link.delay = slow);
        world.run_for(Duration::from_secs(2))?;
        assert_eq!(world.token_retransmits() - before, 0, "seed {seed}, {nodes} members");
    }
    Ok(())
}
