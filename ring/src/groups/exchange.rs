//! The exchange of tables after members came together.
//!
//! A configuration consists of parts: sets of members with equal tables, each of which knows no node
//! but its own. The lowest member of each part tells its table, in agreed chunks. The exchange is
//! complete where the chunks delivered tell of all members.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::name::{EndpointName, GroupName};
use super::table::{Changed, GroupKey, Key, Table};
use super::wire::{Chunk, ChunkWriter, Record};
use super::{ENDPOINTS_PER_NODE_MAX, MEMBERSHIPS_PER_NODE_MAX, NAME_BYTES_MAX, Refusal};
use crate::delivery::Message;
use crate::id::{Incarnation, NodeId, RingId};

/// A chunk is closed when it has so many bytes, or half of the ring's largest message; its last line
/// may go beyond.
pub(super) const CHUNK_BYTES: usize = 32 << 10;

/// Members of a group in one line of a chunk, at most. Larger groups have several lines.
const LINE_MEMBERS_MAX: usize = 4_096;

/// The longest line but for its members: kind, name and count, or kind, place, number and name.
const LINE_BYTES: usize = 1 + 1 + NAME_BYTES_MAX + 5;

/// How long chunks are: with their last line, and from 4 KiB on with the list of a part's members, no
/// longer than the ring's largest message.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    chunk_bytes: usize,
    line_members: usize,
}

impl Lengths {
    fn new(message_bytes_max: usize) -> Self {
        let half = message_bytes_max.saturating_sub(LINE_BYTES) / 2;
        // A place takes 5 bytes at most.
        let line_members = (half / 5).clamp(1, LINE_MEMBERS_MAX);
        Self { chunk_bytes: half.clamp(1, CHUNK_BYTES), line_members }
    }
}

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Exchange {
    /// For which configuration.
    pub(super) ring: RingId,
    members: Arc<[NodeId]>,
    /// The part of this member.
    kin: Arc<[NodeId]>,
    /// By who tells of them.
    parts: BTreeMap<NodeId, Part>,
    /// What this member has to tell; boxed, since most have nothing.
    export: Option<Box<Export>>,
    /// What was delivered meanwhile, in order.
    pub(super) held: Held,
}

/// A part of the configuration, as far as it was told.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) members: Vec<(NodeId, Incarnation)>,
    chunks: u32,
    complete: bool,
    /// Of each member: endpoints and memberships told.
    counts: Vec<(usize, usize)>,
    /// Place of the member, number and name; ascending by the first two.
    endpoints: Vec<(u8, u32, EndpointName)>,
    /// Name and places of endpoints; a group may come several times.
    groups: Vec<(GroupName, Vec<u32>)>,
}

/// Messages that wait for the exchange. Bounded by what the members had handed to their rings before
/// they knew of the configuration (their backlogs and one window), since members hand over
/// nothing but chunks during an exchange.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Held {
    pub(super) fn push(&mut self, message: Message) {
        self.bytes += message.payload.len();
        self.messages.push_back(message);
    }

    /// Bytes of payloads.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn take(&mut self) -> VecDeque<Message> {
        self.bytes = 0;
        std::mem::take(&mut self.messages)
    }
}

impl Exchange {
    /// For a configuration, `kin` of whose members have this member's table.
    pub(super) fn new(ring: RingId, members: Arc<[NodeId]>, kin: Arc<[NodeId]>) -> Self {
        let (parts, held) = (BTreeMap::new(), Held::default());
        Self { ring, members, kin, parts, export: None, held }
    }

    /// This member tells `table`, which must not change until the exchange ends, in chunks of at
    /// most so many bytes.
    pub(super) fn tell(&mut self, table: &Table, message_bytes_max: usize) {
        self.export = Some(Box::new(Export::new(table, &self.kin, message_bytes_max)));
    }

    /// The next chunk that this member tells.
    pub(super) fn poll_chunk(&mut self, table: &Table) -> Option<Bytes> {
        self.export.as_mut()?.next(self.ring, table)
    }

    /// Takes a chunk. Whether the exchange is complete with it.
    pub(super) fn handle_chunk(
        &mut self,
        sender: NodeId,
        chunk: &Chunk<'_>,
    ) -> Result<bool, Refusal> {
        if chunk.ring != self.ring {
            return Err(Refusal::Late);
        }
        if chunk.index == 0 {
            let part = self.begin_part(sender, chunk)?;
            self.parts.insert(sender, part);
        } else {
            let part = self.parts.get_mut(&sender).ok_or(Refusal::Part)?;
            if part.complete || part.chunks != chunk.index {
                return Err(Refusal::Part);
            }
            part.add(chunk, self.kin.first() == Some(&sender))?;
        }
        let told = |part: &Part| if part.complete { part.members.len() } else { 0 };
        Ok(self.parts.values().map(told).sum::<usize>() == self.members.len())
    }

