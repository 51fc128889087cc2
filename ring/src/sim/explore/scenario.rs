//! Where an exploration starts: a small cluster at the moment from which faults may strike.

use std::iter;
use std::time::Duration;

use bytes::Bytes;

use super::choice::{MEMBERS_MAX, kind_of};
use super::world::{What, World};
use crate::id::NodeId;
use crate::params::Params;
use crate::primary::{Policy, dynamic};
use crate::service::Service;
use crate::sim::god::Violated;
use crate::time::Time;
use crate::wire::Kind;

/// A moment in a cluster's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Start {
    /// All members start at once.
    Cold,
    /// A ring of all is asked to order messages.
    Ring,
    /// The same, and nobody but its sender has the first packet.
    Hole,
    /// Two rings, each of half the members, hear each other again, and messages are under way on
    /// them.
    Merge,
    /// A ring of all is the primary component by the dynamic policy, and is asked to order messages.
    Primary,
    /// The same by the majority policy, which needs no disk.
    Majority,
    /// The same by weights: the first member weighs two, the others one each, so that one side of a cut
    /// may have exactly half.
    Weighted,
}

impl Start {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::Cold,
        Self::Ring,
        Self::Hole,
        Self::Merge,
        Self::Primary,
        Self::Majority,
        Self::Weighted,
    ];

    /// Its name in paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Ring => "ring",
            Self::Hole => "hole",
            Self::Merge => "merge",
            Self::Primary => "primary",
            Self::Majority => "majority",
            Self::Weighted => "weighted",
        }
    }

    /// Who may be the primary component of a cluster of so many.
    fn policy(self, members: usize) -> Policy {
        let nodes = (1..).map(NodeId).take(members);
        match self {
            Self::Primary => dynamic(nodes),
            Self::Majority => Policy::Majority(nodes.collect()),
            Self::Weighted => {
                Policy::Weighted(nodes.zip(iter::once(2).chain(iter::repeat(1))).collect())
            }
            Self::Cold | Self::Ring | Self::Hole | Self::Merge => Policy::None,
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|start| start.name() == name)
    }
}

/// How much is explored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Members, 2 to [`MEMBERS_MAX`].
    pub members: usize,
    /// Messages published; one after the other member's, agreed and safe in turn.
    pub messages: usize,
}

/// Longer than anything takes that leads to a start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A publication in time to be numbered on the ring that is about to be left.
const BEFORE_A_GATHER: Duration = Duration::from_micros(60);

/// Small windows: a state is copied and hashed as a whole.
pub(super) fn params() -> Params {
    Params { window_packets: 64, stream_packets: 16, backlog_messages: 64, ..Params::default() }
}

/// The cluster at the start, before the first step at which a fault may strike.
pub(super) fn world(start: Start, size: Size) -> Result<World, Violated> {
    debug_assert!((2..=MEMBERS_MAX).contains(&size.members), "checked by the caller");
    let mut world = World::new(size.members, params(), start.policy(size.members));
    for node in 0..size.members {
        world.push(world.now, node, What::Start);
    }
    match start {
        Start::Cold => {
            let (_, at) = before_a_gather(&world)?;
            publish(&mut world, size.messages, at);
        }
        Start::Ring | Start::Primary | Start::Majority | Start::Weighted => {
            run_until(&mut world, World::is_settled)?;
            let now = world.now;
            publish(&mut world, size.messages, now);
        }
        Start::Hole => {
            run_until(&mut world, World::is_settled)?;
            let now = world.now;
            publish_backwards(&mut world, size.messages, now);
            for _ in 1..size.members {
                run_until(&mut world, data_arrives)?;
                drop(world.take_first());
            }
        }
        Start::Merge => {
            world.sides.iter_mut().skip(size.members.div_ceil(2)).for_each(|side| *side = 1);
            run_until(&mut world, World::is_settled)?;
            world.sides.fill(0);
            let (from, at) = before_a_gather(&world)?;
            world = from;
            publish(&mut world, size.messages, at);
        }
    }
    Ok(world)
}

/// The cluster, and the time, shortly before the first member begins to gather.
fn before_a_gather(world: &World) -> Result<(World, Time), Violated> {
    let gathers = |world: &World| {
        let lives = world.hosts.iter().filter_map(|host| host.life.as_ref());
        lives.map(|life| life.control.membership().gathers()).sum::<u64>()
    };
    let mut probe = world.clone();
    let before = gathers(&probe);
    run_until(&mut probe, |probe| gathers(probe) > before)?;
    let gathers_at = probe.now;
    let mut world = world.clone();
    let at = |world: &World| world.now.max(world.next_at());
    run_until(&mut world, |world| gathers_at.since(at(world)) <= BEFORE_A_GATHER)?;
    let at = at(&world);
    Ok((world, at))
}

/// Publishes messages, agreed and safe in turn, each by the next member.
pub(super) fn publish(world: &mut World, messages: usize, at: Time) {
    let members = world.hosts.len();
    (0..messages).for_each(|message| publish_one(world, message, message % members, at));
}

/// The same, each by the member before, so that the second one's sender is the last of a ring.
fn publish_backwards(world: &mut World, messages: usize, at: Time) {
    let members = world.hosts.len();
    let node = |message| (members - message % members) % members;
    (0..messages).for_each(|message| publish_one(world, message, node(message), at));
}

fn publish_one(world: &mut World, message: usize, node: usize, at: Time) {
    let service = [Service::Agreed, Service::Safe][message % 2];
    let payload = Bytes::from(format!("message {message}"));
    world.push(at, node, What::Publish(service, payload));
}

/// The next thing is a packet's arrival.
fn data_arrives(world: &World) -> bool {
    world.first().is_some_and(|first| {
        matches!(&first.what, What::Frame { frame, .. } if kind_of(frame) == Some(Kind::Data))
    })
}

/// Runs on until something holds.
pub(super) fn run_until(world: &mut World, holds: impl Fn(&World) -> bool) -> Result<(), Violated> {
    let deadline = world.now + PATIENCE;
    while !holds(world) {
        if world.now >= deadline {
            let detail = "the situation that is waited for does not arise".to_owned();
            return Err(Violated { invariant: "a start is reached", detail });
        }
        world.step()?;
    }
    Ok(())
}
