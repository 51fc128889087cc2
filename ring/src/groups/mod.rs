//! Lightweight groups: many named groups of many endpoints on one ring, without a protocol of
//! their own.
//!
//! An *endpoint* is a client of one node; its full name is `name@node`. Endpoints join and leave
//! *groups*, and send to groups (whether they are in them or not), to several at once, and to single
//! endpoints. Joining, leaving and sending are messages of the ring, so everything that endpoints are
//! told comes from one order:
//!
//! ```text
//!   node 1                         node 2                      node 3
//!   desk        risk               desk        log             feed
//!    │ in prices  │ in prices       │ in news   │ filter        │ in nothing
//!    │            │ and news        │           │ `prices.>`    │
//! ┌──┴────────────┴──┐          ┌───┴───────────┴──┐         ┌──┴───────────────┐
//! │ Groups           │          │ Groups           │         │ Groups           │
//! │ prices: desk@1   │  equal   │ prices: desk@1   │  equal  │ prices: desk@1   │
//! │         risk@1   │  tables  │         risk@1   │  tables │         risk@1   │
//! │ news: desk@2     │          │ news: desk@2     │         │ news: desk@2     │
//! │       risk@1     │          │       risk@1     │         │       risk@1     │
//! └────────┬─────────┘          └────────┬─────────┘         └────────┬─────────┘
//!          │ one stream of events, the same everywhere (EVS §2)       │
//!  ════════╧═══ join · message to prices and news · leave · … ════════╧════ ring
//! ```
//!
//! When feed@3 sends to `prices` and `news`, each of desk@1, risk@1 and desk@2 gets the message once, at
//! the same place among all other messages and views. To be in a group costs a line in a table:
//! [`Groups`] at every member keeps the whole of it.
//!
//! # Using it
//!
//! [`Groups`] is a [`Layer`]. Requests are methods; they are taken (or refused with a reason) at once
//! and take effect where their message is delivered. What endpoints are to be told comes from
//! [`Groups::poll_event`], with the endpoints concerned.
//!
//! ```
//! use roundel_ring::configuration::{Configuration, ConfigurationKind};
//! use roundel_ring::delivery::Message;
//! use roundel_ring::groups::{Cause, GroupEvent, Groups, Target};
//! use roundel_ring::id::{Epoch, MessageId, NodeId, RingId};
//! use roundel_ring::layer::{Layer, StreamEvent};
//! use roundel_ring::seq::{Ordinal, Seq};
//! use roundel_ring::service::Service;
//! use roundel_ring::time::Time;
//!
//! let (now, me, incarnation) = (Time::ZERO, NodeId(1), Epoch(5));
//! let ring = RingId::new(Epoch(6), me);
//! let mut groups = Groups::default();
//! groups.handle_start(now, me, incarnation);
//! groups.handle_event(now, StreamEvent::Configuration(&Configuration {
//!     kind: ConfigurationKind::Regular,
//!     ring,
//!     previous: None,
//!     members: [me].into(),
//!     eligible: None,
//! }));
//!
//! let desk = groups.attach("desk".parse()?)?;
//! let log = groups.attach("log".parse()?)?;
//! groups.join(desk, &"prices.bonds".parse()?)?;
//! groups.subscribe(log, "prices.>".parse()?)?;
//! groups.send(log, &[Target::Group("prices.bonds".parse()?)], Service::Agreed, b"99.5")?;
//!
//! // What the ring does: it orders what is published, and delivers it to everybody.
//! let mut counter = 0;
//! let mut told = Vec::new();
//! while let Some(publication) = groups.poll_publish() {
//!     counter += 1;
//!     let message = Message {
//!         id: MessageId { sender: me, incarnation, counter },
//!         ring,
//!         ordinal: Some(Ordinal::new(Seq(counter), 0)),
//!         in_configuration: ConfigurationKind::Regular,
//!         service: publication.class.service,
//!         channel: publication.class.channel,
//!         payload: publication.payload,
//!     };
//!     groups.handle_event(now, StreamEvent::Message(message.as_ref()));
//!     while let Some(addressed) = groups.poll_event() {
//!         told.push(addressed);
//!     }
//! }
//!
//! let GroupEvent::View(view) = &told[0].event else { panic!() };
//! assert_eq!((view.cause, view.members[0].to_string().as_str()), (Cause::Join, "desk@1"));
//! assert_eq!(told[0].to, [desk]);
//! let GroupEvent::Message(message) = &told[1].event else { panic!() };
//! assert_eq!((message.from(), &message.payload[..]), ("log", &b"99.5"[..]));
//! assert_eq!(told[1].to, [desk, log]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! Join, leave and farewells are agreed messages. Messages to groups are of any [`Service`]:
//!
//! - agreed and safe ones are in one order with all views: between the same two views of a group, all
//!   its members that were in both get the same messages of it in the same order; and messages to
//!   different groups, or to single endpoints, come in that order, too;
//! - reliable, fifo and causal ones may overtake joins and leaves at some members and not at others. They
//!   go to who is a member, at each node, at the moment when they are delivered there.
//!
//! Subscribers ([`Groups::subscribe`]) get the messages of all groups whose names pass a [`Filter`]. They
//! are nobody's members, and no view tells of them; a subscription takes effect at once, not in the
//! order. A message to an endpoint that nobody has attached is delivered to nobody.
//!
//! # Configuration changes
//!
//! A node that leaves in good order says so before ([`Layer::handle_leave`]): its endpoints leave all
//! groups ([`Cause::Leave`]).
//!
//! At a regular configuration, nodes that are not in it leave all groups ([`Cause::Partition`]). If nodes
//! came, the configuration has several *parts*, of which each knows only its own nodes' endpoints.
//! The lowest member of each part tells the part's table in agreed messages. Until all have been
//! delivered, messages and requests that are delivered are held; then nodes that had been away
//! since the last common configuration leave ([`Cause::Crash`] if they are back in a new
//! life), those who came join ([`Cause::Merge`]), and what was held takes effect.
//! Meanwhile nothing but tables is published, so that what is held is bounded by what the members
//! had handed over before: each one's backlog, and a window.
//!
//! If the configuration changes before that, the exchange begins anew in the next one. What was held is
//! not: at the regular configuration, nodes that had been away leave, the messages are given to the
//! endpoints here, which needs nobody else's table, and each part does what its own nodes' endpoints
//! requested. So each part's table has all that was delivered before that configuration, for its
//! own nodes.
//!
//! # Why tables are equal
//!
//! Call *kin* the set of members that this member takes to have its table: itself at first; at each
//! regular configuration those of the kin that are in the transitional one; when an exchange is
//! complete, all members of the configuration.
//!
//! *Kin have equal tables and hold equal requests whenever they have delivered the same prefix of agreed
//! messages.* By induction over the events of the stream. Alone: nothing to show. Between
//! configurations: agreed messages come in one order to all (EVS 6), and a step depends on the table, the
//! step's message and the exchange alone. At a configuration: those who go on together have delivered
//! the same messages (EVS 4), so they have the same exchange, either complete at all of them or at
//! none; and the next kin, the nodes removed and what is released depend only on the former kin, which they share,
//! and on the two configurations, which they share, too. At completion: a part's table was
//! told by one of its kin, who took nothing into it since the configuration; so it is the table of that
//! whole part, which removes nobody and adds the others' just as these add it. The result is the
//! union at all of them. ∎
//!
//! *Every exchange ends where configurations stop changing:* each part's lowest member knows that it is
//! that, and its messages to itself are always delivered (EVS 3), so they are to all others (EVS 4).
//! Chunks that speak of another configuration are without effect, as are those of anybody but the
//! lowest of the part that they tell of. A chunk that cannot be read counts as refused, and the
//! exchange waits for the next configuration: better no views than different ones.
//!
//! # The primary component
//!
//! With a policy, endpoints are told when their configuration becomes the primary component and when
//! that is over ([`GroupEvent::Primary`]), and each view says what held when it was made
//! ([`View::is_primary`]). Both are places in the one order: it becomes that by a message, and ends
//! with the next transitional configuration. So it is equal where [`ViewId`]s are; those of a part alone
//! are never of the primary component.
//!
//! # Names of views
//!
//! [`ViewId`]s tell parts apart: [`Scope::Part`] while a member knows its own part alone, and while a
//! transitional configuration is in force, where others go on differently; else [`Scope::Whole`].
//!
//! [`Layer`]: crate::layer::Layer
//! [`Layer::handle_leave`]: crate::layer::Layer::handle_leave

