//! A member in virtual synchrony: views of the primary component instead of configurations.
//!
//! A handle of its own rather than a switch of [`Node`]: what such an application is told are other
//! things (views of processes, no transitional configurations), and sending has one more way to
//! fail. So the compiler sees that neither is forgotten, and nothing of extended virtual synchrony
//! can be seen by mistake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel_ring::primary::Policy;
use roundel_ring::service::Service;
use roundel_ring::vs::{Filter, Output, View};

use crate::ending::EndReason;
use crate::layered::Layered;
use crate::node::{LeaveReport, Node, TryRecvError};
use crate::publisher::{Publisher, TryPublishError};
use crate::room::RoomWait;

/// Longest wait before looking whether the member has ended.
const RECV_POLL: Duration = Duration::from_millis(100);

/// Why a message of a member with views was not accepted; its payload comes back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewPublishError {
    /// The member is in no view, its view is about to end, or there are events of a view that the
    /// application has not received. Lasts until [`Output::View`] is received.
    #[error(
        "nothing may be sent outside of a view, and this one is ending or over; receive the next \
         one, then decide anew what to send"
    )]
    Blocked(Bytes),
    /// As without views.
    #[error(transparent)]
    Refused(#[from] TryPublishError),
}

/// A member whose application knows nothing of parts ([`Builder::join_views`]): EVS §5.
///
/// It gets the views and messages of the primary component alone ([`vs`](crate::vs) says which);
/// outside of it, it is *blocked*: it gets nothing, and what it publishes is refused, not queued.
/// What is to be sent depends on what the application knows, and a member that comes back is another
/// process, which may know something else by then.
///
/// A message that was accepted in one view may be delivered in a later one, as everywhere on the ring;
/// after [`Output::Stopped`], what had no place in the order yet may come from the new process of
/// this member, or be discarded. All that get a message get it in the same view.
///
/// [`Builder::join_views`]: crate::Builder::join_views
#[derive(Debug)]
pub struct Views {
    member: Layered<Filter>,
    /// The last view that the application has received, unless it was told of its end.
    view: Option<View>,
    /// For publishers of other threads.
    is_open: Arc<AtomicBool>,
}

impl Views {
    /// Puts the filter on a member that has just joined.
    pub(crate) fn new(node: Node, policy: Policy, held_bytes_max: usize) -> Self {
        let filter = Filter::new(node.facts().id, policy, held_bytes_max);
        let member = Layered::new(node, filter);
        Self { member, view: None, is_open: Arc::new(AtomicBool::new(false)) }
    }

    /// The member: its facts and counters. What it publishes by [`Node`]'s own means is not held
    /// back outside of views.
    #[must_use]
    pub const fn node(&self) -> &Node {
        self.member.node()
    }

    /// The view that the application has received last; `None` before its first one, and from
    /// [`Output::Stopped`] to the next.
    #[must_use]
    pub const fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// Messages delivered outside of views since the start, which nobody here gets.
    #[must_use]
    pub const fn discarded(&self) -> u64 {
        self.member.layer().discarded()
    }

    /// Whether a message would be accepted now, if there is room: the view that was received last
    /// is in force, and not about to end.
    #[must_use]
    pub fn may_publish(&self) -> bool {
        let filter = self.member.layer();
        let is_latest = filter.view().map(|view| view.id) == self.view.as_ref().map(|it| it.id);
        filter.may_publish() && is_latest
    }

    /// Accepts a message in a view, waiting for room: [`Node::publish`].
    ///
    /// # Errors
    /// The payload back with the reason.
    pub fn publish(
        &mut self,
        service: Service,
        payload: impl Into<Bytes>,
    ) -> Result<(), ViewPublishError> {
        if self.may_publish() {
            Ok(self.member.node_mut().publish(service, payload)?)
        } else {
            Err(ViewPublishError::Blocked(payload.into()))
        }
    }

    /// Accepts a message in a view, if there is room.
    ///
    /// # Errors
    /// The payload back with the reason.
    pub fn try_publish(
        &self,
        service: Service,
        payload: impl Into<Bytes>,
    ) -> Result<(), ViewPublishError> {
        if self.may_publish() {
            Ok(self.node().try_publish(service, payload)?)
        } else {
            Err(ViewPublishError::Blocked(payload.into()))
        }
    }

