//! The sending side of a member, for any number of threads.

use std::sync::Arc;

use bytes::Bytes;
use roundel_ring::packing::Messages;
use roundel_ring::service::{Class, Service};

use crate::batch::Batch;
use crate::doorbell::{Bed, Doorbell};
use crate::ending::EndReason;
use crate::room::RoomWait;
use crate::shared::Shared;

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
    /// Where publishers wait for room: the worker rings when there is some again.
    pub(crate) room: Bed,
    pub(crate) message_bytes_max: usize,
    pub(crate) queue_bytes_max: usize,
    pub(crate) pad_packets: bool,
}

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
        let ending = &self.shared.ending;
        if payload.len() > self.message_bytes_max {
            return Err(TryPublishError::TooLarge { payload, max: self.message_bytes_max });
        }
        if ending.is_closed() {
            return Err(TryPublishError::Closed { payload, reason: ending.reason() });
        }
        let handed_over = self.hand_over(service.into(), Messages::One(payload));
        handed_over.map_err(|back| TryPublishError::Full(back.into_bytes()))
    }

    /// Puts messages into the worker's queue, or gives them back when there is no room.
    pub(crate) fn hand_over(&self, class: Class, messages: Messages) -> Result<(), Messages> {
        self.shared.commands.hand_over(class, messages, self.queue_bytes_max)?;
        self.worker_bell.ring();
        Ok(())
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
            wait.step(&self.room);
        }
    }
}
