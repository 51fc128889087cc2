//! What goes wrong in a run, and when: drawn from the seed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::{Fault, Half, Step};
use super::rng::Random;
use super::units::{micros, whole_micros};
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
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Planned {
    #[serde(rename = "at_us", with = "micros")]
    pub(super) at: Duration,
    #[serde(rename = "lasts_us", with = "micros")]
    pub(super) lasts: Duration,
    pub(super) fault: Fault,
}

/// The longest time between two faults that begin.
const GAP_US: (u64, u64) = (30_000, 250_000);

/// Draws the faults of a run of `nodes` hosts whose chaos lasts for `span`. Disks are lost only where
/// the wall clocks alone can tell a start from those before it.
pub(super) fn draw(
    rng: &mut Random,
    profile: Profile,
    nodes: usize,
    span: Duration,
    lose_disks: bool,
) -> Vec<Planned> {
    // Dense enough that faults fall into the recovery from others.
    let gap = rng.between(GAP_US.0, GAP_US.1);
    let mut at = rng.millis(0, 400);
    let mut plan = Vec::new();
    while at < span {
        let fault = draw_one(rng, profile, nodes);
        if rng.chance(0.3) {
            let strikes = strike(rng, profile, nodes);
            plan.extend(strikes.into_iter().map(|fault| Planned { at, lasts: span, fault }));
        }
        plan.push(Planned { at, lasts: draw_length(rng, &fault), fault });
        if rng.chance(0.3) {
            last_words(rng, nodes, at, &mut plan);
        }
        at += rng.micros(1_000, 2 * gap);
    }
    if lose_disks {
        plan.retain(|planned| !planned.fault.steps_a_clock());
        let node = rng.index(nodes);
        // The clock has to tell this start from the one before.
        let fault = Fault::LoseDisk { node, back_after: rng.millis(2, 500) };
        plan.push(Planned {
            at: whole_micros(rng.duration(Duration::ZERO, span)),
            lasts: Duration::ZERO,
            fault,
        });
    }
    plan
}

fn draw_length(rng: &mut Random, fault: &Fault) -> Duration {
    match fault {
        Fault::Pause { .. } if rng.chance(0.2) => rng.millis(300, 1_500),
        Fault::Pause { .. } => rng.millis(5, 300),
        Fault::Loss { .. }
        | Fault::Bursts { .. }
        | Fault::Duplicate { .. }
        | Fault::Damage { .. }
        | Fault::Strangers { .. }
        | Fault::Spikes { .. } => rng.millis(100, 1_500),
        // Some read nothing until the end.
        Fault::SlowConsumer { .. } if rng.chance(0.2) => Duration::from_secs(60),
        _ => rng.millis(20, 900),
    }
}

