//! What a command that runs a member writes on stdout, for people or as JSON.

use std::io::{self, BufWriter, Stdout, Write};
use std::net::Ipv4Addr;

use roundel::{Configuration, Facts, RingId};
use serde::Serialize;

use crate::output::{RingObject, write_object};

/// Stdout, with what all such commands write alike.
#[derive(Debug)]
pub(crate) struct Events {
    json: bool,
    /// There may be a primary component.
    has_policy: bool,
    out: BufWriter<Stdout>,
}

#[derive(Serialize)]
struct StartLine<'a> {
    event: &'static str,
    schema: &'static str,
    cluster: &'a str,
    id: u32,
    incarnation: u64,
    interface: &'a str,
    address: Ipv4Addr,
    io: String,
    notices: &'a [String],
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

impl Events {
    pub(crate) fn new(json: bool, has_policy: bool) -> Self {
        Self { json, has_policy, out: BufWriter::with_capacity(1 << 16, io::stdout()) }
    }

    /// One object a line.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// For what only one command writes.
    pub(crate) const fn out(&mut self) -> &mut BufWriter<Stdout> {
        &mut self.out
    }

    /// The member runs.
    pub(crate) fn start(
        &mut self,
        schema: &'static str,
        facts: &Facts,
        cluster: &str,
    ) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let line = StartLine {
            event: "start",
            schema,
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

    pub(crate) fn configuration(&mut self, configuration: &Configuration) -> io::Result<()> {
        let members: Vec<u32> = configuration.members.iter().map(|member| member.0).collect();
        let kind = configuration.kind.name();
        if self.json {
            let line = ConfigurationLine {
                event: "configuration",
                kind,
                ring: RingObject::from(configuration.ring),
                members,
                primary: self.has_policy.then_some(false),
                eligible: self.has_policy.then_some(configuration.eligible),
            };
            return write_object(&mut self.out, &line);
        }
        writeln!(self.out, "-- {kind} configuration {}: {members:?}", configuration.ring)
    }

    /// The regular configuration in force is the primary component.
    pub(crate) fn primary(&mut self, ring: RingId) -> io::Result<()> {
        if self.json {
            let ring = RingObject::from(ring);
            let line = PrimaryLine { event: "primary", ring, primary: true };
            return write_object(&mut self.out, &line);
        }
        writeln!(self.out, "-- configuration {ring} is the primary component")
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Text as it is; what would steer a terminal or is no text, escaped.
pub(crate) fn write_readable(out: &mut impl Write, payload: &[u8]) -> io::Result<()> {
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
