//! Frames between the simulated hosts: sent, carried, damaged, and come again long after.

use std::collections::VecDeque;

use bytes::Bytes;

use super::network::FIXED_BYTES;
use super::node::{self, Socket};
use super::rng::Random;
use super::world::{Happening, World};
use crate::id::{Epoch, NodeId, RingId};
use crate::membership::ControlDestination;
use crate::ordering::DataDestination;
use crate::roster::Endpoint;
use crate::wire::beacon::Beacon;
use crate::wire::data::{self, Data};
use crate::wire::header::Header;
use crate::wire::join::Join;
use crate::wire::token::Token;
use crate::wire::{self, ClusterTag, Kind};

/// Joins of each host that are kept.
const JOINS: usize = 8;

/// Beacons of each host that are kept.
const BEACONS: usize = 32;

/// Rings of which the first frames are kept.
const RINGS: usize = 4;

/// Of a ring's packets, those that are kept.
const PACKETS_OF_A_RING: usize = 3;

/// What went over the network before, as a switch may have kept it.
#[derive(Debug)]
pub(super) struct Past {
    /// Of each host, the last joins it was sent; its own too, which a switch may send back.
    joins: Vec<VecDeque<Bytes>>,
    /// Of each host, the last beacon that it was sent from each member on each ring.
    beacons: Vec<VecDeque<(NodeId, RingId, Bytes)>>,
    /// Of each host, the first token it was sent of each of its last rings.
    first_tokens: Vec<VecDeque<(RingId, Bytes)>>,
    /// The first packets of the last rings.
    packets: VecDeque<(RingId, Bytes)>,
}

impl Past {
    pub(super) fn of(hosts: usize) -> Self {
        Self {
            joins: vec![VecDeque::new(); hosts],
            beacons: vec![VecDeque::new(); hosts],
            first_tokens: vec![VecDeque::new(); hosts],
            packets: VecDeque::new(),
        }
    }

    fn keep(&mut self, to: usize, kind: Kind, frame: &Bytes) {
        match kind {
            Kind::Join => {
                self.joins[to].truncate(JOINS - 1);
                self.joins[to].push_front(frame.clone());
            }
            Kind::Beacon => {
                let Ok(beacon) = Beacon::parse(frame, node::cluster()) else { return };
                let kept = &mut self.beacons[to];
                kept.retain(|(id, ring, _)| (*id, *ring) != (beacon.sender, beacon.ring));
                kept.truncate(BEACONS - 1);
                kept.push_front((beacon.sender, beacon.ring, frame.clone()));
            }
            Kind::Token => {
                let mut token = Token::default();
                let kept = &mut self.first_tokens[to];
                if token.parse_into(frame, node::cluster()).is_ok()
                    && kept.iter().all(|(ring, _)| *ring != token.ring)
                {
                    kept.truncate(RINGS - 1);
                    kept.push_front((token.ring, frame.clone()));
                }
            }
            _ => {}
        }
    }

    fn keep_packet(&mut self, frame: &Bytes) {
        let Ok(packet) = Data::parse(frame, node::cluster()) else { return };
        let of_ring = |(ring, _): &&(RingId, Bytes)| *ring == packet.ring;
        if self.packets.iter().filter(of_ring).count() < PACKETS_OF_A_RING {
            self.packets.truncate(RINGS * PACKETS_OF_A_RING - 1);
            self.packets.push_front((packet.ring, frame.clone()));
        }
    }
}

impl World {
    pub(super) fn send_data(&mut self, from: usize, to: DataDestination, frame: &Bytes) {
        let to = match to {
            DataDestination::Group => None,
            DataDestination::Member(to) => Some(to),
        };
        let socket = if to.is_some() { Socket::Token } else { Socket::Data };
        self.send(from, to, socket, frame);
    }

    pub(super) fn send_control(&mut self, from: usize, to: ControlDestination, frame: &Bytes) {
        let to = match to {
            ControlDestination::Group => None,
            ControlDestination::Member(to) => Some(to),
        };
        self.send(from, to, Socket::Control, frame);
    }

