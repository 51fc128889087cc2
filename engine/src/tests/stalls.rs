//! Real members on real sockets whose threads are stalled at their hand-overs, from a seed: at each
//! moment of each thread in turn often, everywhere else seldom. Two members stay, a third comes and
//! goes, all publish. Everybody must get on, and the histories are judged.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use roundel_ring::sim::check::{Options, check};
use roundel_transport::Wanted;

use super::histories_of;
use crate::builder::{Builder, DriveMode};
use crate::ending::EndReason;
use crate::idle::IdleStrategy;
use crate::node::{Event, LeaveReport, Node, TryRecvError};
use crate::publisher::{Publisher, TryPublishError};
use crate::shared::Shared;
use crate::stall::{At, Plan, begin};
use crate::{ConfigurationKind, Service};

/// Who does not get on for this long never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the visitor comes.
const VISITS: u8 = 2;

/// Messages of its own that the visitor waits for before it goes.
const VISITOR_MESSAGES: u64 = 40;

/// Every thread, and where it hands over or waits.
const FOCI: [(&str, &[At]); 5] = [
    ("roundel-data", &[At::Push, At::Pop, At::Ring, At::Wake, At::Sleep, At::Awake]),
    ("roundel-ctl", &[At::Push, At::Pop, At::Ring, At::Wake, At::Sleep, At::Awake]),
    ("roundel-disk", &[At::Push, At::Pop, At::Ring, At::Wake]),
    ("application", &[At::Push, At::Pop, At::Ring, At::Wake, At::Sleep, At::Awake]),
    ("publisher", &[At::Push, At::Ring, At::Wake]),
];

/// Three members of one cluster.
struct Scene {
    plan: Plan,
    seed: u64,
    lane: u8,
    state: tempfile::TempDir,
    /// The visitor has come and gone as often as it was to.
    visited: AtomicBool,
    /// Which of the two that stay have heard each other after that, as bits.
    heard: AtomicU64,
}

/// What one life of a member came to.
#[derive(Debug)]
struct Lived {
    accepted: u64,
    /// Own messages that were delivered.
    delivered: u64,
    report: LeaveReport,
}

