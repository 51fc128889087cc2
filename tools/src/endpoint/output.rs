//! What an endpoint is told, written.

use std::io::{self, Write};

use roundel::groups::{Cause, GroupMessage, GroupName, PrivateName, TargetRef, View};
use serde::Serialize;

use crate::events::{Events, write_readable};
use crate::output::{Payload, write_object};

#[derive(Serialize)]
struct MessageLine<'a> {
    event: &'static str,
    to: Vec<String>,
    sender: String,
    service: &'static str,
    #[serde(flatten)]
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct ViewLine<'a> {
    event: &'static str,
    group: &'a str,
    view: String,
    members: Vec<String>,
    joined: Vec<String>,
    left: Vec<String>,
    /// Who was told the same since the view before.
    transitional: Vec<String>,
    cause: &'static str,
}

#[derive(Serialize)]
struct MembersLine<'a> {
    event: &'static str,
    group: &'a str,
    members: Vec<String>,
}

fn names<'a>(names: impl IntoIterator<Item = &'a PrivateName>) -> Vec<String> {
    names.into_iter().map(ToString::to_string).collect()
}

const fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Join => "join",
        Cause::Leave => "leave",
        Cause::Crash => "crash",
        Cause::Partition => "partition",
        Cause::Merge => "merge",
    }
}

pub(super) fn message(events: &mut Events, message: &GroupMessage) -> io::Result<()> {
    let target = |target: TargetRef<'_>| match target {
        TargetRef::Group(group) => group.to_owned(),
        TargetRef::Private(name, node) => format!("{name}@{node}"),
    };
    let to: Vec<String> = message.targets().map(target).collect();
    let sender = format!("{}@{}", message.from(), message.id.sender);
    if events.is_json() {
        let (event, service) = ("message", message.service.name());
        let payload = Payload::new(&message.payload);
        return write_object(events.out(), &MessageLine { event, to, sender, service, payload });
    }
    let out = events.out();
    write!(out, "{sender} to {}: ", to.join(","))?;
    write_readable(out, &message.payload)?;
    out.write_all(b"\n")
}

pub(super) fn view(events: &mut Events, view: &View) -> io::Result<()> {
    let (members, cause) = (names(view.members.iter()), cause_name(view.cause));
    let (joined, left) = (names(&view.joined), names(&view.left));
    let group = view.group.as_str();
    if events.is_json() {
        let transitional = names(view.transitional());
        let (event, view) = ("view", view.id.to_string());
        let line = ViewLine { event, group, view, members, joined, left, transitional, cause };
        return write_object(events.out(), &line);
    }
    let changed = if joined.is_empty() { left } else { joined };
    let (members, changed) = (members.join(" "), changed.join(" "));
    writeln!(events.out(), "-- {group} is {members} ({cause}: {changed})")
}

/// Who is in a group, as far as this member knows.
pub(super) fn members(
    events: &mut Events,
    group: &GroupName,
    members: &[PrivateName],
) -> io::Result<()> {
    let (group, members) = (group.as_str(), names(members));
    if events.is_json() {
        return write_object(events.out(), &MembersLine { event: "members", group, members });
    }
    writeln!(events.out(), "-- {group} is {}", members.join(" "))
}
