//! The way to the kernel by io_uring.
//!
//! Datagrams are received without a call for each: a multishot receive completes into buffers
//! provided beforehand. All sends of a cycle are one submission. When nothing has happened,
//! looking for it makes no system call.

mod probe;
mod provided;
mod receiver;
mod ring;
mod why;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use io_uring::types::CancelBuilder;
use io_uring::{cqueue, opcode, types};
use socket2::Socket;

use crate::counters::Counters;
use crate::inbox::Inbox;
use crate::link::STALL;
use crate::notice::UringError;
use crate::outbox::Via;
use crate::sys::intake::SocketTerms;
use crate::sys::messages::Messages;
use crate::waker::Waker;

use receiver::{Memory, Receiver};
use ring::{Level, Refused, Ring};

/// How long tear-down waits for the kernel to let go of the buffers before it leaks them.
const TEARDOWN: Duration = Duration::from_millis(500);

/// The sockets' numbers, and those of their groups of buffers.
const OWN: u16 = 0;
const GROUP: u16 = 1;

/// What a completion is of: the upper half of its user data.
const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const WAKE: u64 = 3 << 32;
const CANCEL: u64 = 4 << 32;
const WATCH: u64 = 5 << 32;
const KIND: u64 = u64::MAX << 32;

/// An error number that no kernel gives: the completion was not seen yet.
const PENDING: i32 = i32::MIN;

/// io_uring cannot be had or does not work any more.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The kernel refused a step.
    Refused(Refused),
    /// Nothing was refused, and yet it does not work.
    Misbehaves {
        /// What was done.
        step: &'static str,
    },
}

impl Failure {
    /// The error number that tells most of it.
    pub(crate) fn errno(&self) -> i32 {
        match self {
            Self::Refused(refused) => refused.errno,
            Self::Misbehaves { .. } => libc::EIO,
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Failure> for UringError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refused) => why::why(refused),
            Failure::Misbehaves { step } => Self::Misbehaves { step },
        }
    }
}

/// A data link's ring, sockets and receive buffers. Belongs to the thread that first receives,
/// sends or waits.
#[derive(Debug)]
pub(crate) struct Uring {
    /// Closed before the buffers go.
    ring: Ring,
    /// The own socket's and, in multicast mode, the group's.
    receivers: Vec<Receiver>,
    waker: Waker,
    waker_is_armed: bool,
    /// A wake was seen that no wait has ended for yet.
    is_woken: bool,
    /// Nothing was received since the last wait: what wakes are seen now, it may have ended for.
    has_waited: bool,
    watched: Vec<Watched>,
    watched_is_ready: bool,
    sends_pending: usize,
}

/// A file that its owner keeps open.
#[derive(Debug)]
struct Watched {
    file: RawFd,
    is_armed: bool,
}

impl Uring {
    /// Tries io_uring and makes a ring for the sockets, of which the first sends. Gives them back
    /// when it does not work.
    pub(crate) fn new(
        own: SocketTerms,
        group: Option<SocketTerms>,
        waker: Waker,
    ) -> Result<Self, Box<(UringError, SocketTerms, Option<SocketTerms>)>> {
        let opened =
            probe::probe().and_then(|level| Ok(Self::prepare(level, &own, group.as_ref())?));
        match opened {
            Ok(prepared) => Ok(Self::assemble(prepared, own, group, waker)),
            Err(error) => Err(Box::new((error, own, group))),
        }
    }

    /// A ring at a level.
    fn open(
        level: Level,
        own: SocketTerms,
        group: Option<SocketTerms>,
        waker: Waker,
    ) -> Result<Self, Failure> {
        let prepared = Self::prepare(level, &own, group.as_ref())?;
        Ok(Self::assemble(prepared, own, group, waker))
    }

    /// Whatever may fail.
    fn prepare(
        level: Level,
        own: &SocketTerms,
        group: Option<&SocketTerms>,
    ) -> Result<(Ring, Vec<Memory>), Failure> {
        let ring = Ring::open(level)?;
        let memories = (OWN..).zip([Some(own), group].into_iter().flatten());
        let memories = memories.map(|(index, (_, terms))| Memory::new(&ring, index, *terms));
        let memories = memories.collect::<Result<_, Refused>>()?;
        Ok((ring, memories))
    }

