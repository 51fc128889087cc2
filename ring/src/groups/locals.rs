//! The endpoints of this member, what they subscribe to, and what they asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use thiserror::Error;

use super::filter::{Filter, Index};
use super::name::EndpointName;
use super::{ENDPOINTS_PER_NODE_MAX, EndpointId, FILTERS_PER_ENDPOINT_MAX, OUTBOX_BYTES_MAX};
use super::{MEMBERSHIPS_PER_NODE_MAX, TARGETS_MAX};
use crate::layer::Publication;
use crate::params::MESSAGE_BYTES_MAX;
use crate::service::{Channel, Class, Service};

/// Why a request of an endpoint is not taken.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RequestError {
    /// Another endpoint of this node has the name.
    #[error("this node has an endpoint called {name} already; attach under another name")]
    Taken {
        /// The name.
        name: EndpointName,
    },
    /// [`ENDPOINTS_PER_NODE_MAX`] are attached, or ever so many were.
    #[error("{ENDPOINTS_PER_NODE_MAX} endpoints are attached; detach one, or use another node")]
    Endpoints,
    /// No such endpoint is attached.
    #[error("endpoint {} is not attached; attach it first", .0.0)]
    Unknown(EndpointId),
    /// [`MEMBERSHIPS_PER_NODE_MAX`].
    #[error("the node's endpoints are in {MEMBERSHIPS_PER_NODE_MAX} groups; leave one")]
    Memberships,
    /// [`FILTERS_PER_ENDPOINT_MAX`].
    #[error("the endpoint has {FILTERS_PER_ENDPOINT_MAX} filters; use wider ones")]
    Filters,
    /// A message names no target, or more than [`TARGETS_MAX`].
    #[error("a message goes to one to {TARGETS_MAX} targets, not {0}; send several")]
    Targets(usize),
    /// Longer than the ring's largest message.
    #[error(
        "the message has {bytes} bytes with its sender's and targets' names, the largest {most}; \
         split it, or raise --message-size at every member"
    )]
    TooLong {
        /// Of the whole.
        bytes: usize,
        /// The largest message.
        most: usize,
    },
    /// [`OUTBOX_BYTES_MAX`] wait for room on the ring, or for the tables of nodes that came.
    #[error("{OUTBOX_BYTES_MAX} bytes of requests wait; ask again when some have left")]
    Full,
}

#[derive(Debug)]
struct Local {
    name: EndpointName,
    filters: BTreeSet<Filter>,
    /// It has asked to join a group, so the others may know it.
    has_joined: bool,
}

/// The endpoints of this member.
#[derive(Debug, Default)]
pub(super) struct Locals {
    attached: BTreeMap<EndpointId, Local>,
    by_name: BTreeMap<EndpointName, EndpointId>,
    index: Index,
    next: u32,
}

impl Locals {
    pub(super) fn attach(&mut self, name: EndpointName) -> Result<EndpointId, RequestError> {
        if self.by_name.contains_key(&name) {
            return Err(RequestError::Taken { name });
        }
        if self.attached.len() >= ENDPOINTS_PER_NODE_MAX || self.next == u32::MAX {
            return Err(RequestError::Endpoints);
        }
        let endpoint = EndpointId(self.next);
        self.next += 1;
        self.by_name.insert(name.clone(), endpoint);
        let local = Local { name, filters: BTreeSet::new(), has_joined: false };
        self.attached.insert(endpoint, local);
        Ok(endpoint)
    }

    /// Detaches; says whether the others may know the endpoint.
    pub(super) fn detach(&mut self, endpoint: EndpointId) -> Result<bool, RequestError> {
        let local = self.attached.remove(&endpoint).ok_or(RequestError::Unknown(endpoint))?;
        self.by_name.remove(&local.name);
        for filter in &local.filters {
            self.index.remove(filter, endpoint);
        }
        Ok(local.has_joined)
    }

    /// Detaches all; says whether the others may know any.
    pub(super) fn detach_all(&mut self) -> bool {
        let next = self.next;
        let all = std::mem::take(self);
        self.next = next;
        all.attached.values().any(|local| local.has_joined)
    }

    pub(super) fn is_attached(&self, endpoint: EndpointId) -> bool {
        self.attached.contains_key(&endpoint)
    }

    /// All of them, ascending.
    pub(super) fn all(&self) -> impl Iterator<Item = EndpointId> + '_ {
        self.attached.keys().copied()
    }

    /// How many are attached.
    pub(super) fn len(&self) -> usize {
        self.attached.len()
    }

    pub(super) fn name(&self, endpoint: EndpointId) -> Result<&EndpointName, RequestError> {
        let local = self.attached.get(&endpoint).ok_or(RequestError::Unknown(endpoint))?;
        Ok(&local.name)
    }

    pub(super) fn called(&self, name: &str) -> Option<EndpointId> {
        self.by_name.get(name).copied()
    }

    /// It asks to join a group.
    pub(super) fn note_join(&mut self, endpoint: EndpointId) {
        if let Some(local) = self.attached.get_mut(&endpoint) {
            local.has_joined = true;
        }
    }

    pub(super) fn subscribe(
        &mut self,
        endpoint: EndpointId,
        filter: Filter,
    ) -> Result<bool, RequestError> {
        let local = self.attached.get_mut(&endpoint).ok_or(RequestError::Unknown(endpoint))?;
        if local.filters.contains(&filter) {
            return Ok(false);
        }
        if local.filters.len() >= FILTERS_PER_ENDPOINT_MAX {
            return Err(RequestError::Filters);
        }
        self.index.insert(&filter, endpoint);
        Ok(local.filters.insert(filter))
    }

    pub(super) fn unsubscribe(
        &mut self,
        endpoint: EndpointId,
        filter: &Filter,
    ) -> Result<bool, RequestError> {
        let local = self.attached.get_mut(&endpoint).ok_or(RequestError::Unknown(endpoint))?;
        self.index.remove(filter, endpoint);
        Ok(local.filters.remove(filter))
    }

    /// Adds to `found` whose filter a group's name passes.
    pub(super) fn find_subscribers(&self, group: &str, found: &mut Vec<EndpointId>) {
        self.index.find(group, found);
    }
}

/// What endpoints asked for, on its way to the ring.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<(Service, Bytes)>,
    bytes: usize,
    message_bytes_max: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, message_bytes_max: MESSAGE_BYTES_MAX }
    }
}

impl Outbox {
    /// The ring takes no longer messages.
    pub(super) const fn limit(&mut self, message_bytes_max: usize) {
        self.message_bytes_max = message_bytes_max;
    }

    /// Length of the longest message.
    pub(super) const fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Whether there is room for so much more. A message that the ring takes has room in an empty
    /// one.
    pub(super) fn check(&self, bytes: usize) -> Result<(), RequestError> {
        if bytes > self.message_bytes_max {
            return Err(RequestError::TooLong { bytes, most: self.message_bytes_max });
        }
        let has_room =
            self.waiting.is_empty() || self.bytes.saturating_add(bytes) <= OUTBOX_BYTES_MAX;
        if has_room { Ok(()) } else { Err(RequestError::Full) }
    }

    /// Puts a request behind all others.
    pub(super) fn push(&mut self, service: Service, payload: Bytes) {
        self.bytes += payload.len();
        self.waiting.push_back((service, payload));
    }

    pub(super) fn pop(&mut self) -> Option<Publication> {
        let (service, payload) = self.waiting.pop_front()?;
        self.bytes -= payload.len();
        Some(Publication { class: Class { service, channel: Channel::GROUPS }, payload })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
