//! What goes wrong in a run, and when: drawn from the seed.

use std::time::Duration;

use super::fault::{Fault, Half, Step};
use super::rng::Random;
use crate::wire::Kind;

/// Which kinds of faults a run draws from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// Frames are lost, doubled and delayed; members stay.
    Frames,
    /// The network falls apart in every shape, and heals.
    Partitions,
    /// Members are killed, leave and come back.
    Churn,
    /// Members, halves, disks and applications are slow or stand still.
    Stalls,
    /// Everything at once.
    Storm,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 5] =
        [Self::Frames, Self::Partitions, Self::Churn, Self::Stalls, Self::Storm];

    /// The name used on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames",
            Self::Partitions => "partitions",
            Self::Churn => "churn",
            Self::Stalls => "stalls",
            Self::Storm => "storm",
        }
    }

    /// The profile called `name`, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// How often each class of faults is drawn: frames, partitions, churn, stalls.
    const fn weights(self) -> [u64; 4] {
        match self {
            Self::Frames => [8, 1, 1, 0],
            Self::Partitions => [3, 8, 1, 1],
            Self::Churn => [3, 1, 8, 1],
            Self::Stalls => [2, 1, 2, 8],
            Self::Storm => [3, 4, 4, 3],
        }
    }
}

/// A fault with its time.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Planned {
    pub(super) at: Duration,
    pub(super) lasts: Duration,
    pub(super) fault: Fault,
}

/// Draws the faults of a run of `nodes` hosts whose chaos lasts for `span`.
pub(super) fn draw(
    rng: &mut Random,
    profile: Profile,
    nodes: usize,
    span: Duration,
) -> Vec<Planned> {
    // Dense enough that faults fall into the recovery from others.
    let gap = Duration::from_millis(rng.between(30, 250));
    let mut at = Duration::from_millis(rng.between(0, 400));
    let mut plan = Vec::new();
    while at < span {
        let fault = draw_one(rng, profile, nodes);
        if rng.chance(0.3) {
            plan.push(Planned { at, lasts: span, fault: strike(rng, profile, nodes) });
        }
        plan.push(Planned { at, lasts: draw_length(rng, &fault), fault });
        if rng.chance(0.3) {
            last_words(rng, nodes, at, &mut plan);
        }
        at += rng.duration(Duration::from_millis(1), 2 * gap);
    }
    plan
}

fn draw_length(rng: &mut Random, fault: &Fault) -> Duration {
    Duration::from_millis(match fault {
        Fault::Pause { .. } => rng.between(5, 300),
        Fault::Loss(_) | Fault::Duplicate(_) | Fault::Spikes(_) => rng.between(100, 1_500),
        _ => rng.between(20, 900),
    })
}

/// A member's last packets reach nobody, then it is gone: only so are there packets that nobody
/// holds, with acknowledged ones behind them. Who recovers from that is cut off in turn, just when
/// it has acknowledged; a third may have been away meanwhile.
fn last_words(rng: &mut Random, nodes: usize, at: Duration, plan: &mut Vec<Planned>) {
    let (speaker, witness) = pair(rng, nodes);
    let away = (witness + 1 + rng.index(nodes)) % nodes;
    let mute = Duration::from_micros(rng.between(300, 6_000));
    plan.push(Planned { at, lasts: mute + Duration::from_millis(1), fault: Fault::Mute(speaker) });
    let gone = at + mute;
    let gone_for = Duration::from_millis(rng.between(90, 500));
    let alone =
        |node: usize| Fault::Partition((0..nodes).map(|n| usize::from(n == node)).collect());
    let fault = match rng.index(3) {
        0 => Fault::Crash { node: speaker, back_after: gone_for },
        1 => Fault::Pause { node: speaker, half: None },
        _ => alone(speaker),
    };
    plan.push(Planned { at: gone, lasts: gone_for, fault });
    let mut beside = vec![witness];
    if rng.chance(0.5) && away != speaker && away != witness {
        let lasts = Duration::from_millis(rng.between(150, 350));
        let fault = Fault::Pause { node: away, half: None };
        plan.push(Planned { at: gone, lasts, fault });
        beside.push(away);
    }
    if rng.chance(0.3) {
        beside.push(speaker);
    }
    let then = Fault::Partition((0..nodes).map(|n| usize::from(beside.contains(&n))).collect());
    let delay = Duration::from_micros(if rng.chance(0.5) { 0 } else { rng.between(0, 300) });
    let lasts = Duration::from_millis(rng.between(100, 900));
    let step = Step::Acknowledges;
    let fault = Fault::When { node: witness, step, delay, lasts, then: Box::new(then) };
    plan.push(Planned { at: gone, lasts: Duration::from_millis(700), fault });
}

