//! The link of the thread that orders messages.

use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags};
use socket2::Socket;

use crate::counters::Counters;
use crate::frame::{Destination, Frame, kernel_bytes};
use crate::impair::{Faults, Impairment};
use crate::inbox::Inbox;
use crate::memory::DataPort;
use crate::outbox::{Group, Outbox, Planned, Segmenting, TRIES_MAX};
use crate::settings::IoInUse;
use crate::sys::messages::Messages;
use crate::sys::mmsg::Mmsg;
use crate::sys::options;
use crate::sys::uring::{Failure, Uring};
use crate::waker::{Waker, is_ready, wait_for};

/// How long a wait lasts at most while all receive memory is held: nothing tells when it is not.
pub(crate) const STALL: Duration = Duration::from_millis(1);

/// How long sending waits at most for the kernel to have room again, each time.
const ROOM_PAUSE: Duration = Duration::from_millis(1);

/// Files that one link watches besides its own, at most.
pub const WATCHED_MAX: usize = 4;

/// The way to the kernel, or around it.
#[derive(Debug)]
pub(crate) enum Backend {
    Uring(Box<Uring>),
    Mmsg(Box<Mmsg>),
    Memory(DataPort),
}

/// What the kernel dropped because its receive buffers were full, in what it counts: a
/// super-packet is one.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct KernelDrops {
    /// On the data socket.
    pub data: u32,
    /// On the token socket.
    pub token: u32,
}

/// Data and tokens of a member, for one thread.
///
/// A round is: [`receive`](Self::receive), take [`data`](Self::data) and then
/// [`token`](Self::token) frames, [`send`](Self::send) what there is to say, and one
/// [`flush`](Self::flush). Nothing of this blocks. When there was nothing to do,
/// [`wait`](Self::wait).
///
/// Received frames are slices of receive buffers, which are used again once every slice is
/// dropped; frames held for long keep whole buffers. Sent frames are read by the kernel from
/// where they are.
#[derive(Debug)]
pub struct DataLink {
    backend: Backend,
    inbox: Inbox,
    outbox: Outbox,
    group: Group,
    own: SocketAddrV4,
    segmenting: Segmenting,
    messages: Messages,
    plan: Vec<Planned>,
    errnos: Vec<i32>,
    waker: Waker,
    /// Open as long as the backend polls them.
    watched: Vec<OwnedFd>,
    watched_is_ready: bool,
    counters: Counters,
}

impl DataLink {
    pub(crate) fn new(
        backend: Backend,
        own: SocketAddrV4,
        group: Group,
        segmenting: Segmenting,
        waker: Waker,
    ) -> Self {
        Self {
            backend,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            group,
            own,
            segmenting,
            messages: Messages::new(),
            plan: Vec::new(),
            errnos: Vec::new(),
            waker,
            watched: Vec::new(),
            watched_is_ready: false,
            counters: Counters::default(),
        }
    }

    /// Receives what there is, as far as there is room for it; the frames that can be taken now.
    pub fn receive(&mut self, now: Instant) -> usize {
        self.inbox.begin(now);
        let drained = match &mut self.backend {
            Backend::Uring(uring) => match uring.receive(&mut self.inbox, &mut self.counters) {
                Ok(drained) => drained,
                Err(failure) => {
                    self.degrade(&failure);
                    false
                }
            },
            Backend::Mmsg(mmsg) => mmsg.receive(&mut self.inbox, &mut self.counters),
            Backend::Memory(port) => port.receive(&mut self.inbox, &mut self.counters),
        };
        self.inbox.end(drained);
        self.inbox.len()
    }

    /// The next frame of the data socket.
    pub fn data(&mut self) -> Option<Frame> {
        self.inbox.data()
    }

    /// The next frame of the token socket, once all data that came before it was taken.
    pub fn token(&mut self) -> Option<Frame> {
        self.inbox.token()
    }

    /// Queues a frame, `head` and then `body`. Sends what is queued when there is no room.
    ///
    /// A frame that no datagram can carry is given up and counted.
    pub fn send(&mut self, to: Destination, head: &[u8], body: Bytes) {
        if !self.outbox.has_room(head) {
            self.flush();
        }
        if !self.outbox.push(to, head, body) {
            self.counters.dropped_frames += 1;
            self.counters.last_send_errno = libc::EMSGSIZE;
        }
    }

