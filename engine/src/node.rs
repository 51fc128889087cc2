//! The application's handle on a member.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam::channel::Sender;
use roundel_ring::configuration::Configuration;
use roundel_ring::delivery::{Assembler, Delivery, Message, MessageRef};
use roundel_ring::id::{Incarnation, NodeId, RingId};
use roundel_ring::layer::StreamEvent as EventRef;
use roundel_ring::service::{Channel, Service};
use roundel_transport::{Interface, IoInUse};

use crate::builder::Builder;
use crate::control::Control;
use crate::doorbell::{Bed, Doorbell};
use crate::ending::EndReason;
use crate::layered::Letters;
use crate::publisher::{Publisher, TryPublishError};
use crate::rotation::Rotations;
use crate::stall::{At, stall};
use crate::worker::Worker;

/// What a member tells its application, in one order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A message.
    Message(Message),
    /// A configuration change.
    Configuration(Configuration),
    /// The regular configuration in force is the primary component, until the next transitional
    /// one. Only with a policy ([`Builder::primary`]).
    Primary {
        /// Its ring.
        ring: RingId,
    },
}

/// Why there is no event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TryRecvError {
    /// None is ready now.
    #[error("no event is ready")]
    Empty,
    /// The member has ended and every event was taken.
    #[error("the member has ended: {0}")]
    Ended(EndReason),
}

/// How a leave went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaveReport {
    /// Why the member ended: [`EndReason::Left`] when all went well.
    pub reason: EndReason,
    /// Messages that were accepted and not delivered before the deadline.
    pub undelivered: u64,
}

/// Fixed facts of a running member, for people and logs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who.
    pub id: NodeId,
    /// Its start epoch.
    pub incarnation: Incarnation,
    /// Where it sends and receives.
    pub interface: Interface,
    /// Its way to the kernel.
    pub io: IoInUse,
    /// What the operator should know, a line each: cause, consequence, fix.
    pub notices: Vec<String>,
}

/// A member of a cluster.
///
/// Commands: [`Node::publish`], [`Node::leave`] and their kin. Events: [`Node::recv`] and its kin
/// give one stream of messages and configuration changes, the same at every member; what other
/// members' layers say to each other ([`crate::Layered`]) is left out. In inline drive,
/// [`Node::poll`] does the member's work in the caller's thread.
///
/// Dropping a node leaves without waiting; what was accepted and not yet ordered may be lost
/// then. [`Node::leave`] is the real end.
#[derive(Debug)]
pub struct Node {
    pub(crate) facts: Facts,
    pub(crate) publisher: Publisher,
    pub(crate) stream: rtrb::Consumer<Delivery>,
    pub(crate) assembler: Assembler,
    /// Events of the packet that was taken last.
    pub(crate) ready: VecDeque<Event>,
    /// Where the application waits for events.
    pub(crate) bed: Bed,
    pub(crate) leaves: Sender<Instant>,
    pub(crate) control_bell: Doorbell,
    pub(crate) letters: Letters,
    /// A layer takes the letters that come.
    pub(crate) hears_letters: bool,
    pub(crate) drive: Drive,
    /// Holds the lock of the state directory until it ends.
    pub(crate) disk: Option<JoinHandle<()>>,
}

/// Who does the member's work.
#[derive(Debug)]
pub(crate) enum Drive {
    Threads { data: JoinHandle<()>, control: JoinHandle<()> },
    Inline { worker: Box<Worker>, control: Box<Control> },
    Ended,
}

/// Longest wait before looking whether the member has ended.
const RECV_POLL: Duration = Duration::from_millis(100);

/// Longest wait at once: a point in time that far away can still be told.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// What a leave takes beyond its deadline: announcements, and the threads' last sleep.
const LEAVE_GRACE: Duration = Duration::from_secs(2);

impl Node {
    /// Begins the description of a member of `cluster`; members of clusters with other names
    /// never meet.
    #[must_use]
    pub fn builder(cluster: &str) -> Builder {
        Builder::new(cluster)
    }

