//! `roundel store`: a replicated map with locks, on a member of its own.

mod machine;
mod output;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use roundel::options::{MemberOptions, duration};
use roundel::replica::lock::{Fence, LockCommand, LockOutput};
use roundel::replica::map::MapCommand;
use roundel::replica::{Event, Options, Progress, Replica, RequestId, Standing, SubmitError};
use roundel::{NodeId, Policy};
use serde::Serialize;

use crate::events::Events;
use crate::exit::Exit;
use crate::log::LogOptions;
use crate::shell::{self, Line, NotTaken, Setting, Shell, split_word};
use machine::{Store, StoreCommand, StoreOutput};

const EXAMPLES: &str = "\
Examples:
  roundel store --quorum majority:1,2,3 --id 1      one of three replicas, of which two go on
  echo 'put colour blue' | roundel store --json     one line in, its answer out
  roundel store --quorum primary --primary dynamic:1,2,3 --id 1
                                                    what goes on is the primary component

Lines of stdin, answered in the order of the replicated log:
  put KEY VALUE       get KEY             delete KEY
  cas KEY OLD NEW     sets NEW where the value is OLD (- for none)
  acquire LOCK        release LOCK        locks of members that go are free again
  sync                answered when all that was answered anywhere before is here
  dump                all keys and locks as they are here, at once

A key, a lock and OLD are one word each; VALUE and NEW are the rest of the line. Lines are read once
this member has got the state. In a part that does not go on they are refused.
Every member of the cluster must be a replica: with `roundel cat` in it nothing is ever decided.

Exit codes: 0 all lines were answered, 1 it failed or a line was refused, 2 options that cannot be
used, 130 interrupted.";

/// A replica of a map with locks, told by the lines of stdin.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which part goes on, the same at every member: that in which most of these hold the state, or
    /// the same with the quorum of --primary and in the primary component alone, or every part; then
    /// parts that meet lose what all but one of them did.
    #[arg(long, value_name = "always|majority:ID,…|primary", default_value = "always")]
    #[arg(value_parser = quorum)]
    quorum: Quorum,
    /// Stay this long after stdin's end, so that others can finish.
    #[arg(long, value_name = "D", default_value = "1s", value_parser = duration)]
    linger: Duration,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    member: MemberOptions,
    #[command(flatten)]
    log: LogOptions,
}

/// Which part goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Quorum {
    Always,
    Majority(BTreeSet<NodeId>),
    /// By the member's policy for the primary component.
    Primary,
}

impl Quorum {
    fn progress(&self, policy: &Policy) -> Result<Progress, &'static str> {
        match self {
            Self::Always => Ok(Progress::Always),
            Self::Majority(set) => Ok(Progress::Majority(set.clone())),
            Self::Primary if *policy == Policy::None => Err(NO_POLICY),
            Self::Primary => Ok(Progress::Primary(policy.clone())),
        }
    }
}

const NO_POLICY: &str = "--quorum primary goes by the policy for the primary component, and there \
                         is none; fix: name one, the same at every member, with --primary, or \
                         use --quorum majority:ID,…";

fn quorum(text: &str) -> Result<Quorum, String> {
    let usage = || "use always, primary, or majority:1,2,3 with all replicas' ids".to_owned();
    match text {
        "always" => return Ok(Quorum::Always),
        "primary" => return Ok(Quorum::Primary),
        _ => {}
    }
    let ids = text.strip_prefix("majority:").ok_or_else(usage)?;
    let set: Option<_> = ids.split(',').map(|id| id.trim().parse().ok().map(NodeId)).collect();
    set.map(Quorum::Majority).ok_or_else(usage)
}

/// Runs until stdin's end or a signal.
pub(crate) fn run(args: &Args) -> Exit {
    args.log.install();
    let progress = match args.quorum.progress(args.member.primary()) {
        Ok(progress) => progress,
        Err(reason) => {
            eprintln!("roundel store: {reason}");
            return Exit::Usage;
        }
    };
    let replica = Replica::new(Store::default(), Options::new(progress));
    let setting = Setting { member: &args.member, json: args.json, linger: args.linger };
    shell::run(setting, Session::default(), replica)
}

