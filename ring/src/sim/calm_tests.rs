//! Without a fault the configuration stays: loss alone, however steady, is no reason to change it.

use std::time::Duration;

use super::god::Violated;
use super::rng::Random;
use super::world::{Happening, World};
use crate::params::Params;
use crate::time::Time;

const NODES: usize = 5;

/// Five members, with a mean time between two messages of one of them; `None`: silence.
fn cluster(seed: u64, interval: Option<Duration>) -> Result<World, Violated> {
    let mut world = World::new(NODES, Params::default(), Random::new(seed));
    world.workload.interval = interval;
    for node in 0..NODES {
        world.at(Time::ZERO, node, Happening::Restart);
        world.at(Time::ZERO, node, Happening::Submit);
    }
    run(&mut world, Duration::from_secs(2))?;
    Ok(world)
}

fn run(world: &mut World, span: Duration) -> Result<(), Violated> {
    let until = world.now + span;
    while world.step(until)? {}
    Ok(())
}

fn gathers(world: &World) -> u64 {
    let lives = world.nodes.iter().filter_map(|node| node.life.as_ref());
    lives.map(|life| life.control.membership().gathers()).sum()
}

/// Entries into gather of all members under a tenth of loss on every link.
fn gathers_under_loss(seed: u64, interval: Option<Duration>) -> Result<u64, Violated> {
    let mut world = cluster(seed, interval)?;
    let before = gathers(&world);
    for from in 0..NODES {
        for to in 0..NODES {
            world.network.link_mut(from, to).loss = 0.1;
        }
    }
    run(&mut world, Duration::from_secs(20))?;
    Ok(gathers(&world) - before)
}

/// Also while the ring is idle: its token is held most of the time, and must be missed in time.
#[test]
fn loss_alone_changes_nothing() -> Result<(), Violated> {
    for interval in [None, Some(Duration::from_millis(20)), Some(Duration::from_millis(2))] {
        for seed in 0..3 {
            let gathers = gathers_under_loss(seed, interval)?;
            assert_eq!(gathers, 0, "seed {seed}, a message every {interval:?}");
        }
    }
    Ok(())
}
