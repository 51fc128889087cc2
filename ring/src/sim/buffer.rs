//! The receive buffers of the hosts' data sockets, and what fills them: hosts that get little of
//! the processor, and applications that publish much at once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::node::SOCKET_FRAMES_MAX;
use super::plan::Planned;
use super::rng::{Random, Stream};
use super::units::whole_micros;
use super::workload::{ONE_PACKET, SEVERAL_PACKETS};
use crate::params::Params;

/// The least receive window. Where a buffer is smaller, a ring's packets are missing most of the
/// time.
pub(super) const RECEIVE_PACKETS_MIN: usize = 16;

/// A host's receive buffer, and what its member takes it for.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    size: BufferSize,
    rng: Random,
}

/// How much a receive buffer takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BufferSize {
    /// The member's receive window when it is not that of all.
    promised: Option<u32>,
    frames_max: usize,
    /// Its room differs from frame to frame, as where the kernel counts bytes, and others', too.
    varies: bool,
}

impl BufferSize {
    /// Room for whatever comes.
    pub(super) const UNLIMITED: Self =
        Self { promised: None, frames_max: SOCKET_FRAMES_MAX, varies: false };

    /// The tunables of the host's member.
    pub(super) fn params(&self, params: &Params) -> Params {
        let receive_packets = self.promised.unwrap_or(params.receive_packets);
        Params { receive_packets, ..params.clone() }
    }
}

impl Buffer {
    pub(super) const fn new(size: BufferSize, rng: Random) -> Self {
        Self { size, rng }
    }

    /// Room for whatever comes.
    pub(super) fn unlimited() -> Self {
        Self::new(BufferSize::UNLIMITED, Random::new(0, Stream::Buffers))
    }

    /// Room for so many frames, whatever the receive window says.
    #[cfg(test)]
    pub(super) fn of(frames_max: usize) -> Self {
        let size = BufferSize { frames_max, ..BufferSize::UNLIMITED };
        Self { size, ..Self::unlimited() }
    }

    /// Whether the buffer takes one more frame beside `waiting` ones. One frame always fits.
    pub(super) fn has_room(&mut self, waiting: usize) -> bool {
        let BufferSize { frames_max, varies, .. } = self.size;
        let most = if varies { self.rng.index(frames_max) + 1 } else { frames_max };
        waiting < most
    }

    /// Frames for which there is always room.
    pub(super) const fn frames_min(&self) -> usize {
        if self.size.varies { 1 } else { self.size.frames_max }
    }

    /// The tunables of the host's member.
    pub(super) fn params(&self, params: &Params) -> Params {
        self.size.params(params)
    }
}

/// What the receive buffers of a run are like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Room {
    Unlimited,
    Generous,
    /// Just what the receive window says.
    Promised,
    /// Half of it.
    Half,
    /// Far less.
    Small,
    /// Sometimes less.
    Varying,
}

/// Draws the hosts' buffers; `None` where none has an end.
pub(super) fn draw(rng: &mut Random, params: &Params, nodes: usize) -> Option<Vec<BufferSize>> {
    const OF_A_HOST: [Room; 6] =
        [Room::Unlimited, Room::Generous, Room::Promised, Room::Half, Room::Small, Room::Varying];
    let of_all = match rng.index(10) {
        0 | 1 => return None,
        2 => Some(Room::Generous),
        3 | 4 => Some(Room::Promised),
        5 | 6 => Some(Room::Half),
        7 => Some(Room::Small),
        8 => Some(Room::Varying),
        _ => None,
    };
    let of_host = |_| {
        let room = of_all.unwrap_or_else(|| OF_A_HOST[rng.index(OF_A_HOST.len())]);
        draw_one(rng, params, room)
    };
    Some((0..nodes).map(of_host).collect())
}

fn draw_one(rng: &mut Random, params: &Params, room: Room) -> BufferSize {
    let mut size = BufferSize::UNLIMITED;
    if room == Room::Unlimited {
        return size;
    }
    if rng.chance(0.7) {
        let least = RECEIVE_PACKETS_MIN as u64;
        let most = rng.one_of([80, 400]);
        size.promised = u32::try_from(rng.between(least, most)).ok();
    }
    let packets = crate::ordering::receive_packets(&size.params(params)) as usize;
    size.frames_max = match room {
        Room::Unlimited => SOCKET_FRAMES_MAX,
        Room::Generous => 4 * packets,
        Room::Promised | Room::Varying => packets,
        Room::Half => (packets / 2).max(RECEIVE_PACKETS_MIN),
        Room::Small => rng.index(packets / 2) + 1,
    };
    size.varies = room == Room::Varying;
    size
}

/// Draws what fills the buffers in a run whose chaos lasts for `span`.
pub(super) fn fill(rng: &mut Random, nodes: usize, span: Duration) -> Vec<Planned> {
    let mut plan = Vec::new();
    for _ in 0..rng.between(1, 5) {
        let at = whole_micros(rng.duration(Duration::ZERO, span));
        let lasts = Duration::from_millis(rng.between(20, 700));
        let slice = draw_slice(rng);
        let only = rng.index(nodes);
        let all = rng.chance(0.3);
        for node in (0..nodes).filter(|node| all || *node == only) {
            plan.push(Planned { at, lasts, fault: Fault::Starve { node, slice } });
        }
        let publisher = rng.index(nodes);
        for node in 0..nodes {
            if node == publisher || rng.chance(0.3) {
                let (bytes, most) = [(SEVERAL_PACKETS, 30), (ONE_PACKET, 90)][rng.index(2)];
                let fault = Fault::Flood { node, messages: rng.between(1, most), bytes };
                plan.push(Planned { at: at + lasts / 4, lasts: Duration::ZERO, fault });
            }
        }
    }
    plan
}

/// How long a host without much of the processor waits for it.
fn draw_slice(rng: &mut Random) -> Duration {
    let micros = [(30, 300), (300, 2_000), (2_000, 15_000)][rng.index(3)];
    Duration::from_micros(rng.between(micros.0, micros.1))
}
