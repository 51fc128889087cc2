//! Who is in which group: what every member of a configuration knows of all.

use std::collections::{BTreeMap, BTreeSet};

use super::name::{EndpointName, GroupName, PrivateName};
use super::slab::Slab;
use super::{ENDPOINTS_PER_NODE_MAX, EndpointId, MEMBERSHIPS_PER_NODE_MAX, Refusal};
use crate::id::{Incarnation, NodeId};

/// An endpoint, as this member's table calls it. Local ones sort behind all others, so that they are
/// the end of every list of a group's members.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Key(u32);

impl Key {
    const LOCAL: u32 = 1 << 31;

    const fn new(place: u32, local: bool) -> Self {
        Self(if local { place | Self::LOCAL } else { place })
    }

    /// Where it is, in lists by endpoint.
    pub(super) const fn place(self) -> u32 {
        self.0 & !Self::LOCAL
    }

    pub(super) const fn is_local(self) -> bool {
        self.0 & Self::LOCAL != 0
    }
}

/// A group, as this member's table calls it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct GroupKey(pub(super) u32);

/// An endpoint that is in some group.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) node: NodeId,
    /// Its [`EndpointId`] there.
    pub(super) number: u32,
    pub(super) name: EndpointName,
    /// Ascending.
    groups: Vec<GroupKey>,
}

/// A group that somebody is in.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: GroupName,
    /// Ascending.
    pub(super) members: Vec<Key>,
}

/// What is known of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Resident {
    incarnation: Incarnation,
    endpoints: usize,
    memberships: usize,
}

/// Memberships that came or went in one step, of groups with local members, or with local ones that
/// went. What went is kept until [`Table::forget`], so that it can be told.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Ascending.
    pub(super) pairs: Vec<(GroupKey, Key)>,
    /// Endpoints that are in no group any more.
    homeless: Vec<Key>,
}

/// Who is in which group.
#[derive(Debug, Default)]
pub(super) struct Table {
    me: NodeId,
    nodes: BTreeMap<NodeId, Resident>,
    endpoints: Slab<Endpoint>,
    by_number: BTreeMap<(NodeId, u32), Key>,
    groups: Slab<Group>,
    /// By hash of their names, which takes less memory and time than by the names.
    by_name: BTreeSet<(u64, GroupKey)>,
}