mod exchange;
mod filter;
mod layer;
mod locals;
mod message;
mod name;
mod slab;
mod stream;
mod table;
mod view;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use thiserror::Error;

use crate::id::{NodeId, RingId};
use crate::service::Service;

pub use filter::Filter;
pub use locals::RequestError;
pub use message::GroupMessage;
pub use name::{
    ANY_LEVEL, ANY_REST, EndpointName, GroupName, LEVEL_SEPARATOR, NAME_BYTES_MAX, NameError,
    PrivateName,
};
pub use view::{Cause, Scope, View, ViewId};
pub use wire::{TARGETS_MAX, TargetRef};

use exchange::Exchange;
use locals::{Locals, Outbox};
use stream::Due;
use table::Table;
use view::{Steps, Sweep};

/// Endpoints of one node that are attached, or in a group, at most. With
/// [`MEMBERSHIPS_PER_NODE_MAX`] it bounds the table, at so much times the members of a ring: bounds on
/// the whole could be broken by a merge of two parts that keep them.
pub const ENDPOINTS_PER_NODE_MAX: usize = 1 << 16;

/// Sum of the groups that each of a node's endpoints is in, at most.
pub const MEMBERSHIPS_PER_NODE_MAX: usize = 1 << 20;

/// Filters of one endpoint, at most.
pub const FILTERS_PER_ENDPOINT_MAX: usize = 1_024;

