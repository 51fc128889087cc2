//! The primary component (EVS §2.2): of all configurations that exist beside each other, at most
//! one acts for the whole.
//!
//! A regular configuration that the [`Policy`] admits becomes the primary by a *safe* message of its
//! representative, where that is delivered *in this regular configuration*. Then every member has
//! installed it (EVS 7.2). Declared at installation, it would not be unique: one member installs
//! {1, 2, 3} and dies out while two of them go on to {2, 3, 4, 5}. A transitional configuration ends
//! it: a member that was cut off knows as soon as it knows that its configuration is over.
//!
//! ```text
//! fixed     install ── primary(ring), safe ──► confirmed
//! dynamic   install ── record, from all ──► all decide alike ── attempt to disk ── vote, from all
//!                   ──► primary(ring), safe ──► confirmed ── record to disk, some time
//! ```
//!
//! # Fixed majorities
//!
//! Two majorities share a member. It has installed both, one after the other, so one installation
//! precedes the other (EVS 2.3, 2.4): that is uniqueness, and continuity.
//!
//! # The dynamic policy
//!
//! A member's [`Record`] has the last primary it was in and the configurations it has voted for since,
//! its *attempts*; each of these may have become the primary without it. A configuration C may be voted for
//! if its members are a majority (of two halves, the one with the lowest) of the newest primary P
//! that any of them was in, and of every attempt newer than P that any of them has. All know all records
//! then, delivered in C, so all decide alike. P is a fact whether or not it is durable; an attempt
//! that was never voted for only asks for more.
//!
//! *Formed* means that all members' votes are durable: only then is `primary(C)` sent, and whoever
//! delivers that in a transitional configuration keeps the attempt as it is, since others may have
//! confirmed C and nobody has to. Ring ids ascend at every member.
//!
//! *Claim:* if C and D are formed, C < D, and the newest primary P that D knows of is older than C, a
//! member of C that has its attempt is in D. By induction over ring ids, with Q what C knew as the newest:
//!
//! - Q = P: both have a majority of P, so they share a member, which voted for C before D.
//! - P < Q: by the claim for Q and D somebody in D has the attempt Q, so D has a majority of Q; so has C.
//! - Q < P: by the claim for P and C somebody in C has the attempt P, so C has a majority of P; so has D.
//!
//! The first primaries, which know of none, contain all of the initial set, and so share it. An attempt goes away
//! only for a primary as new, and then P would not be older than C. *Uniqueness:* either P ≥ C
//! leads from D down to C by members in common, or the claim gives one. *Continuity:* with nothing
//! confirmed between C and D, P is C, whose member is in D, or older, and the claim gives one.
//!
//! # Disks
//!
//! - A crash before the attempt is durable: it was not voted for, so C was not formed.
//! - In the write: the disk has the old record or the new one; the vote has not been said.
//! - After it: the attempt counts for ever, or until a newer primary is known.
//! - A crash before the confirmation is durable: the attempt stands for it in the claim above.
//! - A write that fails is tried again; until it succeeds there is no vote, so no primary.
//! - A lost disk: a record says since which life it is on disk, durable before that life does anything.
//!   A member does not count for what was decided before: it may have voted then. It counts
//!   again for each primary that it has been in since. So does the majority of a set whose majority lost
//!   its disks never come together again, rather than wrongly; all of the initial set losing theirs at once is a
//!   new cluster, to be kept apart from the old one by its operator.
//!
//! # Bounds
//!
//! One record of each member (at most [`RECORD_BYTES_MAX`] bytes), one message of each kind a ring,
//! one write under way. Attempts of the same members are one, and the two oldest are made one when
//! there are more than eight: it asks for no less than both, so only more has to come together.

mod ledger;
mod message;
mod policy;
mod record;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::configuration::{Configuration, ConfigurationKind};
use crate::delivery::MessageRef;
use crate::id::{NodeId, RingId};
use crate::layer::Publication;
use crate::service::{Channel, Class, Service};
use ledger::Ledger;
pub use ledger::Write;
use message::Message;
pub use policy::{Policy, PolicyError};
pub use record::{Component, DamagedRecord, RECORD_BYTES_MAX, Record, may_be_primary};

