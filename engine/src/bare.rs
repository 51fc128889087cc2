//! A member's data link without a member: the sockets and settings that a ring would have, and
//! none of its protocol. For measurements of what the host can do at most.

use std::time::{Duration, Instant};

use roundel_ring::packet::MESSAGE_PREFIX_BYTES;
use roundel_ring::wire::{body_bytes_max, data};
use roundel_transport::{DataLink, Interface, open};

use crate::builder::{Builder, JoinError};
use crate::idle::{Idle, IdleStep};
use crate::member;

/// How a ring would put messages of one size into packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketShape {
    /// Of the protocol's own data in front of each packet's body, in bytes.
    pub head_bytes: usize,
    /// The body of a packet.
    pub body_bytes: usize,
    /// Whole messages in a packet; 1 where a message takes several.
    pub messages: usize,
    /// Packets of one message; 1 where several messages share one.
    pub packets: usize,
}

impl PacketShape {
    /// For messages of `size` bytes on links of an IP MTU of `mtu_bytes`.
    #[must_use]
    pub const fn of(size: usize, mtu_bytes: usize) -> Self {
        let (head_bytes, room) = (data::HEAD_BYTES, body_bytes_max(mtu_bytes));
        let entry_bytes = MESSAGE_PREFIX_BYTES + size;
        if entry_bytes <= room {
            let messages = room / entry_bytes;
            return Self { head_bytes, body_bytes: messages * entry_bytes, messages, packets: 1 };
        }
        let packets = size.div_ceil(room);
        Self { head_bytes, body_bytes: size.div_ceil(packets), messages: 1, packets }
    }
}

/// A data link that is open, with what else a builder says about it.
#[derive(Debug)]
pub struct BareLink {
    /// The link.
    pub link: DataLink,
    /// The interface it is on.
    pub interface: Interface,
    /// Its IP MTU.
    pub mtu_bytes: usize,
    /// Packets that a member sends at most when it has the token.
    pub personal_packets: u32,
    /// What the operator should know, a line each.
    pub notices: Vec<String>,
    idle: Idle,
}

impl BareLink {
    /// Waits as a member's worker does when it found nothing to do at `now`, and there was work at
    /// `worked_at` last: until something comes, or for a while.
    pub fn rest(&mut self, worked_at: Instant, now: Instant) {
        self.rest_at_most(worked_at, now, SLEEP_MAX);
    }

    /// The same, and sleeps for `most` at most.
    pub fn rest_at_most(&mut self, worked_at: Instant, now: Instant, most: Duration) {
        match self.idle.step(worked_at, now, false) {
            IdleStep::Spin => std::hint::spin_loop(),
            IdleStep::Yield => self.idle.yield_now(now),
            IdleStep::Sleep => self.link.wait(Some(self.idle.sleep(now, most))),
        }
    }
}

/// Longest sleep: bounds how late the caller sees the time.
const SLEEP_MAX: Duration = Duration::from_millis(10);

impl Builder {
    /// Opens the data link that a member of this description would have, and starts no member.
    /// The calling thread is put where the member's worker would be.
    ///
    /// # Errors
    /// What does not work, with cause and fix.
    pub fn open_bare(&self) -> Result<BareLink, JoinError> {
        self.params.validate()?;
        let interface = Interface::choose(&self.interface)?;
        let mtu_bytes = member::mtu(self, &interface)?;
        let opened = open(&self.settings(&interface))?;
        let mut link = opened.data;
        link.set_peers(self.peers.as_deref().unwrap_or_default());
        let [place, _] = self.placement.places();
        place.take();
        Ok(BareLink {
            link,
            interface,
            mtu_bytes,
            personal_packets: self.params.personal_packets,
            notices: opened.notices.iter().map(ToString::to_string).collect(),
            idle: Idle::new(self.idle, self.placement.realtime.is_some()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_filled_as_a_ring_fills_them() {
        let room = body_bytes_max(1500);
        let small = PacketShape::of(64, 1500);
        assert_eq!((small.messages, small.packets), (room / 66, 1));
        assert_eq!(small.body_bytes, small.messages * 66);
        let exact = PacketShape::of(room - 2, 1500);
        assert_eq!((exact.messages, exact.packets, exact.body_bytes), (1, 1, room));
        let large = PacketShape::of(2 * room + 1, 1500);
        assert_eq!((large.messages, large.packets), (1, 3));
        assert_eq!(large.body_bytes, (2 * room + 1).div_ceil(3));
    }
}