/// Bytes of requests that wait to be published, at most, unless it is one alone. Farewells of
/// endpoints come on top: one each.
pub const OUTBOX_BYTES_MAX: usize = 4 << 20;

/// A local endpoint, in one life of its member. Never used again there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointId(pub u32);

/// Whom a message is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    /// The members of a group, and whose filter its name passes.
    Group(GroupName),
    /// One endpoint.
    Private(PrivateName),
}

impl Target {
    fn name(&self) -> &str {
        match self {
            Self::Group(group) => group.as_str(),
            Self::Private(private) => private.name.as_str(),
        }
    }
}

/// An event, and the local endpoints to be told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addressed {
    /// Each once, ascending; at least one.
    pub to: Vec<EndpointId>,
    /// What they are told.
    pub event: GroupEvent,
}

/// What endpoints are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupEvent {
    /// A message, to members, subscribers and whom it names.
    Message(GroupMessage),
    /// A group has other members now. Told to its members, and to one that has just left at its own
    /// request: it hears no more of the group.
    View(View),
    /// Told to all endpoints that are attached, when the configuration has become the primary
    /// component, and when that is over. Never without a policy.
    Primary {
        /// Its ring; `None`: over.
        ring: Option<RingId>,
    },
}

/// Why a payload has no effect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Error)]
pub enum Refusal {
    /// Of another version of the format.
    #[error("of another version; run the same program on all nodes")]
    Version,
    /// Of a kind that is not known.
    #[error("of an unknown kind; run the same program on all nodes")]
    Kind,
    /// Too short, too long, or with a field out of its range.
    #[error("not well formed; look for another publisher on the groups' channel")]
    Form,
    /// A name in it is none.
    #[error("{0}")]
    Name(NameError),
    /// A request or a chunk that is not agreed.
    #[error("requests must be agreed; look for another publisher on the groups' channel")]
    Service,
    /// A request of a node that is not known, or not in this life: it has gone, or its part tells
    /// of the request in the next exchange.
    #[error("its node is not known; nothing needs to be done")]
    Stranger,
    /// An endpoint's number comes with another name.
    #[error("an endpoint has two names; look for another publisher on the groups' channel")]
    Contradiction,
    /// More endpoints or memberships of one node than there may be.
    #[error("the node has too many endpoints or memberships; leave some groups")]
    Many,
    /// A chunk for another configuration.
    #[error("of an exchange that is over; nothing needs to be done")]
    Late,
    /// A chunk of a part that its sender may not tell of, or out of turn.
    #[error("not the sender's to tell; run the same program on all nodes")]
    Part,
}