    /// Fixed facts of this member.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The sending side, for other threads.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        self.publisher.clone()
    }

    /// Accepts a message, waiting for room: [`Publisher::publish`]. In inline drive it works on
    /// meanwhile, and gives the payload back when the application must receive first.
    ///
    /// # Errors
    /// The payload back with the reason.
    pub fn publish(
        &mut self,
        service: Service,
        payload: impl Into<Bytes>,
    ) -> Result<(), TryPublishError> {
        if !matches!(self.drive, Drive::Inline { .. }) {
            return self.publisher.publish(service, payload);
        }
        let mut payload = payload.into();
        loop {
            match self.publisher.try_publish(service, payload) {
                Err(TryPublishError::Full(back)) if self.stream_has_room() => payload = back,
                outcome => return outcome,
            }
            self.poll();
        }
    }

    /// Accepts a message if there is room: [`Publisher::try_publish`].
    ///
    /// # Errors
    /// The payload back with the reason.
    pub fn try_publish(
        &self,
        service: Service,
        payload: impl Into<Bytes>,
    ) -> Result<(), TryPublishError> {
        self.publisher.try_publish(service, payload)
    }

    /// The next event, if one is ready.
    ///
    /// # Errors
    /// That there is none, or that the member has ended and all was taken.
    pub fn try_recv(&mut self) -> Result<Event, TryRecvError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let Ok(delivery) = self.take() else { return Err(self.nothing_ready()) };
            match &delivery {
                Delivery::Configuration(configuration) => {
                    self.ready.push_back(Event::Configuration(configuration.clone()));
                }
                Delivery::Primary { ring } => self.ready.push_back(Event::Primary { ring: *ring }),
                Delivery::Packet(_) => {}
            }
            let ready = &mut self.ready;
            let each = |message: MessageRef<'_>| {
                if message.channel == Channel::APPLICATION {
                    ready.push_back(Event::Message(message.to_message()));
                }
            };
            self.assembler.handle(&delivery, each);
        }
    }

    /// Hands every event that is ready now, up to about `packets` packets of them, to `each`,
    /// borrowed: the way that allocates nothing. Yields how many events there were.
    ///
    /// # Errors
    /// That the member has ended and all was taken.
    pub fn recv_batch(
        &mut self,
        packets: usize,
        mut each: impl FnMut(EventRef<'_>),
    ) -> Result<usize, EndReason> {
        let mut handed = 0;
        let outcome = self.recv_stream(packets, |event| {
            let of_a_layer = |it: &MessageRef<'_>| it.channel != Channel::APPLICATION;
            if !matches!(&event, EventRef::Message(message) if of_a_layer(message)) {
                handed += 1;
                each(event);
            }
        });
        outcome.map(|_| handed)
    }

    /// [`Node::recv_batch`] with the messages of every channel.
    pub(crate) fn recv_stream(
        &mut self,
        packets: usize,
        mut each: impl FnMut(EventRef<'_>),
    ) -> Result<usize, EndReason> {
        let mut events = 0;
        while let Some(event) = self.ready.pop_front() {
            events += 1;
            match &event {
                Event::Configuration(configuration) => {
                    each(EventRef::Configuration(configuration));
                }
                Event::Primary { ring } => each(EventRef::Primary { ring: *ring }),
                Event::Message(message) => each(EventRef::Message(message.as_ref())),
            }
        }
        for _ in 0..packets {
            let Ok(delivery) = self.take() else { break };
            match &delivery {
                Delivery::Configuration(configuration) => {
                    events += 1;
                    each(EventRef::Configuration(configuration));
                }
                Delivery::Primary { ring } => {
                    events += 1;
                    each(EventRef::Primary { ring: *ring });
                }
                Delivery::Packet(_) => {}
            }
            self.assembler.handle(&delivery, |message| {
                events += 1;
                each(EventRef::Message(message));
            });
        }
        match self.nothing_ready() {
            TryRecvError::Ended(reason) if events == 0 => Err(reason),
            _ => Ok(events),
        }
    }

    /// The next event, waiting at most `timeout`.
    ///
    /// # Errors
    /// That none came in time, or that the member has ended and all was taken.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Event, TryRecvError> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            match self.try_recv() {
                Err(TryRecvError::Empty) => {}
                outcome => return outcome,
            }
            let now = Instant::now();
            let left = deadline.map_or(RECV_POLL, |at| at.saturating_duration_since(now));
            if left.is_zero() {
                return Err(TryRecvError::Empty);
            }
            self.wait(left.min(RECV_POLL));
        }
    }

    /// The next event, waiting as long as it takes.
    ///
    /// # Errors
    /// That the member has ended and all was taken.
    pub fn recv(&mut self) -> Result<Event, EndReason> {
        loop {
            match self.recv_timeout(Duration::MAX) {
                Ok(event) => return Ok(event),
                Err(TryRecvError::Ended(reason)) => return Err(reason),
                Err(TryRecvError::Empty) => {}
            }
        }
    }

    /// Waits until an event may be ready, at most `timeout`; may end early. In inline drive it
    /// does the member's work meanwhile, and where other threads compute on the same processor it may
    /// last 50 µs although `timeout` is shorter, unless that is zero.
    pub fn wait(&mut self, timeout: Duration) {
        let timeout = timeout.min(WAIT_MAX);
        if let Drive::Inline { .. } = self.drive {
            let deadline = Instant::now() + timeout;
            loop {
                let worked = self.poll() > 0 || self.has_events();
                let left = deadline.saturating_duration_since(Instant::now());
                let Drive::Inline { worker, control } = &mut self.drive else { return };
                if worked || left.is_zero() {
                    return;
                }
                worker.rest_with(control, left);
                // What the caller has for the token goes first.
                if Instant::now() >= deadline {
                    return;
                }
            }
        }
        self.bed.sleep(timeout, || self.has_events() || self.has_ended());
    }

    /// What becomes readable when there are events, for a loop of the application's own.
    ///
    /// Before waiting for it: [`Node::arm`], and wait only if that says so.
    #[must_use]
    pub fn event_fd(&self) -> BorrowedFd<'_> {
        self.bed.waker().as_fd()
    }

    /// Makes [`Node::event_fd`] tell of the next event; false when there are events already, so
    /// that waiting would be wrong.
    #[must_use]
    pub fn arm(&mut self) -> bool {
        self.bed.arm(|| self.has_events() || self.has_ended())
    }

    /// Does one bounded round of the member's work in the caller's thread; yields how much was
    /// done. Only in inline drive is there work to do. What comes for the membership is looked for
    /// every 200 µs: to rest between rounds, use [`Node::wait`].
    pub fn poll(&mut self) -> usize {
        let Drive::Inline { worker, control } = &mut self.drive else { return 0 };
        let mut work = worker.cycle();
        if worker.take_watched() {
            control.handle_wait(worker.seen_at(), true);
        }
        work += control.cycle_if_due(worker.seen_at());
        if self.publisher.shared.ending.is_stopping() {
            worker.finish();
            self.drive = Drive::Ended;
        }
        work
    }

    /// Counters of the data path and its link by name; at most some milliseconds old, but for what
    /// the kernel dropped while the ring was idle (half a second).
    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.publisher.shared.counters.read().collect()
    }

    /// How long the token took around the ring, since the start.
    #[must_use]
    pub fn rotations(&self) -> Rotations {
        self.publisher.shared.rotations.read()
    }

    /// Accepts nothing more, delivers what was accepted, announces the leave, and ends; events may
    /// be received on. [`Node::leave`] does this and waits.
    pub fn begin_leave(&mut self, deadline: Duration) {
        let shared = &self.publisher.shared;
        if !shared.ending.close() {
            return;
        }
        stall(At::Push);
        let _ = self.leaves.try_send(Instant::now() + deadline);
        // The worker takes it once it has taken every message before it: nobody waits here, where
        // nobody makes room by receiving.
        shared.commands.leave();
        self.publisher.worker_bell.ring();
        self.control_bell.ring();
    }

    /// The proper end: accepts nothing more, delivers every accepted message within `deadline`,
    /// announces the leave, so that the others go on at once, and ends. Events that come meanwhile
    /// are dropped; receive until the end after [`Node::begin_leave`] to see them.
    #[must_use]
    pub fn leave(mut self, deadline: Duration) -> LeaveReport {
        self.begin_leave(deadline);
        let give_up = Instant::now() + deadline + LEAVE_GRACE;
        loop {
            match self.recv_timeout(RECV_POLL) {
                Err(TryRecvError::Ended(reason)) => return self.report(reason),
                Err(TryRecvError::Empty) if Instant::now() > give_up => {
                    // A thread that does not end is left to itself: no leave lasts for ever.
                    self.publisher.shared.ending.end(EndReason::Panicked);
                    (self.drive, self.disk) = (Drive::Ended, None);
                    return self.report(EndReason::Panicked);
                }
                Ok(_) | Err(TryRecvError::Empty) => {}
            }
        }
    }

    fn report(&mut self, reason: EndReason) -> LeaveReport {
        let mut panicked = false;
        if let Drive::Threads { data, control } = std::mem::replace(&mut self.drive, Drive::Ended) {
            panicked = data.join().is_err() | control.join().is_err();
        }
        // It ended with control; a member of the same name may be started once it is gone.
        if let Some(disk) = self.disk.take() {
            panicked |= disk.join().is_err();
        }
        let undelivered = self.publisher.shared.ending.undelivered();
        let reason = if panicked { EndReason::Panicked } else { reason };
        LeaveReport { reason, undelivered }
    }

    /// The member has ended, and the worker has written its last event.
    fn has_ended(&self) -> bool {
        match &self.drive {
            Drive::Threads { .. } => self.publisher.shared.ending.has_worker_ended(),
            Drive::Inline { .. } => false,
            Drive::Ended => true,
        }
    }

    /// Nothing is under way in this member, as far as it can be seen from its own thread.
    #[cfg(test)]
    pub(crate) fn is_quiet(&self) -> bool {
        match &self.drive {
            Drive::Inline { worker, .. } => {
                worker.is_quiet() && self.stream.is_empty() && self.ready.is_empty()
            }
            Drive::Threads { .. } | Drive::Ended => false,
        }
    }

    fn take(&mut self) -> Result<Delivery, rtrb::PopError> {
        stall(At::Pop);
        self.stream.pop()
    }

    /// Of a packet that was taken, or in the stream.
    fn has_events(&self) -> bool {
        let letters = self.hears_letters && !self.letters.came.is_empty();
        letters || !self.ready.is_empty() || !self.stream.is_empty()
    }

    fn stream_has_room(&self) -> bool {
        self.stream.slots() < self.stream.buffer().capacity()
    }

    fn nothing_ready(&self) -> TryRecvError {
        if self.ready.is_empty() && self.has_ended() && self.stream.is_empty() {
            let reason = self.publisher.shared.ending.reason().unwrap_or(EndReason::Panicked);
            TryRecvError::Ended(reason)
        } else {
            TryRecvError::Empty
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.publisher.shared.ending.abandon();
        self.control_bell.ring();
    }
}