/// What this process has asked for.
#[derive(Default, Debug)]
struct Session {
    /// It had the state once.
    was_synced: bool,
    /// Requests without an answer. The replica bounds them.
    asked: BTreeMap<RequestId, Asked>,
    /// Tokens of locks granted here.
    fences: BTreeMap<Bytes, Fence>,
    counts: Counts,
}

/// A request.
#[derive(Debug)]
struct Asked {
    line: u64,
    lock: Option<Bytes>,
}

#[derive(Clone, Copy, Serialize, Default, Debug)]
struct Counts {
    answered: u64,
    lost: u64,
    unanswered: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, lost, unanswered } = self;
        write!(f, "{answered} lines answered, {lost} whose answer is lost, {unanswered} open")
    }
}

const USAGE: &str = "not a command; use put, get, delete, cas, acquire, release, sync or dump";

impl Session {
    fn command(&self, line: &Line) -> Result<(StoreCommand, Option<Bytes>), NotTaken> {
        let refused = |reason: &str| NotTaken::Refused(reason.to_owned());
        let (word, rest) = line.words();
        let (name, rest) = split_word(rest);
        if name.is_empty() {
            return Err(refused(USAGE));
        }
        let copy = Bytes::copy_from_slice;
        let key = copy(name);
        let on_map = |command| Ok((StoreCommand::Map(command), None));
        match word {
            b"put" => on_map(MapCommand::Put { key, value: copy(rest) }),
            b"get" => on_map(MapCommand::Get { key }),
            b"delete" => on_map(MapCommand::Delete { key }),
            b"cas" => {
                let (old, new) = split_word(rest);
                let expected = (old != b"-").then(|| copy(old));
                on_map(MapCommand::CompareAndSet { key, expected, value: copy(new) })
            }
            b"acquire" => {
                let command = LockCommand::Acquire { name: key.clone() };
                Ok((StoreCommand::Lock(command), Some(key)))
            }
            b"release" => {
                let fence = self.fences.get(&key).copied();
                let fence = fence.ok_or_else(|| refused("not granted here; acquire it first"))?;
                let command = LockCommand::Release { name: key.clone(), fence };
                Ok((StoreCommand::Lock(command), Some(key)))
            }
            _ => Err(refused(USAGE)),
        }
    }

    fn request(&mut self, replica: &mut Replica<Store>, line: &Line) -> Result<(), NotTaken> {
        let (submitted, lock) = if line.text == b"sync" {
            (replica.barrier(), None)
        } else {
            let (command, lock) = self.command(line)?;
            (replica.submit(command.encode()), lock)
        };
        let request = submitted.map_err(|error| match error {
            SubmitError::Full => NotTaken::NotYet,
            error => error.into(),
        })?;
        self.asked.insert(request, Asked { line: line.number, lock });
        Ok(())
    }

    /// Keeps the tokens of what is granted here.
    fn note(&mut self, lock: Option<Bytes>, output: &StoreOutput) {
        let (Some(lock), StoreOutput::Lock(output)) = (lock, output) else { return };
        match output {
            LockOutput::Granted(grant) => {
                self.fences.insert(lock, grant.fence);
            }
            LockOutput::Held(_) | LockOutput::Released | LockOutput::NotHeld => {
                self.fences.remove(&lock);
            }
            LockOutput::Malformed => {}
        }
    }

    fn answered(&mut self, request: RequestId) -> Asked {
        self.asked.remove(&request).unwrap_or(Asked { line: 0, lock: None })
    }
}

impl Shell for Session {
    type Layer = Replica<Store>;
    type Counts = Counts;

    const NAME: &'static str = "store";
    const SCHEMA: &'static str = "roundel.store/1";

    fn is_ready(&self, _replica: &Replica<Store>) -> bool {
        self.was_synced
    }

