//! A line for each event of a run, for whoever wants to see what happened.

use std::fmt;

use bytes::Bytes;

use super::node::{Socket, cluster};
use super::world::{Happening, World};
use crate::id::NodeId;
use crate::time::Time;
use crate::trace::{Entry, Event};
use crate::wire::beacon::Beacon;
use crate::wire::claim::Claim;
use crate::wire::commit::Commit;
use crate::wire::data::Data;
use crate::wire::free::Free;
use crate::wire::join::Join;
use crate::wire::letter::Letter;
use crate::wire::token::Token;
use crate::wire::{Header, Kind};

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// When, in simulated time.
    pub time: Time,
    /// At whom.
    pub host: NodeId,
    /// What.
    pub what: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "runs are short")]
        let ms = self.time.as_ns() as f64 / 1e6;
        write!(f, "{ms:>12.3} ms  {:>3}  {}", self.host, self.what)
    }
}

/// Who is told.
pub(super) struct Log(pub(super) Box<dyn FnMut(Line)>);

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl World {
    pub(super) fn log_line(&mut self, node: usize, what: impl FnOnce() -> String) {
        if let Some(Log(tell)) = &mut self.log {
            tell(Line { time: self.now, host: self.nodes[node].id(), what: what() });
        }
    }

    pub(super) fn log_happening(&mut self, node: usize, happening: &Happening) {
        if self.log.is_some()
            && let Some(what) = describe(happening)
        {
            self.log_line(node, || what);
        }
    }

    pub(super) fn log_entries(&mut self, node: usize, entries: &[Entry]) {
        if self.log.is_none() {
            return;
        }
        for entry in entries {
            let what = match &entry.event {
                Event::Configuration(it) => {
                    format!("== {:?} configuration {} of {:?}", it.kind, it.ring, it.members)
                }
                Event::Primary { ring } => format!("== primary {ring}"),
                Event::Submit { message } => format!("accepts {message}"),
                Event::Send { message, ring, service, .. } => {
                    format!("originates {message} on {ring}, {}", service.name())
                }
                Event::Deliver { message, ring, in_configuration, service, .. } => format!(
                    "delivers {message} of {ring} in the {in_configuration:?} configuration, {}",
                    service.name()
                ),
                Event::Fail => "fails".to_owned(),
            };
            self.log_line(node, || what);
        }
    }
}

/// What is worth a line; wake-ups say what they did by what follows.
fn describe(happening: &Happening) -> Option<String> {
    Some(match happening {
        Happening::Frame { socket, frame } => format!("<- {}", describe_frame(*socket, frame)),
        Happening::Directive(directive) => format!("worker is told: {}", head(directive)),
        Happening::Report(report) => format!("control is told: {}", head(report)),
        Happening::Written(Some(ceiling)) => format!("disk holds {ceiling}"),
        Happening::Written(None) => "disk refused".to_owned(),
        Happening::Stored(Some(_)) => "disk holds the record".to_owned(),
        Happening::Stored(None) => "disk refused the record".to_owned(),
        Happening::Restart => "host starts its member, if it does not run".to_owned(),
        Happening::Begin(fault) => format!("!! begins: {fault:?}"),
        Happening::End(fault) => format!("!! ends: {fault:?}"),
        Happening::Wake(_)
        | Happening::Read
        | Happening::Submit
        | Happening::LayerTimeout
        | Happening::Stranger => {
            return None;
        }
    })
}

/// The first words of a value's own text.
fn head(value: &impl fmt::Debug) -> String {
    const CHARS_MAX: usize = 200;
    let text = format!("{value:?}");
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn describe_frame(socket: Socket, frame: &Bytes) -> String {
    let Ok(header) = Header::parse(&mut &frame[..], cluster()) else {
        return format!("{} bytes that are no frame, at {socket:?}", frame.len());
    };
    let kind = header.kind;
    let told = match kind {
        Kind::Data => Data::parse(frame, cluster())
            .map(|it| format!("seq {} on {} of {}", it.seq, it.ring, it.packet.originator)),
        Kind::Token => {
            let mut token = Token::default();
            token.parse_into(frame, cluster()).map(|()| {
                let promises: Vec<String> =
                    token.promises.iter().map(|it| it.aru.to_string()).collect();
                format!("hop {} of {}, arus {}", token.hop, token.ring, promises.join(" "))
            })
        }
        Kind::Join => Join::parse(frame, cluster()).map(|it| {
            let leaving = if it.leaving { ", leaving" } else { "" };
            format!("epoch {}, proc {:?}, fail {:?}{leaving}", it.epoch, it.proc_set, it.fail_set)
        }),
        Kind::Commit => Commit::parse(frame, cluster()).map(|it| head(&it)),
        Kind::Beacon => Beacon::parse(frame, cluster())
            .map(|it| format!("on {}, has heard {:?}", it.ring, it.heard)),
        Kind::HoldCancel => Ok(String::new()),
        Kind::Free => Free::parse(frame, cluster()).map(|it| {
            format!("number {} on {} of {}", it.number, it.ring, it.free.packet.originator)
        }),
        Kind::Claim => Claim::parse(frame, cluster())
            .map(|it| format!("{} from number {} on {}", it.count, it.first_number, it.ring)),
        Kind::Letter => Letter::parse(frame, cluster()).map(|it| head(&it)),
    };
    let told = told.unwrap_or_else(|malformed| format!("malformed: {malformed}"));
    format!("{kind:?} from {}: {told}", header.sender)
}
