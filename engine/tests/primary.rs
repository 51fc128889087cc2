//! The primary component and the disk: a state directory that was wiped, and one that refuses to be
//! written. Members on real sockets of this host.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use roundel::{
    Builder, ConfigurationKind, Event, JoinError, Node, NodeId, Policy, Service, StateError, Wanted,
};

/// Waiting longer than this for anything is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rounds in which every member has a message ordered: many times more than the words of the primary
/// component take, which go first.
const ROUNDS: usize = 20;

/// Three members of one test, and their state directories.
struct Place {
    cluster: String,
    state: tempfile::TempDir,
    first: u8,
}

/// A member and what it has been told.
struct Member {
    node: Node,
    members: Vec<NodeId>,
    is_primary: bool,
    messages: usize,
}

impl Place {
    /// `first` is the lowest address, and id, of the three.
    fn new(name: &str, first: u8) -> Self {
        let cluster = format!("{name}-{}", std::process::id());
        Self { cluster, state: tempfile::tempdir().unwrap(), first }
    }

    fn ids(&self) -> BTreeSet<NodeId> {
        (0..3).map(|at| NodeId(u32::from(self.first + at))).collect()
    }

    /// Of the member at this place, 0 to 2.
    fn builder(&self, at: u8) -> Builder {
        let host = self.first + at;
        let interface = Wanted::Address(Ipv4Addr::new(127, 0, 0, host));
        let builder = Node::builder(&self.cluster).id(host.into()).interface(interface);
        let policy = Policy::Dynamic { initial: self.ids() };
        builder.state_dir(self.state.path()).primary(policy)
    }

    fn join(&self, at: u8) -> Member {
        let node = self.builder(at).join().unwrap();
        Member { node, members: Vec::new(), is_primary: false, messages: 0 }
    }

    fn join_all(&self) -> Vec<Member> {
        (0..3).map(|at| self.join(at)).collect()
    }

    /// Where a member's record of primary components is.
    fn record(&self, at: u8) -> PathBuf {
        let folder = self.state.path().join(format!("c-{}", self.cluster));
        folder.join(format!("{}.primary", self.first + at))
    }

    /// From now on a member's record cannot be written: the file that replaces it has no room.
    fn fill(&self, at: u8) {
        let since = Instant::now();
        // It may be writing one at this moment.
        while let Err(error) = symlink("/dev/full", fresh(&self.record(at))) {
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
            assert!(since.elapsed() < PATIENCE, "a write does not end");
        }
    }

    /// There is room again.
    fn make_room(&self, at: u8) {
        fs::remove_file(fresh(&self.record(at))).unwrap();
    }
}

/// What replaces a record once it is whole.
fn fresh(record: &Path) -> PathBuf {
    record.with_extension("primary.new")
}

impl Member {
    fn take_events(&mut self) {
        while let Ok(event) = self.node.try_recv() {
            match event {
                Event::Configuration(it) => {
                    self.is_primary = false;
                    if it.kind == ConfigurationKind::Regular {
                        self.members = it.members.to_vec();
                    }
                }
                Event::Primary { .. } => self.is_primary = true,
                Event::Message(_) => self.messages += 1,
            }
        }
    }
}

