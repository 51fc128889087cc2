//! From everybody's commit entries to what the worker recovers (EVS steps 3 and 4).

use std::sync::Arc;

use crate::handoff::{Frozen, Recover};
use crate::id::NodeId;
use crate::ordering::Recovery;
use crate::params::Params;
use crate::roster::{MemberMask, Roster};
use crate::seq::Seq;
use crate::slots::SlotMap;
use crate::wire::commit::Entry;

/// The entry of a member whose worker reported `frozen`.
pub(super) fn entry(frozen: &Frozen) -> Entry {
    let Frozen { installed, aru, highest, stable, obligations, .. } = *frozen;
    let frees = frozen.frees.clone();
    Entry { installed, aru, highest, stable, obligations, frees }
}

/// What the member at place `me` of `roster`, which comes from `installed`, adopts, given everybody's
/// `entries` in ring order. `None` when the entries contradict what this member knows of its own
/// ring.
pub(super) fn recover(
    roster: Arc<Roster>,
    entries: &[Entry],
    installed: &Roster,
    params: &Params,
    me: usize,
) -> Option<Box<Recovery>> {
    let slots = SlotMap::new(entries, installed.ring);
    let mut transitional = MemberMask::default();
    let mut obligations = MemberMask::default();
    let mut complete = MemberMask::default();
    let mut stable = Seq::ZERO;
    for (index, (member, entry)) in roster.members.iter().zip(entries).enumerate() {
        if misses_nothing(entries, entry) {
            complete.insert(index);
        }
        if entry.installed != installed.ring {
            continue;
        }
        // EVS step 4.a: T are the members of the new ring that come from mine.
        let place = installed.index_of(member.id)?;
        if installed.members[place].incarnation != member.incarnation {
            return None;
        }
        transitional.insert(place);
        obligations = obligations.union(entry.obligations);
        stable = stable.max(entry.stable);
    }
    let obligations = obligations.intersection(installed.everyone());
    let transitional_ids = installed.select(transitional).collect();
    let recover =
        Recover { roster, slots, transitional, transitional_ids, obligations, stable, complete };
    Some(Box::new(Recovery::new(recover, me, params)))
}

/// Whether the member of `entry` holds all that anybody from its ring holds, as far as its entry
/// tells.
fn misses_nothing(entries: &[Entry], entry: &Entry) -> bool {
    let kin = entries.iter().filter(|other| other.installed == entry.installed);
    kin.into_iter().all(|other| entry.aru >= other.highest && other.frees.is_empty())
}

/// Whether two member lists name the same ids in the same order.
pub(super) fn same_ids(roster: &Roster, ids: impl Iterator<Item = NodeId>) -> bool {
    roster.ids().iter().copied().eq(ids)
}
