//! The sending side of a member, for any number of threads.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use crossbeam::utils::Backoff;
use roundel_ring::packing::Messages;
use roundel_ring::service::Service;

use crate::batch::Batch;
use crate::doorbell::Doorbell;
use crate::shared::{EndReason, Shared};

/// Why a message was not accepted; its payload comes back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TryPublishError {
    /// There is no room now: the ring is slower than its senders.
    #[error("no room for another message now; receive events and try again, or use publish")]
    Full(Bytes),
    /// Larger than the largest message.
    #[error("the message exceeds the largest one ({max} bytes); split it, or raise the bound")]
    TooLarge {
        /// The message.
        payload: Bytes,
        /// The bound in bytes.
        max: usize,
    },
    /// The member has ended or is leaving.
    #[error("the member accepts nothing more: {}", .reason.map_or_else(
        || "it is leaving".to_owned(), |reason| reason.to_string()))]
    Closed {
        /// The message.
        payload: Bytes,
        /// Why it ended, if it has.
        reason: Option<EndReason>,
    },
}

/// Publishes messages of one member. Cheap to clone; every clone may be used from its own thread.
///
/// Messages of one thread keep their order.
#[derive(Clone, Debug)]
pub struct Publisher {
    pub(crate) shared: Arc<Shared>,
    /// At the worker.
    pub(crate) worker_bell: Doorbell,
    /// Rung by the worker when there is room again.
    pub(crate) room: Room,
    pub(crate) message_bytes_max: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) pad_packets: bool,
}

/// Where publishers wait for room.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) bell: Doorbell,
    pub(crate) waker: roundel_transport::Waker,
}

/// Longest wait for room before looking again: several publishers share one bell, and one ring
/// may be taken by another.
const ROOM_POLL: Duration = Duration::from_millis(5);

impl Publisher {
    /// Accepts a message if there is room.
    ///
    /// Accepted means: it is delivered here, at its place in the order, unless this process
    /// fails; what a leave cannot deliver any more it reports.
    ///
    /// # Errors
    /// The payload back with the reason.
    pub fn try_publish(
        &self,
        service: Service,
        payload: impl Into<Bytes>,
    ) -> Result<(), TryPublishError> {
        let payload = payload.into();
        let shared = &self.shared;
        if payload.len() > self.message_bytes_max {
            return Err(TryPublishError::TooLarge { payload, max: self.message_bytes_max });
        }
        if shared.closed.load(Ordering::Acquire) {
            return Err(TryPublishError::Closed { payload, reason: shared.ended.load() });
        }
        let handed_over = self.hand_over(service, Messages::One(payload));
        handed_over.map_err(|back| TryPublishError::Full(back.into_bytes()))
    }

    /// Puts messages into the worker's queue, or gives them back when there is no room.
    pub(crate) fn hand_over(&self, service: Service, messages: Messages) -> Result<(), Messages> {
        let (shared, bytes) = (&self.shared, messages.body_bytes());
        let queued = shared.published_bytes.fetch_add(bytes, Ordering::Relaxed);
        // One message is always taken, or one larger than the bound never could be.
        let pushed = if queued > 0 && queued + bytes > self.queue_bytes_max {
            Err(messages)
        } else {
            shared.published.push((service, messages)).map_err(|(_, messages)| messages)
        };
        if pushed.is_ok() {
            self.worker_bell.ring();
        } else {
            shared.published_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        pushed
    }

    /// Begins a batch of small messages: the way that costs least for each.
    #[must_use]
    pub fn batch(&self, service: Service) -> Batch {
        Batch::new(self.clone(), service)
    }

    /// Accepts a message, waiting for room as long as it takes.
    ///
    /// # Errors
    /// The payload back when the member has ended, or when it is larger than the largest message.
    pub fn publish(
        &self,
        service: Service,
        payload: impl Into<Bytes>,
    ) -> Result<(), TryPublishError> {
        let mut payload = payload.into();
        let mut wait = RoomWait::default();
        loop {
            match self.try_publish(service, payload) {
                Err(TryPublishError::Full(back)) => payload = back,
                outcome => return outcome,
            }
            wait.step(self);
        }
    }
}

/// Waiting for room between tries.
#[derive(Default, Debug)]
pub(crate) struct RoomWait {
    backoff: Backoff,
    /// The bell was told; the next try decides whether there is anything to wait for.
    prepared: bool,
}

impl RoomWait {
    /// After a try that found no room.
    pub(crate) fn step(&mut self, publisher: &Publisher) {
        let room = &publisher.room;
        if !self.backoff.is_completed() {
            self.backoff.snooze();
        } else if std::mem::replace(&mut self.prepared, true) {
            room.waker.wait(Some(ROOM_POLL));
            self.prepared = false;
        } else {
            room.bell.prepare_sleep();
        }
    }
}
