//! Reads histories from the lines that members write (see [`crate::trace`]).
//!
//! Total: any bytes give histories or a reason with its line. Fields beyond the format's are
//! ignored. Message ids must have the form `node.incarnation.counter`.

use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;

use crate::configuration::{Configuration, ConfigurationKind};
use crate::id::{Epoch, Incarnation, MessageId, NodeId, RingId};
use crate::seq::Ordinal;
use crate::service::Service;
use crate::time::Time;
use crate::trace::{Entry, Event, History};

/// Why bytes are not a trace.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: ParseReason,
}

/// What is wrong with a line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseReason {
    /// Not a JSON object with the format's fields.
    #[error("not an event: {0}")]
    Json(String),
    /// No event of the format is called so.
    #[error("unknown event {0:?}")]
    UnknownEvent(String),
    /// The event needs a field that the line lacks.
    #[error("{event} without {field:?}")]
    MissingField {
        /// The event.
        event: &'static str,
        /// The field.
        field: &'static str,
    },
    /// No delivery service is called so.
    #[error("unknown service {0:?}")]
    UnknownService(String),
    /// Neither `regular` nor `transitional`.
    #[error("unknown kind of configuration {0:?}")]
    UnknownKind(String),
    /// Not of the form `node.incarnation.counter`.
    #[error("message id {0:?} is not node.incarnation.counter")]
    MessageId(String),
    /// Not up to 16 hexadecimal digits.
    #[error("content hash {0:?} is not a 64-bit hexadecimal number")]
    Hash(String),
}

/// Reads a trace. A file has the lines of one life; one that has more gives a history for each,
/// in the order in which they begin.
///
/// A torn last line, without newline and incomplete, is cut: that event never took effect.
///
/// # Errors
///
/// The first line that is not an event, and why.
pub fn parse(trace: &[u8]) -> Result<Vec<History>, ParseError> {
    let mut histories: Vec<History> = Vec::new();
    for (i, line) in trace.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (node, incarnation, entry) = match parse_line(line) {
            Ok(parsed) => parsed,
            Err(_) if line.last() != Some(&b'\n') => break,
            Err(reason) => {
                return Err(ParseError { line: i + 1, reason });
            }
        };
        let same = |h: &&mut History| (h.node, h.incarnation) == (node, incarnation);
        match histories.iter_mut().rev().find(same) {
            Some(history) => history.entries.push(entry),
            None => {
                let mut history = History::new(node, incarnation);
                history.entries.push(entry);
                histories.push(history);
            }
        }
    }
    Ok(histories)
}

/// Every field of every event.
#[derive(Deserialize)]
struct Line {
    node: u32,
    incarnation: u64,
    t: u64,
    ev: String,
    kind: Option<String>,
    ring: Option<Ring>,
    prev_ring: Option<Ring>,
    members: Option<Vec<u32>>,
    eligible: Option<bool>,
    msg: Option<String>,
    sender: Option<u32>,
    conf_kind: Option<String>,
    seq: Option<u64>,
    service: Option<String>,
    h: Option<String>,
}

#[derive(Deserialize)]
struct Ring {
    rep: u32,
    seq: u64,
}

impl Ring {
    const fn id(&self) -> RingId {
        RingId::new(Epoch(self.seq), NodeId(self.rep))
    }
}

fn parse_line(line: &[u8]) -> Result<(NodeId, Incarnation, Entry), ParseReason> {
    let line: Line =
        serde_json::from_slice(line).map_err(|error| ParseReason::Json(error.to_string()))?;
    let event = match line.ev.as_str() {
        "conf" => configuration(&line)?,
        "primary" => Event::Primary { ring: needed(line.ring.as_ref(), "primary", "ring")?.id() },
        "submit" => Event::Submit { message: message(&line, "submit")? },
        "send" => Event::Send {
            message: message(&line, "send")?,
            ring: needed(line.ring.as_ref(), "send", "ring")?.id(),
            service: service(&line, "send")?,
            hash: hash(&line)?,
        },
        "deliver" => delivery(&line)?,
        "fail" => Event::Fail,
        _ => return Err(ParseReason::UnknownEvent(line.ev)),
    };
    let time = Time::from_ns(line.t);
    Ok((NodeId(line.node), Epoch(line.incarnation), Entry { time, event }))
}

fn configuration(line: &Line) -> Result<Event, ParseReason> {
    let members = needed(line.members.as_ref(), "conf", "members")?;
    let mut members: Vec<NodeId> = members.iter().copied().map(NodeId).collect();
    members.sort_unstable();
    Ok(Event::Configuration(Configuration {
        kind: kind(line.kind.as_ref(), "conf", "kind")?,
        ring: needed(line.ring.as_ref(), "conf", "ring")?.id(),
        previous: line.prev_ring.as_ref().map(Ring::id),
        members: Arc::from(members),
        eligible: line.eligible,
    }))
}

fn delivery(line: &Line) -> Result<Event, ParseReason> {
    let named = message(line, "deliver")?;
    Ok(Event::Deliver {
        // A sender that is not the message's own makes it a message that nobody sent: that is for
        // EVS 1.3 to judge, not for the parser to refuse.
        message: MessageId { sender: line.sender.map_or(named.sender, NodeId), ..named },
        ring: needed(line.ring.as_ref(), "deliver", "ring")?.id(),
        in_configuration: kind(line.conf_kind.as_ref(), "deliver", "conf_kind")?,
        ordinal: line.seq.map(Ordinal),
        service: service(line, "deliver")?,
        hash: hash(line)?,
    })
}

fn needed<'l, T>(
    value: Option<&'l T>,
    event: &'static str,
    field: &'static str,
) -> Result<&'l T, ParseReason> {
    value.ok_or(ParseReason::MissingField { event, field })
}

fn kind(
    name: Option<&String>,
    event: &'static str,
    field: &'static str,
) -> Result<ConfigurationKind, ParseReason> {
    let name = needed(name, event, field)?;
    let kinds = [ConfigurationKind::Regular, ConfigurationKind::Transitional];
    let found = kinds.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| ParseReason::UnknownKind(name.clone()))
}

fn service(line: &Line, event: &'static str) -> Result<Service, ParseReason> {
    let name = needed(line.service.as_ref(), event, "service")?;
    Service::from_name(name).ok_or_else(|| ParseReason::UnknownService(name.clone()))
}

fn message(line: &Line, event: &'static str) -> Result<MessageId, ParseReason> {
    let text = needed(line.msg.as_ref(), event, "msg")?;
    let mut parts = text.split('.');
    let id = message_id(&mut parts).filter(|_| parts.next().is_none());
    id.ok_or_else(|| ParseReason::MessageId(text.clone()))
}

fn message_id(parts: &mut std::str::Split<'_, char>) -> Option<MessageId> {
    Some(MessageId {
        sender: NodeId(number(parts.next()?)?),
        incarnation: Epoch(number(parts.next()?)?),
        counter: number(parts.next()?)?,
    })
}

/// Digits only: `FromStr` would take a sign, and so two spellings of one id.
fn number<N: FromStr>(text: &str) -> Option<N> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Zero, for "not known", when the line has none.
fn hash(line: &Line) -> Result<u64, ParseReason> {
    let Some(text) = &line.h else { return Ok(0) };
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hash = u64::from_str_radix(text, 16).ok().filter(|_| digits);
    hash.ok_or_else(|| ParseReason::Hash(text.clone()))
}