/// What happened, counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Exchanges of tables begun.
    pub exchanges: u64,
    /// Of these, cut by a configuration change.
    pub exchanges_cut: u64,
    /// Chunks of tables taken, of all members.
    pub chunks: u64,
    /// Chunks told by this member.
    pub chunks_told: u64,
    /// Most bytes of payloads ever held during an exchange.
    pub held_bytes_max: u64,
    /// Payloads without effect.
    pub refused: u64,
    /// Why the last of those.
    pub refused_last: Option<Refusal>,
}

/// The groups of one member: a [`Layer`] on [`Channel::GROUPS`].
///
/// Requests: [`attach`](Self::attach), [`detach`](Self::detach), [`lost`](Self::lost),
/// [`join`](Self::join), [`leave`](Self::leave), [`subscribe`](Self::subscribe),
/// [`unsubscribe`](Self::unsubscribe), [`send`](Self::send). Outputs: [`poll_event`](Self::poll_event),
/// to be drained after each input and before the publications, and [`Layer::poll_publish`], after
/// inputs and requests.
///
/// [`Layer`]: crate::layer::Layer
/// [`Layer::poll_publish`]: crate::layer::Layer::poll_publish
/// [`Channel::GROUPS`]: crate::service::Channel::GROUPS
#[derive(Debug)]
pub struct Groups {
    me: NodeId,
    locals: Locals,
    outbox: Outbox,
    table: Table,
    /// Who has this table, ascending.
    kin: Arc<[NodeId]>,
    /// A transitional configuration is in force: the one about to be installed, and its members.
    coming: Option<(RingId, Arc<[NodeId]>)>,
    exchange: Option<Exchange>,
    /// The configuration in force, while it is known to be the primary component.
    primary: Option<RingId>,
    steps: Steps,
    /// Views of the last step that nobody has taken yet.
    sweep: Option<Sweep>,
    /// What follows, once they are taken.
    due: VecDeque<Due>,
    /// What comes before all of them.
    ready: VecDeque<Addressed>,
    /// Publications that have not come back.
    in_flight: u64,
    counts: Counts,
}

impl Default for Groups {
    fn default() -> Self {
        let me = NodeId::default();
        Self {
            me,
            locals: Locals::default(),
            outbox: Outbox::default(),
            table: Table::default(),
            kin: Arc::new([]),
            coming: None,
            exchange: None,
            primary: None,
            steps: Steps::new(me),
            sweep: None,
            due: VecDeque::new(),
            ready: VecDeque::new(),
            in_flight: 0,
            counts: Counts::default(),
        }
    }
}

impl Groups {
    /// A new endpoint, so called.
    pub fn attach(&mut self, name: EndpointName) -> Result<EndpointId, RequestError> {
        self.locals.attach(name)
    }

    /// An endpoint goes. It is told nothing more; its groups see it leave.
    pub fn detach(&mut self, endpoint: EndpointId) -> Result<(), RequestError> {
        self.bid_farewell(endpoint, false)
    }

    /// An endpoint's client has died. Its groups see it crash.
    pub fn lost(&mut self, endpoint: EndpointId) -> Result<(), RequestError> {
        self.bid_farewell(endpoint, true)
    }

    fn bid_farewell(&mut self, endpoint: EndpointId, crashed: bool) -> Result<(), RequestError> {
        if self.locals.detach(endpoint)? {
            self.outbox.push(Service::Agreed, wire::gone(endpoint.0, crashed));
        }
        Ok(())
    }

    /// An endpoint joins a group; nothing happens if it is in. The first view that it is told is
    /// where it begins to get the group's messages.
    pub fn join(&mut self, endpoint: EndpointId, group: &GroupName) -> Result<(), RequestError> {
        let name = self.locals.name(endpoint)?;
        if self.table.memberships(self.me) >= MEMBERSHIPS_PER_NODE_MAX {
            return Err(RequestError::Memberships);
        }
        let payload = wire::join(endpoint.0, name.as_str(), group.as_str());
        self.outbox.check(payload.len())?;
        self.locals.note_join(endpoint);
        self.outbox.push(Service::Agreed, payload);
        Ok(())
    }

    /// An endpoint leaves a group; nothing happens if it is not in. The view without it is the last that it
    /// hears of the group.
    pub fn leave(&mut self, endpoint: EndpointId, group: &GroupName) -> Result<(), RequestError> {
        self.locals.name(endpoint)?;
        let payload = wire::leave(endpoint.0, group.as_str());
        self.outbox.check(payload.len())?;
        self.outbox.push(Service::Agreed, payload);
        Ok(())
    }

