//! Faults that may strike at a step, and paths: lists of them that can be written and read.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::scenario::Start;
use super::world::{Next, Pending, Port, What, World};
use crate::handoff::Report;
use crate::sim::node::cluster;
use crate::wire::{Header, Kind};

/// A member that is started again is down for this long: less than any timeout.
const DOWN: Duration = Duration::from_millis(10);

/// A frame that comes late or twice comes after this long: behind those that were sent after it.
const LATE: Duration = Duration::from_micros(170);

/// Members of one cluster at most.
pub const MEMBERS_MAX: usize = 4;

/// What strikes at a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// The frame is lost on its way to this member.
    Drop,
    /// The frame comes here once more, after others.
    Twice,
    /// The frame comes here after others that left later.
    Late,
    /// The member dies before the step, until all is healed.
    Crash,
    /// The member dies before the step and is started again soon.
    Restart,
    /// From now on nothing passes between these members (a bit each) and the others.
    Cut(u8),
    /// From now on nothing passes between any two.
    Apart,
    /// The cut ends: this frame is the first to pass again.
    Heal,
}

/// Which kinds of faults strike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kinds {
    /// Drop, crash (for good or for a moment), cut and heal.
    Usual,
    /// Also frames that come late or twice.
    All,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Twice => f.write_str("twice"),
            Self::Late => f.write_str("late"),
            Self::Crash => f.write_str("crash"),
            Self::Restart => f.write_str("restart"),
            Self::Cut(side) => {
                f.write_str("cut")?;
                let members = (0..8).filter(|member| side & (1 << member) != 0);
                members.into_iter().try_for_each(|member| write!(f, "{}", member + 1))
            }
            Self::Apart => f.write_str("apart"),
            Self::Heal => f.write_str("heal"),
        }
    }
}

impl FromStr for Fault {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let plain = [
            Self::Drop,
            Self::Twice,
            Self::Late,
            Self::Crash,
            Self::Restart,
            Self::Apart,
            Self::Heal,
        ];
        if let Some(fault) = plain.into_iter().find(|fault| fault.to_string() == text) {
            return Ok(fault);
        }
        let members = text.strip_prefix("cut").filter(|members| !members.is_empty());
        let bit = |digit: char| match digit.to_digit(10) {
            Some(member @ 1..=8) => Some(1_u8 << (member - 1)),
            _ => None,
        };
        let side = members.and_then(|members| {
            members.chars().try_fold(0, |side, member| Some(side | bit(member)?))
        });
        side.map(Self::Cut).ok_or_else(|| BadPath(text.to_owned()))
    }
}

/// A fault and the step at which it strikes, counted from where the scenario starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Choice {
    /// The step.
    pub step: u64,
    /// What strikes.
    pub fault: Fault,
}

/// A run of the explored cluster: where it starts and what strikes. Written as
/// `START/STEP:FAULT,STEP:FAULT`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Path {
    /// Where it starts.
    pub start: Start,
    /// In the order of their steps.
    pub choices: Vec<Choice>,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.start.name())?;
        for (i, Choice { step, fault }) in self.choices.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{step}:{fault}")?;
        }
        Ok(())
    }
}

/// Text that is no path.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is no part of a path; write START/STEP:FAULT,STEP:FAULT such as ring/12:drop,40:cut3"
)]
pub struct BadPath(String);

impl FromStr for Path {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let (start, rest) = text.split_once('/').unwrap_or((text, ""));
        let start = Start::from_name(start).ok_or_else(|| BadPath(start.to_owned()))?;
        let parts = rest.split(',').filter(|part| !part.is_empty());
        let choices = parts.map(|part| {
            let (step, fault) = part.split_once(':').ok_or_else(|| BadPath(part.to_owned()))?;
            let step = step.parse().map_err(|_| BadPath(part.to_owned()))?;
            Ok(Choice { step, fault: fault.parse()? })
        });
        let choices: Vec<Choice> = choices.collect::<Result<_, BadPath>>()?;
        if choices.is_sorted_by(|a, b| a.step <= b.step) {
            Ok(Self { start, choices })
        } else {
            Err(BadPath(rest.to_owned()))
        }
    }
}