impl Scene {
    fn new(lane: u8, seed: u64, focus: Option<(&'static str, At)>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let plan = Plan::new(seed, focus);
        let (visited, heard) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { plan, seed, lane, state, visited, heard }
    }

    fn trace(&self, member: u8, life: u8) -> PathBuf {
        self.state.path().join(format!("{member}.{life}.jsonl"))
    }

    fn join(&self, member: u8, life: u8) -> Node {
        let mut random = self.random(member, life, "join");
        let idle = [IdleStrategy::Auto, IdleStrategy::Park, IdleStrategy::Backoff];
        // The second member's work is sometimes done by its application.
        let inline = member == 1 && self.seed % 4 == 3;
        let host = 100 + 4 * self.lane + member;
        Builder::new(&format!("stalls-{}-{}-{}", std::process::id(), self.lane, self.seed))
            .id(u32::from(host))
            .interface(Wanted::Address(Ipv4Addr::new(127, 0, 0, host)))
            .unicast_port(0)
            .idle(idle[random.random_range(0..3)])
            .drive(if inline { DriveMode::Inline } else { DriveMode::Threads })
            .state_dir(self.state.path())
            .trace(self.trace(member, life))
            .join()
            .unwrap()
    }

    fn random(&self, member: u8, life: u8, what: &str) -> Xoshiro256PlusPlus {
        let hash = what.bytes().fold(self.seed, |hash, byte| hash * 131 + u64::from(byte));
        Xoshiro256PlusPlus::seed_from_u64(hash << 16 | u64::from(member) << 8 | u64::from(life))
    }

    /// One that stays: publishes until the visitor is gone and both have heard each other.
    fn stay(&self, member: u8) -> Lived {
        begin("application", &self.plan);
        let mut node = self.join(member, 0);
        let other = 1 - member;
        let mut reader = Reader::new(member, 0, self.random(member, 0, "read"));
        // Its publisher goes on for as long as it waits for events, or it would wait for ever.
        let is_over = AtomicBool::new(false);
        let accepted = thread::scope(|scope| {
            let (publisher, is_over) = (node.publisher(), &is_over);
            let _rescue = Rescue(Arc::clone(&publisher.shared));
            let ends = || is_over.load(Ordering::Relaxed);
            let publishing = scope.spawn(move || self.publish(&publisher, member, 0, ends));
            while self.heard.load(Ordering::Relaxed) != 3 {
                // Before the look: what is heard after the visit counts.
                let visited = self.visited.load(Ordering::Relaxed);
                if !visited {
                    // The visitor has patience of its own, and tells of a visit that failed.
                    reader.begin_wait();
                }
                let of_other = reader.next_of(other, 0);
                reader.read(&mut node);
                if visited && reader.next_of(other, 0) > of_other {
                    self.heard.fetch_or(1 << member, Ordering::Relaxed);
                }
            }
            is_over.store(true, Ordering::Relaxed);
            publishing.join().unwrap()
        });
        end(node, reader, accepted)
    }

    /// One that comes and goes, with a publisher that does not know of it.
    fn visit(&self, life: u8) -> Lived {
        begin("application", &self.plan);
        let member = 2;
        let mut node = self.join(member, life);
        let mut reader = Reader::new(member, life, self.random(member, life, "read"));
        let publisher = node.publisher();
        thread::scope(|scope| {
            let _rescue = Rescue(Arc::clone(&publisher.shared));
            let publishing = scope.spawn(move || self.publish(&publisher, member, life, || false));
            while reader.members < 2 || reader.next_of(member, life) < VISITOR_MESSAGES {
                reader.read(&mut node);
            }
            node.begin_leave(PATIENCE);
            let mut lived = end(node, reader, 0);
            lived.accepted = publishing.join().unwrap();
            lived
        })
    }

    /// Publishes until it is over or refused; how many were accepted.
    fn publish(
        &self,
        publisher: &Publisher,
        member: u8,
        life: u8,
        is_over: impl Fn() -> bool,
    ) -> u64 {
        begin("publisher", &self.plan);
        let mut random = self.random(member, life, "publish");
        let mut batch = None;
        let mut accepted = 0_u64;
        while !is_over() {
            let mut payload = vec![member, life];
            payload.extend_from_slice(&accepted.to_le_bytes());
            payload.resize(payload.len() + random.random_range(0..2_000), b'x');
            let service = [Service::Agreed, Service::Safe][random.random_range(0..2)];
            if random.random_range(0..4) == 0 {
                let batch = batch.insert(publisher.batch(service));
                if batch.push(&payload).and_then(|()| batch.flush()).is_err() {
                    break;
                }
            } else {
                match publisher.publish(service, Bytes::from(payload)) {
                    Ok(()) => {}
                    Err(TryPublishError::Closed { .. }) => break,
                    Err(error) => unreachable!("{error}"),
                }
            }
            accepted += 1;
            thread::sleep(Duration::from_micros(random.random_range(0..1_000)));
        }
        accepted
    }

    /// All three; then the histories.
    fn play(&self) {
        thread::scope(|scope| {
            let staying = [0, 1].map(|member| scope.spawn(move || self.stay(member)));
            let visiting = (0..VISITS).map(|life| scope.spawn(move || self.visit(life)).join());
            let visits: Vec<_> = visiting.collect();
            // Also when one failed, or those that stay would wait for ever.
            self.visited.store(true, Ordering::Relaxed);
            let mut lives: Vec<Lived> = visits.into_iter().map(Result::unwrap).collect();
            lives.extend(staying.map(|thread| thread.join().unwrap()));
            for (index, Lived { accepted, delivered, report }) in lives.iter().enumerate() {
                let case = format!("seed {}, life {index}: {lives:?}", self.seed);
                assert_eq!(report.reason, EndReason::Left, "{case}");
                // Nothing that was accepted is silently lost.
                assert_eq!(*accepted, delivered + report.undelivered, "{case}");
                let is_visitor = index < usize::from(VISITS);
                assert!(is_visitor || report.undelivered == 0, "{case}");
            }
        });
        let lives = [(0, 0), (1, 0)].into_iter().chain((0..VISITS).map(|life| (2, life)));
        let traces: Vec<PathBuf> = lives.map(|(member, life)| self.trace(member, life)).collect();
        let verdict = check(&histories_of(&traces), Options::default());
        let violations: Vec<_> = verdict.violations().take(3).collect();
        assert!(violations.is_empty(), "seed {}: {violations:?}", self.seed);
        assert!(verdict.instances() > 500, "seed {}: {} judged", self.seed, verdict.instances());
    }
}

/// Ends a member whose application fails, or its publisher would wait for room for ever and the
/// test for its publisher, instead of saying what failed.
struct Rescue(Arc<Shared>);

impl Drop for Rescue {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.ending.end(EndReason::Panicked);
        }
    }
}