    /// The sending side, for other threads. It is blocked by what the receiving thread has received.
    #[must_use]
    pub fn publisher(&self) -> ViewPublisher {
        let publisher = self.node().publisher();
        ViewPublisher { publisher, is_open: Arc::clone(&self.is_open) }
    }

    /// The next view or message, or the end of this process, if one is ready.
    ///
    /// # Errors
    /// That there is none, or that the member has ended and all was taken.
    pub fn try_recv(&mut self) -> Result<Output, TryRecvError> {
        self.recv_timeout(Duration::ZERO)
    }

    /// The next view or message, or the end of this process, waiting at most `timeout`.
    ///
    /// # Errors
    /// That none came in time, or that the member has ended and all was taken.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Output, TryRecvError> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(output) = self.take() {
                return Ok(output);
            }
            let now = Instant::now();
            let left = deadline.map_or(RECV_POLL, |at| at.saturating_duration_since(now));
            let worked = self.member.drive(left.min(RECV_POLL)).map_err(TryRecvError::Ended);
            self.tell_publishers();
            if worked? == 0 && left.is_zero() {
                return Err(TryRecvError::Empty);
            }
        }
    }

    /// The next view or message, or the end of this process, waiting as long as it takes.
    ///
    /// # Errors
    /// That the member has ended and all was taken.
    pub fn recv(&mut self) -> Result<Output, EndReason> {
        loop {
            match self.recv_timeout(Duration::MAX) {
                Ok(output) => return Ok(output),
                Err(TryRecvError::Ended(reason)) => return Err(reason),
                Err(TryRecvError::Empty) => {}
            }
        }
    }

    /// The proper end of the member: [`Node::leave`]. The others' next view is without it.
    #[must_use]
    pub fn leave(self, deadline: Duration) -> LeaveReport {
        self.member.leave(deadline)
    }

    fn take(&mut self) -> Option<Output> {
        let output = self.member.layer_mut().poll_output()?;
        match &output {
            Output::View(view) => self.view = Some(view.clone()),
            Output::Stopped => self.view = None,
            Output::Message(_) => return Some(output),
        }
        self.tell_publishers();
        Some(output)
    }

    fn tell_publishers(&self) {
        // A hint like any other news: who learns of it from the receiving thread sees it, and who
        // publishes at the same moment might have done so a moment before.
        self.is_open.store(self.may_publish(), Ordering::Relaxed);
    }
}

/// Publishes messages of one member with views. Cheap to clone; every clone may be used from its own
/// thread. Messages of one thread keep their order.
#[derive(Clone, Debug)]
pub struct ViewPublisher {
    publisher: Publisher,
    is_open: Arc<AtomicBool>,
}

impl ViewPublisher {
    /// Accepts a message in a view, if there is room: [`Publisher::try_publish`].
    ///
    /// # Errors
    /// The payload back with the reason.
    pub fn try_publish(
        &self,
        service: Service,
        payload: impl Into<Bytes>,
    ) -> Result<(), ViewPublishError> {
        let payload = self.admit(payload.into())?;
        Ok(self.publisher.try_publish(service, payload)?)
    }

    /// Accepts a message in a view, waiting for room as long as the view lasts:
    /// [`Publisher::publish`].
    ///
    /// # Errors
    /// The payload back with the reason.
    pub fn publish(
        &self,
        service: Service,
        payload: impl Into<Bytes>,
    ) -> Result<(), ViewPublishError> {
        let mut payload = payload.into();
        let mut wait = RoomWait::default();
        loop {
            match self.try_publish(service, payload) {
                Err(ViewPublishError::Refused(TryPublishError::Full(back))) => payload = back,
                outcome => return outcome,
            }
            wait.step(&self.publisher.room);
        }
    }

    fn admit(&self, payload: Bytes) -> Result<Bytes, ViewPublishError> {
        let is_open = self.is_open.load(Ordering::Relaxed);
        if is_open { Ok(payload) } else { Err(ViewPublishError::Blocked(payload)) }
    }
}
