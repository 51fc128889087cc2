//! What members must have in common: one order among those that were together, and histories
//! that obey extended virtual synchrony.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use roundel_ring::sim::check::parse::parse;
use roundel_ring::sim::check::{Clause, Options, Verdict, check};
use roundel_ring::trace::{ContentHash, Entry, Event, History};

use crate::log::{Heard, Item, Log, RingName};
use crate::member::Member;
use crate::run::are_one_ring;

/// Nothing may be written for this long before a moment counts as quiet.
const QUIET: Duration = Duration::from_millis(300);

/// The histories at a moment at which nothing happens: one ring of all that live, every line
/// delivered, and no trace grows while they are read. `None` if this is no such moment.
pub(crate) fn quiet_cut(live: &[Arc<Member>], lives: &[Arc<Member>]) -> Option<Vec<History>> {
    cut_at_rest(lives, || are_one_ring(live) && live.iter().all(|member| member.is_drained()))
}

/// The same, where `at_rest` says whether all is as it is to be in the end.
pub(crate) fn cut_at_rest(
    lives: &[Arc<Member>],
    at_rest: impl Fn() -> bool,
) -> Option<Vec<History>> {
    let sizes = || -> Vec<u64> {
        lives.iter().map(|one| fs::metadata(&one.trace).map_or(0, |file| file.len())).collect()
    };
    let before = sizes();
    if !at_rest() {
        return None;
    }
    thread::sleep(QUIET);
    let histories = lives.iter().filter_map(|member| history(member)).collect();
    (at_rest() && sizes() == before).then_some(histories)
}

/// The histories of lives that have all ended. Those that were not killed wrote their end.
pub(crate) fn ended_histories(lives: &[Arc<Member>]) -> Vec<History> {
    let histories: Vec<History> = lives.iter().filter_map(|member| history(member)).collect();
    for history in &histories {
        let ended = matches!(history.entries.last(), Some(Entry { event: Event::Fail, .. }));
        assert!(ended, "the trace of {}.{} does not end", history.node, history.incarnation);
    }
    histories
}

/// A member's trace; a killed one's is cut where it is torn, and ended.
fn history(member: &Member) -> Option<History> {
    let bytes = fs::read(&member.trace).ok()?;
    let histories = parse(&bytes);
    let mut histories =
        histories.unwrap_or_else(|error| panic!("{}: {error}", member.trace.display()));
    assert!(histories.len() <= 1, "{} has more than one life", member.trace.display());
    let mut history = histories.pop()?;
    if member.was_killed() {
        let time = history.entries.last().map(|entry| entry.time)?;
        history.entries.push(Entry { time, event: Event::Fail });
    }
    Some(history)
}

/// Fails on any violation, and when nothing was judged.
#[track_caller]
pub(crate) fn traces(histories: &[History], quiescent: bool) -> Verdict {
    let verdict = check(histories, Options { quiescent });
    let texts: Vec<String> = verdict
        .violations()
        .map(|violation| format!("{}: {}", violation.clause.name(), violation.text))
        .collect();
    assert_eq!(verdict.violation_count(), 0, "quiescent {quiescent}\n{}", texts.join("\n"));
    for clause in [Clause::Evs1_3, Clause::Evs2_2, Clause::Evs6_2, Clause::OneMemberList] {
        let judged = verdict.of(clause).is_some_and(|judgement| judgement.instances > 0);
        assert!(judged, "{} was not judged at all", clause.name());
    }
    verdict
}

/// What a member delivered between two regular configurations.
struct Step {
    ring: RingName,
    next: Option<RingName>,
    messages: Vec<Heard>,
}

fn steps(log: &Log) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for item in &log.items {
        match item {
            Item::Conf(conf) if conf.regular => {
                if let Some(step) = steps.last_mut() {
                    step.next = Some(conf.ring);
                }
                steps.push(Step { ring: conf.ring, next: None, messages: Vec::new() });
            }
            Item::Conf(_) | Item::Primary(_) | Item::Told(_) => {}
            Item::Message(heard) => {
                steps
                    .last_mut()
                    .expect("a start begins with a configuration")
                    .messages
                    .push(*heard);
            }
        }
    }
    steps
}

/// Members that went together from one configuration to the next, or are together still, printed
/// the same messages in the same order.
#[track_caller]
pub(crate) fn together(lives: &[Arc<Member>]) {
    let mut told: BTreeMap<(RingName, Option<RingName>), (u32, Vec<Heard>)> = BTreeMap::new();
    let mut compared = 0;
    for member in lives {
        for step in steps(&member.log()) {
            // Where a life ended nobody went on with it.
            if step.next.is_none() && member.is_gone() {
                continue;
            }
            let key = (step.ring, step.next);
            let Some((other, theirs)) = told.get(&key) else {
                told.insert(key, (member.id(), step.messages));
                continue;
            };
            compared += 1;
            let at = first_difference(theirs, &step.messages);
            assert!(
                at.is_none(),
                "{other} and {} were together in {key:?} and differ at {at:?}: {:?}",
                member.id(),
                at.map(|at| (theirs.get(at), step.messages.get(at))),
            );
        }
    }
    assert!(compared > 0, "no two members were ever together");
}

fn first_difference(one: &[Heard], other: &[Heard]) -> Option<usize> {
    let differs = one.iter().zip(other).position(|(a, b)| a != b);
    differs.or((one.len() != other.len()).then(|| one.len().min(other.len())))
}

/// A chain over a sequence of messages: equal for equal orders.
pub(crate) fn digest<'a>(messages: impl Iterator<Item = &'a Heard>) -> u64 {
    let mut chain = ContentHash::default();
    for heard in messages {
        chain.update(&heard.sender.to_le_bytes());
        chain.update(&heard.line.1.to_le_bytes());
        chain.update(&heard.hash.to_le_bytes());
    }
    chain.finish()
}

/// Every member delivered every line of everybody, each sender's in its order, in one order.
#[track_caller]
pub(crate) fn everything_everywhere(members: &[Arc<Member>], lines: u64) -> u64 {
    let digests: Vec<u64> = members.iter().map(|member| digest(member.log().heard())).collect();
    assert!(digests.iter().all(|one| *one == digests[0]), "digests differ: {digests:x?}");
    let mut next: BTreeMap<u32, u64> = BTreeMap::new();
    for heard in members[0].log().heard() {
        let expected = next.entry(heard.sender).or_default();
        assert_eq!(heard.line.1, *expected, "the lines of {} are out of order", heard.sender);
        *expected += 1;
    }
    assert!(next.values().all(|count| *count == lines), "not all lines: {next:?}");
    assert_eq!(next.len(), members.len(), "not all senders: {next:?}");
    digests[0]
}

/// Configuration changes after the first configuration of all these members, at the one that saw
/// most.
pub(crate) fn changes(members: &[Arc<Member>]) -> usize {
    let of = |member: &Arc<Member>| {
        let log = member.log();
        let regular = log.confs().filter(|conf| conf.regular);
        regular.skip_while(|conf| conf.members.len() < members.len()).skip(1).count()
    };
    members.iter().map(of).max().unwrap_or(0)
}

/// It left as told, printed its summary last, and nothing that scripts do not expect.
#[track_caller]
pub(crate) fn ended_well(member: &Member) {
    let exit = member.exit();
    let text = member.describe();
    assert!(matches!(exit, Some(Some(0 | 130))), "not a proper end: {text}");
    let log = member.log();
    assert!(log.strange.is_empty(), "strange lines: {text}");
    assert!(log.summary.is_some(), "no summary: {text}");
}
