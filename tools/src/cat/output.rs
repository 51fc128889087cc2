//! Events on stdout, for people or as JSON, and what was counted over them.

use std::io::{self, Write};

use roundel::{Configuration, ConfigurationKind, Facts, MessageRef, NodeId, RingId};
use serde::Serialize;

use crate::events::{Events, write_readable};
use crate::order::OrderDigest;
use crate::output::{Payload, write_object};

const SCHEMA: &str = "roundel.cat/1";

/// Prints events and counts them.
#[derive(Debug)]
pub(super) struct Output {
    events: Events,
    counts: Counts,
    digest: OrderDigest,
    /// Of the last regular configuration.
    members: Vec<NodeId>,
    members_most: usize,
}

#[derive(Clone, Copy, Default, Debug)]
struct Counts {
    delivered: u64,
    own: u64,
    regular: u64,
    transitional: u64,
}

/// What the session knows at its end.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) left_after: &'static str,
    pub(super) accepted: u64,
    pub(super) undelivered: u64,
    pub(super) members: Vec<u32>,
    pub(super) retransmits: u64,
    pub(super) valid: bool,
}

#[derive(Serialize)]
struct MessageLine<'a> {
    event: &'static str,
    sender: u32,
    /// None of a message that was delivered before it had a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    service: &'static str,
    #[serde(flatten)]
    payload: Payload<'a>,
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    event: &'static str,
    schema: &'static str,
    left_after: &'static str,
    accepted: u64,
    delivered: u64,
    own: u64,
    undelivered: u64,
    configurations: Configurations,
    members: &'a [u32],
    retransmits: u64,
    order_digest: String,
    valid: bool,
}

#[derive(Serialize)]
struct Configurations {
    regular: u64,
    transitional: u64,
}

/// Writes a message.
pub(super) fn write_message(events: &mut Events, message: &MessageRef<'_>) -> io::Result<()> {
    let json = events.is_json();
    let out = events.out();
    if !json {
        write!(out, "{}: ", message.id.sender)?;
        write_readable(out, message.payload)?;
        return out.write_all(b"\n");
    }
    let line = MessageLine {
        event: "message",
        sender: message.id.sender.0,
        seq: message.ordinal.map(|ordinal| ordinal.0),
        service: message.service.name(),
        payload: Payload::new(message.payload),
    };
    write_object(out, &line)
}

impl Output {
    pub(super) fn new(json: bool, has_policy: bool) -> Self {
        Self {
            events: Events::new(json, has_policy),
            counts: Counts::default(),
            digest: OrderDigest::default(),
            members: Vec::new(),
            members_most: 0,
        }
    }

    /// Messages of all members.
    pub(super) const fn delivered(&self) -> u64 {
        self.counts.delivered
    }

    /// Messages of this life of this member.
    pub(super) const fn delivered_own(&self) -> u64 {
        self.counts.own
    }

    /// Members of the largest regular configuration so far.
    pub(super) const fn members_most(&self) -> usize {
        self.members_most
    }

    /// Members of the last regular configuration.
    pub(super) fn members(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.0).collect()
    }

    pub(super) fn start(&mut self, facts: &Facts, cluster: &str) -> io::Result<()> {
        self.events.start(SCHEMA, facts, cluster)
    }

    pub(super) fn message(&mut self, message: &MessageRef<'_>, is_own: bool) -> io::Result<()> {
        self.counts.delivered += 1;
        self.counts.own += u64::from(is_own);
        self.digest.update(message.id.sender, message.payload);
        write_message(&mut self.events, message)
    }

    pub(super) fn configuration(&mut self, configuration: &Configuration) -> io::Result<()> {
        match configuration.kind {
            ConfigurationKind::Regular => {
                self.counts.regular += 1;
                self.members = configuration.members.to_vec();
                self.members_most = self.members_most.max(self.members.len());
            }
            ConfigurationKind::Transitional => self.counts.transitional += 1,
        }
        self.events.configuration(configuration)
    }

    /// The regular configuration in force is the primary component.
    pub(super) fn primary(&mut self, ring: RingId) -> io::Result<()> {
        self.events.primary(ring)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.events.flush()
    }

    pub(super) fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let Counts { delivered, own, regular, transitional } = self.counts;
        let order_digest = self.digest.to_string();
        if self.events.is_json() {
            let line = SummaryLine {
                event: "summary",
                schema: SCHEMA,
                left_after: summary.left_after,
                accepted: summary.accepted,
                delivered,
                own,
                undelivered: summary.undelivered,
                configurations: Configurations { regular, transitional },
                members: &summary.members,
                retransmits: summary.retransmits,
                order_digest,
                valid: summary.valid,
            };
            write_object(self.events.out(), &line)?;
        } else {
            eprintln!(
                "roundel cat: {delivered} messages delivered, {own} of {} own; {regular} regular \
                 and {transitional} transitional configurations; order {order_digest}",
                summary.accepted
            );
        }
        self.events.flush()
    }
}
