//! Frames on their way to the kernel: which of them go together, and what became of them.

use std::net::SocketAddrV4;
use std::ops::Range;

use bytes::Bytes;

use crate::counters::Counters;
use crate::frame::{DATAGRAM_BYTES_MAX, Destination};

/// Frames queued at most before they are handed to the kernel.
pub(crate) const FRAMES_MAX: usize = 1024;

/// Room for their heads, in bytes: the longest frame many times over.
const HEADS_BYTES: usize = 256 << 10;

/// Frames in one super-packet: what every kernel with GSO takes.
const SEGMENTS_MAX: usize = 64;

/// Times a datagram is offered to a kernel that has no room for it.
pub(crate) const TRIES_MAX: u32 = 8;

/// A queued frame. Its body is shared with whoever else keeps it.
#[derive(Debug)]
struct Outgoing {
    to: Destination,
    head: Range<usize>,
    body: Bytes,
}

impl Outgoing {
    fn bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// The frames to send next, in order.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: Vec<Outgoing>,
    /// Never grows past its capacity, so that heads stay where they are.
    heads: Vec<u8>,
}

/// A datagram to send: frames `first` to `first + count`, a super-packet when it is several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Planned {
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) to: SocketAddrV4,
    pub(crate) via: Via,
}

/// Which socket sends a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Via {
    /// The own one.
    Own,
    /// The group's, which is raw.
    Raw,
}

/// Where [`Destination::Group`] is.
#[derive(Debug)]
pub(crate) enum Group {
    Multicast { address: SocketAddrV4, via: Via },
    Peers(Vec<SocketAddrV4>),
}

impl Group {
    fn addresses(&self) -> &[SocketAddrV4] {
        match self {
            Self::Multicast { address, .. } => std::slice::from_ref(address),
            Self::Peers(peers) => peers,
        }
    }

    fn via(&self) -> Via {
        match self {
            Self::Multicast { via, .. } => *via,
            Self::Peers(_) => Via::Own,
        }
    }
}

/// How frames go together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segmenting {
    /// Whether super-packets are sent at all.
    pub(crate) on: bool,
    /// Longer frames are sent alone: the device could not send them.
    pub(crate) frame_bytes_max: usize,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self { frames: Vec::with_capacity(FRAMES_MAX), heads: Vec::with_capacity(HEADS_BYTES) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a frame with this head fits. An empty outbox takes every frame that a datagram
    /// does.
    pub(crate) fn has_room(&self, head: &[u8]) -> bool {
        self.frames.len() < FRAMES_MAX && self.heads.len() + head.len() <= HEADS_BYTES
    }

    /// Queues a frame for which there is room; false for one that no datagram can carry.
    pub(crate) fn push(&mut self, to: Destination, head: &[u8], body: Bytes) -> bool {
        let bytes = head.len() + body.len();
        if bytes == 0 || bytes > DATAGRAM_BYTES_MAX || !self.has_room(head) {
            return false;
        }
        let start = self.heads.len();
        self.heads.extend_from_slice(head);
        self.frames.push(Outgoing { to, head: start..self.heads.len(), body });
        true
    }

    /// A frame's two parts.
    pub(crate) fn parts(&self, frame: usize) -> [&[u8]; 2] {
        let frame = &self.frames[frame];
        [&self.heads[frame.head.clone()], &frame.body]
    }

    /// The size of the frames of a super-packet but the last, `None` for a single frame.
    pub(crate) fn segment_bytes(&self, planned: &Planned) -> Option<u16> {
        let bytes = self.frames[planned.first].bytes();
        (planned.count > 1).then(|| u16::try_from(bytes).unwrap_or(u16::MAX))
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.heads.clear();
    }

    /// The datagrams that carry everything queued, in order.
    pub(crate) fn plan(&self, group: &Group, segmenting: Segmenting, plan: &mut Vec<Planned>) {
        plan.clear();
        let mut first = 0;
        while first < self.frames.len() {
            let to = self.frames[first].to;
            let via = if to == Destination::Group { group.via() } else { Via::Own };
            // Super-packets are UDP's.
            let count = if via == Via::Own { self.run(first, segmenting) } else { 1 };
            let mut send_to = |to| plan.push(Planned { first, count, to, via });
            match to {
                Destination::Member(address) => send_to(address),
                Destination::Group => group.addresses().iter().for_each(|to| send_to(*to)),
            }
            first += count;
        }
    }

    /// How many frames from `first` on go together: to one destination, of one size, the last
    /// may be shorter.
    fn run(&self, first: usize, segmenting: Segmenting) -> usize {
        let head = &self.frames[first];
        let bytes = head.bytes();
        if !segmenting.on || bytes > segmenting.frame_bytes_max {
            return 1;
        }
        let (mut count, mut total) = (1, bytes);
        for next in &self.frames[first + 1..] {
            total += next.bytes();
            let fits = count < SEGMENTS_MAX && total <= DATAGRAM_BYTES_MAX;
            if next.to != head.to || next.bytes() > bytes || !fits {
                break;
            }
            count += 1;
            if next.bytes() < bytes {
                break;
            }
        }
        count
    }

    fn bytes(&self, planned: &Planned) -> usize {
        let frames = planned.first..planned.first + planned.count;
        self.frames[frames].iter().map(Outgoing::bytes).sum()
    }

    /// Takes in the error numbers (0 for none) of all datagrams of `plan`, which becomes what is
    /// to be sent again. `again`: whether there are tries left for want of room.
    pub(crate) fn judge(
        &self,
        plan: &mut Vec<Planned>,
        errnos: &[i32],
        again: bool,
        segmenting: &mut Segmenting,
        counters: &mut Counters,
    ) {
        let offered = plan.len();
        for index in 0..offered {
            let planned = plan[index];
            let errno = errnos.get(index).copied().unwrap_or(libc::ECANCELED);
            match Fate::of(errno, planned.count > 1) {
                Fate::Sent => {
                    counters.sent_datagrams += 1;
                    counters.sent_frames += planned.count as u64;
                    counters.sent_bytes += self.bytes(&planned) as u64;
                }
                Fate::Again if again => {
                    counters.send_retries += 1;
                    plan.push(planned);
                }
                Fate::OneByOne { refused } => {
                    if refused && segmenting.on {
                        segmenting.on = false;
                        counters.segmenting_refused += 1;
                    }
                    plan.extend((0..planned.count).map(|offset| Planned {
                        first: planned.first + offset,
                        count: 1,
                        ..planned
                    }));
                }
                Fate::Again | Fate::Dropped => {
                    counters.dropped_frames += planned.count as u64;
                    counters.last_send_errno = errno;
                }
            }
        }
        plan.drain(..offered);
    }
}