    fn take(
        &mut self,
        replica: &mut Replica<Store>,
        line: &Line,
        events: &mut Events,
    ) -> io::Result<Result<(), NotTaken>> {
        match &line.text[..] {
            b"" => Ok(Ok(())),
            b"dump" => output::dump(events, line.number, replica).map(Ok),
            _ => Ok(self.request(replica, line)),
        }
    }

    fn tell(&mut self, told: Event<StoreOutput>, events: &mut Events) -> io::Result<()> {
        match told {
            Event::Applied { request, index, output } => {
                let Asked { line, lock } = self.answered(request);
                self.counts.answered += 1;
                self.note(lock, &output);
                output::applied(events, line, index, &output)
            }
            Event::Passed { request, index } => {
                let Asked { line, .. } = self.answered(request);
                self.counts.answered += 1;
                output::passed(events, line, index)
            }
            Event::Lost { request, why } => {
                let Asked { line, .. } = self.answered(request);
                self.counts.lost += 1;
                output::lost(events, line, &why)
            }
            Event::View { index, view } => output::view(events, index, &view),
            Event::Standing(standing) => {
                self.was_synced |= standing == Standing::Synced;
                output::standing(events, standing)
            }
            Event::Restored { index, bytes } => output::restored(events, index, bytes),
            Event::RestoreFailed(error) => output::trouble(events, &error),
            Event::TooLong => output::trouble(events, &"the state is longer than is fetched"),
        }
    }

    fn is_at_rest(&self, _replica: &Replica<Store>) -> bool {
        self.asked.is_empty()
    }

    /// Locks go with the member.
    fn bid_farewell(&mut self, _replica: &mut Replica<Store>) {}

    fn counts(&self) -> Counts {
        Counts { unanswered: self.asked.len(), ..self.counts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_refused() {
        let session = Session::default();
        let command = |text: &str| {
            let line = Line { number: 1, text: text.as_bytes().to_owned() };
            session.command(&line).map(|(command, _)| command)
        };
        let b = |text: &'static str| Bytes::from_static(text.as_bytes());
        let put = MapCommand::Put { key: b("a"), value: b("b  c") };
        assert_eq!(command("put a b  c"), Ok(StoreCommand::Map(put)));
        let swap = |expected| MapCommand::CompareAndSet { key: b("a"), expected, value: b("n") };
        assert_eq!(command("cas a - n"), Ok(StoreCommand::Map(swap(None))));
        assert_eq!(command("cas a o n"), Ok(StoreCommand::Map(swap(Some(b("o"))))));
        for wrong in ["put", "put ", "release x", "steal x", "Put a b"] {
            assert!(matches!(command(wrong), Err(NotTaken::Refused(_))), "{wrong}");
        }
    }

    #[test]
    fn quorums_are_named() {
        assert_eq!(quorum("always"), Ok(Quorum::Always));
        let set: BTreeSet<NodeId> = [NodeId(1), NodeId(2)].into();
        assert_eq!(quorum("majority:1, 2"), Ok(Quorum::Majority(set)));
        assert_eq!(quorum("primary"), Ok(Quorum::Primary));
        for wrong in ["", "majority", "majority:", "majority:x", "primary:1", "most"] {
            assert!(quorum(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_quorum_by_the_primary_is_that_of_its_policy() {
        let set: BTreeSet<NodeId> = [NodeId(1), NodeId(2)].into();
        let policy = Policy::Dynamic { initial: set.clone() };
        assert_eq!(Quorum::Primary.progress(&policy), Ok(Progress::Primary(policy.clone())));
        assert!(Quorum::Primary.progress(&Policy::None).is_err_and(|it| it.contains("fix: ")));
        // What is said outright does not depend on it.
        assert_eq!(Quorum::Majority(set.clone()).progress(&policy), Ok(Progress::Majority(set)));
        assert_eq!(Quorum::Always.progress(&Policy::None), Ok(Progress::Always));
    }
}
