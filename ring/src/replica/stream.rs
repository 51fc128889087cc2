//! A replica on its member's stream of events: statuses, the decision, and the log.

use std::collections::BTreeMap;

use super::decide::{Decision, bound_instants, decide};
use super::entry::{Command, Entry, Operation};
use super::event::Event;
use super::fetch::Fetch;
use super::log::Log;
use super::machine::{StateMachine, View};
use super::message::{Ordered, Status};
use super::position::{Instant, Position};
use super::replica::{Decided, Joining, Phase, Pull, Replica, Role};
use super::state::{Applied, Effect};
use crate::configuration::{Configuration, ConfigurationKind};
use crate::delivery::MessageRef;
use crate::id::{NodeId, RingId};
use crate::time::Time;

impl<M: StateMachine> Replica<M> {
    pub(super) fn handle_configuration(&mut self, configuration: &Configuration) {
        self.kind = configuration.kind;
        self.is_primary = false;
        if configuration.kind == ConfigurationKind::Transitional {
            return;
        }
        self.ring = configuration.ring;
        self.members = configuration.members.clone();
        self.phase = Phase::Deciding(BTreeMap::new());
        let fetching = match &self.role {
            Role::Joining(Joining { instant, log, pull: Pull::Going(_), .. }) => {
                Some((*instant, log.end()))
            }
            Role::Joining(_) => {
                self.role = Role::Idle;
                None
            }
            Role::Idle | Role::Holder => None,
        };
        let (ring, held) = (self.ring, self.state.held());
        let kept = self.store.instants();
        self.retract();
        self.announce(Ordered::Status(Status { ring, held, fetching, kept }));
    }

    /// The configuration in force is the primary component: a place in the order, the same for all
    /// that stay in the regular configuration.
    pub(super) fn handle_primary(&mut self, ring: RingId) {
        self.is_primary = ring == self.ring && self.kind == ConfigurationKind::Regular;
        self.commit();
    }

    pub(super) fn handle_message(&mut self, now: Time, message: MessageRef<'_>) {
        let Some(ordered) = Ordered::decode(message.payload) else {
            self.counters.malformed_messages += 1;
            return;
        };
        let sender = message.id.sender;
        // Accepted in one configuration and ordered in the next, it speaks of a past that is not ours.
        let is_of = |ring| ring == self.ring && message.ring == self.ring;
        let has_effect = match ordered {
            Ordered::Status(status) if is_of(status.ring) => {
                self.handle_status(now, sender, status)
            }
            Ordered::Synced { ring } if is_of(ring) => self.handle_synced(sender),
            Ordered::Again { instant } if message.ring == self.ring => {
                self.handle_again(now, sender, instant)
            }
            Ordered::Request { first, number, operation } => {
                self.handle_request(message, first, number, operation);
                true
            }
            Ordered::Status(_) | Ordered::Synced { .. } | Ordered::Again { .. } => false,
        };
        if !has_effect {
            self.counters.stale_messages += 1;
        }
    }

    fn handle_status(&mut self, now: Time, sender: NodeId, status: Status) -> bool {
        let Phase::Deciding(statuses) = &mut self.phase else { return false };
        if self.members.binary_search(&sender).is_err() || statuses.contains_key(&sender) {
            return false;
        }
        statuses.insert(sender, status);
        if statuses.len() < self.members.len() {
            return true;
        }
        match decide(self.ring, statuses, &self.options.progress) {
            Some(decision) => self.go_on(now, decision),
            None => self.phase = Phase::Blocked,
        }
        true
    }

    /// The last status was delivered: the instant of this configuration.
    fn go_on(&mut self, now: Time, decision: Decision) {
        let Decision { start, floor, synced, joiners, mut donors } = decision;
        let is_active = self.options.progress.suffices(&synced);
        let fetched = joiners.get(&self.me).copied();
        self.phase = Phase::Decided(Decided { floor, synced, joiners, is_active });
        match fetched {
            None => {
                self.state.go_on(start);
                self.role = Role::Holder;
                // EVS §2.2: only a safe message in the regular configuration proves that all have
                // installed it. Delivered in the transitional one, this decision is a guess about
                // others that the next status tells of.
                if self.kind == ConfigurationKind::Regular {
                    self.apply_to(if self.may_apply() { u64::MAX } else { floor });
                    self.checkpoint(Instant { ring: self.ring, index: start.index });
                }
            }
            Some(instant) => {
                let donors = donors.remove(&instant).unwrap_or_default();
                self.follow(now, instant, start, donors);
            }
        }
        self.append_view();
        self.commit();
    }

    /// Follows the log from `start` on as a joiner. What was fetched of the same instant stays.
    fn follow(&mut self, now: Time, instant: Instant, start: Position, donors: Vec<NodeId>) {
        if let Role::Joining(joining) = &mut self.role
            && joining.instant == instant
            && let Pull::Going(fetch) = &mut joining.pull
        {
            joining.log.go_on(start.lineage);
            fetch.go_on(now, donors);
            return;
        }
        self.begin_joining(now, instant, start, donors);
    }

    fn begin_joining(&mut self, now: Time, instant: Instant, start: Position, donors: Vec<NodeId>) {
        let fetch = Fetch::new(now, instant, donors, &self.options);
        let pull = Pull::Going(Box::new(fetch));
        self.role = Role::Joining(Joining { instant, start, log: Log::at(start), pull });
    }

