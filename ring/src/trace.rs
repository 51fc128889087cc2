//! The history a member leaves behind: events and their fixed JSON Lines form.
//!
//! One line an event, one file an incarnation. The form is fixed so that any checker can judge
//! any run, simulated or real. Lines are written before the effect leaves the process: `send`
//! before the packet, `deliver` and `conf` before the application sees them.

use std::io::Write;
use std::sync::Arc;

use crate::configuration::{Configuration, ConfigurationKind};
use crate::id::{Incarnation, MessageId, NodeId, RingId};
use crate::seq::Ordinal;
use crate::service::Service;
use crate::time::Time;

/// What happened at one member, in the order of its one thread of control (EVS 1.2).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// A configuration change was delivered.
    Configuration(Configuration),
    /// The regular configuration in force was confirmed as the primary component.
    Primary {
        /// That configuration.
        ring: RingId,
    },
    /// A message was accepted from the application.
    Submit {
        /// The message.
        message: MessageId,
    },
    /// A message got its place on the ring (EVS `send`).
    Send {
        /// The message.
        message: MessageId,
        /// The regular configuration it was originated in.
        ring: RingId,
        /// Asked of the order.
        service: Service,
        /// Hash of its content.
        hash: u64,
    },
    /// A message was delivered to the application.
    Deliver {
        /// The message.
        message: MessageId,
        /// The regular configuration it was originated in.
        ring: RingId,
        /// The kind of the configuration in force here.
        in_configuration: ConfigurationKind,
        /// Its place in the order of `ring`; `None` for a message that took no token.
        ordinal: Option<Ordinal>,
        /// Asked of the order.
        service: Service,
        /// Hash of the delivered content.
        hash: u64,
    },
    /// The member stopped or left; always the last event of an incarnation.
    Fail,
}

/// An event with the time of its member's clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Local monotonic time, non-decreasing within an incarnation.
    pub time: Time,
    /// What happened.
    pub event: Event,
}

/// Everything one incarnation of one member did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// The member.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// In local order.
    pub entries: Vec<Entry>,
}

impl History {
    /// An empty history.
    #[must_use]
    pub const fn new(node: NodeId, incarnation: Incarnation) -> Self {
        Self { node, incarnation, entries: Vec::new() }
    }
}

/// The content hash of histories: FNV-1a over the payload, fed in pieces so that a fragmented
/// message needs no second copy.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ContentHash(u64);

impl Default for ContentHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl ContentHash {
    /// The hash of `payload` alone.
    #[must_use]
    pub fn of(payload: &[u8]) -> u64 {
        let mut hash = Self::default();
        hash.update(payload);
        hash.finish()
    }

    /// Takes in the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        for byte in piece {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// The hash of all pieces taken in.
    #[must_use]
    pub const fn finish(self) -> u64 {
        self.0
    }
}

/// Appends `entry` as one line, newline included, to `out`.
///
/// Message ids are strings `node.incarnation.counter`, content hashes 16 hexadecimal digits (both
/// exceed what JSON numbers carry exactly in every reader); everything else is as in the format's
/// table.
pub fn write_line(out: &mut Vec<u8>, node: NodeId, incarnation: Incarnation, entry: &Entry) {
    let t = entry.time.as_ns();
    put(out, format_args!(r#"{{"node":{node},"incarnation":{incarnation},"t":{t},"#));
    match &entry.event {
        Event::Configuration(configuration) => write_configuration(out, configuration),
        Event::Primary { ring } => {
            put(out, format_args!(r#""ev":"primary","#));
            write_ring(out, "ring", Some(*ring));
        }
        Event::Submit { message } => put(out, format_args!(r#""ev":"submit","msg":"{message}""#)),
        Event::Send { message, ring, service, hash } => {
            let service = service.name();
            put(out, format_args!(r#""ev":"send","msg":"{message}","#));
            write_ring(out, "ring", Some(*ring));
            put(out, format_args!(r#","service":"{service}","h":"{hash:016x}""#));
        }
        Event::Deliver { message, ring, in_configuration, ordinal, service, hash } => {
            let sender = message.sender;
            put(out, format_args!(r#""ev":"deliver","msg":"{message}","sender":{sender},"#));
            write_ring(out, "ring", Some(*ring));
            put(out, format_args!(r#","conf_kind":"{}""#, in_configuration.name()));
            if let Some(Ordinal(ordinal)) = ordinal {
                put(out, format_args!(r#","seq":{ordinal}"#));
            }
            put(out, format_args!(r#","service":"{}","h":"{hash:016x}""#, service.name()));
        }
        Event::Fail => put(out, format_args!(r#""ev":"fail""#)),
    }
    put(out, format_args!("}}\n"));
}

fn write_configuration(out: &mut Vec<u8>, configuration: &Configuration) {
    put(out, format_args!(r#""ev":"conf","kind":"{}","#, configuration.kind.name()));
    write_ring(out, "ring", Some(configuration.ring));
    put(out, format_args!(r#","members":["#));
    write_members(out, &configuration.members);
    put(out, format_args!("],"));
    write_ring(out, "prev_ring", configuration.previous);
    if let Some(eligible) = configuration.eligible {
        put(out, format_args!(r#","eligible":{eligible}"#));
    }
}

fn write_members(out: &mut Vec<u8>, members: &Arc<[NodeId]>) {
    for (i, member) in members.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        put(out, format_args!("{comma}{member}"));
    }
}

fn write_ring(out: &mut Vec<u8>, key: &str, ring: Option<RingId>) {
    match ring {
        Some(RingId { epoch, representative }) => {
            put(out, format_args!(r#""{key}":{{"rep":{representative},"seq":{epoch}}}"#));
        }
        None => put(out, format_args!(r#""{key}":null"#)),
    }
}

/// Writing to a `Vec` cannot fail.
fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Epoch;
    use crate::seq::Seq;

    fn line(event: Event) -> String {
        let mut out = Vec::new();
        let entry = Entry { time: Time::from_ns(5), event };
        write_line(&mut out, NodeId(1), Epoch(7), &entry);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_have_the_fixed_form() {
        let ring = RingId::new(Epoch(9), NodeId(1));
        let message = MessageId { sender: NodeId(1), incarnation: Epoch(7), counter: 3 };
        assert_eq!(
            line(Event::Configuration(Configuration {
                kind: ConfigurationKind::Regular,
                ring,
                previous: None,
                members: Arc::from([NodeId(1), NodeId(2)]),
                eligible: None,
            })),
            concat!(
                r#"{"node":1,"incarnation":7,"t":5,"ev":"conf","kind":"regular","#,
                r#""ring":{"rep":1,"seq":9},"members":[1,2],"prev_ring":null}"#,
                "\n"
            )
        );
        assert_eq!(
            line(Event::Deliver {
                message,
                ring,
                in_configuration: ConfigurationKind::Transitional,
                ordinal: Some(Ordinal::new(Seq(2), 1)),
                service: Service::Safe,
                hash: 255,
            }),
            concat!(
                r#"{"node":1,"incarnation":7,"t":5,"ev":"deliver","msg":"1.7.3","sender":1,"#,
                r#""ring":{"rep":1,"seq":9},"conf_kind":"transitional","seq":131073,"#,
                r#""service":"safe","h":"00000000000000ff"}"#,
                "\n"
            )
        );
        assert_eq!(line(Event::Fail), "{\"node\":1,\"incarnation\":7,\"t\":5,\"ev\":\"fail\"}\n");
    }
}