    fn assemble(
        (ring, memories): (Ring, Vec<Memory>),
        own: SocketTerms,
        group: Option<SocketTerms>,
        waker: Waker,
    ) -> Self {
        let sockets = [Some(own), group].into_iter().flatten();
        let receivers = (OWN..).zip(sockets.zip(memories));
        Self {
            ring,
            receivers: receivers
                .map(|(index, (socket, memory))| Receiver::new(index, socket, memory))
                .collect(),
            waker,
            waker_is_armed: false,
            is_woken: false,
            has_waited: false,
            watched: Vec::new(),
            watched_is_ready: false,
            sends_pending: 0,
        }
    }

    /// Receives what there is, as far as there is room for it; whether the data's socket was seen
    /// empty after the last token.
    pub(crate) fn receive(
        &mut self,
        inbox: &mut Inbox,
        counters: &mut Counters,
    ) -> Result<bool, Failure> {
        let mut has_asked = false;
        loop {
            let is_quiet = self.reap(&mut [], inbox, counters) == 0;
            self.replenish(inbox, counters);
            // A pass that finds no completion and nothing to do for the kernel has seen all that
            // arrived before it: the kernel notes an arrival for this thread before it returns
            // to the sender. So has one that has just asked the kernel: its note may be there
            // without an arrival (it adds the arrival first and the note then, and this thread
            // may take the arrival in between), and stays until the next one.
            let is_all_taken = has_asked && self.ring.queued() == 0;
            if is_quiet && (is_all_taken || !self.ring.has_work()) {
                self.has_waited = false;
                // The data's is the group's, or there is only one.
                return Ok(self.receivers.iter().next_back().is_some_and(Receiver::is_receiving));
            }
            has_asked = self.ring.has_work();
            if has_asked {
                counters.system_calls += 1;
                self.enter(0, None)?;
            }
        }
    }

    /// Offers all messages to the kernel, in order, and waits until it is done with them; pushes
    /// an error number for each, 0 for none.
    pub(crate) fn transmit(
        &mut self,
        messages: &Messages,
        errnos: &mut Vec<i32>,
        inbox: &mut Inbox,
        counters: &mut Counters,
    ) -> Result<(), Failure> {
        let own = types::Fd(self.own().as_raw_fd());
        let group = types::Fd(self.group().unwrap_or(self.own()).as_raw_fd());
        let count = messages.len();
        errnos.resize(count, PENDING);
        let mut offered = 0;
        while offered < count || self.sends_pending > 0 {
            while offered < count {
                let (via, header) = messages.header(offered);
                let sender = if via == Via::Raw { group } else { own };
                // What there is no room for is refused rather than kept: it completes at once,
                // and nothing overtakes anything.
                let send = opcode::SendMsg::new(sender, header)
                    .flags(libc::MSG_DONTWAIT as u32)
                    .build()
                    .user_data(SEND | offered as u64);
                // SAFETY: the header and what it points to, down to the frames in the caller's
                // outbox, stay as they are until this function returns without an error, which
                // is when all completions were seen; on an error the caller leaks them.
                if !unsafe { self.ring.push(&send) } {
                    break;
                }
                self.sends_pending += 1;
                offered += 1;
            }
            counters.system_calls += 1;
            self.enter(0, None)?;
            let mut seen = self.reap(errnos, inbox, counters);
            while seen == 0 && self.sends_pending > 0 {
                counters.system_calls += 1;
                self.enter(1, None)?;
                seen = self.reap(errnos, inbox, counters);
            }
        }
        Ok(())
    }