/// What an error number says about a datagram.
enum Fate {
    Sent,
    /// There was no room for it.
    Again,
    /// It cannot go as a super-packet; `refused`: nor can any other.
    OneByOne {
        refused: bool,
    },
    Dropped,
}

impl Fate {
    fn of(errno: i32, is_super: bool) -> Self {
        match errno {
            0 => Self::Sent,
            libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR => Self::Again,
            // EIO: the device does no checksums; EINVAL: no GSO, or a segment above the MTU.
            libc::EIO | libc::EINVAL if is_super => Self::OneByOne { refused: true },
            libc::EMSGSIZE if is_super => Self::OneByOne { refused: false },
            _ => Self::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const A: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    const B: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 2);
    const MULTICAST: Group = Group::Multicast { address: A, via: Via::Own };
    const ON: Segmenting = Segmenting { on: true, frame_bytes_max: 9000 };

    fn outbox(frames: &[(Destination, usize)]) -> Outbox {
        let mut outbox = Outbox::new();
        for (to, bytes) in frames {
            let body = Bytes::from(vec![0; bytes - 1]);
            assert!(outbox.push(*to, b"h", body));
        }
        outbox
    }

    fn counts(outbox: &Outbox, segmenting: Segmenting) -> Vec<usize> {
        let mut plan = Vec::new();
        outbox.plan(&MULTICAST, segmenting, &mut plan);
        let ends = plan.iter().map(|planned| planned.first + planned.count);
        let begins = plan.iter().map(|planned| planned.first);
        assert!(begins.skip(1).eq(ends.take(plan.len() - 1)), "in order, nothing left out");
        plan.iter().map(|planned| planned.count).collect()
    }

    #[test]
    fn frames_of_one_size_go_together_and_the_last_may_be_shorter() {
        let group = Destination::Group;
        let sizes = |sizes: &[usize]| {
            let frames: Vec<_> = sizes.iter().map(|bytes| (group, *bytes)).collect();
            counts(&outbox(&frames), ON)
        };
        assert_eq!(sizes(&[9, 9, 9]), [3]);
        assert_eq!(sizes(&[9, 9, 5, 9]), [3, 1]);
        assert_eq!(sizes(&[5, 9, 9]), [1, 2]);
        assert_eq!(sizes(&[9, 5, 5]), [2, 1]);
        assert_eq!(sizes(&[9; 130]), [64, 64, 2]);
        assert_eq!(sizes(&[8972; 9]), [7, 2], "65507 bytes at most");
        assert_eq!(sizes(&[9001, 9001]), [1, 1], "longer than the device sends");
    }

    #[test]
    fn other_destinations_part_what_would_go_together() {
        let frames = [
            (Destination::Group, 9),
            (Destination::Member(B), 9),
            (Destination::Group, 9),
            (Destination::Group, 9),
        ];
        assert_eq!(counts(&outbox(&frames), ON), [1, 1, 2]);
        let off = Segmenting { on: false, ..ON };
        assert_eq!(counts(&outbox(&frames), off), [1; 4]);
    }

    #[test]
    fn every_peer_gets_everything_in_order() {
        let outbox = outbox(&[
            (Destination::Group, 9),
            (Destination::Group, 9),
            (Destination::Member(A), 3),
        ]);
        let mut plan = Vec::new();
        outbox.plan(&Group::Peers(vec![A, B]), ON, &mut plan);
        let planned = |first, count, to| Planned { first, count, to, via: Via::Own };
        assert_eq!(plan, [planned(0, 2, A), planned(0, 2, B), planned(2, 1, A)]);
        outbox.plan(&Group::Peers(vec![]), ON, &mut plan);
        assert_eq!(plan, [planned(2, 1, A)]);
    }

    #[test]
    fn frames_for_a_raw_group_go_alone_and_others_by_udp() {
        let outbox = outbox(&[
            (Destination::Group, 9),
            (Destination::Group, 9),
            (Destination::Member(B), 9),
            (Destination::Member(B), 9),
        ]);
        let mut plan = Vec::new();
        outbox.plan(&Group::Multicast { address: A, via: Via::Raw }, ON, &mut plan);
        let planned = |first, count, to, via| Planned { first, count, to, via };
        let raw = |first| planned(first, 1, A, Via::Raw);
        assert_eq!(plan, [raw(0), raw(1), planned(2, 2, B, Via::Own)]);
    }

    #[test]
    fn what_no_datagram_carries_is_not_queued() {
        let mut outbox = Outbox::new();
        assert!(!outbox.push(Destination::Group, b"", Bytes::new()));
        assert!(!outbox.push(Destination::Group, b"h", Bytes::from(vec![0; DATAGRAM_BYTES_MAX])));
        assert!(outbox.has_room(&[0; DATAGRAM_BYTES_MAX]));
        for _ in 0..FRAMES_MAX {
            assert!(outbox.push(Destination::Group, b"h", Bytes::new()));
        }
        assert!(!outbox.push(Destination::Group, b"h", Bytes::new()));
        outbox.clear();
        assert!(outbox.push(Destination::Group, b"h", Bytes::new()));
    }

    /// The plan after one try, with the counters.
    fn judged(errno: i32, again: bool) -> (Vec<Planned>, Segmenting, Counters) {
        let outbox = outbox(&[(Destination::Group, 9), (Destination::Group, 9)]);
        let (mut plan, mut segmenting) = (Vec::new(), ON);
        let mut counters = Counters::default();
        outbox.plan(&MULTICAST, ON, &mut plan);
        outbox.judge(&mut plan, &[errno], again, &mut segmenting, &mut counters);
        (plan, segmenting, counters)
    }

    #[test]
    fn a_refused_super_packet_goes_frame_by_frame_from_then_on() {
        for errno in [libc::EIO, libc::EINVAL, libc::EMSGSIZE] {
            let (plan, segmenting, counters) = judged(errno, true);
            let counts: Vec<_> = plan.iter().map(|p| (p.first, p.count)).collect();
            assert_eq!(counts, [(0, 1), (1, 1)]);
            assert_eq!(segmenting.on, errno == libc::EMSGSIZE);
            assert_eq!(counters.dropped_frames, 0);
        }
    }

    #[test]
    fn want_of_room_is_met_with_a_bounded_number_of_tries() {
        let (plan, _, counters) = judged(libc::EAGAIN, true);
        assert_eq!((plan.len(), plan[0].count, counters.send_retries), (1, 2, 1));
        let (plan, _, counters) = judged(libc::ENOBUFS, false);
        assert_eq!((plan.len(), counters.dropped_frames), (0, 2));
        assert_eq!(counters.last_send_errno, libc::ENOBUFS);
    }

    #[test]
    fn sent_and_lost_frames_are_counted() {
        let (plan, _, counters) = judged(0, true);
        assert_eq!((plan.len(), counters.sent_frames, counters.sent_bytes), (0, 2, 18));
        assert_eq!(counters.sent_datagrams, 1);
        let (plan, segmenting, counters) = judged(libc::ENETUNREACH, true);
        assert_eq!((plan.len(), counters.dropped_frames), (0, 2));
        assert!(segmenting.on);
    }
}