    fn begin_part(&self, sender: NodeId, chunk: &Chunk<'_>) -> Result<Part, Refusal> {
        let members: Vec<(NodeId, Incarnation)> = chunk.members().collect();
        let is_told = |node: NodeId| {
            let mut told = self.parts.values().flat_map(|part| &part.members);
            told.any(|member| member.0 == node)
        };
        let is_own = self.kin.first() == Some(&sender);
        if is_own && !members.iter().map(|member| &member.0).eq(self.kin.iter()) {
            return Err(Refusal::Part);
        }
        let fits = members.first().is_some_and(|member| member.0 == sender)
            && members.iter().all(|(node, _)| {
                self.members.binary_search(node).is_ok()
                    && !is_told(*node)
                    && (is_own || self.kin.binary_search(node).is_err())
            });
        if !fits {
            return Err(Refusal::Part);
        }
        let counts = vec![(0, 0); members.len()];
        let (endpoints, groups) = (Vec::new(), Vec::new());
        let mut part = Part { members, chunks: 0, complete: false, counts, endpoints, groups };
        part.add(chunk, is_own)?;
        Ok(part)
    }

    /// The life that a member is told to be in, of the parts that came.
    pub(super) fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        let mut told = self.parts.values().flat_map(|part| &part.members);
        told.find(|member| member.0 == node).map(|member| member.1)
    }

    /// Members of the configuration whose part was not told to its end.
    pub(super) fn missing(&self) -> Vec<NodeId> {
        let told = |part: &Part, node: &NodeId| {
            part.complete && part.members.iter().any(|(member, _)| member == node)
        };
        let is_missing = |node: &&NodeId| !self.parts.values().any(|part| told(part, node));
        self.members.iter().filter(is_missing).copied().collect()
    }

    /// The members of the configuration.
    pub(super) fn members(&self) -> Arc<[NodeId]> {
        Arc::clone(&self.members)
    }

    /// The other parts, by their lowest member.
    pub(super) fn into_others(mut self) -> Vec<Part> {
        if let Some(own) = self.kin.first() {
            self.parts.remove(own);
        }
        self.parts.into_values().collect()
    }
}

impl Part {
    /// Adds the next chunk, all of it or nothing. A member's own part is only counted.
    fn add(&mut self, chunk: &Chunk<'_>, is_own: bool) -> Result<(), Refusal> {
        if !is_own {
            self.counts = self.check(chunk)?;
            for record in chunk.records() {
                match record {
                    Record::Endpoint { place, number, name } => {
                        self.endpoints.push((place, number, EndpointName::checked(name)));
                    }
                    Record::Group { name, members } => {
                        self.groups.push((GroupName::checked(name), members.iter().collect()));
                    }
                }
            }
        }
        self.chunks += 1;
        self.complete = chunk.last;
        Ok(())
    }

    /// Checks the next chunk against what came before; gives the counts with it.
    fn check(&self, chunk: &Chunk<'_>) -> Result<Vec<(usize, usize)>, Refusal> {
        let mut counts = self.counts.clone();
        let mut last = self.endpoints.last().map(|endpoint| (endpoint.0, endpoint.1));
        let mut new_places: Vec<u8> = Vec::new();
        for record in chunk.records() {
            match record {
                Record::Endpoint { place, number, .. } => {
                    if last >= Some((place, number)) {
                        return Err(Refusal::Part);
                    }
                    last = Some((place, number));
                    new_places.push(place);
                    counts.get_mut(usize::from(place)).ok_or(Refusal::Part)?.0 += 1;
                }
                Record::Group { members, .. } => {
                    for member in members.iter() {
                        let known = self.endpoints.get(member as usize).map(|it| it.0);
                        let new = || {
                            let place = (member as usize).checked_sub(self.endpoints.len())?;
                            new_places.get(place).copied()
                        };
                        let place = known.or_else(new).ok_or(Refusal::Part)?;
                        counts.get_mut(usize::from(place)).ok_or(Refusal::Part)?.1 += 1;
                    }
                }
            }
        }
        let fits = |(endpoints, memberships): &(usize, usize)| {
            *endpoints <= ENDPOINTS_PER_NODE_MAX && *memberships <= MEMBERSHIPS_PER_NODE_MAX
        };
        if counts.iter().all(fits) { Ok(counts) } else { Err(Refusal::Many) }
    }
}

