//! Replicas on a history of rings: a network for letters, a clock, clients, and what must hold.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use roundel_ring::configuration::{Configuration, ConfigurationKind};
use roundel_ring::id::{NodeId, RingId};
use roundel_ring::layer::{LETTER_BYTES_MAX, Layer, Publication, StreamEvent};
use roundel_ring::replica::{
    Event, Lost, Options, Progress, Replica, RequestId, Standing, StateMachine,
};
use roundel_ring::service::{Channel, Class, Service};
use roundel_ring::time::Time;

use crate::book::{Book, Line, Machine, Watched};
use crate::evs::{Dice, Evs, Told};

/// What a request was, at its submitter.
struct Asked {
    /// None: a barrier.
    command: Option<Bytes>,
    /// The highest index answered to anybody before.
    floor: u64,
}

pub(crate) struct Host<M: Machine> {
    pub(crate) replica: Replica<Watched<M>>,
    asked: BTreeMap<RequestId, Asked>,
    /// The configuration in force, and whether it is the primary component.
    ring: RingId,
    pub(crate) is_primary: bool,
    /// As the representative, it gives its word after so many more messages.
    word_after: Option<usize>,
    /// Bytes of letters with chunks that it received.
    pub(crate) received_bytes: usize,
}

pub(crate) struct Cluster<M: Machine> {
    pub(crate) dice: Dice,
    pub(crate) evs: Evs,
    pub(crate) hosts: BTreeMap<NodeId, Host<M>>,
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) now: Time,
    pub(crate) book: Rc<RefCell<Book<M::Output>>>,
    letters: Vec<(NodeId, NodeId, Bytes)>,
    /// The order in which commands were submitted.
    submitted: BTreeMap<Bytes, usize>,
    make: fn() -> M,
    ballast: usize,
    pub(crate) options: Options,
    /// Members forgot their state for want of room: so many at most.
    pub(crate) forgotten_max: u64,
    /// Words on the primary component come after all statuses, else before them.
    pub(crate) late_words: bool,
    /// Highest index answered, and what was found.
    answered: u64,
    pub(crate) tally: Tally,
    /// One letter in so many is lost, and doubled; 0: none.
    pub(crate) lossy: usize,
    /// Those whose letters do not arrive.
    pub(crate) mute: BTreeSet<NodeId>,
}

/// The primary component's word, here.
fn word(ring: RingId) -> Bytes {
    ring.to_string().into()
}

/// What a run has seen: a run that saw nothing has shown nothing.
#[derive(Default, Debug, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) restored: u64,
    pub(crate) crashes: u64,
    pub(crate) installations: u64,
    pub(crate) partial: u64,
    pub(crate) again: u64,
    /// Checkpoints that a machine did not take, or that were too long.
    pub(crate) refused: u64,
    pub(crate) too_long: u64,
}

impl<M: Machine> Cluster<M> {
    pub(crate) fn new(
        seed: u64,
        nodes: u32,
        options: Options,
        make: fn() -> M,
        ballast: usize,
    ) -> Self {
        let is_one = !matches!(options.progress, Progress::Always);
        let mut cluster = Self {
            dice: Dice::new(seed),
            evs: Evs::default(),
            hosts: BTreeMap::new(),
            nodes: (1..=nodes).map(NodeId).collect(),
            now: Time::ZERO,
            book: Rc::new(RefCell::new(Book::new(is_one))),
            letters: Vec::new(),
            submitted: BTreeMap::new(),
            make,
            ballast,
            options,
            forgotten_max: 0,
            late_words: false,
            answered: 0,
            tally: Tally::default(),
            lossy: 0,
            mute: BTreeSet::new(),
        };
        for node in cluster.nodes.clone() {
            cluster.start(node);
        }
        cluster
    }

    pub(crate) fn start(&mut self, node: NodeId) {
        let (incarnation, told) = self.evs.start(node);
        let machine = Watched::new((self.make)(), self.ballast, &self.book);
        let mut replica = Replica::new(machine, self.options.clone());
        replica.handle_start(self.now, node, incarnation);
        let (asked, ring) = (BTreeMap::new(), RingId::default());
        let (is_primary, word_after, received_bytes) = (false, None, 0);
        let host = Host { replica, asked, ring, is_primary, word_after, received_bytes };
        self.hosts.insert(node, host);
        self.tell(node, &told);
    }

    pub(crate) fn crash(&mut self, node: NodeId) {
        self.tally.crashes += 1;
        self.evs.crash(node);
        self.hosts.remove(&node);
    }

