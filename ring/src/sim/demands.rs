//! What a healed cluster must do, and must not do, in calm and under faults that stay.

use std::time::Duration;

use super::plan;
use super::run::{Failure, settle};
use super::world::World;
use crate::pace::{REMEMBERED, STRETCH_MAX};
use crate::wire::Kind;

/// Judges a cluster that is one quiet ring; leaves it as one.
pub(super) fn judge(world: &mut World) -> Result<(), Failure> {
    stay_together(world)?;
    match world.rng.index(10) {
        0 | 1 => live_with_a_broken_link(world),
        2 => go_on_without_a_lowest_that_cannot_propose(world),
        3 => keep_together_beside_a_stranger(world),
        _ => Ok(()),
    }
}

/// Idle for a while, then busy while one link carries no data: neither changes the configuration.
fn stay_together(world: &mut World) -> Result<(), Failure> {
    let before = world.gathers();
    world.replay_joins_and_beacons();
    rest_after_a_doubled_token(world)?;
    let nodes = world.nodes.len();
    if nodes > 2 {
        let (from, to) = plan::pair(&mut world.rng, nodes);
        world.network.link_mut(from, to).mute = true;
    }
    for _ in 0..25 {
        for node in 0..nodes {
            world.submit(node)?;
        }
        world.run_for(Duration::from_millis(40))?;
    }
    settle(world, "repair goes around a link that carries no data")?;
    world.network.heal();
    let after = world.gathers();
    if after == before {
        return Ok(());
    }
    let detail = format!("{} gathers; {}", after - before, world.describe());
    Err(Failure::new("no configuration change without a fault", detail))
}

/// A direction that stays cut must not keep the members from working: ever fewer changes.
fn live_with_a_broken_link(world: &mut World) -> Result<(), Failure> {
    let nodes = world.nodes.len();
    let (from, to) = plan::pair(&mut world.rng, nodes);
    world.network.link_mut(from, to).blocked = true;
    if world.rng.chance(0.5) {
        world.network.link_mut(to, from).blocked = true;
    }
    // What an attempt takes, at most; those who are held down wait for more and more of them.
    let attempt = world.params.consensus.max(world.params.token_loss);
    world.run_for(40 * attempt)?;
    let before = world.gathers();
    world.run_for(40 * attempt)?;
    let changes = world.gathers() - before;
    world.network.heal();
    settle(world, "one operational ring after a standing cut")?;
    // While those that do not see where the commit token got stuck wait for the silent, the others
    // try as often as the commit timeout lets them.
    let tries = world.params.consensus.as_nanos() / world.params.commit_loss.as_nanos();
    let most = 8 * nodes as u64 * (1 + u64::try_from(tries).unwrap_or(u64::MAX));
    if changes <= most {
        return Ok(());
    }
    let detail = format!("{changes} gathers in {:?}, {most} allowed", 40 * attempt);
    Err(Failure::new("changes under a standing cut are bounded", detail))
}

/// A ring without work for longer than anybody waits for anything. Each frame comes twice for a
/// moment; a token that was doubled must not circle for ever.
fn rest_after_a_doubled_token(world: &mut World) -> Result<(), Failure> {
    let (hold, span) = (world.params.hold, 2 * world.params.fail_to_receive);
    world.network.each_link(|_, _, link| link.duplicate = 1.0);
    world.run_for(2 * hold)?;
    world.network.each_link(|_, _, link| link.duplicate = 0.0);
    let before = world.token_retransmits();
    world.run_for(span)?;
    let retransmits = world.token_retransmits() - before;
    // At most one in each held rotation; a token that circles makes thousands.
    let most = span.as_nanos() / hold.as_nanos();
    if u128::from(retransmits) <= most {
        return Ok(());
    }
    let detail = format!("{retransmits} tokens retransmitted in {span:?} without work");
    Err(Failure::new("an idle ring is quiet", detail))
}

/// The commit tokens of the lowest reach nobody, although all else does: the others go on without
/// it.
fn go_on_without_a_lowest_that_cannot_propose(world: &mut World) -> Result<(), Failure> {
    const LOWEST: usize = 0;
    let nodes = world.nodes.len();
    if nodes < 3 {
        return Ok(());
    }
    for to in 1..nodes {
        world.network.link_mut(LOWEST, to).kind_loss = Some((Kind::Commit, 1.0));
    }
    // Long enough for the slowest host to notice, so that all must gather again.
    let stretched = STRETCH_MAX * world.params.token_loss;
    cut_off(world, LOWEST, true);
    world.run_for(stretched + 20 * world.params.consensus)?;
    cut_off(world, LOWEST, false);
    // They hear it, and gather with it.
    world.run_for(5 * world.params.consensus)?;
    let end = world.now + 40 * world.params.consensus;
    let mut together = false;
    while world.now < end && !together {
        world.run_for(Duration::from_millis(5))?;
        together = world.is_one_ring(LOWEST);
    }
    if !together {
        let clause = "the others go on without a lowest that cannot propose";
        return Err(Failure::new(clause, world.describe()));
    }
    world.network.heal();
    settle(world, "one operational ring after lost proposals")?;
    Ok(())
}

/// A member that reaches only one of a ring may come in or not, but breaks no ring: what it says of
/// those that it cannot hear is not believed.
fn keep_together_beside_a_stranger(world: &mut World) -> Result<(), Failure> {
    let nodes = world.nodes.len();
    if nodes < 3 {
        return Ok(());
    }
    let (stranger, neighbour) = plan::pair(&mut world.rng, nodes);
    cut_off(world, stranger, true);
    // Until all hosts are equally fast again: the slow are silent for longer than others wait.
    world.run_for(REMEMBERED + 20 * world.params.consensus)?;
    let since = world.now;
    world.network.link_mut(stranger, neighbour).blocked = false;
    world.network.link_mut(neighbour, stranger).blocked = false;
    world.run_for(20 * world.params.consensus)?;
    let smallest = world.regular_sizes(neighbour, since).min();
    if smallest.is_some_and(|size| size < nodes - 1) {
        let detail = format!("a ring of {} fell apart: {smallest:?}", nodes - 1);
        return Err(Failure::new("a stranger breaks no ring", detail));
    }
    world.network.heal();
    settle(world, "one operational ring after a stranger came in")?;
    Ok(())
}

/// Blocks or opens all links of a host.
fn cut_off(world: &mut World, node: usize, blocked: bool) {
    for other in (0..world.nodes.len()).filter(|other| *other != node) {
        world.network.link_mut(node, other).blocked = blocked;
        world.network.link_mut(other, node).blocked = blocked;
    }
}
