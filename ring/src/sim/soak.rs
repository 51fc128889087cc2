//! A calm cluster for hours of simulated time, judged as it goes: after each window, when all is
//! delivered, the histories up to there are judged and forgotten.
//!
//! What follows is judged as the history of members that have just come together: each window
//! begins with their starts and the installation of the ring that they are on. A message that
//! came twice, in two windows, would not be noticed; the numbers of its ring would.

use std::sync::Arc;
use std::time::Duration;

use super::check::{self, Verdict};
use super::run::{Failure, first_violation, settle};
use super::workload::{Shape, Workload};
use super::world::{Happening, World};
use crate::configuration::{Configuration, ConfigurationKind};
use crate::id::{NodeId, RingId};
use crate::params::Params;
use crate::roster::Roster;
use crate::time::Time;
use crate::trace::{Entry, Event, History};

/// How much is simulated between two judgements.
const WINDOW: Duration = Duration::from_secs(20);

/// A calm cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Soak {
    /// Decides when messages are published, and of which service.
    pub seed: u64,
    /// Members.
    pub members: u32,
    /// Messages that each of them publishes a second.
    pub messages_per_s: u32,
    /// What a frame takes from one member to another.
    pub hop: Duration,
    /// Simulated time.
    pub span: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Soaked {
    /// Simulated time.
    pub simulated: Duration,
    /// Steps of the simulation.
    pub events: u64,
    /// Messages delivered, counted at each member.
    pub delivered: u64,
    /// Times that a member began to form a membership after all had come together.
    pub gathers: u64,
    /// God's invariants looked at.
    pub invariants_judged: u64,
    /// The checker's judgements of all windows.
    pub verdict: Verdict,
    /// The first thing that was not as it must be.
    pub failure: Option<Failure>,
}

/// Runs a calm cluster; tells of each window how much is simulated.
pub fn soak(soak: &Soak, tell: &mut dyn FnMut(Duration)) -> Soaked {
    let mut soaking = Soaking::new(soak);
    let mut failure = None;
    while failure.is_none() && soaking.world.now.since(Time::ZERO) < soak.span {
        failure = soaking.window().err();
        tell(soaking.world.now.since(Time::ZERO));
    }
    let world = &soaking.world;
    Soaked {
        simulated: world.now.since(Time::ZERO),
        events: world.stats.events,
        delivered: soaking.delivered,
        gathers: world.gathers() - soaking.gathers_before.unwrap_or_default(),
        invariants_judged: world.god.judged,
        verdict: soaking.verdict,
        failure,
    }
}

struct Soaking {
    world: World,
    interval: Duration,
    verdict: Verdict,
    delivered: u64,
    /// Until all had come together.
    gathers_before: Option<u64>,
}

impl Soaking {
    fn new(soak: &Soak) -> Self {
        let ids: Vec<u32> = (1..=soak.members).collect();
        let interval = Duration::from_secs(1) / soak.messages_per_s.max(1);
        let shape = Shape::small(interval);
        let workload = Workload::new(&ids, soak.seed, shape);
        let mut world = World::of(&ids, Params::default(), soak.seed, workload);
        world.network.each_link(|_, _, link| link.delay = (soak.hop, soak.hop));
        for node in 0..ids.len() {
            world.at(Time::ZERO, node, Happening::Restart);
        }
        Self { world, interval, verdict: Verdict::empty(), delivered: 0, gathers_before: None }
    }

    /// Messages for a while, then none until all are delivered.
    fn window(&mut self) -> Result<(), Failure> {
        let world = &mut self.world;
        settle(world, "one operational ring")?;
        self.gathers_before.get_or_insert(world.gathers());
        world.workload.shape.interval = Some(self.interval);
        for node in 0..world.nodes.len() {
            world.at(world.now, node, Happening::Submit);
        }
        world.run_for(WINDOW)?;
        world.workload.shape.interval = None;
        // Until every application has noticed.
        world.run_for(8 * self.interval)?;
        settle(world, "every message is delivered")?;
        self.judge()
    }

    fn judge(&mut self) -> Result<(), Failure> {
        let take = |node: &mut super::node::Node| std::mem::take(&mut node.histories);
        let histories: Vec<History> = self.world.nodes.iter_mut().flat_map(take).collect();
        let is_delivery = |entry: &&Entry| matches!(entry.event, Event::Deliver { .. });
        let delivered = histories.iter().flat_map(|it| &it.entries).filter(is_delivery);
        self.delivered += delivered.count() as u64;
        let verdict = check::check(&histories, check::Options { quiescent: true });
        self.verdict.add(&verdict);
        self.world.god.forget_the_past();
        for node in &mut self.world.nodes {
            let Some(life) = &node.life else { continue };
            let installed = life.data.ordering().installed();
            let mut history =
                History::new(life.identity.member.id, life.identity.member.incarnation);
            history.entries = came_together(&history, installed, self.world.now);
            node.histories.push(history);
        }
        first_violation(&verdict).map_or(Ok(()), Err)
    }
}

/// How a history begins that goes on on a ring: with the member's start, and that ring.
fn came_together(history: &History, installed: &Roster, now: Time) -> Vec<Entry> {
    let alone = RingId::new(history.incarnation, history.node);
    let me: Arc<[NodeId]> = [history.node].into();
    let configuration = |kind, ring, previous, members: &Arc<[NodeId]>| Entry {
        time: now,
        event: Event::Configuration(Configuration {
            kind,
            ring,
            previous,
            members: Arc::clone(members),
            eligible: None,
        }),
    };
    let (regular, transitional) = (ConfigurationKind::Regular, ConfigurationKind::Transitional);
    vec![
        configuration(regular, alone, None, &me),
        configuration(transitional, installed.ring, Some(alone), &me),
        configuration(regular, installed.ring, Some(alone), installed.ids()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_judged_one_after_the_other() {
        let soaked = soak(
            &Soak {
                seed: 1,
                members: 3,
                messages_per_s: 50,
                hop: Duration::from_micros(500),
                span: Duration::from_secs(50),
            },
            &mut |_| {},
        );
        assert_eq!(soaked.failure, None);
        assert!(soaked.simulated >= Duration::from_secs(60), "{soaked:?}");
        assert_eq!(soaked.gathers, 0);
        // About 50 messages a second of each of 3 members, at each of them, in 60 s.
        assert!((20_000..35_000).contains(&soaked.delivered), "{}", soaked.delivered);
        assert_eq!(soaked.verdict.violation_count(), 0);
    }
}
