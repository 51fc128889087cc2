//! Events on stdout, for people or as JSON, and what was counted over them.

use std::io::{self, BufWriter, Stdout, Write};

use roundel::{Configuration, ConfigurationKind, Facts, MessageRef, NodeId, RingId};
use serde::Serialize;

use crate::order::OrderDigest;
use crate::output::{Payload, RingObject, write_object};

const SCHEMA: &str = "roundel.cat/1";

/// Prints events and counts them.
#[derive(Debug)]
pub(super) struct Output {
    json: bool,
    /// There may be a primary component.
    has_policy: bool,
    out: BufWriter<Stdout>,
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
struct StartLine<'a> {
    event: &'static str,
    schema: &'static str,
    cluster: &'a str,
    id: u32,
    incarnation: u64,
    interface: &'a str,
    address: std::net::Ipv4Addr,
    io: String,
    notices: &'a [String],
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
struct ConfigurationLine {
    event: &'static str,
    kind: &'static str,
    ring: RingObject,
    members: Vec<u32>,
    /// Only with a policy: a configuration is confirmed later, if at all.
    primary: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eligible: Option<Option<bool>>,
}

#[derive(Serialize)]
struct PrimaryLine {
    event: &'static str,
    ring: RingObject,
    primary: bool,
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

impl Output {
    pub(super) fn new(json: bool, has_policy: bool) -> Self {
        Self {
            json,
            has_policy,
            out: BufWriter::with_capacity(1 << 16, io::stdout()),
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
        if !self.json {
            return Ok(());
        }
        let line = StartLine {
            event: "start",
            schema: SCHEMA,
            cluster,
            id: facts.id.0,
            incarnation: facts.incarnation.0,
            interface: &facts.interface.name,
            address: facts.interface.address,
            io: facts.io.to_string(),
            notices: &facts.notices,
        };
        write_object(&mut self.out, &line)?;
        self.out.flush()
    }

    pub(super) fn message(&mut self, message: &MessageRef<'_>, is_own: bool) -> io::Result<()> {
        self.counts.delivered += 1;
        self.counts.own += u64::from(is_own);
        self.digest.update(message.id.sender, message.payload);
        if !self.json {
            write!(self.out, "{}: ", message.id.sender)?;
            write_readable(&mut self.out, message.payload)?;
            return self.out.write_all(b"\n");
        }
        let line = MessageLine {
            event: "message",
            sender: message.id.sender.0,
            seq: message.ordinal.map(|ordinal| ordinal.0),
            service: message.service.name(),
            payload: Payload::new(message.payload),
        };
        write_object(&mut self.out, &line)
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
        let members: Vec<u32> = configuration.members.iter().map(|member| member.0).collect();
        if self.json {
            let line = ConfigurationLine {
                event: "configuration",
                kind: configuration.kind.name(),
                ring: RingObject::from(configuration.ring),
                members,
                primary: self.has_policy.then_some(false),
                eligible: self.has_policy.then_some(configuration.eligible),
            };
            return write_object(&mut self.out, &line);
        }
        let kind = configuration.kind.name();
        writeln!(self.out, "-- {kind} configuration {}: {members:?}", configuration.ring)
    }

    /// The regular configuration in force is the primary component.
    pub(super) fn primary(&mut self, ring: RingId) -> io::Result<()> {
        if self.json {
            let ring = RingObject::from(ring);
            return write_object(
                &mut self.out,
                &PrimaryLine { event: "primary", ring, primary: true },
            );
        }
        writeln!(self.out, "-- configuration {ring} is the primary component")
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub(super) fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let Counts { delivered, own, regular, transitional } = self.counts;
        let order_digest = self.digest.to_string();
        if self.json {
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
            write_object(&mut self.out, &line)?;
        } else {
            eprintln!(
                "roundel cat: {delivered} messages delivered, {own} of {} own; {regular} regular \
                 and {transitional} transitional configurations; order {order_digest}",
                summary.accepted
            );
        }
        self.out.flush()
    }
}

/// Text as it is; what would steer a terminal or is no text, escaped.
fn write_readable(out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    for chunk in payload.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() && letter != '\t' {
                write!(out, "{}", letter.escape_default())?;
            } else {
                write!(out, "{letter}")?;
            }
        }
        write!(out, "{}", chunk.invalid().escape_ascii())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        let mut out = Vec::new();
        write_readable(&mut out, "grün\t\x1b[2J".as_bytes()).unwrap();
        write_readable(&mut out, b"\xff\0x").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "grün\t\\u{1b}[2J\\xff\\u{0}x");
    }
}