    /// Hands everything queued to the kernel, in order. What it refuses is given up after a
    /// bounded number of tries, and counted: the protocol repairs loss.
    pub fn flush(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        if let Backend::Memory(port) = &mut self.backend {
            port.send(&self.outbox, &self.group, &mut self.counters);
            self.outbox.clear();
            return;
        }
        self.outbox.plan(&self.group, self.segmenting, &mut self.plan);
        let mut tries = 0;
        while !self.plan.is_empty() {
            tries += 1;
            self.transmit();
            let again = tries < TRIES_MAX;
            self.outbox.judge(
                &mut self.plan,
                &self.errnos,
                again,
                &mut self.segmenting,
                &mut self.counters,
            );
            if self.errnos.contains(&libc::EAGAIN) && !self.plan.is_empty() {
                self.wait_for_room();
            }
        }
        self.outbox.clear();
    }

    /// Blocks until there is something to receive, a [`Waker`] fires, or `timeout` is over;
    /// `None` is no timeout. May end early. Queued frames are not sent by it.
    ///
    /// What a waker told of is to be looked for after the next [`receive`](Self::receive): wakes
    /// until then count for this wait.
    pub fn wait(&mut self, timeout: Option<Duration>) {
        if self.inbox.is_waiting() {
            // Nobody has looked.
            self.watched_is_ready |= !self.watched.is_empty();
            return;
        }
        let due = self.fault_due();
        let timeout = match (timeout, due) {
            (Some(timeout), Some(due)) => Some(timeout.min(due)),
            (timeout, due) => timeout.or(due),
        };
        match &mut self.backend {
            Backend::Uring(uring) => {
                if let Err(failure) = uring.wait(timeout) {
                    self.degrade(&failure);
                }
            }
            Backend::Mmsg(mmsg) => {
                self.watched_is_ready |= mmsg.wait(&self.waker, &self.watched, timeout);
                self.waker.clear();
            }
            Backend::Memory(_) => {
                let fds = self.watched.iter().map(AsFd::as_fd).chain([self.waker.as_fd()]);
                let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
                wait_for(&mut fds, timeout);
                self.watched_is_ready |= fds[..self.watched.len()].iter().any(is_ready);
                self.waker.clear();
            }
        }
    }

    /// Has waits of this link end also when one of these files becomes readable, at most
    /// [`WATCHED_MAX`]: for a thread that waits for more than the link. What there is to read in
    /// them must be read up before the next wait. Once, before the first wait.
    ///
    /// # Panics
    /// When there are more, or some already.
    pub fn watch(&mut self, files: Vec<OwnedFd>) {
        assert!(files.len() <= WATCHED_MAX, "files to watch: {}", files.len());
        assert!(self.watched.is_empty(), "watched are {} files already", self.watched.len());
        if let Backend::Uring(uring) = &mut self.backend {
            uring.watch(files.iter().map(AsRawFd::as_raw_fd));
        }
        self.watched = files;
    }

    /// Whether a wait, or with io_uring also a [`receive`](Self::receive), has seen one of the
    /// watched files become readable since this was asked last.
    pub fn take_watched(&mut self) -> bool {
        let seen = match &mut self.backend {
            Backend::Uring(uring) => uring.take_watched(),
            Backend::Mmsg(_) | Backend::Memory(_) => false,
        };
        std::mem::take(&mut self.watched_is_ready) || seen
    }