/// Adds what the other parts told to a table.
pub(super) fn merge(table: &mut Table, parts: Vec<Part>) -> Changed {
    let mut pairs: Vec<(GroupKey, Key)> = Vec::new();
    for part in parts {
        for (node, incarnation) in &part.members {
            table.admit(*node, *incarnation);
        }
        let keys: Vec<Key> = part
            .endpoints
            .into_iter()
            .map(|(place, number, name)| {
                table.add_endpoint(part.members[usize::from(place)].0, number, name)
            })
            .collect();
        for (name, members) in part.groups {
            let known = table.group_called(name.as_str());
            let group = known.unwrap_or_else(|| table.add_group(name));
            let mut joining: Vec<Key> = members.iter().map(|place| keys[*place as usize]).collect();
            joining.sort_unstable();
            joining.dedup();
            if let Some(group) = table.group(group) {
                joining.retain(|member| group.members.binary_search(member).is_err());
            }
            table.add_members(group, &joining);
            pairs.extend(joining.into_iter().map(|member| (group, member)));
        }
    }
    table.added(pairs)
}

/// How far this member has told its part's table.
#[derive(Debug)]
struct Export {
    members: Vec<(NodeId, Incarnation)>,
    /// With the place of their node in `members`.
    endpoints: Vec<(u8, Key)>,
    /// By place in the table, the place in `endpoints`.
    places: Vec<Option<u32>>,
    lengths: Lengths,
    chunks: u32,
    next_endpoint: usize,
    next_group: u32,
    /// Of that group, in its list.
    next_member: usize,
    done: bool,
}

impl Export {
    fn new(table: &Table, kin: &[NodeId], message_bytes_max: usize) -> Self {
        let of = |node: &NodeId| table.incarnation(*node).map(|incarnation| (*node, incarnation));
        let members: Vec<(NodeId, Incarnation)> = kin.iter().filter_map(of).collect();
        let placed = (0..).zip(&members);
        let endpoints: Vec<(u8, Key)> = placed
            .flat_map(|(place, (node, _))| table.endpoints_of(*node).map(move |key| (place, key)))
            .collect();
        let mut places = vec![None; table.endpoint_places()];
        for (place, (_, key)) in (0..).zip(&endpoints) {
            places[key.place() as usize] = Some(place);
        }
        Self {
            members,
            endpoints,
            places,
            lengths: Lengths::new(message_bytes_max),
            chunks: 0,
            next_endpoint: 0,
            next_group: 0,
            next_member: 0,
            done: false,
        }
    }

    fn next(&mut self, ring: RingId, table: &Table) -> Option<Bytes> {
        if self.done {
            return None;
        }
        // Small tables are most.
        let left = self.endpoints.len() - self.next_endpoint + table.groups();
        let capacity = self.lengths.chunk_bytes.min(2_048 + left * 32);
        let mut out = ChunkWriter::new(ring, self.chunks, &self.members, capacity);
        self.chunks += 1;
        while out.len() < self.lengths.chunk_bytes && !self.done {
            if let Some((place, key)) = self.endpoints.get(self.next_endpoint) {
                self.next_endpoint += 1;
                if let Some(endpoint) = table.endpoint(*key) {
                    out.endpoint(*place, endpoint.number, endpoint.name.as_str());
                }
            } else if (self.next_group as usize) < table.group_places() {
                self.write_group(table, &mut out);
            } else {
                self.done = true;
            }
        }
        Some(out.finish(self.done))
    }

    /// Writes a line of members of the next group; those of other parts, which it may still have,
    /// are left out.
    fn write_group(&mut self, table: &Table, out: &mut ChunkWriter) {
        let group = table.group(GroupKey(self.next_group));
        let members = group.map_or(&[][..], |group| &group.members);
        let end = members.len().min(self.next_member + self.lengths.line_members);
        let line = &members[self.next_member..end];
        let places: Vec<u32> =
            line.iter().filter_map(|member| self.places[member.place() as usize]).collect();
        if let Some(group) = group.filter(|_| !places.is_empty()) {
            out.group(group.name.as_str(), &places);
        }
        self.next_member += line.len();
        if self.next_member == members.len() {
            self.next_group += 1;
            self.next_member = 0;
        }
    }
}
