//! What a replica tells, written.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};

use roundel::replica::lock::{Fence, Grant, LockOutput};
use roundel::replica::map::MapOutput;
use roundel::replica::{Replica, Standing, View};
use serde::Serialize;

use super::machine::{Store, StoreOutput};
use crate::events::{Events, write_readable};
use crate::output::{RingObject, write_object};

#[derive(Serialize)]
struct AppliedLine {
    event: &'static str,
    line: u64,
    index: u64,
    result: &'static str,
    /// To what has a value, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Option<String>>,
    #[serde(flatten)]
    grant: Option<GrantObject>,
}

#[derive(Serialize)]
struct PassedLine {
    event: &'static str,
    line: u64,
    index: u64,
}

#[derive(Serialize)]
struct LostLine {
    event: &'static str,
    line: u64,
    reason: String,
}

#[derive(Serialize)]
struct StandingLine {
    event: &'static str,
    standing: &'static str,
}

#[derive(Serialize)]
struct ViewLine {
    event: &'static str,
    index: u64,
    ring: RingObject,
    members: Vec<u32>,
    synced: Vec<u32>,
}

#[derive(Serialize)]
struct RestoredLine {
    event: &'static str,
    index: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct TroubleLine {
    event: &'static str,
    reason: String,
}

#[derive(Serialize)]
struct DumpLine {
    event: &'static str,
    line: u64,
    index: u64,
    entries: BTreeMap<String, String>,
    locks: BTreeMap<String, GrantObject>,
    leader: Option<u32>,
}

/// A lock's holder and the token that proves it: of three numbers, the first counts most.
#[derive(Serialize)]
struct GrantObject {
    holder: u32,
    incarnation: u64,
    fence: (u64, u32, u64),
}

impl From<&Grant> for GrantObject {
    fn from(grant: &Grant) -> Self {
        let Fence { ring, count } = grant.fence;
        let fence = (ring.epoch.0, ring.representative.0, count);
        Self { holder: grant.node.0, incarnation: grant.incarnation.0, fence }
    }
}

/// Keys and values as text; what is none is replaced.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn applied(
    events: &mut Events,
    line: u64,
    index: u64,
    output: &StoreOutput,
) -> io::Result<()> {
    let (result, value, grant) = match output {
        StoreOutput::Map(MapOutput::Value(value)) => ("done", Some(value), None),
        StoreOutput::Map(MapOutput::Swapped) => ("swapped", None, None),
        StoreOutput::Map(MapOutput::Differs(value)) => ("differs", Some(value), None),
        StoreOutput::Lock(LockOutput::Granted(grant)) => ("granted", None, Some(grant)),
        StoreOutput::Lock(LockOutput::Held(grant)) => ("held", None, Some(grant)),
        StoreOutput::Lock(LockOutput::Released) => ("released", None, None),
        StoreOutput::Lock(LockOutput::NotHeld) => ("not_held", None, None),
        StoreOutput::Malformed
        | StoreOutput::Map(MapOutput::Malformed)
        | StoreOutput::Lock(LockOutput::Malformed) => ("malformed", None, None),
    };
    if events.is_json() {
        let value = value.map(|value| value.as_deref().map(readable));
        let (event, grant) = ("applied", grant.map(GrantObject::from));
        let object = AppliedLine { event, line, index, result, value, grant };
        return write_object(events.out(), &object);
    }
    let out = events.out();
    write!(out, "{line}: {result}")?;
    match (value, grant) {
        (Some(Some(value)), _) => {
            write!(out, " ")?;
            write_readable(out, value)?;
        }
        (Some(None), _) => write!(out, " (none)")?,
        (None, Some(grant)) => {
            write!(out, " by {}, token {}:{}", grant.node, grant.fence.ring, grant.fence.count)?;
        }
        (None, None) => {}
    }
    writeln!(out)
}

pub(super) fn passed(events: &mut Events, line: u64, index: u64) -> io::Result<()> {
    if events.is_json() {
        return write_object(events.out(), &PassedLine { event: "passed", line, index });
    }
    writeln!(events.out(), "{line}: in step")
}

pub(super) fn lost(events: &mut Events, line: u64, why: &dyn Display) -> io::Result<()> {
    if events.is_json() {
        let (event, reason) = ("lost", why.to_string());
        return write_object(events.out(), &LostLine { event, line, reason });
    }
    writeln!(events.out(), "{line}: {why}")
}

pub(super) fn standing(events: &mut Events, standing: Standing) -> io::Result<()> {
    let standing = match standing {
        Standing::Changing => "changing",
        Standing::Synced => "synced",
        Standing::Waiting => "waiting",
        Standing::Joining { .. } => "joining",
        Standing::Blocked => "blocked",
    };
    if events.is_json() {
        return write_object(events.out(), &StandingLine { event: "standing", standing });
    }
    writeln!(events.out(), "-- {standing}")
}

pub(super) fn view(events: &mut Events, index: u64, view: &View) -> io::Result<()> {
    let ids = |nodes: &[roundel::NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<u32>>();
    let (members, synced) = (ids(&view.members), ids(&view.synced));
    if events.is_json() {
        let (event, ring) = ("view", RingObject::from(view.ring));
        return write_object(events.out(), &ViewLine { event, index, ring, members, synced });
    }
    writeln!(events.out(), "-- entry {index}: {synced:?} of {members:?} hold the state")
}

pub(super) fn restored(events: &mut Events, index: u64, bytes: u64) -> io::Result<()> {
    if events.is_json() {
        return write_object(events.out(), &RestoredLine { event: "restored", index, bytes });
    }
    writeln!(events.out(), "-- got the state of {index} entries in {bytes} bytes")
}

/// The state could not be taken; it is tried again.
pub(super) fn trouble(events: &mut Events, reason: &dyn Display) -> io::Result<()> {
    if events.is_json() {
        let (event, reason) = ("trouble", reason.to_string());
        return write_object(events.out(), &TroubleLine { event, reason });
    }
    writeln!(events.out(), "-- {reason}; tried again at the next configuration")
}

pub(super) fn dump(events: &mut Events, line: u64, replica: &Replica<Store>) -> io::Result<()> {
    let Store { map, locks } = replica.machine();
    let index = replica.applied_index();
    if events.is_json() {
        let entries = map.iter().map(|(key, value)| (readable(key), readable(value))).collect();
        let locks_held = locks.iter().map(|(name, grant)| (readable(name), grant.into())).collect();
        let leader = locks.leader().map(|(node, _)| node.0);
        let (event, locks) = ("dump", locks_held);
        return write_object(
            events.out(),
            &DumpLine { event, line, index, entries, locks, leader },
        );
    }
    let out = events.out();
    for (key, value) in map.iter() {
        write_readable(out, key)?;
        write!(out, " = ")?;
        write_readable(out, value)?;
        writeln!(out)?;
    }
    for (name, grant) in locks.iter() {
        write_readable(out, name)?;
        writeln!(out, " is held by {}", grant.node)?;
    }
    writeln!(out, "-- as of entry {index}")
}