/// What kind of frame this is.
pub(super) fn kind_of(frame: &[u8]) -> Option<Kind> {
    Header::parse(&mut &*frame, cluster()).ok().map(|header| header.kind)
}

impl World {
    /// The faults that may strike at the next step.
    ///
    /// Each fault only at the steps that can tell it from the same fault a step later: a frame is
    /// dropped where it arrives, a member dies right before it does something, a cut begins or
    /// ends with the first frame that it stops or lets pass.
    pub(super) fn faults(&self, kinds: Kinds) -> Vec<Fault> {
        match (self.next(), self.first()) {
            (Some(Next::Arrival), Some(first)) => self.faults_at(first, kinds),
            (Some(Next::Timer { .. }), _) => vec![Fault::Crash, Fault::Restart],
            _ => Vec::new(),
        }
    }

    fn faults_at(&self, first: &Pending, kinds: Kinds) -> Vec<Fault> {
        let to = first.node;
        if self.hosts[to].life.is_none() {
            return Vec::new();
        }
        match &first.what {
            What::Frame { from, port: _, frame } if !self.is_cut(*from, to) => {
                let mut faults = Vec::new();
                if !matches!(kind_of(frame), Some(Kind::Beacon | Kind::HoldCancel)) {
                    faults.push(Fault::Drop);
                    if kinds == Kinds::All {
                        faults.extend([Fault::Twice, Fault::Late]);
                    }
                }
                faults.extend([Fault::Crash, Fault::Restart]);
                faults.extend(self.cuts_between(*from, to));
                faults
            }
            What::Frame { .. } => vec![Fault::Heal],
            // Nothing follows from these.
            What::Report(Report::Retired(_) | Report::Originated { .. } | Report::Drained) => {
                Vec::new()
            }
            What::Directive(_) | What::Report(_) | What::Written(_) | What::Stored(_) => {
                vec![Fault::Crash, Fault::Restart]
            }
            What::Start | What::Publish(..) => Vec::new(),
        }
    }

    /// Every cut that parts two members: in two sides, the one without the first member named, or
    /// wholly.
    fn cuts_between(&self, a: usize, b: usize) -> impl Iterator<Item = Fault> {
        let members = self.hosts.len();
        let parts = move |side: &u8| (side >> a) & 1 != (side >> b) & 1;
        let sides = (1..1_u8 << (members - 1)).map(|side| side << 1).filter(parts);
        sides.map(Fault::Cut).chain((members > 2).then_some(Fault::Apart))
    }

    /// Lets a fault strike at the next step.
    pub(super) fn strike(&mut self, fault: Fault) {
        let node = match self.next() {
            Some(Next::Timer { node, .. }) => Some(node),
            _ => self.first().map(|first| first.node),
        };
        match fault {
            Fault::Drop => drop(self.take_first()),
            Fault::Late => {
                if let Some(first) = self.take_first() {
                    self.push(first.at + LATE, first.node, first.what);
                }
            }
            Fault::Twice => {
                if let Some(first) = self.first().cloned() {
                    self.push(first.at + LATE, first.node, first.what);
                }
            }
            Fault::Crash | Fault::Restart => {
                let Some(node) = node else { return };
                let at = self.next_at();
                self.kill(node);
                if fault == Fault::Restart {
                    self.push(at + DOWN, node, What::Start);
                }
            }
            Fault::Cut(side) => {
                for (member, of) in self.sides.iter_mut().enumerate() {
                    *of = u8::from(side & (1 << member) != 0);
                }
            }
            Fault::Apart => {
                for (member, of) in (0..).zip(&mut self.sides) {
                    *of = member;
                }
            }
            Fault::Heal => self.sides.fill(0),
        }
    }
}

/// A frame's socket, in words.
pub(super) const fn port_name(port: Port) -> &'static str {
    match port {
        Port::Data => "data",
        Port::Token => "token",
        Port::Control => "control",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written() {
        for text in ["cold/", "ring/3:drop", "merge/1:cut13,7:restart,7:heal,90:apart"] {
            let path: Path = text.parse().unwrap();
            assert_eq!(path.to_string(), text);
        }
        for text in ["", "rings/", "ring/3", "ring/3:dropped", "ring/4:drop,3:drop", "ring/3:cut0"]
        {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }
}