    fn handle_synced(&mut self, sender: NodeId) -> bool {
        let Phase::Decided(decided) = &mut self.phase else { return false };
        if decided.joiners.remove(&sender).is_none() {
            return false;
        }
        decided.synced.insert(sender);
        decided.is_active = self.options.progress.suffices(&decided.synced);
        self.append_view();
        self.drop_unused_checkpoints();
        self.commit();
        true
    }

    /// A joiner asks for another instant: this place.
    fn handle_again(&mut self, now: Time, sender: NodeId, void: Instant) -> bool {
        // In a transitional configuration nobody makes checkpoints, and the next decision is near.
        if self.kind == ConfigurationKind::Transitional {
            return false;
        }
        let Phase::Decided(decided) = &mut self.phase else { return false };
        let end = match &self.role {
            Role::Holder => self.state.held().map(|held| held.end),
            Role::Joining(joining) => Some(joining.log.end()),
            Role::Idle => None,
        };
        let Some(end) = end.filter(|_| decided.joiners.get(&sender) == Some(&void)) else {
            return false;
        };
        let here = Instant { ring: self.ring, index: end.index };
        decided.joiners.insert(sender, here);
        bound_instants(&mut decided.joiners);
        let donors = decided.synced.iter().copied().collect();
        let mine = decided.joiners.get(&self.me).copied();
        match &self.role {
            Role::Holder => self.checkpoint(here),
            Role::Joining(joining) if mine == Some(here) => {
                // Moved here, or the one that asked.
                if sender == self.me || joining.instant != here {
                    self.begin_joining(now, here, end, donors);
                }
            }
            Role::Joining(_) | Role::Idle => {}
        }
        true
    }

    fn handle_request(
        &mut self,
        message: MessageRef<'_>,
        first: u64,
        number: u64,
        operation: Operation,
    ) {
        let (sender, incarnation) = (message.id.sender, message.id.incarnation);
        let has_place = matches!(&self.phase, Phase::Decided(decided) if decided.is_active);
        if (sender, incarnation) == (self.me, self.incarnation) {
            // Before the decision of a regular configuration, or before enough are synced, it has a
            // place for nobody. In a transitional one, others may know of statuses that are lost here.
            if has_place || self.kind == ConfigurationKind::Transitional {
                self.requests.doubt(number);
            } else {
                self.requests.requeue(number);
            }
        }
        if has_place {
            let command = Command { sender, incarnation, first, number, operation };
            self.append(Entry::Command(command));
            self.commit();
        }
    }

    fn append_view(&mut self) {
        let Phase::Decided(decided) = &self.phase else { return };
        if !decided.is_active {
            return;
        }
        let (ring, members) = (self.ring, self.members.clone());
        let synced = decided.synced.iter().copied().collect();
        self.append(Entry::View(View { ring, members, synced }));
    }

    fn append(&mut self, entry: Entry) {
        let tail_bytes_max = self.options.tail_bytes_max;
        match &mut self.role {
            Role::Idle => {}
            Role::Holder => {
                let Some(log) = self.state.log_mut() else { return };
                log.append(entry);
                if log.tail_bytes() > tail_bytes_max {
                    // Less would break the log, more the memory; a crash is what others can bear.
                    self.state.forget();
                    self.role = Role::Idle;
                    self.counters.forgotten += 1;
                }
            }
            Role::Joining(joining) => {
                joining.log.append(entry);
                let is_going = matches!(joining.pull, Pull::Going(_));
                if !is_going || joining.log.tail_bytes() > tail_bytes_max {
                    joining.log.drop_tail();
                }
                if is_going && joining.log.tail().len() == 0 {
                    self.ask_again();
                }
            }
        }
    }

    /// Applies what may be applied. In a regular configuration whose decision was delivered in it, where
    /// enough hold the state (and that is the primary component, if it must be): whatever is delivered there is held by all of them, so every later part
    /// that may go on has it. In a transitional configuration, never.
    pub(super) fn commit(&mut self) {
        if !self.may_apply()
            || !matches!(self.role, Role::Holder)
            || self.kind == ConfigurationKind::Transitional
        {
            return;
        }
        let has_skipped = self.apply_to(u64::MAX);
        if has_skipped || self.requests.has_doubt() {
            let known = self.state.known(self.me, self.incarnation);
            let mut lost = Vec::new();
            self.requests.settle(known, |request, why| lost.push(Event::Lost { request, why }));
            for event in lost {
                self.tell(event);
            }
        }
    }

    /// Applies entries up to index `limit`. Whether one of this member's was skipped.
    pub(super) fn apply_to(&mut self, limit: u64) -> bool {
        let mut has_skipped = false;
        while let Some(Applied { index, what }) = self.state.apply_next(limit) {
            let is_mine = |command: &Command| {
                (command.sender, command.incarnation) == (self.me, self.incarnation)
            };
            match what {
                Effect::View(view) => self.tell(Event::View { index, view }),
                Effect::Skipped(command) if is_mine(&command) => {
                    self.requests.requeue(command.number);
                    has_skipped = true;
                }
                Effect::Done(command, output) if is_mine(&command) => {
                    let request = super::requests::RequestId(command.number);
                    if self.requests.take(command.number) {
                        self.tell(match output {
                            Some(output) => Event::Applied { request, index, output },
                            None => Event::Passed { request, index },
                        });
                    }
                }
                Effect::Skipped(_) | Effect::Done(..) => {}
            }
        }
        has_skipped
    }
}
