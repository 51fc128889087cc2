//! Views and what happens in them on stdout, for people or as JSON.

use std::fmt::Display;
use std::io::{self, Write};

use roundel::vs::View;
use roundel::{Facts, MessageRef};
use serde::Serialize;

use super::super::output::write_message;
use crate::events::Events;
use crate::output::{RingObject, write_object};

const SCHEMA: &str = "roundel.views/1";

/// Prints what is told and counts it.
#[derive(Debug)]
pub(super) struct Output {
    events: Events,
    counts: Counts,
}

#[derive(Clone, Copy, Serialize, Default, Debug)]
struct Counts {
    accepted: u64,
    refused: u64,
    delivered: u64,
    own: u64,
    views: u64,
    /// Times that the process has stopped.
    stopped: u64,
    /// Lines accepted by a process that stopped before they came back: others may have them.
    lost: u64,
}

/// What the session knows at its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub(super) left_after: &'static str,
    pub(super) undelivered: u64,
    pub(super) valid: bool,
}

#[derive(Serialize)]
struct ProcessObject {
    node: u32,
    since: RingObject,
}

#[derive(Serialize)]
struct ViewLine {
    event: &'static str,
    ring: RingObject,
    step: u32,
    processes: Vec<ProcessObject>,
}

#[derive(Serialize)]
struct StoppedLine {
    event: &'static str,
}

#[derive(Serialize)]
struct AcceptedLine {
    event: &'static str,
    line: u64,
}

#[derive(Serialize)]
struct RefusedLine {
    event: &'static str,
    line: u64,
    reason: String,
}

#[derive(Serialize)]
struct SummaryLine {
    event: &'static str,
    schema: &'static str,
    left_after: &'static str,
    #[serde(flatten)]
    counts: Counts,
    undelivered: u64,
    valid: bool,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        Self { events: Events::new(json, true), counts: Counts::default() }
    }

    /// Messages of all members.
    pub(super) const fn delivered(&self) -> u64 {
        self.counts.delivered
    }

    /// Lines that no view took.
    pub(super) const fn refused_lines(&self) -> u64 {
        self.counts.refused
    }

    /// Lines that were accepted, and may have been delivered to nobody.
    pub(super) const fn lost_lines(&self) -> u64 {
        self.counts.lost
    }

    pub(super) fn start(&mut self, facts: &Facts, cluster: &str) -> io::Result<()> {
        self.events.start(SCHEMA, facts, cluster)
    }

    pub(super) fn view(&mut self, view: &View) -> io::Result<()> {
        self.counts.views += 1;
        if !self.events.is_json() {
            let processes = view.processes.iter();
            let names = processes.map(|it| format!("{} (since {})", it.node, it.since));
            let names: Vec<String> = names.collect();
            return writeln!(self.events.out(), "-- view of {}", names.join(", "));
        }
        let object = |it: &roundel::vs::Process| ProcessObject {
            node: it.node.0,
            since: RingObject::from(it.since),
        };
        let line = ViewLine {
            event: "view",
            ring: RingObject::from(view.id.ring),
            step: view.id.step,
            processes: view.processes.iter().map(object).collect(),
        };
        write_object(self.events.out(), &line)
    }

    pub(super) fn message(&mut self, message: &MessageRef<'_>, is_own: bool) -> io::Result<()> {
        self.counts.delivered += 1;
        self.counts.own += u64::from(is_own);
        write_message(&mut self.events, message)
    }

    /// The process has stopped, with so many lines on their way.
    pub(super) fn stopped(&mut self, lost: u64) -> io::Result<()> {
        self.counts.stopped += 1;
        self.counts.lost += lost;
        if self.events.is_json() {
            return write_object(self.events.out(), &StoppedLine { event: "stopped" });
        }
        writeln!(self.events.out(), "-- stopped: this member is not in the primary component")
    }

    /// A line was taken in the view that was written last.
    pub(super) fn accepted(&mut self, line: u64) -> io::Result<()> {
        self.counts.accepted += 1;
        if self.events.is_json() {
            return write_object(self.events.out(), &AcceptedLine { event: "accepted", line });
        }
        Ok(())
    }

    /// A line was not.
    pub(super) fn refused(&mut self, line: u64, reason: &impl Display) -> io::Result<()> {
        self.counts.refused += 1;
        if self.events.is_json() {
            let reason = reason.to_string();
            let line = RefusedLine { event: "refused", line, reason };
            return write_object(self.events.out(), &line);
        }
        eprintln!("roundel cat: line {line}: {reason}");
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.events.flush()
    }

    pub(super) fn summary(&mut self, ending: &Ending) -> io::Result<()> {
        let counts = self.counts;
        if self.events.is_json() {
            let (event, schema) = ("summary", SCHEMA);
            let Ending { left_after, undelivered, valid } = *ending;
            let line = SummaryLine { event, schema, left_after, counts, undelivered, valid };
            write_object(self.events.out(), &line)?;
        } else {
            let Counts { accepted, refused, delivered, own, views, stopped, lost } = counts;
            eprintln!(
                "roundel cat: {views} views, stopped {stopped} times; {delivered} messages \
                 delivered, {own} of {accepted} own; {refused} lines refused, {lost} lost"
            );
        }
        self.events.flush()
    }
}