    /// An endpoint gets the messages of all groups whose names pass `filter`, from now on. Whether
    /// that is new.
    pub fn subscribe(
        &mut self,
        endpoint: EndpointId,
        filter: Filter,
    ) -> Result<bool, RequestError> {
        self.locals.subscribe(endpoint, filter)
    }

    /// Takes a filter back, from now on. Whether it was there.
    pub fn unsubscribe(
        &mut self,
        endpoint: EndpointId,
        filter: &Filter,
    ) -> Result<bool, RequestError> {
        self.locals.unsubscribe(endpoint, filter)
    }

    /// An endpoint sends `payload` to `targets`, of whatever groups it is a member. Copies the payload
    /// once, behind the targets; the whole must not be longer than the ring's largest message.
    pub fn send(
        &mut self,
        endpoint: EndpointId,
        targets: &[Target],
        service: Service,
        payload: &[u8],
    ) -> Result<(), RequestError> {
        let name = self.locals.name(endpoint)?;
        if targets.is_empty() || targets.len() > TARGETS_MAX {
            return Err(RequestError::Targets(targets.len()));
        }
        self.outbox.check(wire::envelope_bytes(name.as_str(), targets) + payload.len())?;
        let payload = wire::message(name.as_str(), targets, payload);
        self.outbox.push(service, payload);
        Ok(())
    }

    /// The next thing that endpoints are to be told. A view is made when it is asked for.
    pub fn poll_event(&mut self) -> Option<Addressed> {
        self.ready.pop_front().or_else(|| self.produce())
    }

    /// Tables are equal at all members of the configuration, all requests have taken effect, and
    /// all events are taken.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let is_told = self.ready.is_empty() && self.sweep.is_none() && self.due.is_empty();
        is_told && self.exchange.is_none() && self.outbox.is_empty() && self.in_flight == 0
    }

    /// The members whose tables have not come since the configuration, ascending: until then nothing
    /// happens in any group. It takes a few rotations; a member that stays here has no groups of its
    /// own, and must run them or leave.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<NodeId> {
        self.exchange.as_ref().map_or_else(Vec::new, Exchange::missing)
    }

    /// The ring of the configuration in force, while it is known to be the primary component.
    #[must_use]
    pub const fn primary(&self) -> Option<RingId> {
        self.primary
    }

    /// What happened so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Endpoints attached here.
    #[must_use]
    pub fn endpoints(&self) -> usize {
        self.locals.len()
    }

    /// Groups with members, as far as this member knows.
    #[must_use]
    pub const fn groups(&self) -> usize {
        self.table.groups()
    }

    /// Whom this member knows in a group, ascending; empty if the group is not known. All who are in
    /// it, as of what was delivered here, unless tables are being exchanged ([`Self::waiting_for`]).
    #[must_use]
    pub fn members(&self, group: &GroupName) -> Vec<PrivateName> {
        let group = self.table.group_called(group.as_str()).and_then(|key| self.table.group(key));
        let keys = group.map_or(&[][..], |group| &group.members);
        let mut members: Vec<PrivateName> =
            keys.iter().filter_map(|key| self.table.full_name(*key)).collect();
        members.sort_unstable();
        members
    }

    /// All that this member knows of groups: equal at all members of a configuration that have
    /// settled.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<GroupName, Vec<PrivateName>> {
        self.table.contents()
    }

    /// The next event that is not made yet.
    fn produce(&mut self) -> Option<Addressed> {
        loop {
            if let Some(sweep) = &mut self.sweep {
                if let Some(view) = sweep.next(&mut self.table, &self.locals) {
                    return Some(view);
                }
                self.sweep = None;
            }
            let has_stepped = self.step();
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            if !has_stepped {
                return None;
            }
        }
    }

    /// Makes what is left of the last input's events: the next input needs the table as they leave it.
    fn make_ready(&mut self) {
        let mut made = std::mem::take(&mut self.ready);
        while let Some(addressed) = self.produce() {
            made.push_back(addressed);
        }
        self.ready = made;
    }
}
