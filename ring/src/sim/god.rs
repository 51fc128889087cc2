//! God's view: invariants that no single member and no trace can show, asserted at each step.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use super::node::{Life, cluster};
use super::obliged::Obliged;
use crate::configuration::ConfigurationKind;
use crate::id::{Epoch, Incarnation, NodeId, RingId};
use crate::ordering::DataDestination;
use crate::roster::Roster;
use crate::seq::{Ordinal, Seq};
use crate::service::Service;
use crate::trace::{ContentHash, Entry, Event};
use crate::wire::claim::Claim;
use crate::wire::data::Data;
use crate::wire::join::Join;
use crate::wire::token::Token;
use crate::wire::{Header, Kind, frame_bytes_max};

/// An invariant that does not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{invariant}: {detail}")]
pub(super) struct Violated {
    pub(super) invariant: &'static str,
    pub(super) detail: String,
}

type Life1 = (NodeId, Incarnation);

/// What was seen of all members together.
#[derive(Clone, Default, Debug)]
pub(super) struct God {
    members: BTreeMap<RingId, Arc<[NodeId]>>,
    incarnations: BTreeMap<RingId, Vec<Life1>>,
    adopted: BTreeMap<(RingId, NodeId), Incarnation>,
    /// Hash of the token of each hop.
    tokens: BTreeMap<(RingId, u64), u64>,
    /// What each member of a ring was seen to hold without a gap.
    held: BTreeMap<(RingId, NodeId), Seq>,
    /// Packets that each member originated.
    originated: BTreeMap<(RingId, NodeId), Vec<Seq>>,
    obliged: Obliged,
    /// Invariants looked at.
    pub(super) judged: u64,
}

impl God {
    /// Looks at a member after its data half's cycle: what it recorded and sent, and whether it
    /// says with that, before it installs the ring, that it misses nothing.
    pub(super) fn observe(
        &mut self,
        life: &Life,
        ceiling: Epoch,
        recorded: &[Entry],
        sends: &[(DataDestination, Bytes)],
        acknowledges: bool,
    ) -> Result<(), Violated> {
        let ordering = life.data.ordering();
        let me = life.identity.member;
        let (installed, running) = (ordering.installed(), ordering.running());
        for roster in [installed, running] {
            self.one_member_list(roster)?;
            if self.adopted.insert((roster.ring, me.id), me.incarnation).is_none() {
                self.judged += 1;
                require(roster.ring.epoch <= ceiling, "epoch used ≤ disk", || {
                    format!("{} runs ring {} with {ceiling} on disk", me.id, roster.ring)
                })?;
            }
        }
        let held = self.held.entry((installed.ring, me.id)).or_default();
        *held = (*held).max(ordering.aru());
        for entry in recorded {
            self.safe_is_held(installed, entry)?;
        }
        for (_, frame) in sends {
            self.observe_frame(life, frame)?;
        }
        if installed.ring != running.ring {
            self.judged += self.obliged.observe(me.id, ordering, acknowledges)?;
        }
        self.obligations_are_founded(life)
    }

    /// Members of a ring that was seen.
    pub(super) fn members_of(&self, ring: RingId) -> Vec<NodeId> {
        self.members.get(&ring).map(|members| members.to_vec()).unwrap_or_default()
    }

    /// What is over in a cluster that is one quiet ring: tokens, all but the last packet of each
    /// member, recoveries.
    pub(super) fn forget_the_past(&mut self) {
        self.tokens.clear();
        self.originated.values_mut().for_each(|packets| drop(packets.drain(..packets.len() - 1)));
        self.obliged = Obliged::default();
    }

    /// aru ≤ contiguous holdings, and ≤ the install point before the ring is installed.
    fn promise_is_founded(&mut self, life: &Life, token: &Token) -> Result<(), Violated> {
        let ordering = life.data.ordering();
        let running = ordering.running();
        let me = running.index_of(life.identity.member.id);
        let (true, Some(me)) = (token.ring == running.ring, me) else { return Ok(()) };
        let installed = running.ring == ordering.installed().ring;
        let most = if installed { ordering.aru() } else { ordering.running_start() };
        let Some(promise) = token.promises.get(me) else { return Ok(()) };
        self.judged += 1;
        require(promise.aru <= most, "aru ≤ contiguous holdings", || {
            let id = life.identity.member.id;
            format!("{id} says {} on {} and holds {most}", promise.aru, running.ring)
        })
    }

    /// A join leaves only while its worker stands still, and with the highest epoch seen.
    pub(super) fn observe_join(&mut self, life: &Life, frame: &Bytes) -> Result<(), Violated> {
        let Ok(join) = Join::parse(frame, cluster()) else { return Ok(()) };
        if join.leaving {
            return Ok(());
        }
        let me = life.identity.member;
        self.judged += 1;
        require(life.data.ordering().is_frozen(), "no join before Frozen", || {
            format!("{} sends a join and its worker runs", me.id)
        })?;
        let mine = self
            .adopted
            .iter()
            .filter(|((_, node), life)| *node == me.id && **life == me.incarnation);
        let highest = mine.map(|((ring, _), _)| ring.epoch).max().unwrap_or_default();
        require(join.epoch >= highest, "joins carry the highest epoch seen", || {
            format!("{} sends {} after {highest}", me.id, join.epoch)
        })
    }