/// A fault at a chosen step: what tells recovery apart from luck.
fn strike(rng: &mut Random, profile: Profile, nodes: usize) -> Fault {
    let node = rng.index(nodes);
    let step = [Step::Writes, Step::Adopts, Step::Installs, Step::Acknowledges][rng.index(4)];
    let most = match step {
        Step::Writes => 50,
        Step::Adopts => 1_500,
        Step::Installs | Step::Acknowledges => 400,
    };
    let delay = Duration::from_micros(rng.between(0, most));
    let back_after = Duration::from_millis(rng.between(1, 300));
    let then = if step == Step::Adopts && rng.chance(0.3) {
        Fault::Replay(node)
    } else if step == Step::Writes || rng.chance(0.3) {
        Fault::Crash { node, back_after }
    } else if rng.chance(0.5) {
        partitions(rng, nodes)
    } else {
        draw_one(rng, profile, nodes)
    };
    let lasts = draw_length(rng, &then);
    Fault::When { node, step, delay, lasts, then: Box::new(then) }
}

fn draw_one(rng: &mut Random, profile: Profile, nodes: usize) -> Fault {
    let weights = profile.weights();
    let mut pick = rng.between(0, weights.iter().sum::<u64>() - 1);
    let class = weights.iter().position(|weight| {
        let hit = pick < *weight;
        pick = pick.saturating_sub(*weight);
        hit
    });
    match class {
        Some(0) => frames(rng, nodes),
        Some(1) => partitions(rng, nodes),
        Some(2) => churn(rng, nodes),
        _ => stalls(rng, nodes),
    }
}

fn frames(rng: &mut Random, nodes: usize) -> Fault {
    let rate = [0.01, 0.05, 0.1, 0.3][rng.index(4)];
    match rng.index(5) {
        0 => Fault::Loss(rate),
        1 => {
            let (from, to) = pair(rng, nodes);
            Fault::LinkLoss { from, to, loss: 2.0 * rate }
        }
        2 => {
            let kinds =
                [Kind::Data, Kind::Token, Kind::Join, Kind::Commit, Kind::Beacon, Kind::HoldCancel];
            Fault::KindLoss(kinds[rng.index(kinds.len())], 2.0 * rate)
        }
        3 => Fault::Duplicate(rate),
        _ => Fault::Spikes(rate / 3.0),
    }
}

fn partitions(rng: &mut Random, nodes: usize) -> Fault {
    match rng.index(4) {
        0 | 1 => {
            let sides = rng.index(2) + 2;
            Fault::Partition((0..nodes).map(|_| rng.index(sides)).collect())
        }
        2 => {
            let (from, to) = pair(rng, nodes);
            Fault::OneWay { from, to }
        }
        _ => {
            let (a, b) = pair(rng, nodes);
            Fault::NonTransitive { a, b }
        }
    }
}

fn churn(rng: &mut Random, nodes: usize) -> Fault {
    let node = rng.index(nodes);
    let back_after = Duration::from_millis(match rng.index(3) {
        0 => rng.between(0, 5),
        1 => rng.between(1, 60),
        _ => rng.between(50, 800),
    });
    if rng.chance(0.2) { Fault::Leave(node) } else { Fault::Crash { node, back_after } }
}

fn stalls(rng: &mut Random, nodes: usize) -> Fault {
    let node = rng.index(nodes);
    match rng.index(7) {
        0 => Fault::Pause { node, half: None },
        1 => Fault::Pause { node, half: Some(Half::Data) },
        2 => Fault::Pause { node, half: Some(Half::Control) },
        3 => Fault::SlowHandoff(Duration::from_millis(rng.between(2, 40))),
        4 => Fault::SlowConsumer(node),
        5 => Fault::SlowDisks(Duration::from_millis(rng.between(5, 200))),
        _ => Fault::BadDisk(node),
    }
}

/// Two different hosts; the same one twice in a cluster of one.
pub(super) fn pair(rng: &mut Random, nodes: usize) -> (usize, usize) {
    let a = rng.index(nodes);
    (a, (a + 1 + rng.index(nodes.max(2) - 1)) % nodes)
}