    /// Sends to one address, or to all others.
    fn send(&mut self, from: usize, to: Option<Endpoint>, socket: Socket, frame: &Bytes) {
        let header = Header::parse(&mut &frame[..], node::cluster());
        let kind = header.map_or(Kind::Data, |header| header.kind);
        if kind == Kind::Data {
            self.past.keep_packet(frame);
        }
        let queued = self.network.transmit(self.now, from, frame.len(), &mut self.stats);
        let Some(queued) = queued else { return };
        let hosts = match to {
            None => 0..self.nodes.len(),
            Some(to) => {
                let host = node::index_of(to);
                if self.nodes[host].endpoint() != to {
                    self.stats.frames_misaddressed += 1;
                    return;
                }
                host..host + 1
            }
        };
        for to in hosts {
            self.past.keep(to, kind, frame);
            if to == from {
                continue;
            }
            if frame.len() > wire::frame_bytes_max(self.nodes[to].mtu_bytes) {
                self.stats.frames_too_long += 1;
                continue;
            }
            let copies = self.network.carry((from, to), kind, frame.len(), &mut self.stats);
            for copy in copies.into_iter().flatten() {
                let mut frame = frame.clone();
                if copy.damaged {
                    let head = if kind == Kind::Data { data::HEAD_BYTES } else { frame.len() };
                    frame = self.network.damage(from, to, &frame, head).into();
                }
                self.after(queued + copy.after, to, Happening::Frame { socket, frame });
            }
        }
    }

    /// The last joins and beacons that everybody got arrive again.
    pub(super) fn replay_joins_and_beacons(&mut self) {
        for node in 0..self.nodes.len() {
            self.replay_control(node);
        }
    }

    fn replay_control(&mut self, node: usize) {
        let beacons = self.past.beacons[node].iter().map(|(_, _, frame)| frame);
        let frames: Vec<Bytes> = self.past.joins[node].iter().chain(beacons).cloned().collect();
        for frame in frames {
            self.arrive_again(node, Socket::Control, frame, 5_000);
        }
    }

    /// Old frames arrive again, as from a switch that kept them.
    pub(super) fn replay(&mut self, node: usize) {
        self.replay_control(node);
        for (_, frame) in self.past.first_tokens[node].clone() {
            self.arrive_again(node, Socket::Token, frame, 100);
        }
        for (_, frame) in self.past.packets.clone() {
            self.arrive_again(node, Socket::Data, frame, 1_000);
        }
    }

    fn arrive_again(&mut self, node: usize, socket: Socket, frame: Bytes, within_us: u64) {
        self.stats.frames_replayed += 1;
        let after = self.nodes[node].rng.micros(1, within_us);
        self.after(after, node, Happening::Frame { socket, frame });
    }

    /// A frame of a cluster of another name or version, or something that is no frame, comes in
    /// somewhere.
    pub(super) fn let_in_a_stranger(&mut self) {
        let Some(every) = self.strangers else { return };
        let rng = &mut self.strangers_rng;
        let node = rng.index(self.nodes.len());
        let socket = rng.one_of([Socket::Data, Socket::Token, Socket::Control]);
        let kept = self.past.joins[node].iter().chain(self.past.packets.iter().map(|(_, it)| it));
        let kept: Vec<&Bytes> = kept.collect();
        let frame = if rng.chance(0.5) && !kept.is_empty() {
            let ours = kept[rng.index(kept.len())];
            estranged(rng, ours)
        } else {
            let bytes = rng.index(400);
            (0..bytes).map(|_| rng.between(0, 255).to_le_bytes()[0]).collect()
        };
        self.stats.strangers += 1;
        self.after(every / 2, node, Happening::Frame { socket, frame: frame.into() });
        self.at(self.now + every, 0, Happening::Stranger);
    }
}

/// A frame like `ours`, of another cluster or version, which says what would do harm if it were
/// believed: a later life of a member, or another packet in the place of a coming one.
fn estranged(rng: &mut Random, ours: &Bytes) -> Vec<u8> {
    /// Further than members go between two starts.
    const LATER: u64 = 1 << 20;
    let is_of_another_cluster = rng.chance(0.5);
    let cluster = if is_of_another_cluster { ClusterTag::of("strangers") } else { node::cluster() };
    let mut theirs = Vec::new();
    if let Ok(join) = Join::parse(ours, node::cluster()) {
        let (incarnation, epoch) = (Epoch(join.incarnation.0 + LATER), Epoch(join.epoch.0 + LATER));
        Join { incarnation, epoch, ..join }.emit(cluster, &mut theirs);
    } else if let Ok(data) = Data::parse(ours, node::cluster()) {
        let seq = data.seq.plus(rng.between(0, 20));
        let body = data.packet.body.clone();
        Data { seq, ..data }.emit_head(cluster, &mut theirs);
        theirs.extend_from_slice(&body);
        if let Some(last) = theirs.last_mut() {
            *last ^= 1;
        }
    }
    if !is_of_another_cluster {
        // Magic or version.
        theirs[rng.index(FIXED_BYTES)] ^= 1 << rng.index(8);
    }
    theirs
}