    /// Who leaves leaves nothing behind: all members hold its last packet.
    pub(super) fn observe_drained(&mut self, life: &Life) -> Result<(), Violated> {
        let installed = life.data.ordering().installed();
        let me = life.identity.member.id;
        let last = self.originated.get(&(installed.ring, me)).and_then(|own| own.last().copied());
        let last = last.unwrap_or_default();
        for member in installed.ids().iter() {
            let held = self.held.get(&(installed.ring, *member)).copied().unwrap_or_default();
            self.judged += 1;
            require(held >= last, "drained ⇒ held by all", || {
                format!("{me} has drained at {last}: {member} held only up to {held}")
            })?;
        }
        Ok(())
    }

    /// One ring id, one member list.
    fn one_member_list(&mut self, roster: &Roster) -> Result<(), Violated> {
        let known = self.members.entry(roster.ring).or_insert_with(|| Arc::clone(roster.ids()));
        let same = Arc::ptr_eq(known, roster.ids()) || known == roster.ids();
        if !same {
            let detail = format!("{}: {known:?} and {:?}", roster.ring, roster.ids());
            return Err(Violated { invariant: "one ring id, one member list", detail });
        }
        let lives = || roster.members.iter().map(|member| (member.id, member.incarnation));
        self.incarnations.entry(roster.ring).or_insert_with(|| lives().collect());
        Ok(())
    }

    /// Safe delivered in a regular configuration ⇒ all its members' windows held it.
    fn safe_is_held(&mut self, installed: &Roster, entry: &Entry) -> Result<(), Violated> {
        let Event::Deliver { message, ring, in_configuration, ordinal, service, .. } = &entry.event
        else {
            return Ok(());
        };
        let (ConfigurationKind::Regular, Service::Safe, Some(Ordinal(ordinal))) =
            (in_configuration, service, ordinal)
        else {
            return Ok(());
        };
        let seq = Seq(ordinal >> Ordinal::INDEX_BITS);
        let members = self.members.get(ring).unwrap_or_else(|| installed.ids());
        for member in members.iter() {
            self.judged += 1;
            let held = self.held.get(&(*ring, *member)).copied().unwrap_or_default();
            require(held >= seq, "safe delivered ⇒ held by all", || {
                format!("{message} at {seq} of {ring}: {member} held only up to {held}")
            })?;
        }
        Ok(())
    }

    fn observe_frame(&mut self, life: &Life, frame: &Bytes) -> Result<(), Violated> {
        let Ok(header) = Header::parse(&mut &frame[..], cluster()) else { return Ok(()) };
        let ordering = life.data.ordering();
        let (running, start) = (ordering.running(), ordering.running_start());
        match header.kind {
            Kind::Token => {
                let mut token = Token::default();
                if token.parse_into(frame, cluster()).is_err() {
                    return Ok(());
                }
                self.observe_token(running, &token, ContentHash::of(frame))?;
                self.promise_is_founded(life, &token)
            }
            Kind::Data => {
                if let Ok(data) = Data::parse(frame, cluster())
                    && data.transmitter == data.packet.originator
                    && data.ring == running.ring
                    && data.seq > start
                {
                    self.judged += 1;
                    let most = frame_bytes_max(running.mtu_bytes);
                    require(frame.len() <= most, "no frame is longer than its ring's MTU", || {
                        format!("{} bytes from {} on {}", frame.len(), data.transmitter, data.ring)
                    })?;
                    self.originated(data.ring, data.transmitter, data.seq);
                }
                Ok(())
            }
            Kind::Claim => {
                if let Ok(claim) = Claim::parse(frame, cluster())
                    && claim.ring == running.ring
                {
                    for (seq, ..) in claim.packets() {
                        self.originated(claim.ring, claim.sender, seq);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn originated(&mut self, ring: RingId, by: NodeId, seq: Seq) {
        let own = self.originated.entry((ring, by)).or_default();
        if own.last().is_none_or(|last| *last < seq) {
            own.push(seq);
        }
    }

    /// One token per ring; and when its first one exists, every member's worker has adopted it.
    fn observe_token(
        &mut self,
        running: &Roster,
        token: &Token,
        hash: u64,
    ) -> Result<(), Violated> {
        let known = *self.tokens.entry((token.ring, token.hop)).or_insert(hash);
        self.judged += 1;
        require(known == hash, "one token per ring", || {
            format!("two tokens of hop {} on {}", token.hop, token.ring)
        })?;
        if token.hop == 1 {
            for member in &running.members {
                let adopted = self.adopted.get(&(token.ring, member.id));
                self.judged += 1;
                require(adopted == Some(&member.incarnation), "adopted before its token", || {
                    format!("{} had not adopted {}", member.id, token.ring)
                })?;
            }
        }
        Ok(())
    }

    /// Obligations only towards senders all of whose past is held.
    fn obligations_are_founded(&mut self, life: &Life) -> Result<(), Violated> {
        let ordering = life.data.ordering();
        let ring = ordering.installed().ring;
        for sender in ordering.obligations() {
            let Some(packets) = self.originated.get(&(ring, sender)) else { continue };
            self.judged += 1;
            // The window's aru covers most; only what lies behind a void is looked up.
            let missing = packets.iter().rev().take_while(|seq| **seq > ordering.aru());
            let missing = missing.into_iter().find(|seq| !ordering.holds(**seq));
            require(missing.is_none(), "obligations only where all is held", || {
                let me = life.identity.member.id;
                format!("{me} is obliged to {sender} on {ring} but misses {missing:?}")
            })?;
        }
        Ok(())
    }
}

/// What it has seen, not how often it looked.
impl Hash for God {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { members, incarnations, adopted, tokens, held, originated, obliged, judged: _ } =
            self;
        (members, incarnations, adopted, tokens, held, originated, obliged).hash(state);
    }
}

fn require(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violated> {
    if holds { Ok(()) } else { Err(Violated { invariant, detail: detail() }) }
}