/// Waits for the end, which must come by itself.
fn end(mut node: Node, mut reader: Reader, accepted: u64) -> Lived {
    reader.begin_wait();
    node.begin_leave(PATIENCE);
    while !reader.has_ended {
        reader.read(&mut node);
    }
    let delivered = reader.next_of(reader.member, reader.life);
    Lived { accepted, delivered, report: node.leave(PATIENCE) }
}

/// An application that receives now this way, now that.
struct Reader {
    member: u8,
    life: u8,
    random: Xoshiro256PlusPlus,
    since: Instant,
    /// The next number of each publisher.
    next: BTreeMap<(u8, u8), u64>,
    /// Of the configuration in force.
    members: usize,
    has_ended: bool,
}

impl Reader {
    fn new(member: u8, life: u8, random: Xoshiro256PlusPlus) -> Self {
        let (since, next) = (Instant::now(), BTreeMap::new());
        Self { member, life, random, since, next, members: 0, has_ended: false }
    }

    fn next_of(&self, member: u8, life: u8) -> u64 {
        self.next.get(&(member, life)).copied().unwrap_or(0)
    }

    /// From now on patience counts.
    fn begin_wait(&mut self) {
        self.since = Instant::now();
    }

    /// Takes what there is, after a wait.
    fn read(&mut self, node: &mut Node) {
        let (member, life) = (self.member, self.life);
        assert!(self.since.elapsed() < PATIENCE, "member {member}, life {life}: {:?}", self.next);
        let begun = Instant::now();
        match self.random.random_range(0..3) {
            0 => node.wait(PATIENCE),
            // In inline drive nobody else does the member's work.
            1 if matches!(node.drive, crate::node::Drive::Threads { .. }) => {
                if node.arm() {
                    wait_for(node);
                }
            }
            _ => {
                let event = node.recv_timeout(Duration::from_millis(5));
                self.note(event);
            }
        }
        // There are events all the time, and the end has its bell.
        assert!(begun.elapsed() < PATIENCE, "member {member}, life {life}: woken by nobody");
        for _ in 0..self.random.random_range(1..200) {
            let event = node.try_recv();
            if matches!(event, Err(TryRecvError::Empty)) || self.has_ended {
                return;
            }
            self.note(event);
        }
    }

    fn note(&mut self, event: Result<Event, TryRecvError>) {
        let message = match event {
            Ok(Event::Message(message)) => message,
            Ok(Event::Configuration(configuration)) => {
                if configuration.kind == ConfigurationKind::Regular {
                    self.members = configuration.members.len();
                }
                return;
            }
            Ok(Event::Primary { .. }) => return,
            Err(error) => {
                self.has_ended |= matches!(error, TryRecvError::Ended(_));
                return;
            }
        };
        let from = (message.payload[0], message.payload[1]);
        let number = u64::from_le_bytes(message.payload[2..10].try_into().unwrap());
        let next = self.next.entry(from).or_default();
        // Of others, what was sent while they were apart is missing.
        let is_own = from == (self.member, self.life);
        assert!(if is_own { number == *next } else { number >= *next }, "{from:?}: {number}");
        *next = number + 1;
    }
}

/// As a loop of the application's own does: on the descriptor alone.
fn wait_for(node: &Node) {
    let mut fds = [PollFd::new(node.event_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap()).unwrap();
}

fn foci() -> Vec<(&'static str, At)> {
    FOCI.iter().flat_map(|(thread, ats)| ats.iter().map(|at| (*thread, *at))).collect()
}

/// All scenes, some at a time.
fn play_all(scenes: &[(u64, Option<(&'static str, At)>)]) {
    const LANES: u8 = 3;
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for lane in 0..LANES {
            let next = &next;
            scope.spawn(move || {
                loop {
                    let index = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                    let Some((seed, focus)) = scenes.get(index) else { return };
                    let scene = Scene::new(lane, *seed, *focus);
                    scene.play();
                    let is_met = focus.is_none() || scene.plan.is_met();
                    assert!(is_met, "seed {seed}: never stalled at {focus:?}");
                }
            });
        }
    });
}

#[test]
fn members_stalled_at_each_hand_over_get_on() {
    let scenes: Vec<_> = (0..).zip(foci().into_iter().map(Some)).collect();
    play_all(&scenes);
}
