//! What the groups make of the stream: the one place where the table changes.

use std::sync::Arc;

use super::exchange::{Exchange, Part, merge};
use super::message::GroupMessage;
use super::table::Changed;
use super::view::{Cause, Scope, Sweep};
use super::wire::{Content, Envelope, TargetRef, parse};
use super::{Addressed, EndpointId, GroupEvent, Groups, Refusal};
use crate::configuration::{Configuration, ConfigurationKind};
use crate::delivery::{Message, MessageRef};
use crate::id::{NodeId, RingId};

/// A step that waits until the views of the one before it are taken.
#[derive(Debug)]
pub(super) enum Due {
    /// Steps count there from here on.
    Enter(RingId, Scope),
    /// All endpoints of these nodes go.
    Depart(Vec<NodeId>, Cause),
    /// This member tells its part's table, as it is now.
    Tell,
    /// The tables of the other parts come in.
    Merge(Vec<Part>),
    /// What was held.
    Take(Message),
}

impl Groups {
    /// The configuration in force is the primary component now, or no configuration is any more. All
    /// that follows was told before.
    pub(super) fn handle_primary(&mut self, primary: Option<RingId>) {
        if self.primary == primary {
            return;
        }
        self.primary = primary;
        let to: Vec<EndpointId> = self.locals.all().collect();
        if !to.is_empty() {
            self.ready.push_back(Addressed { to, event: GroupEvent::Primary { ring: primary } });
        }
    }

    /// A configuration change. See the module's documentation for what follows from it.
    pub(super) fn handle_configuration(&mut self, configuration: &Configuration) {
        match configuration.kind {
            ConfigurationKind::Transitional => {
                self.handle_primary(None);
                if let (None, Some(lowest)) = (&self.exchange, configuration.members.first()) {
                    self.due.push_back(Due::Enter(configuration.ring, Scope::Part(*lowest)));
                }
                self.coming = Some((configuration.ring, Arc::clone(&configuration.members)));
            }
            ConfigurationKind::Regular => self.handle_regular(configuration),
        }
    }

    fn handle_regular(&mut self, configuration: &Configuration) {
        let (ring, members) = (configuration.ring, &configuration.members);
        let came_along = |node: &NodeId| match &self.coming {
            Some((_, coming)) => coming.binary_search(node).is_ok(),
            None => *node == self.me,
        };
        let kin: Arc<[NodeId]> = self.kin.iter().copied().filter(came_along).collect();
        let lowest = kin.first().copied().unwrap_or(self.me);
        if let Some(mut cut) = self.exchange.take() {
            self.counts.exchanges_cut += 1;
            self.due.push_back(Due::Enter(ring, Scope::Part(lowest)));
            // In which life they are back is not known. What was held now takes effect among those who
            // came along: messages, and requests of the own part. Those of others have none, since
            // their nodes are in no table here; their own parts know them.
            self.due.push_back(Due::Depart(self.strangers(), Cause::Partition));
            self.due.extend(cut.held.take().into_iter().map(Due::Take));
        } else if self.coming.is_none() {
            self.due.push_back(Due::Enter(ring, Scope::Part(lowest)));
        }
        self.coming = None;
        // Of those who are back, only their part's table tells whether in a new life.
        let went = |node: &NodeId| {
            kin.binary_search(node).is_err() && members.binary_search(node).is_err()
        };
        let gone = self.kin.iter().copied().filter(went).collect();
        self.due.push_back(Due::Depart(gone, Cause::Partition));
        if kin == *members {
            self.due.push_back(Due::Enter(ring, Scope::Whole));
        } else {
            self.counts.exchanges += 1;
            self.exchange = Some(Exchange::new(ring, Arc::clone(members), Arc::clone(&kin)));
            if lowest == self.me {
                self.due.push_back(Due::Tell);
            }
        }
        self.kin = kin;
    }

    /// A message of the groups' channel.
    pub(super) fn handle_message(&mut self, message: MessageRef<'_>) {
        let content = match parse(message.payload) {
            Ok(content) => content,
            Err(reason) => return self.refuse(reason),
        };
        if !message.service.is_totally_ordered() && !matches!(content, Content::Message(_)) {
            return self.refuse(Refusal::Service);
        }
        match (content, &mut self.exchange) {
            (Content::Chunk(chunk), Some(exchange)) => {
                match exchange.handle_chunk(message.id.sender, &chunk) {
                    Err(reason) => return self.refuse(reason),
                    Ok(false) => {}
                    Ok(true) => self.complete(),
                }
                self.counts.chunks += 1;
            }
            (Content::Chunk(_), None) => self.refuse(Refusal::Late),
            (_, Some(exchange)) => {
                exchange.held.push(message.to_message());
                self.counts.held_bytes_max =
                    self.counts.held_bytes_max.max(exchange.held.bytes() as u64);
            }
            (content, None) => self.take(content, &message.to_message()),
        }
    }

