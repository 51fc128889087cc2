//! The simulated LAN: one directed link between every two members, each with its own faults.

use std::time::Duration;

use super::rng::Random;
use super::stats::Stats;
use crate::wire::Kind;

/// What one directed link does to frames.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Link {
    pub(super) blocked: bool,
    /// Nothing of kind data passes; the token does.
    pub(super) mute: bool,
    pub(super) loss: f64,
    /// Lost besides, of one kind only.
    pub(super) kind_loss: Option<(Kind, f64)>,
    pub(super) duplicate: f64,
    /// Frames that take a spike longer, and so arrive after later ones.
    pub(super) spike: f64,
    pub(super) delay: (Duration, Duration),
}

/// The longest spike.
const SPIKE_MAX: Duration = Duration::from_millis(60);

impl Link {
    const CLEAN: Self = Self {
        blocked: false,
        mute: false,
        loss: 0.0,
        kind_loss: None,
        duplicate: 0.0,
        spike: 0.0,
        delay: (Duration::from_micros(30), Duration::from_micros(120)),
    };
}

/// All links.
#[derive(Debug)]
pub(super) struct Network {
    nodes: usize,
    links: Vec<Link>,
    rng: Random,
}

impl Network {
    pub(super) fn new(nodes: usize, rng: Random) -> Self {
        Self { nodes, links: vec![Link::CLEAN; nodes * nodes], rng }
    }

    pub(super) fn link_mut(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.nodes + to]
    }

    /// Changes every link; told where from and where to it leads.
    pub(super) fn each_link(&mut self, mut change: impl FnMut(usize, usize, &mut Link)) {
        for from in 0..self.nodes {
            for to in 0..self.nodes {
                change(from, to, self.link_mut(from, to));
            }
        }
    }

    /// All links as on a quiet LAN.
    pub(super) fn heal(&mut self) {
        self.links.fill(Link::CLEAN);
    }

    /// After how long the copies of a frame arrive: none when it is lost, two when it is duplicated.
    pub(super) fn carry(
        &mut self,
        from: usize,
        to: usize,
        kind: Kind,
        stats: &mut Stats,
    ) -> [Option<Duration>; 2] {
        let link = self.links[from * self.nodes + to];
        if link.blocked {
            stats.frames_blocked += 1;
            return [None; 2];
        }
        let kind_loss = link.kind_loss.filter(|(lossy, _)| *lossy == kind).map_or(0.0, |(_, p)| p);
        if self.rng.chance(link.loss) {
            stats.frames_lost += 1;
            return [None; 2];
        }
        if link.mute && kind == Kind::Data || self.rng.chance(kind_loss) {
            stats.frames_lost_by_kind += 1;
            return [None; 2];
        }
        let first = Some(self.arrival(&link, stats));
        let second = self.rng.chance(link.duplicate).then(|| {
            stats.frames_duplicated += 1;
            self.arrival(&link, stats)
        });
        [first, second]
    }

    fn arrival(&mut self, link: &Link, stats: &mut Stats) -> Duration {
        let after = self.rng.duration(link.delay.0, link.delay.1);
        if !self.rng.chance(link.spike) {
            return after;
        }
        stats.frames_delayed += 1;
        after + self.rng.duration(Duration::from_micros(200), SPIKE_MAX)
    }
}