    fn tell(&mut self, node: NodeId, told: &Told) {
        let host = self.hosts.get_mut(&node).unwrap();
        let event = match told {
            Told::Configuration(configuration) => {
                (host.ring, host.is_primary) = (configuration.ring, false);
                self.promise_word(node, configuration);
                StreamEvent::Configuration(configuration)
            }
            Told::Message(message) if message.channel == Channel::PRIMARY => {
                let is_in_force = message.in_configuration == ConfigurationKind::Regular;
                if !is_in_force || message.payload != word(host.ring) {
                    return;
                }
                host.is_primary = true;
                StreamEvent::Primary { ring: host.ring }
            }
            Told::Message(message) => StreamEvent::Message(message.as_ref()),
        };
        let lines = self.book.borrow().lines.len();
        let host = self.hosts.get_mut(&node).unwrap();
        host.replica.handle_event(self.now, event);
        if matches!(self.options.progress, Progress::Primary(_)) && !host.is_primary {
            assert_eq!(self.book.borrow().lines.len(), lines, "progress outside of the primary");
            assert_ne!(host.replica.standing(), Standing::Synced);
        }
        self.drain(node);
        self.give_word(node);
    }

    /// With a policy, the representative's word on the primary component, as `roundel_ring::primary` gives
    /// it.
    fn promise_word(&mut self, node: NodeId, it: &Configuration) {
        let host = self.hosts.get_mut(&node).unwrap();
        host.word_after = None;
        let Progress::Primary(policy) = &self.options.progress else { return };
        let is_representative = it.members.first() == Some(&node);
        if it.kind == ConfigurationKind::Regular
            && is_representative
            && policy.admits(&it.members) == Some(true)
        {
            // One less is left after this event.
            host.word_after = Some(if self.late_words { it.members.len() + 1 } else { 1 });
        }
    }

    fn give_word(&mut self, node: NodeId) {
        let host = self.hosts.get_mut(&node).unwrap();
        host.word_after = host.word_after.map(|left| left.saturating_sub(1));
        if host.word_after == Some(0) {
            host.word_after = None;
            let class = Class { service: Service::Safe, channel: Channel::PRIMARY };
            let payload = word(host.ring);
            self.evs.publish(node, Publication { class, payload });
        }
    }

    fn drain(&mut self, node: NodeId) {
        let host = self.hosts.get_mut(&node).unwrap();
        while let Some(publication) = host.replica.poll_publish() {
            // The kind of an ordered message: another instant, please.
            self.tally.again += u64::from(publication.payload[1] == 2);
            self.evs.publish(node, publication);
        }
        while let Some(letter) = host.replica.poll_letter() {
            assert!(letter.payload.len() <= LETTER_BYTES_MAX);
            self.letters.push((node, letter.to, letter.payload));
        }
        while let Some(event) = host.replica.poll_event() {
            match event {
                Event::Applied { request, index, output } => {
                    let asked = host.asked.remove(&request).expect("answered twice");
                    assert!(index > asked.floor, "answered before what was answered before it");
                    let book = self.book.borrow();
                    if book.is_one {
                        let Line::Command { command, output: there, .. } = &book.lines[&index].0
                        else {
                            panic!("a view at {index}");
                        };
                        assert_eq!((Some(command), there), (asked.command.as_ref(), &output));
                    }
                    self.answered = self.answered.max(index);
                    self.tally.answered += 1;
                }
                Event::Passed { request, index } => {
                    let asked = host.asked.remove(&request).expect("answered twice");
                    assert!(asked.command.is_none() && index > asked.floor);
                    assert!(host.replica.applied_index() >= asked.floor, "a read sees it");
                    self.tally.passed += 1;
                }
                Event::Lost { request, why } => {
                    let asked = host.asked.remove(&request).expect("answered twice");
                    let book = self.book.borrow();
                    if let Some(command) = asked.command.filter(|_| book.is_one) {
                        assert!(why == Lost::Output && book.places.contains_key(&command));
                    }
                    self.tally.lost += 1;
                }
                Event::Restored { .. } => self.tally.restored += 1,
                Event::RestoreFailed(_) => self.tally.refused += 1,
                Event::TooLong => self.tally.too_long += 1,
                Event::View { .. } | Event::Standing(_) => {}
            }
        }
    }

    /// Submits a command, or a barrier. Whether it was accepted.
    pub(crate) fn submit(&mut self, node: NodeId, command: Option<Bytes>) -> bool {
        let floor = if self.book.borrow().is_one { self.answered } else { 0 };
        let host = self.hosts.get_mut(&node).unwrap();
        let accepted = match &command {
            Some(command) => host.replica.submit(command.clone()),
            None => host.replica.barrier(),
        };
        let Ok(request) = accepted else { return false };
        if let Some(command) = &command {
            let order = self.submitted.len();
            self.submitted.insert(command.clone(), order);
        }
        host.asked.insert(request, Asked { command, floor });
        self.drain(node);
        true
    }

    /// All of `nodes` make one ring, or those of `installing`.
    pub(crate) fn install(&mut self, nodes: &[NodeId], installing: &BTreeSet<NodeId>) {
        self.tally.installations += 1;
        self.tally.partial += u64::from(installing.len() < nodes.len());
        for (node, all) in self.evs.install(nodes, installing) {
            for told in all {
                self.tell(node, &told);
            }
        }
    }

    pub(crate) fn install_all(&mut self, nodes: &[NodeId]) {
        self.install(nodes, &nodes.iter().copied().collect());
    }

