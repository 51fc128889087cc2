//! Replicas at every member of simulated clusters: the ring under them is the real one, and so are
//! its faults.
#![cfg(feature = "sim")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it expects")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use roundel_ring::id::NodeId;
use roundel_ring::layer::StreamEvent;
use roundel_ring::primary::Policy;
use roundel_ring::replica::{
    Context, Event, Options, Progress, Replica, RequestId, RestoreError, Standing, StateMachine,
    View,
};
use roundel_ring::sim::{
    Profile, Ran, Scenario, Used, User, run_applications, run_applications_under,
};

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
    part: Rc<Part>,
}

/// Where a member is, with a policy.
#[derive(Default, Debug)]
struct Part {
    has_policy: bool,
    is_primary: Cell<bool>,
    /// Lines that nobody had written before, written in a primary component.
    of_primary: Cell<u64>,
}

const SNAPSHOT_BYTES: usize = 20_000;

impl Digest {
    fn take(&mut self, index: u64, bytes: &[u8]) -> u64 {
        for byte in bytes.iter().chain(&index.to_le_bytes()) {
            self.digest = (self.digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.index = index;
        let mut book = self.book.borrow_mut();
        if self.part.has_policy && !book.lines.contains_key(&index) {
            assert!(self.part.is_primary.get(), "progress outside of the primary component");
            self.part.of_primary.set(self.part.of_primary.get() + 1);
        }
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
    commands: u64,
    open: BTreeSet<RequestId>,
    answers: BTreeMap<u64, u64>,
    lost: u64,
    restored: u64,
    part: Rc<Part>,
    /// Times in a configuration that is not the primary, after one that was.
    parted: u64,
}

impl Client {
    const fn new(part: Rc<Part>) -> Self {
        Self {
            commands: 0,
            open: BTreeSet::new(),
            answers: BTreeMap::new(),
            lost: 0,
            restored: 0,
            part,
            parted: 0,
        }
    }

    fn hear(&mut self, event: &Event<u64>) {
        match event {
            Event::Applied { request, index, output } => {
                assert!(self.open.remove(request), "answered once");
                self.answers.insert(*index, *output);
            }
            Event::Passed { request, .. } => assert!(self.open.remove(request)),
            Event::Lost { request, .. } => {
                assert!(self.open.remove(request));
                self.lost += 1;
            }
            Event::Restored { .. } => self.restored += 1,
            Event::RestoreFailed(error) => panic!("{error}"),
            Event::TooLong | Event::View { .. } | Event::Standing(_) => {}
        }
    }
}

impl User for Client {
    type Layer = Replica<Digest>;

    fn see(&mut self, event: StreamEvent<'_>) {
        match event {
            StreamEvent::Configuration(_) => {
                self.parted += u64::from(self.part.is_primary.replace(false));
            }
            StreamEvent::Primary { .. } => self.part.is_primary.set(true),
            StreamEvent::Message(_) => {}
        }
    }

    fn listen(&mut self, replica: &mut Replica<Digest>) {
        if self.part.has_policy && !self.part.is_primary.get() {
            assert_ne!(replica.standing(), Standing::Synced);
        }
        while let Some(event) = replica.poll_event() {
            self.hear(&event);
        }
    }

    fn act(&mut self, replica: &mut Replica<Digest>, random: u64) {
        self.commands += 1;
        let asked = if random.is_multiple_of(8) {
            replica.barrier()
        } else {
            replica.submit(Bytes::copy_from_slice(&random.to_le_bytes()))
        };
        self.open.extend(asked);
    }

    fn is_settled(&self, replica: &Replica<Digest>) -> bool {
        self.open.is_empty() && replica.standing() == Standing::Synced
    }
}

#[derive(Default, Debug)]
struct Sum {
    answers: usize,
    lost: u64,
    restored: u64,
    lives: usize,
    without_crashes: u64,
    of_primary: u64,
    parted: u64,
}

fn majority(nodes: u32) -> BTreeSet<NodeId> {
    (1..=nodes).map(NodeId).collect()
}

/// The first weighs as much as two others.
fn weighted(nodes: u32) -> Policy {
    Policy::Weighted((1..=nodes).map(|id| (NodeId(id), if id == 1 { 2 } else { 1 })).collect())
}

/// Runs a cluster; all that live at its end have one state. Where nobody crashed no state was ever
/// lost, so nobody has applied anything else at an index than the others.
fn run(scenario: &Scenario, progress: impl Fn(u32) -> Progress, sum: &mut Sum) {
    let seed = scenario.seed;
    let nodes = 3 + u32::try_from(seed % 3).unwrap();
    let scenario = Scenario { nodes: Some(nodes as usize), ..*scenario };
    let book = Rc::new(RefCell::new(Book::default()));
    let (its, progress) = (Rc::clone(&book), progress(nodes));
    let of = progress.clone();
    let make = move |_: NodeId| {
        let has_policy = matches!(of, Progress::Primary(_));
        let part = Rc::new(Part { has_policy, ..Part::default() });
        let (book, its_part) = (Rc::clone(&its), Rc::clone(&part));
        let machine = Digest { index: 0, digest: 0, book, part: its_part };
        let replica = Replica::new(machine, Options::new(of.clone()));
        Used::new(replica, Client::new(part))
    };
    let Ran { outcome, lives } = match &progress {
        Progress::Primary(policy) => run_applications_under(&scenario, policy, make),
        Progress::Majority(_) | Progress::Always => run_applications(&scenario, make),
    };
    assert_eq!(outcome.failure, None, "seed {seed}");
    let alive = || lives.iter().filter(|it| !it.ended).map(|it| &it.application);
    assert_eq!(alive().count(), nodes as usize);
    let states: BTreeSet<(u64, u64)> = alive()
        .map(|it| it.layer.machine())
        .map(|Digest { index, digest, .. }| (*index, *digest))
        .collect();
    assert_eq!(states.len(), 1, "seed {seed}");
    if lives.len() == alive().count() {
        assert!(!book.borrow().is_torn, "seed {seed}");
        sum.without_crashes += 1;
    }
    for client in lives.iter().map(|life| &life.application.user) {
        sum.answers += client.answers.len();
        sum.lost += client.lost;
        sum.restored += client.restored;
        sum.of_primary += client.part.of_primary.get();
        sum.parted += client.parted;
    }
    sum.lives += lives.len();
}

fn calm(profile: Profile, seed: u64) -> Scenario {
    let chaos = Some(Duration::from_millis(800));
    Scenario { profile: Some(profile), chaos, ..Scenario::new(seed) }
}

#[test]
fn after_every_fault_all_replicas_are_synced_and_equal() {
    let mut sum = Sum::default();
    let of = |nodes| Progress::Majority(majority(nodes));
    (0..200).for_each(|seed| run(&Scenario::new(seed), of, &mut sum));
    println!("{sum:?}");
    assert!(sum.answers > 10_000 && sum.restored > 100, "{sum:?}");
}

#[test]
fn partitions_and_losses_leave_one_log() {
    let mut sum = Sum::default();
    let of = |nodes| Progress::Majority(majority(nodes));
    for profile in [Profile::Frames, Profile::Partitions] {
        (0..200).for_each(|seed| run(&calm(profile, seed), of, &mut sum));
    }
    println!("{sum:?}");
    assert!(sum.answers > 10_000 && sum.without_crashes > 20, "{sum:?}");
}

/// Nobody applies anything new outside of the primary component, through partitions and all else.
#[test]
fn in_the_primary_component_alone() {
    let mut sum = Sum::default();
    for seed in 0..120 {
        let of = |nodes| match seed % 2 {
            0 => Progress::Primary(Policy::Majority(majority(nodes))),
            _ => Progress::Primary(weighted(nodes)),
        };
        run(&calm(Profile::Partitions, seed), of, &mut sum);
        run(&Scenario::new(seed), of, &mut sum);
    }
    println!("{sum:?}");
    assert!(sum.answers > 5_000 && sum.of_primary > 5_000 && sum.parted > 500, "{sum:?}");
}
