//! The data half's cycle: the one page to read first.

use std::hash::{Hash, Hasher};

use bytes::Bytes;

use crate::backlog::Refused;
use crate::delivery::Delivery;
use crate::handoff::{Directive, Report};
use crate::ordering::{DataDestination, Identity, Ordering};
use crate::packing::Messages;
use crate::params::Params;
use crate::primary::Primary;
use crate::service::Class;
use crate::time::Time;
use crate::trace;

/// What the application asks of the data half.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Command {
    /// Order one or more messages.
    Publish {
        /// How and for whom.
        class: Class,
        /// Each at most the largest message.
        messages: Messages,
    },
    /// Accept nothing more, and report when all that was accepted is delivered.
    Leave,
}

/// What the data half exchanges with its surroundings in one cycle. Nothing here blocks.
pub trait DataPort {
    /// The directive that control handed over, if any.
    fn directive(&mut self) -> Option<Directive>;
    /// The next received frame of the data socket.
    fn data(&mut self) -> Option<Bytes>;
    /// The next received frame of the token socket. A token is read when no data that came before
    /// it is left unread.
    fn token(&mut self) -> Option<Bytes>;
    /// The next command of the application.
    fn command(&mut self) -> Option<Command>;
    /// Writes history, in order, before anything of this cycle leaves.
    fn record(&mut self, entries: Vec<trace::Entry>);
    /// Sends a frame: `head`, then `body`.
    fn send(&mut self, to: DataDestination, head: &[u8], body: Bytes);
    /// Whether the delivery stream takes another item.
    fn stream_has_room(&mut self) -> bool;
    /// Takes the next item of the delivery stream.
    fn deliver(&mut self, delivery: Delivery);
    /// Whether the queue to control takes another report.
    fn reports_have_room(&mut self) -> bool;
    /// Hands a report to control.
    fn report(&mut self, report: Report);
}

/// Frames taken from one socket in one cycle at most, so that timers and sends get their turn.
const FRAMES_PER_CYCLE_MAX: usize = 1024;

/// Commands taken in one cycle at most.
const COMMANDS_PER_CYCLE_MAX: usize = 1024;

/// The data half of a member: the ordering machine and the order of its work.
#[derive(Clone, Debug)]
pub struct DataHalf {
    ordering: Ordering,
    head: Vec<u8>,
    /// Messages that came after the leave.
    refused: u64,
}

/// Of two equal ones the same inputs make the same outputs.
impl Hash for DataHalf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { ordering, head: _, refused: _ } = self;
        ordering.hash(state);
    }
}

impl DataHalf {
    /// The data half at a member's start, with the ring of itself alone installed.
    #[must_use]
    pub fn new(identity: Identity, params: Params, traced: bool, now: Time) -> Self {
        let head = Vec::with_capacity(crate::wire::MTU_MAX_BYTES);
        Self { ordering: Ordering::new(identity, params, traced, now), head, refused: 0 }
    }

    /// The same with a primary component, before its first cycle.
    #[must_use]
    pub fn with_primary(mut self, now: Time, primary: Primary) -> Self {
        self.ordering.set_primary(now, primary);
        self
    }

    /// The ordering machine.
    #[must_use]
    pub const fn ordering(&self) -> &Ordering {
        &self.ordering
    }

    /// Messages that were published here and not delivered here: what a member that ends now loses.
    #[must_use]
    pub const fn undelivered(&self) -> u64 {
        self.ordering.undelivered() + self.refused
    }

    /// The kernel has dropped frames for want of room: [`Ordering::handle_drops`].
    pub fn handle_drops(&mut self) {
        self.ordering.handle_drops();
    }

    /// When the next cycle must run at the latest, if nothing arrives before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.ordering.poll_timeout()
    }

    /// One bounded round of work; yields how much was done.
    pub fn cycle<P: DataPort>(&mut self, now: Time, port: &mut P) -> usize {
        let mut work = 0;
        // At most one directive is outstanding, and perhaps an answer of the disk; they go first: what
        // follows in this cycle is the new state's.
        while let Some(directive) = port.directive() {
            self.ordering.handle_directive(now, directive);
            work += 1;
        }
        work += self.receive(now, port);
        work += self.take_commands(now, port);
        // After the receive pass: a member that stood still judges nobody by unread frames.
        self.ordering.handle_timeout(now);
        self.ordering.advance(now);
        let entries = self.ordering.take_trace();
        if !entries.is_empty() {
            port.record(entries);
        }
        while let Some(transmit) = self.ordering.poll_transmit(&mut self.head) {
            port.send(transmit.to, &self.head, transmit.body);
            work += 1;
        }
        while port.stream_has_room() {
            let Some(delivery) = self.ordering.poll_delivery() else {
                break;
            };
            port.deliver(delivery);
            work += 1;
        }
        while port.reports_have_room() {
            let Some(report) = self.ordering.poll_report() else { break };
            port.report(report);
            work += 1;
        }
        work
    }

    /// Data before token: what a token covers is then not requested again.
    fn receive<P: DataPort>(&mut self, now: Time, port: &mut P) -> usize {
        let mut received = 0;
        while received < FRAMES_PER_CYCLE_MAX
            && let Some(frame) = port.data()
        {
            self.ordering.handle_frame(now, &frame);
            received += 1;
        }
        let mut tokens = 0;
        while tokens < FRAMES_PER_CYCLE_MAX
            && let Some(frame) = port.token()
        {
            self.ordering.handle_frame(now, &frame);
            tokens += 1;
        }
        received + tokens
    }

    fn take_commands<P: DataPort>(&mut self, now: Time, port: &mut P) -> usize {
        let mut taken = 0;
        while taken < COMMANDS_PER_CYCLE_MAX && self.ordering.has_room() {
            match port.command() {
                None => break,
                Some(Command::Leave) => self.ordering.close(),
                Some(Command::Publish { class, messages }) => {
                    match self.ordering.submit(now, class, messages) {
                        Ok(_) => {}
                        // Published while the application began to leave.
                        Err(Refused::Closed(messages)) => {
                            self.refused += u64::from(messages.count());
                        }
                        // There is room, and the caller has checked the size.
                        Err(Refused::Full(_) | Refused::TooLarge(_)) => {
                            debug_assert!(false, "an accepted message is never lost");
                        }
                    }
                }
            }
            taken += 1;
        }
        taken
    }
}
