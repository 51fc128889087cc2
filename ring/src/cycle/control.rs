//! The control half's cycle.

use std::hash::{Hash, Hasher};

use bytes::Bytes;

use super::store::Store;
use crate::epoch::Start;
use crate::handoff::{Directive, Report};
use crate::id::{Epoch, NodeId};
use crate::layer::Letter;
use crate::membership::{ControlDestination, Membership, Notice};
use crate::ordering::Identity;
use crate::params::Params;
use crate::time::Time;

/// What the control half exchanges with its surroundings in one cycle.
pub trait ControlPort {
    /// The next report of the worker.
    fn report(&mut self) -> Option<Report>;
    /// Fills `frame` with the next received frame of a control socket; false when there is none.
    fn receive(&mut self, frame: &mut Vec<u8>) -> bool;
    /// The disk's answer to the last [`ControlPort::write`]: the ceiling that is durable, or
    /// `None` inside when the write failed.
    fn written(&mut self) -> Option<Option<Epoch>>;
    /// Makes an epoch ceiling durable, file and directory synced.
    fn write(&mut self, ceiling: Epoch);
    /// Makes a record of primary components durable, file and directory synced; one at a time.
    fn store(&mut self, record: Bytes);
    /// The disk's answer to the last [`ControlPort::store`]: whether the record is durable.
    fn stored(&mut self) -> Option<bool>;
    /// Sends a frame.
    fn send(&mut self, to: ControlDestination, frame: &[u8]);
    /// Hands a directive to the worker.
    fn direct(&mut self, directive: Directive);
    /// Tells the operator.
    fn notice(&mut self, notice: Notice);
    /// The next letter that a layer sends; without layers there is none.
    fn letter(&mut self) -> Option<Letter> {
        None
    }
    /// Hands a letter to the layer; it may be lost.
    fn hand_letter(&mut self, _from: NodeId, _payload: Bytes) {}
}

/// Frames taken in one cycle at most.
const FRAMES_PER_CYCLE_MAX: usize = 256;

/// Letters sent in one cycle at most: what a control socket's buffer takes beside all else.
const LETTERS_PER_CYCLE_MAX: usize = 64;

/// The control half of a member: the membership machine and the order of its work.
#[derive(Clone, Debug)]
pub struct ControlHalf {
    membership: Membership,
    frame: Vec<u8>,
    /// When the last cycle ran.
    cycled_at: Time,
    /// Standing still for longer than this makes queued frames worthless.
    stall: std::time::Duration,
    store: Store,
}

/// Of two equal ones the same inputs make the same outputs.
impl Hash for ControlHalf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { membership, frame: _, cycled_at, stall: _, store } = self;
        (membership, cycled_at, store).hash(state);
    }
}

impl ControlHalf {
    /// The control half at a member's start; `start`'s ceiling is durable.
    #[must_use]
    pub fn new(identity: Identity, start: Start, params: Params, now: Time) -> Self {
        let stall = params.token_loss;
        let membership = Membership::new(identity, start, params, now);
        let store = Store::new(stall / 2);
        Self { membership, frame: Vec::new(), cycled_at: now, stall, store }
    }

    /// The membership machine.
    #[must_use]
    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Announces the leave and ends.
    pub fn leave(&mut self, now: Time) {
        self.membership.leave(now);
    }

    /// When the next cycle must run at the latest, if nothing arrives before.
    ///
    /// Soon enough for a half that merely had nothing to do not to be taken for one that stood still.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let due = self.membership.poll_timeout()?;
        let due = self.store.poll_timeout().map_or(due, |at| at.min(due));
        Some(due.min(self.cycled_at + self.stall / 2))
    }

    /// One bounded round of work; yields how much was done.
    pub fn cycle<P: ControlPort>(&mut self, now: Time, port: &mut P) -> usize {
        let mut work = 0;
        while let Some(report) = port.report() {
            match report {
                Report::Store { number, record } => self.store.handle_store(now, number, record),
                report => self.membership.handle_report(now, report),
            }
            work += 1;
        }
        if let Some(ceiling) = port.written() {
            self.membership.handle_written(now, ceiling);
            work += 1;
        }
        if let Some(durable) = port.stored() {
            let told = self.store.handle_stored(now, durable);
            told.into_iter().for_each(|number| port.direct(Directive::Stored { number }));
            work += 1;
        }
        work += self.receive(now, port);
        self.membership.handle_timeout(now);
        if let Some(ceiling) = self.membership.poll_write() {
            port.write(ceiling);
        }
        if let Some(record) = self.store.poll_write(now) {
            port.store(record);
        }
        while let Some(directive) = self.membership.poll_directive() {
            port.direct(directive);
            work += 1;
        }
        for _ in 0..LETTERS_PER_CYCLE_MAX {
            let Some(Letter { to, payload }) = port.letter() else { break };
            self.membership.send_letter(to, &payload);
            work += 1;
        }
        while let Some((from, payload)) = self.membership.poll_letter() {
            port.hand_letter(from, payload);
        }
        while let Some(to) = self.membership.poll_transmit(&mut self.frame) {
            port.send(to, &self.frame);
            work += 1;
        }
        while let Some(notice) = self.membership.poll_notice() {
            port.notice(notice);
        }
        self.cycled_at = now;
        work
    }

    /// Membership frames that queued while this half stood still tell of attempts that are over:
    /// acting on them would open a bogus one.
    fn receive<P: ControlPort>(&mut self, now: Time, port: &mut P) -> usize {
        let stalled = now.since(self.cycled_at) > self.stall;
        let mut received = 0;
        while received < FRAMES_PER_CYCLE_MAX && port.receive(&mut self.frame) {
            if !stalled {
                self.membership.handle_frame(now, &self.frame);
            }
            received += 1;
        }
        received
    }
}