/// A member's last packets reach nobody, then it is gone: only so are there packets that nobody
/// holds, with acknowledged ones behind them. Who recovers from that is cut off in turn, just when
/// it has acknowledged; a third may have been away meanwhile.
fn last_words(rng: &mut Random, nodes: usize, at: Duration, plan: &mut Vec<Planned>) {
    let (speaker, witness) = pair(rng, nodes);
    let away = (witness + 1 + rng.index(nodes)) % nodes;
    let mute = Duration::from_micros(rng.between(300, 6_000));
    plan.push(Planned {
        at,
        lasts: mute + Duration::from_millis(1),
        fault: Fault::Mute { node: speaker },
    });
    let gone = at + mute;
    let gone_for = Duration::from_millis(rng.between(90, 500));
    let apart = |who: &[usize]| Fault::Partition {
        side: (0..nodes).map(|host| usize::from(who.contains(&host))).collect(),
    };
    let fault = match rng.index(3) {
        0 => Fault::Crash { node: speaker, back_after: gone_for },
        1 => Fault::Pause { node: speaker, half: None },
        _ => apart(&[speaker]),
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
    let then = apart(&beside);
    let delay = Duration::from_micros(if rng.chance(0.5) { 0 } else { rng.between(0, 300) });
    let lasts = Duration::from_millis(rng.between(100, 900));
    let step = Step::Acknowledges;
    let fault = Fault::When { node: witness, step, delay, lasts, then: Box::new(then) };
    plan.push(Planned { at: gone, lasts: Duration::from_millis(700), fault });
}

/// A fault at a chosen step, or two: what tells recovery apart from luck.
fn strike(rng: &mut Random, profile: Profile, nodes: usize) -> Vec<Fault> {
    let node = rng.index(nodes);
    let step = rng.one_of([
        Step::Gathers,
        Step::Writes,
        Step::Written,
        Step::Adopts,
        Step::Installs,
        Step::Acknowledges,
    ]);
    let most = match step {
        Step::Gathers | Step::Adopts => 1_500,
        Step::Writes => 3_000,
        Step::Written => 50,
        Step::Installs | Step::Acknowledges => 400,
    };
    let at_once = rng.chance(0.4);
    let delay = if at_once { Duration::ZERO } else { rng.micros(0, most) };
    let is_of_disk = matches!(step, Step::Writes | Step::Written);
    let mut times = 1;
    let then = if step == Step::Adopts && rng.chance(0.3) {
        Fault::Replay { node }
    } else if step == Step::Adopts && rng.chance(0.3) {
        // Back in time for the next attempt, in which it dies again.
        times = 2;
        Fault::Crash { node, back_after: rng.millis(1, 60) }
    } else if is_of_disk || at_once || rng.chance(0.3) {
        Fault::Crash { node, back_after: rng.millis(1, 300) }
    } else if rng.chance(0.5) {
        partitions(rng, nodes)
    } else {
        draw_one(rng, profile, nodes)
    };
    let lasts = draw_length(rng, &then);
    vec![Fault::When { node, step, delay, lasts, then: Box::new(then) }; times]
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
    let rate = rng.one_of([0.01, 0.05, 0.1, 0.3]);
    match rng.index(11) {
        0 | 1 => Fault::Loss { rate },
        2 => {
            let (from, to) = pair(rng, nodes);
            Fault::LinkLoss { from, to, rate: 2.0 * rate }
        }
        3 | 4 => {
            let frame = rng.one_of([
                Kind::Data,
                Kind::Token,
                Kind::Join,
                Kind::Commit,
                Kind::Beacon,
                Kind::HoldCancel,
                Kind::Free,
                Kind::Claim,
            ]);
            Fault::KindLoss { frame, rate: 2.0 * rate }
        }
        5 => Fault::Duplicate { rate },
        6 => Fault::Spikes { rate: rate / 3.0 },
        7 => Fault::Bursts { rate: rate / 20.0, frames: rng.one_of([3, 10, 60]) },
        8 => Fault::Damage { rate },
        9 => match rng.index(3) {
            0 => Fault::SendFails { node: rng.index(nodes), rate: rng.one_of([0.1, 0.5, 1.0]) },
            1 => Fault::BlackHole { frame_bytes: rng.one_of([200, 600, 1_200]) },
            _ => {
                let bytes_per_ms = rng.one_of([20, 200, 2_000]);
                Fault::Bandwidth { node: rng.index(nodes), bytes_per_ms }
            }
        },
        _ => Fault::Strangers { every: rng.micros(200, 3_000) },
    }
}

fn partitions(rng: &mut Random, nodes: usize) -> Fault {
    match rng.index(5) {
        0 | 1 => {
            let sides = rng.index(2) + 2;
            Fault::Partition { side: (0..nodes).map(|_| rng.index(sides)).collect() }
        }
        2 => {
            let (from, to) = pair(rng, nodes);
            Fault::OneWay { from, to }
        }
        3 => {
            let (a, b) = pair(rng, nodes);
            Fault::NonTransitive { a, b }
        }
        _ => Fault::InterfaceDown { node: rng.index(nodes) },
    }
}

fn churn(rng: &mut Random, nodes: usize) -> Fault {
    let node = rng.index(nodes);
    let back_after = match rng.index(3) {
        0 => rng.millis(0, 5),
        1 => rng.millis(1, 60),
        _ => rng.millis(50, 800),
    };
    match rng.index(20) {
        0..=3 => Fault::Leave { node },
        4 => Fault::Storm { apart: rng.one_of([0, 1, 40]) * Duration::from_millis(1) },
        5 => Fault::Readdress { node, back_after },
        6 => Fault::WallStep { node, seconds: rng.one_of([-3_600, -2, 2, 3_600]) },
        7 => Fault::Replay { node },
        _ => Fault::Crash { node, back_after },
    }
}

fn stalls(rng: &mut Random, nodes: usize) -> Fault {
    let node = rng.index(nodes);
    match rng.index(7) {
        0 => Fault::Pause { node, half: None },
        1 => Fault::Pause { node, half: Some(Half::Data) },
        2 => Fault::Pause { node, half: Some(Half::Control) },
        3 => Fault::SlowHandoff { most: rng.millis(2, 40) },
        4 => Fault::SlowConsumer { node },
        5 => Fault::SlowDisks { most: rng.millis(5, 200) },
        _ => Fault::BadDisk { node },
    }
}

/// Two different hosts; the same one twice in a cluster of one.
pub(super) fn pair(rng: &mut Random, nodes: usize) -> (usize, usize) {
    let a = rng.index(nodes);
    (a, (a + 1 + rng.index(nodes.max(2) - 1)) % nodes)
}
