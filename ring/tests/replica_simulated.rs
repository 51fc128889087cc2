//! Replicas at every member of simulated clusters: the ring under them is the real one, and so are
//! its faults.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it expects")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use roundel_ring::id::{Incarnation, NodeId};
use roundel_ring::layer::{Layer, Letter, Publication, StreamEvent};
use roundel_ring::replica::{
    Context, Event, Options, Progress, Replica, RequestId, RestoreError, Standing, StateMachine,
    View,
};
use roundel_ring::sim::{Application, Profile, Ran, Scenario, run_applications};
use roundel_ring::time::Time;

/// Every command and view ever applied, by index.
#[derive(Default, Debug)]
struct Book {
    lines: BTreeMap<u64, u64>,
    /// Somebody applied something else: it has left the one log.
    is_torn: bool,
}

/// A machine that is a digest of all it was told, and padding, so that transfers take many letters.
#[derive(Clone, Debug)]
struct Digest {
    index: u64,
    digest: u64,
    book: Rc<RefCell<Book>>,
}

const SNAPSHOT_BYTES: usize = 20_000;

impl Digest {
    fn take(&mut self, index: u64, bytes: &[u8]) -> u64 {
        for byte in bytes.iter().chain(&index.to_le_bytes()) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.index = index;
        let mut book = self.book.borrow_mut();
        let written = *book.lines.entry(index).or_insert(self.digest);
        book.is_torn |= written != self.digest;
        self.digest
    }
}

impl StateMachine for Digest {
    type Output = u64;

    fn apply(&mut self, context: &Context<'_>, command: &[u8]) -> u64 {
        assert!(context.index > self.index, "the log ascends");
        self.take(context.index, command)
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.digest.to_le_bytes());
        out.resize(out.len() + SNAPSHOT_BYTES, 7);
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let word = |at: usize| u64::from_le_bytes(snapshot[at..at + 8].try_into().unwrap());
        (self.index, self.digest) = (word(0), word(8));
        Ok(())
    }

    fn handle_view(&mut self, index: u64, view: &View) {
        let members: Vec<u8> = view.members.iter().flat_map(|node| node.0.to_le_bytes()).collect();
        self.take(index, &members);
    }
}

/// Submits commands now and then, and waits for their answers.
struct Client {
    replica: Replica<Digest>,
    commands: u64,
    open: BTreeSet<RequestId>,
    answers: BTreeMap<u64, u64>,
    lost: u64,
    restored: u64,
}

impl Client {
    fn new(nodes: u32, book: Rc<RefCell<Book>>) -> Self {
        let set = (1..=nodes).map(NodeId).collect();
        let machine = Digest { index: 0, digest: 0, book };
        Self {
            replica: Replica::new(machine, Options::new(Progress::Majority(set))),
            commands: 0,
            open: BTreeSet::new(),
            answers: BTreeMap::new(),
            lost: 0,
            restored: 0,
        }
    }

    fn listen(&mut self) {
        while let Some(event) = self.replica.poll_event() {
            match event {
                Event::Applied { request, index, output } => {
                    assert!(self.open.remove(&request), "answered once");
                    self.answers.insert(index, output);
                }
                Event::Passed { request, .. } => assert!(self.open.remove(&request)),
                Event::Lost { request, .. } => {
                    assert!(self.open.remove(&request));
                    self.lost += 1;
                }
                Event::Restored { .. } => self.restored += 1,
                Event::RestoreFailed(error) => panic!("{error}"),
                Event::TooLong | Event::View { .. } | Event::Standing(_) => {}
            }
        }
    }
}

impl Layer for Client {
    fn handle_start(&mut self, now: Time, me: NodeId, incarnation: Incarnation) {
        self.replica.handle_start(now, me, incarnation);
    }

    fn handle_event(&mut self, now: Time, event: StreamEvent<'_>) {
        self.replica.handle_event(now, event);
        self.listen();
    }

    fn handle_letter(&mut self, now: Time, from: NodeId, payload: &[u8]) {
        self.replica.handle_letter(now, from, payload);
        self.listen();
    }

    fn handle_timeout(&mut self, now: Time) {
        self.replica.handle_timeout(now);
        self.listen();
    }

    fn poll_publish(&mut self) -> Option<Publication> {
        self.replica.poll_publish()
    }

    fn poll_letter(&mut self) -> Option<Letter> {
        self.replica.poll_letter()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.replica.poll_timeout()
    }
}

impl Application for Client {
    fn act(&mut self, _now: Time, random: u64) {
        self.commands += 1;
        let asked = if random.is_multiple_of(8) {
            self.replica.barrier()
        } else {
            self.replica.submit(Bytes::copy_from_slice(&random.to_le_bytes()))
        };
        self.open.extend(asked);
        self.listen();
    }

    fn is_settled(&self) -> bool {
        self.open.is_empty() && self.replica.standing() == Standing::Synced
    }
}

#[derive(Default, Debug)]
struct Sum {
    answers: usize,
    lost: u64,
    restored: u64,
    lives: usize,
    without_crashes: u64,
}

/// Runs a cluster; all that live at its end have one state. Where nobody crashed no state was ever
/// lost, so nobody has applied anything else at an index than the others.
fn run(seed: u64, profile: Option<Profile>, chaos: Option<Duration>, sum: &mut Sum) {
    let nodes = 3 + u32::try_from(seed % 3).unwrap();
    let scenario = Scenario { nodes: Some(nodes as usize), profile, chaos, ..Scenario::new(seed) };
    let book = Rc::new(RefCell::new(Book::default()));
    let its = Rc::clone(&book);
    let Ran { outcome, lives } =
        run_applications(&scenario, move |_| Client::new(nodes, Rc::clone(&its)));
    assert_eq!(outcome.failure, None, "seed {seed}");
    let alive: Vec<&Client> =
        lives.iter().filter(|it| !it.ended).map(|it| &it.application).collect();
    assert_eq!(alive.len(), nodes as usize);
    let state = |client: &Client| {
        let Digest { index, digest, .. } = client.replica.machine();
        (*index, *digest)
    };
    assert!(alive.iter().all(|client| state(client) == state(alive[0])), "seed {seed}");
    if lives.len() == alive.len() {
        assert!(!book.borrow().is_torn, "seed {seed}");
        sum.without_crashes += 1;
    }
    for client in lives.iter().map(|life| &life.application) {
        sum.answers += client.answers.len();
        sum.lost += client.lost;
        sum.restored += client.restored;
    }
    sum.lives += lives.len();
}

#[test]
fn after_every_fault_all_replicas_are_synced_and_equal() {
    let mut sum = Sum::default();
    (0..200).for_each(|seed| run(seed, None, None, &mut sum));
    println!("{sum:?}");
    assert!(sum.answers > 10_000 && sum.restored > 100, "{sum:?}");
}

#[test]
fn partitions_and_losses_leave_one_log() {
    let mut sum = Sum::default();
    for profile in [Profile::Frames, Profile::Partitions] {
        let chaos = Some(Duration::from_millis(800));
        (0..200).for_each(|seed| run(seed, Some(profile), chaos, &mut sum));
    }
    println!("{sum:?}");
    assert!(sum.answers > 10_000 && sum.without_crashes > 20, "{sum:?}");
}