fn wait(members: &mut [Member], what: &str, done: impl Fn(&Member) -> bool) {
    let since = Instant::now();
    loop {
        members.iter_mut().for_each(Member::take_events);
        if members.iter().all(&done) {
            return;
        }
        let stand = |it: &Member| format!("{:?} {} {}", it.members, it.is_primary, it.messages);
        let stands: Vec<String> = members.iter().map(stand).collect();
        assert!(since.elapsed() < PATIENCE, "not in time: {what}: {stands:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_primary(members: &mut [Member]) {
    let count = members.len();
    wait(members, "a primary component", |it| it.members.len() == count && it.is_primary);
}

/// Waits for one ring of these, in which messages are ordered, and which is not the primary component.
fn wait_none(members: &mut [Member]) {
    let count = members.len();
    wait(members, "a ring", |it| it.members.len() == count);
    for _ in 0..ROUNDS {
        let before: Vec<usize> = members.iter().map(|it| it.messages).collect();
        for member in members.iter() {
            member.node.try_publish(Service::Safe, "round").unwrap();
        }
        let goal = before.iter().max().unwrap() + count;
        wait(members, "messages", |it| it.messages >= goal);
        assert!(members.iter().all(|it| !it.is_primary), "it must not be the primary component");
    }
}

fn leave(member: Member) {
    let _ = member.node.leave(Duration::from_secs(2));
}

/// One at a time: each is three members that want to run in real time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_member_whose_disk_was_wiped_counts_again_after_the_next_primary() {
    let _turn = turn();
    let place = Place::new("wiped-one", 221);
    let mut members = place.join_all();
    wait_primary(&mut members);
    members.into_iter().for_each(leave);
    fs::remove_file(place.record(2)).unwrap();

    // The two that remember are a majority of the last primary.
    let mut members = place.join_all();
    wait_primary(&mut members);
    // It has been in this one, so it has a say in what follows.
    leave(members.remove(0));
    wait_primary(&mut members);
    members.into_iter().for_each(leave);
}

#[test]
fn when_most_disks_were_wiped_there_is_no_primary_by_itself() {
    let _turn = turn();
    let place = Place::new("wiped-two", 224);
    let mut members = place.join_all();
    wait_primary(&mut members);
    members.into_iter().for_each(leave);
    let kept = fs::read(place.record(1)).unwrap();
    for at in [1, 2] {
        fs::remove_file(place.record(at)).unwrap();
    }

    // They may have voted for another primary: nobody can tell.
    let mut members = place.join_all();
    wait_none(&mut members);
    members.into_iter().for_each(leave);

    // What helps is the record, from wherever it is restored.
    fs::write(place.record(1), kept).unwrap();
    let mut members = place.join_all();
    wait_primary(&mut members);
    members.into_iter().for_each(leave);
}

#[test]
fn a_start_whose_record_cannot_be_written_or_read_is_refused() {
    let _turn = turn();
    let place = Place::new("refused-start", 227);
    // What is made on the way to it.
    leave(place.join(0));
    fs::remove_file(place.record(0)).unwrap();
    place.fill(0);
    let error = place.builder(0).join().unwrap_err();
    assert!(matches!(&error, JoinError::State(StateError::Io { .. })), "{error:?}");
    let text = error.to_string();
    let path = place.record(0).display().to_string();
    assert!(text.contains(&path) && text.contains("cannot be written: No space left"), "{text}");
    assert!(text.contains("fix: give a writable directory with --state-dir"), "{text}");
    place.make_room(0);
    leave(place.join(0));

    fs::write(place.record(0), b"another program's").unwrap();
    let error = place.builder(0).join().unwrap_err();
    assert!(matches!(&error, JoinError::State(StateError::DamagedRecord { .. })), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&path) && text.contains("fix: restore it, or remove it"), "{text}");
}

#[test]
fn a_vote_that_cannot_be_written_waits_and_says_so() {
    let _turn = turn();
    let log = Log::install();
    let place = Place::new("refused-vote", 230);
    let mut members = place.join_all();
    wait_primary(&mut members);
    let was = log.said("the vote cannot be made durable");
    place.fill(2);
    leave(members.remove(0));
    // Two of three may go on, but one of them cannot vote; messages are ordered all the same.
    wait_none(&mut members);
    wait(&mut members, "words about it", |_| log.said("the vote cannot be made durable") > was);
    assert!(log.said("No space left on device") > 0);
    assert!(log.said("there is no primary component until it can") > 0);
    assert!(log.said("fix: make room in the state directory") > 0);

    // It is tried again, without a restart and without another configuration.
    place.make_room(2);
    wait_primary(&mut members);
    members.into_iter().for_each(leave);
}

/// What the members of this process say to operators.
#[derive(Clone, Copy)]
struct Log;

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Log {
    fn install() -> Self {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| tracing::subscriber::set_global_default(Self).unwrap());
        Self
    }

    /// How often something with these words was said.
    fn said(self, words: &str) -> usize {
        let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().filter(|line| line.contains(words)).count()
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::ERROR
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        SAID.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn Debug) {
        let _ = write!(self.0, "{value:?} ");
    }
}