/// FNV-1a: the same everywhere, and good enough for an index whose hits are compared.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Table {
    /// The table of `me`, of whom alone it knows.
    pub(super) fn new(me: NodeId, incarnation: Incarnation) -> Self {
        let mut table = Self { me, ..Self::default() };
        table.admit(me, incarnation);
        table
    }

    /// A node is known from now on, in this life.
    pub(super) fn admit(&mut self, node: NodeId, incarnation: Incarnation) {
        self.nodes.insert(node, Resident { incarnation, endpoints: 0, memberships: 0 });
    }

    /// The life of a node that is known.
    pub(super) fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.nodes.get(&node).map(|resident| resident.incarnation)
    }

    /// The nodes that are known, ascending.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.keys().copied()
    }

    /// Memberships of a node's endpoints.
    pub(super) fn memberships(&self, node: NodeId) -> usize {
        self.nodes.get(&node).map_or(0, |resident| resident.memberships)
    }

    /// Groups that somebody is in.
    pub(super) const fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Places of groups.
    pub(super) const fn group_places(&self) -> usize {
        self.groups.places()
    }

    /// Places of endpoints.
    pub(super) const fn endpoint_places(&self) -> usize {
        self.endpoints.places()
    }

    pub(super) fn group(&self, group: GroupKey) -> Option<&Group> {
        self.groups.at(group.0)
    }

    pub(super) fn endpoint(&self, endpoint: Key) -> Option<&Endpoint> {
        self.endpoints.at(endpoint.place())
    }

    /// The full name of an endpoint.
    pub(super) fn full_name(&self, endpoint: Key) -> Option<PrivateName> {
        let Endpoint { node, name, .. } = self.endpoint(endpoint)?;
        Some(PrivateName { name: name.clone(), node: *node })
    }

    /// The endpoints of a node that are in some group, ascending by number.
    pub(super) fn endpoints_of(&self, node: NodeId) -> impl Iterator<Item = Key> + '_ {
        self.by_number.range((node, 0)..=(node, u32::MAX)).map(|(_, key)| *key)
    }

    /// The group called so.
    pub(super) fn group_called(&self, name: &str) -> Option<GroupKey> {
        let hash = hash(name);
        let alike = self.by_name.range((hash, GroupKey(0))..=(hash, GroupKey(u32::MAX)));
        let mut keys = alike.map(|(_, key)| *key);
        keys.find(|key| self.group(*key).is_some_and(|group| group.name.as_str() == name))
    }

    /// The local members of a group, in no particular order.
    pub(super) fn local_members(&self, group: GroupKey) -> impl Iterator<Item = EndpointId> + '_ {
        let members = self.group(group).map_or(&[][..], |group| &group.members);
        let first = members.partition_point(|member| !member.is_local());
        members[first..]
            .iter()
            .filter_map(|member| Some(EndpointId(self.endpoint(*member)?.number)))
    }

    /// An endpoint joins. Nothing has changed if it is in already.
    pub(super) fn join(
        &mut self,
        node: NodeId,
        number: u32,
        name: &str,
        group: &str,
    ) -> Result<Changed, Refusal> {
        let resident = self.nodes.get(&node).ok_or(Refusal::Stranger)?;
        let endpoint = match self.by_number.get(&(node, number)) {
            Some(key) if self.endpoint(*key).is_some_and(|it| it.name.as_str() != name) => {
                return Err(Refusal::Contradiction);
            }
            None if resident.endpoints >= ENDPOINTS_PER_NODE_MAX => return Err(Refusal::Many),
            known => known.copied(),
        };
        if let (Some(endpoint), Some(group)) = (endpoint, self.group_called(group))
            && self.group(group).is_some_and(|it| it.members.binary_search(&endpoint).is_ok())
        {
            return Ok(Changed::default());
        }
        if resident.memberships >= MEMBERSHIPS_PER_NODE_MAX {
            return Err(Refusal::Many);
        }
        let endpoint = endpoint
            .unwrap_or_else(|| self.add_endpoint(node, number, EndpointName::checked(name)));
        let known = self.group_called(group);
        let group = known.unwrap_or_else(|| self.add_group(GroupName::checked(group)));
        self.add_members(group, &[endpoint]);
        Ok(self.seen(vec![(group, endpoint)], Vec::new()))
    }

    /// An endpoint leaves. Nothing has changed if it is not in.
    pub(super) fn leave(&mut self, node: NodeId, number: u32, group: &str) -> Changed {
        let endpoint = self.by_number.get(&(node, number)).copied();
        let (Some(endpoint), Some(group)) = (endpoint, self.group_called(group)) else {
            return Changed::default();
        };
        let Some(known) = self.endpoints.at_mut(endpoint.place()) else {
            return Changed::default();
        };
        let Ok(place) = known.groups.binary_search(&group) else { return Changed::default() };
        known.groups.remove(place);
        let mut homeless = Vec::new();
        if known.groups.is_empty() {
            homeless.push(endpoint);
        }
        self.take_out(vec![(group, endpoint)], homeless)
    }

    /// An endpoint leaves all its groups.
    pub(super) fn remove_endpoint(&mut self, node: NodeId, number: u32) -> Changed {
        let endpoint = self.by_number.get(&(node, number)).copied();
        self.remove_endpoints(endpoint.into_iter().collect())
    }

    /// All endpoints of a node leave all their groups.
    pub(super) fn remove_endpoints_of(&mut self, node: NodeId) -> Changed {
        let endpoints = self.endpoints_of(node).collect();
        self.remove_endpoints(endpoints)
    }

    /// All endpoints of some nodes leave all their groups; the nodes are known no more.
    pub(super) fn remove_nodes(&mut self, nodes: &[NodeId]) -> Changed {
        let endpoints = nodes.iter().flat_map(|node| self.endpoints_of(*node)).collect();
        let changed = self.remove_endpoints(endpoints);
        for node in nodes {
            self.nodes.remove(node);
        }
        changed
    }

    fn remove_endpoints(&mut self, endpoints: Vec<Key>) -> Changed {
        let mut pairs = Vec::new();
        for endpoint in &endpoints {
            let known = self.endpoints.at_mut(endpoint.place());
            let groups = known.map(|known| std::mem::take(&mut known.groups)).unwrap_or_default();
            pairs.extend(groups.into_iter().map(|group| (group, *endpoint)));
        }
        pairs.sort_unstable();
        self.take_out(pairs, endpoints)
    }

    /// Takes members out of their groups, and endpoints that are in none out of the index.
    fn take_out(&mut self, pairs: Vec<(GroupKey, Key)>, homeless: Vec<Key>) -> Changed {
        for leaving in pairs.chunk_by(|a, b| a.0 == b.0) {
            let Some(group) = self.groups.at_mut(leaving[0].0.0) else { continue };
            let leaves = |member: &Key| leaving.binary_search(&(leaving[0].0, *member)).is_ok();
            group.members.retain(|member| !leaves(member));
        }
        for (_, endpoint) in &pairs {
            let Some(known) = self.endpoints.at(endpoint.place()) else { continue };
            if let Some(resident) = self.nodes.get_mut(&known.node) {
                resident.memberships -= 1;
            }
        }
        for endpoint in &homeless {
            let Some(known) = self.endpoints.at(endpoint.place()) else { continue };
            self.by_number.remove(&(known.node, known.number));
            if let Some(resident) = self.nodes.get_mut(&known.node) {
                resident.endpoints -= 1;
            }
        }
        self.seen(pairs, homeless)
    }

    /// Keeps of `pairs` the groups whose change somebody here is told of; empty ones go.
    fn seen(&mut self, mut pairs: Vec<(GroupKey, Key)>, homeless: Vec<Key>) -> Changed {
        let mut kept = 0;
        let mut next = 0;
        while let Some((group, _)) = pairs.get(next).copied() {
            let after = next + pairs[next..].partition_point(|pair| pair.0 == group);
            let has_local = pairs[next..after].iter().any(|pair| pair.1.is_local())
                || self
                    .group(group)
                    .is_some_and(|it| it.members.last().is_some_and(|m| m.is_local()));
            if has_local {
                pairs.copy_within(next..after, kept);
                kept += after - next;
            } else {
                self.remove_if_empty(group);
            }
            next = after;
        }
        pairs.truncate(kept);
        Changed { pairs, homeless }
    }

    /// Forgets what went: it has been told.
    pub(super) fn forget(&mut self, changed: &Changed) {
        for (group, _) in &changed.pairs {
            self.remove_if_empty(*group);
        }
        for endpoint in &changed.homeless {
            self.endpoints.remove(endpoint.place());
        }
    }

    fn remove_if_empty(&mut self, key: GroupKey) {
        let Some(group) = self.group(key).filter(|group| group.members.is_empty()) else { return };
        let entry = (hash(group.name.as_str()), key);
        self.by_name.remove(&entry);
        self.groups.remove(key.0);
    }

    /// Adds an endpoint of a known node, in no group yet.
    pub(super) fn add_endpoint(&mut self, node: NodeId, number: u32, name: EndpointName) -> Key {
        let place = self.endpoints.insert(Endpoint { node, number, name, groups: Vec::new() });
        let key = Key::new(place, node == self.me);
        self.by_number.insert((node, number), key);
        if let Some(resident) = self.nodes.get_mut(&node) {
            resident.endpoints += 1;
        }
        key
    }

    /// Adds a group that is not there, with nobody in it yet.
    pub(super) fn add_group(&mut self, name: GroupName) -> GroupKey {
        let hash = hash(name.as_str());
        let key = GroupKey(self.groups.insert(Group { name, members: Vec::new() }));
        self.by_name.insert((hash, key));
        key
    }

    /// Adds endpoints that are not in a group to it.
    pub(super) fn add_members(&mut self, key: GroupKey, joining: &[Key]) {
        let Some(group) = self.groups.at_mut(key.0) else { return };
        reserve(&mut group.members, joining.len());
        group.members.extend_from_slice(joining);
        group.members.sort_unstable();
        for member in joining {
            let Some(endpoint) = self.endpoints.at_mut(member.place()) else { continue };
            if let Err(place) = endpoint.groups.binary_search(&key) {
                endpoint.groups.insert(place, key);
            }
            if let Some(resident) = self.nodes.get_mut(&endpoint.node) {
                resident.memberships += 1;
            }
        }
    }

    /// Keeps of memberships that were just added those that somebody here is told of.
    pub(super) fn added(&mut self, mut pairs: Vec<(GroupKey, Key)>) -> Changed {
        pairs.sort_unstable();
        self.seen(pairs, Vec::new())
    }

    /// Every group with its members, ascending by name: for comparing tables.
    pub(super) fn contents(&self) -> BTreeMap<GroupName, Vec<PrivateName>> {
        let keys = self.by_name.iter().map(|(_, key)| *key);
        let groups = keys.filter_map(|key| self.group(key));
        let with_names = groups.map(|group| {
            let members = group.members.iter().filter_map(|member| self.full_name(*member));
            let mut members: Vec<PrivateName> = members.collect();
            members.sort_unstable();
            (group.name.clone(), members)
        });
        with_names.collect()
    }
}

/// Most groups have few members: room grows by a half, not from four on by doubling.
fn reserve(members: &mut Vec<Key>, more: usize) {
    if members.capacity() - members.len() < more {
        members.reserve_exact(more.max(members.len() / 2));
    }
}
