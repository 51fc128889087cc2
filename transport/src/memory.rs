//! A network in memory: the same links, without a kernel.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::control::ControlLink;
use crate::counters::{ControlCounters, Counters};
use crate::frame::{Destination, Frame};
use crate::inbox::{Inbox, Lane};
use crate::link::{Backend, DataLink};
use crate::outbox::{Group, Outbox, Segmenting, Via};
use crate::waker::Waker;

/// Frames that wait at one socket at most; more are dropped and counted, as a kernel does.
const QUEUE_FRAMES_MAX: usize = 16_384;

/// The port of the data group; no host is behind it.
const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 0, 0, 0), 1);

/// A network in memory that members join, for tests: nothing is lost, delayed or reordered on
/// it but by [`DataLink::impair`] and [`ControlLink::impair`].
///
/// A frame is at its receivers as soon as it is sent. Driven from one thread it is deterministic.
#[derive(Clone, Default, Debug)]
pub struct Network(Arc<Mutex<Hub>>);

#[derive(Default, Debug)]
struct Hub {
    data: BTreeMap<SocketAddrV4, Queues>,
    control: BTreeMap<SocketAddrV4, Queues>,
    dropped_frames: u64,
}

/// What waits at a link.
#[derive(Debug)]
struct Queues {
    /// Sent to all.
    group: VecDeque<Frame>,
    /// Sent to this member.
    own: VecDeque<Frame>,
    waker: Waker,
}

impl Queues {
    fn new(waker: Waker) -> Self {
        Self { group: VecDeque::new(), own: VecDeque::new(), waker }
    }
}

impl Network {
    /// A network without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member whose token address is `token`; its control address has the next port. It
    /// leaves when its links are dropped, each for itself.
    ///
    /// # Errors
    ///
    /// When the process cannot have more files, or when the address is taken.
    pub fn join(&self, token: SocketAddrV4) -> std::io::Result<(DataLink, ControlLink)> {
        let control = SocketAddrV4::new(*token.ip(), token.port().wrapping_add(1));
        let in_use = || std::io::Error::from(std::io::ErrorKind::AddrInUse);
        let (data_waker, control_waker) = (Waker::new()?, Waker::new()?);
        {
            let mut hub = self.hub();
            if hub.data.contains_key(&token) || hub.control.contains_key(&control) {
                return Err(in_use());
            }
            hub.data.insert(token, Queues::new(data_waker.clone()));
            let queues = Queues::new(control_waker.clone());
            hub.control.insert(control, queues);
        }
        let data = DataPort(Port { network: self.clone(), own: token, of: |hub| &mut hub.data });
        let control_port =
            ControlPort(Port { network: self.clone(), own: control, of: |hub| &mut hub.control });
        let segmenting = Segmenting { on: false, frame_bytes_max: 0 };
        let group = Group::Multicast { address: GROUP, via: Via::Own };
        let data = DataLink::new(Backend::Memory(data), token, group, segmenting, data_waker);
        Ok((data, ControlLink::in_memory(control_port, control, control_waker)))
    }

    /// Frames dropped because too many waited at a link that did not receive.
    #[must_use]
    pub fn dropped_frames(&self) -> u64 {
        self.hub().dropped_frames
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        // A test that panicked elsewhere leaves queues that are whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place on the network.
#[derive(Debug)]
struct Port {
    network: Network,
    own: SocketAddrV4,
    /// Which of the hub's tables it is in.
    of: fn(&mut Hub) -> &mut BTreeMap<SocketAddrV4, Queues>,
}

impl Port {
    /// Sends to all but this one, or to one; how many frames were put into queues.
    fn send(&self, to: Destination, bytes: &Bytes) -> u64 {
        let mut hub = self.network.hub();
        let (mut sent, mut dropped) = (0, 0);
        let mut put = |queue: &mut VecDeque<Frame>, waker: &Waker| {
            if queue.len() == QUEUE_FRAMES_MAX {
                dropped += 1;
                return;
            }
            queue.push_back(Frame { bytes: bytes.clone(), from: self.own });
            waker.wake();
            sent += 1;
        };
        let members = (self.of)(&mut hub);
        match to {
            Destination::Member(address) => {
                if let Some(queues) = members.get_mut(&address) {
                    put(&mut queues.own, &queues.waker);
                }
            }
            Destination::Group => {
                for (_, queues) in members.iter_mut().filter(|(at, _)| **at != self.own) {
                    put(&mut queues.group, &queues.waker);
                }
            }
        }
        hub.dropped_frames += dropped;
        sent
    }

    fn with<R>(&self, what: impl FnOnce(&mut Queues) -> R) -> Option<R> {
        let mut hub = self.network.hub();
        (self.of)(&mut hub).get_mut(&self.own).map(what)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut hub = self.network.hub();
        (self.of)(&mut hub).remove(&self.own);
    }
}

/// A data link's place.
#[derive(Debug)]
pub(crate) struct DataPort(Port);

impl DataPort {
    pub(crate) fn receive(&self, inbox: &mut Inbox, counters: &mut Counters) -> bool {
        let drained = self.0.with(|queues| {
            let mut accept = |lane, frame: Frame| {
                counters.received_datagrams += 1;
                counters.received_frames += 1;
                counters.received_bytes += frame.bytes.len() as u64;
                inbox.push(lane, frame);
                inbox.has_room()
            };
            while let Some(frame) = queues.own.pop_front() {
                if !accept(Lane::Token, frame) {
                    return false;
                }
            }
            while let Some(frame) = queues.group.pop_front() {
                if !accept(Lane::Data, frame) {
                    return queues.group.is_empty();
                }
            }
            true
        });
        drained.unwrap_or(true)
    }

    pub(crate) fn send(&self, outbox: &Outbox, group: &Group, counters: &mut Counters) {
        let mut plan = Vec::new();
        let one_by_one = Segmenting { on: false, frame_bytes_max: 0 };
        outbox.plan(group, one_by_one, &mut plan);
        for planned in plan {
            let bytes = Bytes::from(outbox.parts(planned.first).concat());
            let to = if planned.to == GROUP {
                Destination::Group
            } else {
                Destination::Member(planned.to)
            };
            self.0.send(to, &bytes);
            counters.sent_datagrams += 1;
            counters.sent_frames += 1;
            counters.sent_bytes += bytes.len() as u64;
        }
    }
}

/// A control link's place.
#[derive(Debug)]
pub(crate) struct ControlPort(Port);

impl ControlPort {
    pub(crate) fn receive(&self) -> Option<Frame> {
        let next =
            |queues: &mut Queues| queues.group.pop_front().or_else(|| queues.own.pop_front());
        self.0.with(next).flatten()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        let any = |queues: &mut Queues| !(queues.group.is_empty() && queues.own.is_empty());
        self.0.with(any).unwrap_or(false)
    }

    pub(crate) fn send(&self, to: Destination, frame: &[u8], counters: &mut ControlCounters) {
        self.0.send(to, &Bytes::copy_from_slice(frame));
        counters.sent_frames += 1;
    }
}