    /// Blocks until there is something to receive, a wake, or the end of `timeout`.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Failure> {
        if std::mem::take(&mut self.is_woken) || self.ring.has_completions() {
            return Ok(());
        }
        let timeout = if self.is_stalled() {
            Some(timeout.map_or(STALL, |timeout| timeout.min(STALL)))
        } else {
            timeout
        };
        self.arm_polls();
        self.enter(1, timeout)?;
        self.has_waited = true;
        Ok(())
    }

    /// Ends waits also for these files, which stay open as long as this lives.
    pub(crate) fn watch(&mut self, files: impl Iterator<Item = RawFd>) {
        let watched = |file| Watched { file, is_armed: false };
        self.watched.extend(files.map(watched));
    }

    /// Whether one of the watched files became readable since this was asked last.
    pub(crate) fn take_watched(&mut self) -> bool {
        std::mem::take(&mut self.watched_is_ready)
    }

    /// Whether something is not received, for want of memory.
    fn is_stalled(&self) -> bool {
        !self.receivers.iter().all(Receiver::is_receiving)
    }

    pub(crate) fn own(&self) -> &Socket {
        &self.receivers[usize::from(OWN)].socket
    }

    pub(crate) fn group(&self) -> Option<&Socket> {
        let group = self.receivers.get(usize::from(GROUP));
        group.map(|receiver| &receiver.socket)
    }

    /// What becomes readable when there is something to receive: the sockets, until the kernel
    /// was asked to do its share of the work; the ring after that.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let sockets = self.receivers.iter().map(|it| it.socket.as_fd());
        sockets.chain([self.ring.as_fd()]).collect()
    }

    /// Ends everything; the sockets, the own one first, and how they are received from.
    pub(crate) fn give_up(&mut self) -> Vec<SocketTerms> {
        let is_over = self.is_idle() || self.stop();
        // If it is not over, the kernel may write into the buffers until it has closed the ring,
        // which it does some time after this process has. On another thread than the ring's
        // nothing tells when, so they are kept for ever.
        let receivers = self.receivers.drain(..);
        receivers.map(|receiver| receiver.end(is_over)).collect()
    }

    /// Whether the kernel may still read what it was to send.
    pub(crate) fn may_be_sending(&mut self) -> bool {
        // Sends are queued last, so those not taken are the end of the queue.
        self.sends_pending > self.ring.queued()
    }

    /// Whether the kernel has nothing of this process's memory.
    fn is_idle(&self) -> bool {
        let is_receiving = self.receivers.iter().any(|receiver| receiver.is_armed);
        !is_receiving && self.sends_pending == 0
    }

    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> Result<(), Failure> {
        // The first entry decides whose the ring is.
        self.ring.enable()?;
        Ok(self.ring.enter(want, timeout)?)
    }

    fn replenish(&mut self, inbox: &Inbox, counters: &mut Counters) {
        for (index, receiver) in self.receivers.iter_mut().enumerate() {
            let user_data = RECEIVE | index as u64;
            receiver.replenish(&mut self.ring, user_data, inbox.has_room(), counters);
        }
        self.arm_polls();
    }

    fn arm_polls(&mut self) {
        if !self.waker_is_armed {
            self.waker_is_armed = arm_poll(&mut self.ring, self.waker.as_fd().as_raw_fd(), WAKE);
        }
        for (index, watched) in self.watched.iter_mut().enumerate() {
            if !watched.is_armed {
                watched.is_armed = arm_poll(&mut self.ring, watched.file, WATCH | index as u64);
            }
        }
    }

    /// Takes in all completions that are there; how many.
    fn reap(&mut self, errnos: &mut [i32], inbox: &mut Inbox, counters: &mut Counters) -> usize {
        let mut seen = 0;
        for completion in self.ring.completions() {
            seen += 1;
            let (result, flags) = (completion.result(), completion.flags());
            let index = (completion.user_data() & !KIND) as usize;
            match completion.user_data() & KIND {
                RECEIVE => {
                    if let Some(receiver) = self.receivers.get_mut(index) {
                        receiver.complete((result, flags), inbox, counters);
                    }
                }
                SEND => {
                    self.sends_pending -= 1;
                    if let Some(errno) = errnos.get_mut(index) {
                        *errno = result.min(0).saturating_neg();
                    }
                }
                WAKE => {
                    self.waker_is_armed &= cqueue::more(flags);
                    // Each wake completes once more, so what was written is left unread.
                    self.is_woken |= !self.has_waited;
                }
                WATCH => {
                    if let Some(watched) = self.watched.get_mut(index) {
                        watched.is_armed &= cqueue::more(flags);
                    }
                    self.watched_is_ready = true;
                }
                _ => {}
            }
        }
        seen
    }

    /// Ends all receives and waits for their last completions; whether they have come.
    fn stop(&mut self) -> bool {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        // SAFETY: a cancellation points to nothing.
        if !unsafe { self.ring.push(&cancel.user_data(CANCEL)) } {
            return false;
        }
        let deadline = Instant::now() + TEARDOWN;
        // Completions are taken in only to see the last: what they bring goes nowhere.
        let (mut inbox, mut counters) = (Inbox::new(), Counters::default());
        loop {
            self.reap(&mut [], &mut inbox, &mut counters);
            if self.is_idle() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.enter(1, Some(left)).is_err() {
                return false;
            }
        }
    }
}

/// Has each time that `file` becomes readable complete; false when there is no room to ask for it.
fn arm_poll(ring: &mut Ring, file: RawFd, user_data: u64) -> bool {
    let poll = opcode::PollAdd::new(types::Fd(file), libc::POLLIN as u32).multi(true);
    // SAFETY: a poll points to nothing.
    unsafe { ring.push(&poll.build().user_data(user_data)) }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Refused(Refused::at("io_uring_enter")(error))
    }
}
