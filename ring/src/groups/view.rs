//! Views of groups, and how a step's views are made one by one.

use std::fmt;
use std::sync::Arc;

use super::locals::Locals;
use super::name::{GroupName, PrivateName};
use super::table::{Changed, Group, Table};
use super::{Addressed, EndpointId, GroupEvent};
use crate::id::{NodeId, RingId};

/// Among whom a view is the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// The part of the configuration whose lowest member this is: either the others' tables are not
    /// here yet, or the configuration is about to be installed and this is its transitional one.
    Part(NodeId),
    /// All members of the configuration.
    Whole,
}

/// Identifier of a group's view: one identifier, one list of members. Ascends at each member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ViewId {
    /// The configuration in which it is given, or which is about to be installed.
    pub ring: RingId,
    /// Among whom.
    pub scope: Scope,
    /// Counts what happened to the table there, so that views of several groups that one event
    /// changed have the same number.
    pub count: u64,
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scope {
            Scope::Part(lowest) => write!(f, "{}:{lowest}:{}", self.ring, self.count),
            Scope::Whole => write!(f, "{}:{}", self.ring, self.count),
        }
    }
}

/// Why a view came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// An endpoint joined.
    Join,
    /// An endpoint left, or was detached, or its node left in good order.
    Leave,
    /// An endpoint's client died, or its node did and is back in a new life.
    Crash,
    /// Nodes are out of reach. They may have crashed, or left without a word; nobody can tell.
    Partition,
    /// Nodes came together.
    Merge,
}

impl Cause {
    const fn is_arrival(self) -> bool {
        matches!(self, Self::Join | Self::Merge)
    }
}

/// Who is in a group from here on in the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// The group.
    pub group: GroupName,
    /// Which view.
    pub id: ViewId,
    /// Members, ascending.
    pub members: Arc<[PrivateName]>,
    /// Members that were not in the receiver's view before, ascending.
    pub joined: Vec<PrivateName>,
    /// Those that were in the receiver's view before and are not members, ascending.
    pub left: Vec<PrivateName>,
    /// Why.
    pub cause: Cause,
    /// The view is one of all members, and their configuration was known to be the primary component
    /// when it was made; equal wherever `id` is. What becomes of that is told by
    /// [`GroupEvent::Primary`]. Never without a policy.
    pub is_primary: bool,
}

impl View {
    /// The transitional set, ascending: members that come from the receiver's view before, and have
    /// been told between that and this one what it was told. While a transitional configuration is in
    /// force, endpoints of nodes that are not in it are among them until the regular one.
    pub fn transitional(&self) -> impl Iterator<Item = &PrivateName> {
        self.members.iter().filter(|member| self.joined.binary_search(member).is_err())
    }
}

/// Counts the steps of a scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps(ViewId);

impl Steps {
    pub(super) fn new(me: NodeId) -> Self {
        Self(ViewId { ring: RingId::default(), scope: Scope::Part(me), count: 0 })
    }

    /// What happens from here on happens there.
    pub(super) const fn enter(&mut self, ring: RingId, scope: Scope) {
        self.0 = ViewId { ring, scope, count: 0 };
    }

    /// The views of the next step.
    pub(super) const fn next(&mut self) -> ViewId {
        self.0.count += 1;
        self.0
    }
}

/// The views of one step, made when they are asked for: the table changes no further until then.
#[derive(Debug)]
pub(super) struct Sweep {
    id: ViewId,
    is_primary: bool,
    cause: Cause,
    changed: Changed,
    /// Where the pairs of each group begin and end, the last group by name first.
    runs: Vec<(u32, u32)>,
}

impl Sweep {
    pub(super) fn new(
        table: &Table,
        id: ViewId,
        is_primary: bool,
        cause: Cause,
        changed: Changed,
    ) -> Self {
        let mut runs = Vec::new();
        let mut first = 0;
        for pairs in changed.pairs.chunk_by(|a, b| a.0 == b.0) {
            let after = first + u32::try_from(pairs.len()).unwrap_or(0);
            runs.push((first, after));
            first = after;
        }
        let name = |run: &(u32, u32)| {
            table.group(changed.pairs[run.0 as usize].0).map(|group| group.name.as_str())
        };
        // The same order everywhere, whatever the tables call the groups.
        runs.sort_unstable_by(|a, b| name(b).cmp(&name(a)));
        Self { id, is_primary, cause, changed, runs }
    }

    /// The next view. With the last, what went is forgotten.
    pub(super) fn next(&mut self, table: &mut Table, locals: &Locals) -> Option<Addressed> {
        while let Some((first, after)) = self.runs.pop() {
            if let Some(view) = self.view(first as usize..after as usize, table, locals) {
                return Some(view);
            }
        }
        table.forget(&std::mem::take(&mut self.changed));
        None
    }

    fn view(
        &self,
        run: std::ops::Range<usize>,
        table: &Table,
        locals: &Locals,
    ) -> Option<Addressed> {
        let pairs = &self.changed.pairs[run];
        let key = pairs.first()?.0;
        let mut to: Vec<EndpointId> = table.local_members(key).collect();
        if self.cause == Cause::Leave {
            // The last it hears of the group.
            let leavers = pairs.iter().filter(|pair| pair.1.is_local());
            to.extend(leavers.filter_map(|pair| Some(EndpointId(table.endpoint(pair.1)?.number))));
        }
        to.retain(|endpoint| locals.is_attached(*endpoint));
        to.sort_unstable();
        if to.is_empty() {
            return None;
        }
        let Group { name, members } = table.group(key)?;
        let sorted = |keys: &mut dyn Iterator<Item = super::table::Key>| {
            let mut names: Vec<PrivateName> = keys.filter_map(|it| table.full_name(it)).collect();
            names.sort_unstable();
            names
        };
        let members = sorted(&mut members.iter().copied()).into();
        let changed = sorted(&mut pairs.iter().map(|pair| pair.1));
        let (joined, left) =
            if self.cause.is_arrival() { (changed, Vec::new()) } else { (Vec::new(), changed) };
        let (group, id, cause, is_primary) = (name.clone(), self.id, self.cause, self.is_primary);
        Some(Addressed {
            to,
            event: GroupEvent::View(View { group, id, members, joined, left, cause, is_primary }),
        })
    }
}
