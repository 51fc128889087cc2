//! The histories of a sitting, judged.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use roundel::{ConfigurationKind, MessageId, RingId};
use roundel_ring::sim::check::parse::parse;
use roundel_ring::sim::check::{Options, Verdict, check};
use roundel_ring::trace::{Event, History};

use super::fleet::{FOREIGN, Fleet, Life};
use crate::traces::end_killed;

/// How long no member may write before its histories count as one cut.
const QUIET: Duration = Duration::from_millis(150);

/// How often that is tried.
const TRIES: u32 = 60;

/// What was found in the histories of one sitting.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) counts: Counts,
}

/// How much happened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Counts {
    /// Different regular configurations that members went on to from another.
    pub(super) configuration_changes: u64,
    /// Messages that somebody delivered.
    pub(super) messages: u64,
    pub(super) deliveries: u64,
    /// Different configurations that somebody knew to be the primary component.
    pub(super) primaries: u64,
}

impl Counts {
    pub(super) fn of(histories: &[History]) -> Self {
        let mut rings: BTreeSet<RingId> = BTreeSet::new();
        let mut messages: BTreeSet<MessageId> = BTreeSet::new();
        let mut primaries: BTreeSet<RingId> = BTreeSet::new();
        let mut deliveries = 0;
        for history in histories {
            let mut regular = Vec::new();
            for entry in &history.entries {
                match &entry.event {
                    Event::Configuration(one) if one.kind == ConfigurationKind::Regular => {
                        regular.push(one.ring);
                    }
                    Event::Deliver { message, .. } => {
                        deliveries += 1;
                        messages.insert(*message);
                    }
                    Event::Primary { ring } => {
                        primaries.insert(*ring);
                    }
                    _ => {}
                }
            }
            rings.extend(regular.into_iter().skip(1));
        }
        Self {
            configuration_changes: rings.len() as u64,
            messages: messages.len() as u64,
            deliveries,
            primaries: primaries.len() as u64,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.configuration_changes += other.configuration_changes;
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.primaries += other.primaries;
    }
}

/// Judges what the members wrote. When they are settled, what must come eventually is asked for,
/// too.
pub(super) fn judge(fleet: &Fleet, settled: bool) -> Result<Judged, String> {
    let (foreign, own): (Vec<&Life>, Vec<&Life>) =
        fleet.lives.iter().partition(|life| life.cluster == FOREIGN);
    for life in fleet.lives.iter().filter(|life| !fleet.is_live(life) && life.trace.exists()) {
        end_killed(&life.trace)?;
    }
    let mut histories = None;
    for _ in 0..TRIES {
        let before = sizes(&own);
        std::thread::sleep(QUIET);
        if sizes(&own) == before {
            let read = read(&own)?;
            if sizes(&own) == before {
                histories = Some(read);
                break;
            }
        }
    }
    let histories = histories.ok_or("the members write on though nothing happens")?;
    let counts = Counts::of(&histories);
    let mut verdict = check(&histories, Options { quiescent: settled });
    let strangers = read(&foreign)?;
    if !strangers.is_empty() {
        verdict.add(&check(&strangers, Options { quiescent: false }));
    }
    Ok(Judged { verdict, counts })
}

/// What the lives wrote until now.
fn read(lives: &[&Life]) -> Result<Vec<History>, String> {
    let mut histories = Vec::new();
    for life in lives {
        if !life.trace.exists() {
            // It was gone before it had a place in the cluster.
            continue;
        }
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", life.trace.display());
        let bytes = fs::read(&life.trace).map_err(|error| failed(&error))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        histories.extend(parse(&bytes[..whole]).map_err(|error| failed(&error))?);
    }
    Ok(histories)
}

fn sizes(lives: &[&Life]) -> Vec<u64> {
    lives.iter().map(|life| life.trace.metadata().map_or(0, |meta| meta.len())).collect()
}

/// Judges once more when all have left: nobody has delivered on the way out what it must not.
pub(super) fn judge_ended(fleet: &Fleet) -> Result<Verdict, String> {
    let own: Vec<&Life> = fleet.lives.iter().filter(|life| life.cluster != FOREIGN).collect();
    Ok(check(&read(&own)?, Options { quiescent: true }))
}

/// Gives the traces of these lives, which are over, their names: `<node>.<incarnation>.jsonl`.
/// What they said to people stays, if there was something.
pub(super) fn keep(lives: &[Life]) -> Result<(), String> {
    for life in lives {
        if life.words.metadata().is_ok_and(|meta| meta.len() == 0) {
            let _ = fs::remove_file(&life.words);
        }
        let Some(name) = name(&life.trace) else {
            let _ = fs::remove_file(&life.trace);
            continue;
        };
        end_killed(&life.trace)?;
        fs::rename(&life.trace, life.trace.with_file_name(name))
            .map_err(|error| format!("{}: {error}", life.trace.display()))?;
    }
    Ok(())
}

/// Removes what these lives wrote.
pub(super) fn remove(life: &Life) {
    // What is not there is removed already.
    let _ = fs::remove_file(&life.trace);
    let _ = fs::remove_file(&life.words);
}

/// From the trace's first line; nothing for a life without any.
fn name(trace: &Path) -> Option<PathBuf> {
    use std::io::{BufRead, BufReader};
    let mut line = String::new();
    BufReader::new(fs::File::open(trace).ok()?).read_line(&mut line).ok()?;
    let history = parse(line.as_bytes()).ok()?.pop()?;
    Some(PathBuf::from(format!("{}.{}.jsonl", history.node, history.incarnation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_messages_and_deliveries_are_counted() {
        let conf = |node: u8, ring: u8| {
            let head = format!(r#"{{"node":{node},"incarnation":1,"t":5,"ev":"conf","#);
            let ring = format!(r#""kind":"regular","ring":{{"rep":1,"seq":{ring}}},"#);
            format!("{head}{ring}\"members\":[1,2],\"prev_ring\":null}}\n")
        };
        let deliver = |node: u8| {
            let head = format!(r#"{{"node":{node},"incarnation":1,"t":6,"ev":"deliver","#);
            let what = r#""msg":"1.1.1","sender":1,"ring":{"rep":1,"seq":7},"#;
            let rest = r#""conf_kind":"regular","seq":1,"service":"agreed","h":"0""#;
            format!("{head}{what}{rest}}}\n")
        };
        let history = |node: u8| {
            let lines = [conf(node, node), conf(node, 7), deliver(node)].concat();
            parse(lines.as_bytes()).unwrap().remove(0)
        };
        let counts = Counts::of(&[history(1), history(2)]);
        let expected =
            Counts { configuration_changes: 1, messages: 1, deliveries: 2, primaries: 0 };
        assert_eq!(counts, expected);
    }
}
