//! God's view of obligation sets: whoever acknowledges has taken on those of all that come from
//! its ring.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::god::Violated;
use super::node::{Life, cluster};
use crate::id::{NodeId, RingId};
use crate::ordering::Ordering;
use crate::wire::token::Token;

/// One recovery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Attempt {
    /// What it forms.
    forms: RingId,
    /// What it recovers.
    recovers: RingId,
}

/// What a member was seen to owe in an attempt.
#[derive(Clone, Hash, Debug)]
struct Seen {
    obligations: BTreeSet<NodeId>,
    acknowledged: bool,
}

/// The obligation sets of every attempt.
#[derive(Clone, Hash, Default, Debug)]
pub(super) struct Obliged {
    attempts: BTreeMap<Attempt, BTreeMap<NodeId, Seen>>,
}

impl Obliged {
    /// Looks at a member that recovers, and whether it says that it misses nothing; yields how
    /// often the invariant was judged.
    ///
    /// EVS step 5.c: T *and its obligation sets* join mine. A member that has adopted this attempt
    /// had the obligations it came with when it was frozen, so all that acknowledge owe them too;
    /// else the two would differ in what they discard (EVS 4).
    pub(super) fn observe(
        &mut self,
        me: NodeId,
        ordering: &Ordering,
        acknowledges: bool,
    ) -> Result<u64, Violated> {
        let attempt =
            Attempt { forms: ordering.running().ring, recovers: ordering.installed().ring };
        let members = self.attempts.entry(attempt).or_default();
        let obligations: BTreeSet<NodeId> = ordering.obligations().collect();
        let known = members.get(&me);
        let acknowledged = acknowledges || known.is_some_and(|seen| seen.acknowledged);
        if known.is_some_and(|seen| {
            seen.obligations == obligations && seen.acknowledged == acknowledged
        }) {
            return Ok(0);
        }
        members.insert(me, Seen { obligations, acknowledged });
        let mine = &members[&me];
        for (other, theirs) in members.iter().filter(|(other, _)| **other != me) {
            let less = |has: &Seen, of: &Seen| {
                has.acknowledged && !of.obligations.is_subset(&has.obligations)
            };
            if less(mine, theirs) || less(theirs, mine) {
                let detail = format!(
                    "on {} from {}: {me} owes {:?}, {other} owes {:?}",
                    attempt.forms, attempt.recovers, mine.obligations, theirs.obligations
                );
                return Err(Violated { invariant: "obligations of T taken on", detail });
            }
        }
        Ok(members.len() as u64 - 1)
    }
}

/// Whether `frame` is a token on which `life` says, before it installs the ring, that it misses
/// nothing.
pub(super) fn acknowledges(life: &Life, frame: &Bytes) -> bool {
    let ordering = life.data.ordering();
    let (running, point) = (ordering.running(), ordering.running_start());
    let mut token = Token::default();
    running.ring != ordering.installed().ring
        && token.parse_into(frame, cluster()).is_ok()
        && token.ring == running.ring
        && running
            .index_of(life.identity.member.id)
            .and_then(|me| token.promises.get(me))
            .is_some_and(|promise| promise.aru >= point)
}