    pub(crate) fn standing(&self, node: NodeId) -> Standing {
        self.hosts[&node].replica.standing()
    }

    /// Those that hold a state.
    pub(crate) fn holders(&self) -> usize {
        let holds = |host: &&Host<M>| host.replica.applied_index() > 0;
        self.hosts.values().filter(holds).count()
    }

    /// One letter arrives, is lost, or comes again later.
    pub(crate) fn carry_letter(&mut self) -> bool {
        if self.letters.is_empty() {
            return false;
        }
        let spread = if self.lossy > 0 { 8 } else { 1 };
        let at = self.dice.below(self.letters.len().min(spread));
        let (from, to, payload) = self.letters.remove(at);
        if self.mute.contains(&from) {
            return true;
        }
        if self.lossy > 0 {
            if self.dice.one_in(self.lossy) {
                return true;
            }
            if self.dice.one_in(self.lossy) {
                self.letters.push((from, to, payload.clone()));
            }
        }
        let passes = self.evs.are_together(from, to)
            || (self.lossy > 0 && self.evs.is_live(to) && self.dice.one_in(4));
        if passes {
            let host = self.hosts.get_mut(&to).unwrap();
            if payload.len() > 64 {
                host.received_bytes += payload.len();
            }
            host.replica.handle_letter(self.now, from, &payload);
            self.drain(to);
        }
        true
    }

    pub(crate) fn pass_time(&mut self, span: Duration) {
        self.now = self.now + span;
        for node in self.evs.live() {
            self.hosts.get_mut(&node).unwrap().replica.handle_timeout(self.now);
            self.drain(node);
        }
    }

    /// Everybody originates, receives and delivers whatever there is. Whether there was anything.
    pub(crate) fn settle_rings(&mut self) -> bool {
        let mut any = false;
        for node in self.evs.live() {
            while self.evs.originate(node) {
                any = true;
            }
        }
        for node in self.evs.live() {
            while self.evs.receive(&mut self.dice, node, 1) {
                any = true;
            }
        }
        for node in self.evs.live() {
            any |= self.deliver(node, usize::MAX);
        }
        any
    }

    pub(crate) fn deliver(&mut self, node: NodeId, most: usize) -> bool {
        let mut count = 0;
        while count < most
            && let Some(told) = self.evs.deliver(node)
        {
            count += 1;
            self.tell(node, &told);
        }
        count > 0
    }

    /// Runs without faults until nothing is left to do. Everybody must be synced, with an answer to
    /// everything.
    pub(crate) fn quiesce(&mut self) {
        for _ in 0..20_000 {
            let mut busy = self.settle_rings();
            for _ in 0..200 {
                busy |= self.carry_letter();
            }
            let is_done = |host: &Host<M>| {
                host.replica.standing() == Standing::Synced && host.asked.is_empty()
            };
            if !busy {
                if self.hosts.values().all(is_done) {
                    return;
                }
                self.pass_time(Duration::from_millis(5));
            }
        }
        let standings: Vec<_> = self
            .hosts
            .iter()
            .map(|(node, host)| (node, host.replica.standing(), host.asked.len()))
            .collect();
        panic!("not quiet: {standings:?}");
    }

    /// Everybody starts again, all meet, and everything is done.
    pub(crate) fn heal(&mut self) {
        for node in self.nodes.clone() {
            if !self.evs.is_live(node) {
                self.start(node);
            }
        }
        self.lossy = 0;
        self.mute.clear();
        let all = self.nodes.clone();
        self.install_all(&all);
        self.quiesce();
        for host in self.hosts.values() {
            let counters = host.replica.counters();
            assert_eq!((counters.malformed_letters, counters.malformed_messages), (0, 0));
            assert!(counters.forgotten <= self.forgotten_max && counters.dropped_events == 0);
        }
        let mut states: Vec<_> = Vec::new();
        for host in self.hosts.values() {
            let machine = host.replica.machine();
            let mut snapshot = Vec::new();
            machine.snapshot(&mut snapshot);
            states.push((host.replica.applied_index(), machine.digest, snapshot));
        }
        assert!(states.windows(2).all(|two| two[0] == two[1]), "all synced, and they differ");
        self.compare_with_book(states[0].1);
    }

    /// The state of all is what the book says from its first line on; so nothing answered is missing.
    fn compare_with_book(&self, digest: u64) {
        let book = self.book.borrow();
        if book.is_one {
            let all = book
                .lines
                .iter()
                .fold(0, |before, (index, (line, _))| crate::book::digest(before, *index, line));
            assert_eq!(all, digest, "the log of all is not everything that was ever applied");
        }
        let mut last = BTreeMap::new();
        for (line, _) in book.lines.values() {
            if let Line::Command { sender, incarnation, command, .. } = line {
                let order = self.submitted[command];
                let before = last.insert((*sender, *incarnation), order);
                assert!(before < Some(order), "a member's commands out of their order");
            }
        }
    }
}
