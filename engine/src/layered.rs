//! A member with a layer on its event stream: groups, replicas, or whatever users build.

use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam::channel::{Receiver, Sender, bounded};
use roundel_ring::id::NodeId;
use roundel_ring::layer::{Layer, Letter, Publication};
use roundel_ring::packing::Messages;
use tracing::error;

use crate::clock::Clock;
use crate::doorbell::Doorbell;
use crate::ending::EndReason;
use crate::node::{LeaveReport, Node};

/// Letters that wait on either side of control at most; what comes beyond is lost, as any may be.
const LETTERS_MAX: usize = 256;

/// Packets handed to the layer before it is asked for its answers.
const PACKETS_PER_ROUND: usize = 64;

/// The application's ends of the letters' two queues.
#[derive(Debug)]
pub(crate) struct Letters {
    pub(crate) out: Sender<Letter>,
    pub(crate) came: Receiver<(NodeId, Bytes)>,
    /// At control.
    pub(crate) bell: Doorbell,
}

/// Control's ends of them.
#[derive(Debug)]
pub(crate) struct ControlLetters {
    pub(crate) to_send: Receiver<Letter>,
    pub(crate) came: Sender<(NodeId, Bytes)>,
}

impl Letters {
    /// Two queues, with a bell that is at control.
    pub(crate) fn new(bell: Doorbell) -> (Self, ControlLetters) {
        let (out, to_send) = bounded(LETTERS_MAX);
        let (came, hears) = bounded(LETTERS_MAX);
        (Self { out, came: hears, bell }, ControlLetters { to_send, came })
    }
}

/// A member and the layer on its event stream, both driven by the caller's thread.
///
/// Give the layer its commands by [`Layered::layer_mut`], then call [`Layered::drive`] again and again:
/// it hands the layer what came, publishes what it says, keeps its timers, and waits.
#[derive(Debug)]
pub struct Layered<L> {
    node: Node,
    layer: L,
    clock: Clock,
    /// Said by the layer; the member had no room for it yet.
    unpublished: Option<Publication>,
}

impl<L: Layer> Layered<L> {
    /// Puts `layer` on a member that has just joined, before any of its events was received.
    #[must_use]
    pub fn new(mut node: Node, mut layer: L) -> Self {
        node.hears_letters = true;
        let clock = Clock::new();
        let (id, incarnation) = (node.facts().id, node.facts().incarnation);
        layer.handle_limit(node.publisher.message_bytes_max);
        layer.handle_start(clock.now().1, id, incarnation);
        Self { node, layer, clock, unpublished: None }
    }

    /// The member.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) const fn node_mut(&mut self) -> &mut Node {
        &mut self.node
    }

    /// The layer.
    #[must_use]
    pub const fn layer(&self) -> &L {
        &self.layer
    }

    /// The layer, for commands; [`Layered::drive`] carries out what follows from them.
    #[must_use]
    pub const fn layer_mut(&mut self) -> &mut L {
        &mut self.layer
    }

    /// One round of work, after waiting at most `timeout` for something to do; yields how much was
    /// done.
    ///
    /// # Errors
    /// That the member has ended and the layer was told of everything before.
    pub fn drive(&mut self, timeout: Duration) -> Result<usize, EndReason> {
        let work = self.round()?;
        if work > 0 || timeout.is_zero() {
            return Ok(work);
        }
        let (_, now) = self.clock.now();
        let due = self.layer.poll_timeout().map(|at| at.since(now));
        // Room is waited for by trying again soon: the layer's other work goes on meanwhile.
        let most = if self.unpublished.is_some() { ROOM_POLL } else { timeout };
        self.node.wait(due.map_or(most, |due| due.min(most)));
        self.round()
    }

    /// The proper end of both: the layer says its last words ([`Layer::handle_leave`]), for which it
    /// has half of the time at most, and then the member does [`Node::leave`], behind them in the
    /// order. What the layer would tell meanwhile is lost.
    #[must_use]
    pub fn leave(mut self, deadline: Duration) -> LeaveReport {
        let began = Instant::now();
        let (_, now) = self.clock.now();
        self.layer.handle_leave(now);
        let mut wait = Duration::ZERO;
        loop {
            let has_ended = self.drive(wait).is_err();
            let has_said = self.unpublished.is_none() && self.layer.may_leave();
            let left = (deadline / 2).saturating_sub(began.elapsed());
            if has_ended || has_said || left.is_zero() {
                return self.node.leave(deadline.saturating_sub(began.elapsed()));
            }
            wait = left.min(LAST_WORDS_POLL);
        }
    }

    /// Parts the two again: the layer hears nothing any more.
    #[must_use]
    pub fn into_parts(self) -> (Node, L) {
        (self.node, self.layer)
    }

    fn round(&mut self) -> Result<usize, EndReason> {
        self.node.poll();
        let (_, now) = self.clock.now();
        let Self { node, layer, .. } = self;
        let events = node.recv_stream(PACKETS_PER_ROUND, |event| layer.handle_event(now, event));
        let mut work = events.as_ref().copied().unwrap_or(0);
        while let Ok((from, payload)) = node.letters.came.try_recv() {
            layer.handle_letter(now, from, &payload);
            work += 1;
        }
        if layer.poll_timeout().is_some_and(|at| at <= now) {
            layer.handle_timeout(now);
            work += 1;
        }
        work += self.publish() + self.write();
        events.map(|_| work)
    }

    /// Hands over what the layer has to say, as far as there is room.
    fn publish(&mut self) -> usize {
        let mut published = 0;
        while let Some(publication) = self.unpublished.take().or_else(|| self.layer.poll_publish())
        {
            let Publication { class, payload } = publication;
            let publisher = &self.node.publisher;
            if publisher.shared.ending.is_closed() {
                // A member that leaves says no more; its layer hears of the end.
                continue;
            }
            if payload.len() > publisher.message_bytes_max {
                let (bytes, most) = (payload.len(), publisher.message_bytes_max);
                error!(
                    "a layer's message of {bytes} bytes is longer than the longest ({most}) and is \
                     not sent; fix: split it, or raise --message-size at every member"
                );
                continue;
            }
            if let Err(back) = publisher.hand_over(class, Messages::One(payload)) {
                self.unpublished = Some(Publication { class, payload: back.into_bytes() });
                break;
            }
            published += 1;
        }
        published
    }

    fn write(&mut self) -> usize {
        let mut written = 0;
        while let Some(letter) = self.layer.poll_letter() {
            // Lost when there is no room, as letters may be.
            let _ = self.node.letters.out.try_send(letter);
            written += 1;
        }
        if written > 0 {
            self.node.letters.bell.ring();
        }
        written
    }
}

/// How often a layer is asked whether it has said its last words.
const LAST_WORDS_POLL: Duration = Duration::from_millis(10);

/// How soon a member without room is tried again.
const ROOM_POLL: Duration = Duration::from_millis(1);