    /// All tables are here: who was away goes, who came comes, and what was held takes effect.
    fn complete(&mut self) {
        let Some(mut exchange) = self.exchange.take() else { return };
        let (parted, restarted): (Vec<NodeId>, Vec<NodeId>) = self
            .strangers()
            .into_iter()
            .partition(|node| exchange.incarnation(*node) == self.table.incarnation(*node));
        self.due.push_back(Due::Depart(restarted, Cause::Crash));
        self.due.push_back(Due::Depart(parted, Cause::Partition));
        self.due.push_back(match &self.coming {
            None => Due::Enter(exchange.ring, Scope::Whole),
            // Others of this configuration may complete it in other transitional ones.
            Some((next, coming)) => {
                Due::Enter(*next, Scope::Part(coming.first().copied().unwrap_or(self.me)))
            }
        });
        let held = exchange.held.take();
        self.kin = exchange.members();
        self.due.push_back(Due::Merge(exchange.into_others()));
        self.due.extend(held.into_iter().map(Due::Take));
    }

    /// Nodes in the table that have another one: they were away, and are back.
    fn strangers(&self) -> Vec<NodeId> {
        self.table.nodes().filter(|node| self.kin.binary_search(node).is_err()).collect()
    }

    /// Performs the next step that is due. Whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let Some(due) = self.due.pop_front() else { return false };
        match due {
            Due::Enter(ring, scope) => self.steps.enter(ring, scope),
            Due::Depart(nodes, cause) if !nodes.is_empty() => {
                let changed = self.table.remove_nodes(&nodes);
                self.sweep(cause, changed);
            }
            Due::Depart(..) => {}
            Due::Tell => {
                if let Some(exchange) = &mut self.exchange {
                    exchange.tell(&self.table, self.outbox.message_bytes_max());
                }
            }
            Due::Merge(parts) => {
                let changed = merge(&mut self.table, parts);
                self.sweep(Cause::Merge, changed);
            }
            Due::Take(message) => match parse(&message.payload) {
                Ok(content) => self.take(content, &message),
                Err(reason) => self.refuse(reason),
            },
        }
        true
    }

    /// A message takes effect.
    fn take(&mut self, content: Content<'_>, message: &Message) {
        let node = message.id.sender;
        if let Content::Message(envelope) = content {
            return self.deliver(envelope, message);
        }
        if self.table.incarnation(node) != Some(message.id.incarnation) {
            return self.refuse(Refusal::Stranger);
        }
        let (cause, changed) = match content {
            Content::Join { number, endpoint, group } => {
                match self.table.join(node, number, endpoint, group) {
                    Ok(changed) => (Cause::Join, changed),
                    Err(reason) => return self.refuse(reason),
                }
            }
            Content::Leave { number, group } => {
                (Cause::Leave, self.table.leave(node, number, group))
            }
            Content::Gone { number, crashed } => {
                let cause = if crashed { Cause::Crash } else { Cause::Leave };
                (cause, self.table.remove_endpoint(node, number))
            }
            Content::Away => (Cause::Leave, self.table.remove_endpoints_of(node)),
            // The first is done above, the second never held.
            Content::Message(_) | Content::Chunk(_) => return,
        };
        self.sweep(cause, changed);
    }

    fn sweep(&mut self, cause: Cause, changed: Changed) {
        debug_assert!(self.sweep.is_none(), "a step waits for the views of the one before");
        let id = self.steps.next();
        // A part's views are the same among those of the part who learn of it in the transitional
        // configuration, where there is no primary component any more.
        let is_primary = self.primary.is_some() && id.scope == Scope::Whole;
        self.sweep = Some(Sweep::new(&self.table, id, is_primary, cause, changed));
    }

    /// Gives a message to those here whom it is for, once to each.
    fn deliver(&mut self, envelope: Envelope<'_>, message: &Message) {
        let mut to: Vec<EndpointId> = Vec::new();
        for target in envelope.targets() {
            match target {
                TargetRef::Group(name) => {
                    if let Some(group) = self.table.group_called(name) {
                        to.extend(self.table.local_members(group));
                    }
                    self.locals.find_subscribers(name, &mut to);
                }
                TargetRef::Private(name, node) if node == self.me => {
                    to.extend(self.locals.called(name));
                }
                TargetRef::Private(..) => {}
            }
        }
        // Those whose farewell is still on its way through the order.
        to.retain(|endpoint| self.locals.is_attached(*endpoint));
        if to.is_empty() {
            return;
        }
        to.sort_unstable();
        to.dedup();
        let message = GroupMessage::new(message, envelope.payload_bytes);
        self.ready.push_back(Addressed { to, event: GroupEvent::Message(message) });
    }

    /// Without effect, for this reason.
    fn refuse(&mut self, reason: Refusal) {
        self.counts.refused += 1;
        self.counts.refused_last = Some(reason);
    }
}
