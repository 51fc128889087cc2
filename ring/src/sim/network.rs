//! The simulated LAN: every host's way out, and one directed link between every two members, each
//! with its own faults.

use std::time::Duration;

use super::rng::{Random, Stream};
use super::stats::Stats;
use crate::time::Time;
use crate::wire::Kind;

/// Magic and version: whatever they are changed to, it is no frame of this protocol.
pub(super) const FIXED_BYTES: usize = 3;

/// What one directed link does to frames.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Link {
    pub(super) blocked: bool,
    /// Nothing of kind data passes; the token does.
    pub(super) mute: bool,
    pub(super) loss: f64,
    /// Lost besides, of one kind only.
    pub(super) kind_loss: Option<(Kind, f64)>,
    /// How often frames are lost in a row, and how many then.
    pub(super) bursts: (f64, u32),
    /// Of the burst under way.
    burst_left: u32,
    pub(super) duplicate: f64,
    /// Frames that take a spike longer, and so arrive after later ones.
    pub(super) spike: f64,
    pub(super) damage: f64,
    /// Longer frames get lost.
    pub(super) frame_bytes_max: usize,
    pub(super) delay: (Duration, Duration),
}

/// The longest spike.
const SPIKE_MAX: Duration = Duration::from_millis(60);

/// What an interface keeps while its link is busy.
const INTERFACE_KEEPS: Duration = Duration::from_millis(20);

impl Link {
    const CLEAN: Self = Self {
        blocked: false,
        mute: false,
        loss: 0.0,
        kind_loss: None,
        bursts: (0.0, 0),
        burst_left: 0,
        duplicate: 0.0,
        spike: 0.0,
        damage: 0.0,
        frame_bytes_max: usize::MAX,
        delay: (Duration::from_micros(30), Duration::from_micros(120)),
    };

    /// Whether a frame is lost with others, in a row.
    fn is_in_burst(&mut self, rng: &mut Random) -> bool {
        if self.burst_left == 0 && rng.chance(self.bursts.0) {
            self.burst_left = self.bursts.1;
        }
        let lost = self.burst_left > 0;
        self.burst_left -= u32::from(lost);
        lost
    }
}

/// A host's way out.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Uplink {
    /// Sends that fail.
    pub(super) fails: f64,
    pub(super) bytes_per_ms: Option<u64>,
    /// When everything sent so far is on the wire.
    free_at: Time,
}

/// A copy of a frame on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Copy {
    pub(super) after: Duration,
    /// It does not arrive as it was sent.
    pub(super) damaged: bool,
}

/// All links.
#[derive(Debug)]
pub(super) struct Network {
    nodes: usize,
    links: Vec<Link>,
    uplinks: Vec<Uplink>,
    /// Of each link; of each host's way out on the diagonal.
    rngs: Vec<Random>,
}

impl Network {
    /// Links between the hosts of these ids.
    pub(super) fn new(ids: &[u32], seed: u64) -> Self {
        let nodes = ids.len();
        let of_links = |from: &u32| ids.iter().map(|to| (*from, *to)).collect::<Vec<_>>();
        let pairs = ids.iter().flat_map(of_links);
        Self {
            nodes,
            links: vec![Link::CLEAN; nodes * nodes],
            uplinks: vec![Uplink::default(); nodes],
            rngs: pairs.map(|(from, to)| Random::new(seed, Stream::Link(from, to))).collect(),
        }
    }

    pub(super) fn link_mut(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.links[from * self.nodes + to]
    }

    pub(super) fn uplink_mut(&mut self, from: usize) -> &mut Uplink {
        &mut self.uplinks[from]
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
        self.uplinks.fill(Uplink::default());
    }

    /// A frame leaves its host: how long it takes to get on the wire, if it does.
    pub(super) fn transmit(
        &mut self,
        now: Time,
        from: usize,
        bytes: usize,
        stats: &mut Stats,
    ) -> Option<Duration> {
        let uplink = &mut self.uplinks[from];
        if self.rngs[from * self.nodes + from].chance(uplink.fails) {
            stats.sends_failed += 1;
            return None;
        }
        let Some(rate) = uplink.bytes_per_ms else { return Some(Duration::ZERO) };
        if uplink.free_at > now + INTERFACE_KEEPS {
            stats.frames_over_bandwidth += 1;
            return None;
        }
        let takes = Duration::from_nanos(bytes as u64 * 1_000_000 / rate.max(1));
        uplink.free_at = uplink.free_at.max(now) + takes;
        Some(uplink.free_at.since(now))
    }

    /// How the copies of a frame arrive: none when it is lost, two when it is duplicated.
    pub(super) fn carry(
        &mut self,
        (from, to): (usize, usize),
        kind: Kind,
        bytes: usize,
        stats: &mut Stats,
    ) -> [Option<Copy>; 2] {
        let at = from * self.nodes + to;
        let (link, rng) = (&mut self.links[at], &mut self.rngs[at]);
        if link.blocked {
            stats.frames_blocked += 1;
            return [None; 2];
        }
        if bytes > link.frame_bytes_max {
            stats.frames_in_black_hole += 1;
            return [None; 2];
        }
        if rng.chance(link.loss) {
            stats.frames_lost += 1;
            return [None; 2];
        }
        if link.is_in_burst(rng) {
            stats.frames_lost_in_bursts += 1;
            return [None; 2];
        }
        let kind_loss = link.kind_loss.filter(|(lossy, _)| *lossy == kind).map_or(0.0, |(_, p)| p);
        if link.mute && matches!(kind, Kind::Data | Kind::Free | Kind::Claim)
            || rng.chance(kind_loss)
        {
            stats.frames_lost_by_kind += 1;
            return [None; 2];
        }
        let first = Some(arrival(link, rng, stats));
        let second = rng.chance(link.duplicate).then(|| {
            stats.frames_duplicated += 1;
            arrival(link, rng, stats)
        });
        [first, second]
    }

    /// What a link with damage makes of a frame: another head, or less of it. Checksums below
    /// catch what is changed further behind.
    pub(super) fn damage(&mut self, from: usize, to: usize, frame: &[u8], head: usize) -> Vec<u8> {
        let rng = &mut self.rngs[from * self.nodes + to];
        let mut damaged = frame.to_vec();
        if rng.chance(0.5) {
            damaged.truncate(rng.index(head.min(frame.len())));
        } else {
            damaged[rng.index(FIXED_BYTES)] ^= 1 << rng.index(8);
        }
        damaged
    }
}

fn arrival(link: &Link, rng: &mut Random, stats: &mut Stats) -> Copy {
    let mut after = rng.duration(link.delay.0, link.delay.1);
    if rng.chance(link.spike) {
        stats.frames_delayed += 1;
        after += rng.duration(Duration::from_micros(200), SPIKE_MAX);
    }
    let damaged = rng.chance(link.damage);
    stats.frames_damaged += u64::from(damaged);
    Copy { after, damaged }
}