/// How far the configuration in force has come.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Stage {
    /// It cannot become the primary, or has ended.
    Out,
    /// Dynamic: records are awaited, in the order of members.
    Exchanging(Vec<Option<Box<Record>>>),
    /// Dynamic: votes are awaited, in the order of members.
    Voting { votes: Vec<bool>, own: Own },
    /// The representative's word is awaited.
    Awaiting,
    /// It is the primary component.
    Primary,
}

/// The own vote.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Own {
    /// Durable with this write.
    Writing(u64),
    Said,
}

/// The primary component's machine at one member, between its event stream and the disk.
///
/// Getters: [`Primary::primary`], [`Primary::eligible`], … Inputs: `handle_*`, in the order of the
/// stream. Outputs: `poll_*`, to be drained after each input.
#[derive(Clone, Hash, Debug)]
pub struct Primary {
    me: NodeId,
    policy: Policy,
    fingerprint: u64,
    /// The last regular configuration.
    component: Component,
    stage: Stage,
    /// With the dynamic policy.
    ledger: Option<Ledger>,
    publications: VecDeque<Publication>,
    confirmed: Option<RingId>,
    ignored: u64,
}

impl Primary {
    /// The machine at a start, before the first configuration. `record` is what is on disk, the
    /// dynamic policy's; the others do not look at it.
    #[must_use]
    pub fn new(me: NodeId, policy: Policy, record: Record) -> Self {
        let is_dynamic = matches!(policy, Policy::Dynamic { .. });
        Self {
            me,
            fingerprint: policy.fingerprint(),
            policy,
            component: Component { ring: RingId::default(), members: Arc::from([]) },
            stage: Stage::Out,
            ledger: is_dynamic.then(|| Ledger::new(record)),
            publications: VecDeque::new(),
            confirmed: None,
            ignored: 0,
        }
    }

    /// The policy.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The ring of the configuration in force, while it is the primary component. `None` from the
    /// transitional configuration on.
    #[must_use]
    pub fn primary(&self) -> Option<RingId> {
        (self.stage == Stage::Primary).then_some(self.component.ring)
    }