    /// How long until a delayed frame is to come, where faults delay some.
    fn fault_due(&self) -> Option<Duration> {
        let next_at = self.inbox.impairment.as_ref().and_then(|it| it.next_at());
        next_at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Ends waits of this link, from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Sets who [`Destination::Group`] is in unicast mode: the token addresses of all members,
    /// the own one left out whether it is given or not. Without effect in multicast mode.
    pub fn set_peers(&mut self, peers: &[SocketAddrV4]) {
        // What is queued goes to those that were peers when it was.
        self.flush();
        if let Group::Peers(known) = &mut self.group {
            known.clear();
            known.extend(peers.iter().filter(|peer| **peer != self.own));
        }
    }

    /// The address of the own socket: where this member's tokens go, and what its frames are
    /// from.
    #[must_use]
    pub fn own_address(&self) -> SocketAddrV4 {
        self.own
    }

    /// The way to the kernel.
    #[must_use]
    pub fn io(&self) -> IoInUse {
        match self.backend {
            Backend::Uring(_) => IoInUse::Uring,
            Backend::Mmsg(_) => IoInUse::Mmsg,
            Backend::Memory(_) => IoInUse::Memory,
        }
    }

    /// What this link has done.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What the kernel dropped on the way to this link, exactly, as of now.
    #[must_use]
    pub fn kernel_drops(&self) -> KernelDrops {
        let (group, own) = self.sockets();
        let drops = |socket: Option<&Socket>| {
            socket.map_or(0, |socket| options::drops(socket.as_fd()).unwrap_or(0))
        };
        if group.is_none() {
            return KernelDrops { data: drops(own), token: 0 };
        }
        KernelDrops { data: drops(group), token: drops(own) }
    }

    /// Frames of so many bytes that the data socket's receive buffer has room for when none is read:
    /// fewer than fit when several come as one super-packet. `None` where there is no such buffer.
    #[must_use]
    pub fn receive_frames_max(&self, frame_bytes: usize) -> Option<u32> {
        let (group, own) = self.sockets();
        let socket = group.or(own)?;
        // As the kernel counts it, twice what was asked for.
        let buffer_bytes = socket.recv_buffer_size().ok()?;
        Some(u32::try_from(buffer_bytes / kernel_bytes(frame_bytes)).unwrap_or(u32::MAX))
    }

    /// What becomes readable when [`receive`](Self::receive) has something to do, for loops that
    /// wait for more than this link.
    #[must_use]
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match &self.backend {
            Backend::Uring(uring) => uring.fds(),
            Backend::Mmsg(mmsg) => mmsg.fds(),
            Backend::Memory(_) => vec![self.waker.as_fd()],
        }
    }

    /// Puts faults between the network and this link, from a seed.
    pub fn impair(&mut self, seed: u64, usual: Faults) {
        let impairment = Impairment::new(seed, self.own, usual);
        self.inbox.impairment = Some(Box::new(impairment));
    }

    /// The faults, to change or look at; `None` when there never were any.
    pub fn impairment(&mut self) -> Option<&mut Impairment> {
        self.inbox.impairment.as_deref_mut()
    }

    /// Offers the plan to the kernel.
    fn transmit(&mut self) {
        self.errnos.clear();
        self.messages.build(&self.outbox, &self.plan, self.own.port());
        let (messages, errnos) = (&mut self.messages, &mut self.errnos);
        match &mut self.backend {
            Backend::Uring(uring) => {
                let (inbox, counters) = (&mut self.inbox, &mut self.counters);
                if let Err(failure) = uring.transmit(messages, errnos, inbox, counters) {
                    self.send_otherwise(&failure);
                }
            }
            Backend::Mmsg(mmsg) => mmsg.transmit(messages, errnos, &mut self.counters),
            Backend::Memory(_) => {}
        }
    }

    /// Goes on by mmsg after io_uring has failed. What had arrived in its buffers is lost; the
    /// protocol repairs that. Whether the kernel may still read what it was to send.
    fn degrade(&mut self, failure: &Failure) -> bool {
        let Backend::Uring(uring) = &mut self.backend else {
            return false;
        };
        let mut sockets = uring.give_up().into_iter();
        let may_be_sending = uring.may_be_sending();
        if let Some(own) = sockets.next() {
            self.counters.uring_errno = failure.errno();
            // What it would have told of is looked for instead.
            self.watched_is_ready = !self.watched.is_empty();
            self.backend = Backend::Mmsg(Box::new(Mmsg::new(own, sockets.next())));
        }
        may_be_sending
    }

    /// Takes care of the plan after io_uring has failed to send it.
    fn send_otherwise(&mut self, failure: &Failure) {
        self.errnos.clear();
        if !self.degrade(failure) {
            self.errnos.resize(self.plan.len(), libc::EINTR);
            return;
        }
        std::mem::forget(std::mem::replace(&mut self.messages, Messages::new()));
        std::mem::forget(std::mem::replace(&mut self.outbox, Outbox::new()));
        let frames = self.plan.drain(..).map(|planned| planned.count as u64);
        self.counters.dropped_frames += frames.sum::<u64>();
        self.counters.last_send_errno = failure.errno();
    }

    fn wait_for_room(&self) {
        if let (_, Some(socket)) = self.sockets() {
            let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
            wait_for(&mut fds, Some(ROOM_PAUSE));
        }
    }

    /// The group's socket and the own one.
    fn sockets(&self) -> (Option<&Socket>, Option<&Socket>) {
        match &self.backend {
            Backend::Uring(uring) => (uring.group(), Some(uring.own())),
            Backend::Mmsg(mmsg) => (mmsg.group(), Some(mmsg.own())),
            Backend::Memory(_) => (None, None),
        }
    }
}
