//! Many small messages at the cost of few: packed where they are published.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use roundel_ring::packing::{Messages, Packer};
use roundel_ring::service::Service;

use crate::ending::EndReason;
use crate::publisher::Publisher;
use crate::room::RoomWait;

/// Why a batch does not go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// There is no room now: the ring is slower than its senders.
    #[error("no room for another message now; receive events and try again, or use push")]
    Full,
    /// Larger than the largest message.
    #[error("the message exceeds the largest one ({max} bytes); split it, or raise the bound")]
    TooLarge {
        /// The bound in bytes.
        max: usize,
    },
    /// The member has ended or is leaving.
    #[error("the member accepts nothing more: {}", .reason.map_or_else(
        || "it is leaving".to_owned(), |reason| reason.to_string()))]
    Closed {
        /// Why it ended, if it has.
        reason: Option<EndReason>,
    },
}

/// Messages of one service that are packed side by side as they are pushed, into the very memory
/// that is sent, and handed to the member a packet at a time: no allocation, no reference count and
/// no queue for each.
///
/// A message is *accepted* when its packet is handed over: by [`Batch::flush`], or by a push that
/// does not fit the packet any more. Flush when there is nothing more to push, or the last messages
/// stay here. Messages of one batch keep their order. Dropping it flushes if there is room.
///
/// The waiting forms are for members with threads of their own: in inline drive nobody makes room
/// meanwhile, so use the others and [`Node::poll`](crate::Node::poll).
#[derive(Debug)]
pub struct Batch {
    publisher: Publisher,
    service: Service,
    packer: Packer,
    /// Handed over already but for want of room.
    waiting: Option<Messages>,
}

impl Batch {
    pub(crate) fn new(publisher: Publisher, service: Service) -> Self {
        let body_bytes = publisher.shared.body_bytes.load(Ordering::Relaxed);
        let packer = Packer::new(body_bytes, publisher.pad_packets);
        Self { publisher, service, packer, waiting: None }
    }

    /// Messages pushed and not accepted yet.
    #[must_use]
    pub fn len(&self) -> usize {
        let waiting = self.waiting.as_ref().map_or(0, Messages::count);
        usize::from(waiting) + usize::from(self.packer.count())
    }

    /// Everything that was pushed is accepted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a message, waiting for room as long as it takes.
    ///
    /// # Errors
    /// When the member has ended, or the message is larger than the largest; it was not added.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), BatchError> {
        self.patiently(|batch| batch.try_push(payload))
    }

    /// Adds a message if there is room.
    ///
    /// # Errors
    /// The reason why it was not added.
    pub fn try_push(&mut self, payload: &[u8]) -> Result<(), BatchError> {
        let max = self.publisher.message_bytes_max;
        if payload.len() > max {
            return Err(BatchError::TooLarge { max });
        }
        if self.waiting.is_none() && self.packer.push(payload) {
            return Ok(());
        }
        self.make_room()?;
        if self.packer.push(payload) {
            return Ok(());
        }
        // It fills more than a packet. Once copied it stays here when there is no room: a push that
        // is tried again must not copy it again.
        match self.offer(Messages::One(Bytes::copy_from_slice(payload))) {
            Err((messages, BatchError::Full)) => {
                self.waiting = Some(messages);
                Ok(())
            }
            outcome => outcome.map_err(|(_, error)| error),
        }
    }

    /// Has everything accepted that was pushed, waiting for room as long as it takes.
    ///
    /// # Errors
    /// When the member has ended; what was not accepted stays here.
    pub fn flush(&mut self) -> Result<(), BatchError> {
        self.patiently(Self::try_flush)
    }

    /// Has everything accepted that was pushed if there is room.
    ///
    /// # Errors
    /// The reason why not; what was not accepted stays here.
    pub fn try_flush(&mut self) -> Result<(), BatchError> {
        loop {
            let packed = || self.packer.take().map(Messages::Packed);
            let Some(messages) = self.waiting.take().or_else(packed) else { return Ok(()) };
            self.offer(messages).map_err(|(messages, error)| {
                self.waiting = Some(messages);
                error
            })?;
        }
    }

    /// Empties the packer for a message that did not fit.
    fn make_room(&mut self) -> Result<(), BatchError> {
        self.try_flush()?;
        self.packer.set_body_bytes_max(self.publisher.shared.body_bytes.load(Ordering::Relaxed));
        Ok(())
    }

    /// Hands messages to the member, or gives them back with the reason.
    fn offer(&self, messages: Messages) -> Result<(), (Messages, BatchError)> {
        let ending = &self.publisher.shared.ending;
        if ending.is_closed() {
            return Err((messages, BatchError::Closed { reason: ending.reason() }));
        }
        let given = self.publisher.hand_over(self.service.into(), messages);
        given.map_err(|messages| (messages, BatchError::Full))
    }

    fn patiently(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<(), BatchError>,
    ) -> Result<(), BatchError> {
        let mut wait = RoomWait::default();
        loop {
            match attempt(self) {
                Err(BatchError::Full) => wait.step(&self.publisher.room),
                outcome => return outcome,
            }
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // Without waiting: who must know flushes.
        let _ = self.try_flush();
    }
}