    /// The record as it is in memory, with the dynamic policy.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.ledger.as_ref().map(Ledger::record)
    }

    /// Nothing of this member's is to be ordered or under way to the disk.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.publications.is_empty() && self.ledger.as_ref().is_none_or(Ledger::is_at_rest)
    }

    /// Messages without effect: malformed, late, or of a member with another policy.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Whether the policy admits a regular configuration of these members, as far as it is known
    /// when it is installed. `None` with the dynamic policy when the others' records decide.
    #[must_use]
    pub fn eligible(&self, members: &[NodeId]) -> Option<bool> {
        match (&self.ledger, &self.policy) {
            (Some(ledger), Policy::Dynamic { initial }) => {
                record::outlook(initial, members, self.me, ledger.record())
            }
            _ => self.policy.admits(members),
        }
    }

    /// The next configuration of the stream.
    pub fn handle_configuration(&mut self, configuration: &Configuration) {
        // What was not ordered yet is about a configuration that is over.
        self.publications.clear();
        self.confirmed = None;
        self.stage = Stage::Out;
        if configuration.kind == ConfigurationKind::Transitional {
            return;
        }
        let members = Arc::clone(&configuration.members);
        let count = members.len();
        self.component = Component { ring: configuration.ring, members };
        if let Some(ledger) = &self.ledger {
            let record = Message::Record(Box::new(ledger.record().clone()));
            self.stage = Stage::Exchanging(vec![None; count]);
            self.publish(&record, Service::Agreed);
        } else if self.policy.admits(&self.component.members) == Some(true) {
            self.await_word();
        }
    }

    /// The next message of the stream on [`Channel::PRIMARY`].
    pub fn handle_message(&mut self, message: &MessageRef<'_>) {
        if !self.act_on(message) {
            self.ignored += 1;
        }
    }

    /// A write is durable.
    pub fn handle_written(&mut self, number: u64) {
        if let Some(ledger) = &mut self.ledger {
            ledger.handle_written(number);
        }
        if let Stage::Voting { own, .. } = &mut self.stage
            && matches!(own, Own::Writing(needed) if *needed <= number)
        {
            *own = Own::Said;
            self.publish(&Message::Vote, Service::Agreed);
        }
    }

    /// What is to be ordered next.
    pub fn poll_publish(&mut self) -> Option<Publication> {
        self.publications.pop_front()
    }

    /// The next record to make durable; the one before is durable then. Answered by
    /// [`Primary::handle_written`], some time, however often it fails before.
    pub fn poll_write(&mut self) -> Option<Write> {
        self.ledger.as_mut()?.poll_write()
    }

    /// The ring of the configuration in force, when it has just become the primary component.
    pub fn poll_confirmed(&mut self) -> Option<RingId> {
        self.confirmed.take()
    }

    /// False when the message has no effect.
    fn act_on(&mut self, message: &MessageRef<'_>) -> bool {
        let in_force = message.in_configuration == ConfigurationKind::Regular
            && message.ring == self.component.ring;
        let sender = self.component.members.binary_search(&message.id.sender);
        let decoded = message::decode(message.payload);
        let (true, Ok(sender), Some((said, ring, fingerprint))) = (in_force, sender, decoded)
        else {
            return false;
        };
        if ring != self.component.ring || fingerprint != self.fingerprint {
            return false;
        }
        match said {
            Message::Record(record) if message.service.is_totally_ordered() => {
                self.take_record(sender, record)
            }
            Message::Vote if message.service.is_totally_ordered() => self.take_vote(sender),
            // The representative is the lowest.
            Message::Primary if message.service == Service::Safe && sender == 0 => self.take_word(),
            _ => false,
        }
    }

    fn take_record(&mut self, sender: usize, record: Box<Record>) -> bool {
        let Stage::Exchanging(records) = &mut self.stage else { return false };
        if records[sender].is_some() {
            return false;
        }
        records[sender] = Some(record);
        let known: Vec<&Record> = records.iter().flatten().map(AsRef::as_ref).collect();
        if known.len() < records.len() {
            return true;
        }
        let Policy::Dynamic { initial } = &self.policy else { return false };
        if may_be_primary(initial, &self.component.members, |index| known[index]) {
            self.vote();
        } else {
            self.stage = Stage::Out;
        }
        true
    }

    fn vote(&mut self) {
        let votes = vec![false; self.component.members.len()];
        let write = self.ledger.as_mut().and_then(|ledger| ledger.attempt(&self.component));
        self.stage = match write {
            Some(number) => Stage::Voting { votes, own: Own::Writing(number) },
            None => Stage::Out,
        };
    }

    fn take_vote(&mut self, sender: usize) -> bool {
        let Stage::Voting { votes, .. } = &mut self.stage else { return false };
        votes[sender] = true;
        if votes.iter().all(|vote| *vote) {
            self.await_word();
        }
        true
    }

    /// The representative gives its word, all await it.
    fn await_word(&mut self) {
        self.stage = Stage::Awaiting;
        if self.component.members.first() == Some(&self.me) {
            self.publish(&Message::Primary, Service::Safe);
        }
    }

    fn take_word(&mut self) -> bool {
        if self.stage != Stage::Awaiting {
            return false;
        }
        self.stage = Stage::Primary;
        self.confirmed = Some(self.component.ring);
        if let Some(ledger) = &mut self.ledger {
            ledger.confirm(self.component.clone());
        }
        true
    }

    fn publish(&mut self, message: &Message, service: Service) {
        let payload = message::encode(message, self.component.ring, self.fingerprint);
        let class = Class { service, channel: Channel::PRIMARY };
        self.publications.push_back(Publication { class, payload });
    }
}

/// The dynamic policy that begins with these.
#[must_use]
pub fn dynamic(initial: impl IntoIterator<Item = NodeId>) -> Policy {
    Policy::Dynamic { initial: initial.into_iter().collect::<BTreeSet<_>>() }
}
