//! Applications under simulation: a layer at every member, through every fault, from a seed.
//!
//! What a user builds on the event stream is tested as the ring is:
//!
//! ```
//! # use roundel_ring::{id::{Incarnation, NodeId}, layer::*, sim, time::Time};
//! /// Counts the messages of everybody.
//! #[derive(Default)]
//! struct Counter(u64);
//! impl Layer for Counter {
//!     fn handle_start(&mut self, _: Time, _: NodeId, _: Incarnation) {}
//!     fn handle_event(&mut self, _: Time, event: StreamEvent<'_>) {
//!         self.0 += u64::from(matches!(event, StreamEvent::Message(_)));
//!     }
//!     fn handle_letter(&mut self, _: Time, _: NodeId, _: &[u8]) {}
//!     fn handle_timeout(&mut self, _: Time) {}
//!     fn poll_publish(&mut self) -> Option<Publication> { None }
//!     fn poll_letter(&mut self) -> Option<Letter> { None }
//!     fn poll_timeout(&self) -> Option<Time> { None }
//! }
//! impl sim::Application for Counter {
//!     fn act(&mut self, _: Time, _: u64) {}
//! }
//! let ran = sim::run_applications(&sim::Scenario::new(7), |_| Counter::default());
//! assert_eq!(ran.outcome.failure, None);
//! assert!(ran.lives.iter().any(|life| life.application.0 > 0));
//! ```

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::god::Violated;
use super::rng::{Random, Stream};
use super::run::{Outcome, Scenario, play_in};
use super::schedule::{Demands, Schedule};
use super::votes::Primacy;
use super::world::{Happening, World};
use crate::cycle::Command;
use crate::delivery::{Assembler, Delivery};
use crate::id::{Incarnation, NodeId};
use crate::layer::{Layer, Letter, Publication, StreamEvent};
use crate::packing::Messages;
use crate::primary::Policy;
use crate::roster::Member;
use crate::time::Time;

/// Simulated applications keep time no finer, or one that is always late would stop the world.
const TIMEOUT_RESOLUTION: Duration = Duration::from_micros(100);

/// What runs at every simulated member: a layer, and what it does of its own accord.
pub trait Application: Layer {
    /// It may do something now: called at random times, with a random number to choose by.
    fn act(&mut self, now: Time, random: u64);

    /// It waits for nothing. The healed cluster must come to that within a bounded time.
    fn is_settled(&self) -> bool {
        true
    }
}

/// One life of an application.
#[derive(Clone, Debug)]
pub struct Lived<A> {
    /// Its member.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// As it was at the end.
    pub application: A,
    /// It was killed or left; others lived at the end of the run.
    pub ended: bool,
}

/// How a run of applications ended.
#[derive(Debug)]
pub struct Ran<A> {
    /// The run itself, judged.
    pub outcome: Outcome,
    /// Every life, in the order of their ends; those that live at the end by host.
    pub lives: Vec<Lived<A>>,
}

/// Runs a scenario with an application, made anew for each life, at every member.
pub fn run_applications<A: Application + 'static>(
    scenario: &Scenario,
    make: impl FnMut(NodeId) -> A + 'static,
) -> Ran<A> {
    play_applications(Schedule::draw(scenario), make)
}

/// [`run_applications`] with this policy for the primary component instead of a drawn one: for
/// applications that have to know it. Hosts are called 1, 2, ….
pub fn run_applications_under<A: Application + 'static>(
    scenario: &Scenario,
    policy: &Policy,
    make: impl FnMut(NodeId) -> A + 'static,
) -> Ran<A> {
    let mut schedule = Schedule::draw(scenario);
    schedule.primacy = Primacy::of(policy);
    play_applications(schedule, make)
}

fn play_applications<A: Application + 'static>(
    mut schedule: Schedule,
    make: impl FnMut(NodeId) -> A + 'static,
) -> Ran<A> {
    // What applications do by themselves is no idle cluster.
    schedule.demands = Demands::None;
    let mut world = schedule.world();
    let hosts = world.nodes.iter().map(|node| Host::new(schedule.seed, node.id())).collect();
    let house = Rc::new(RefCell::new(House { make, hosts, ended: Vec::new() }));
    world.applications = Some(Applications(Box::new(Rc::clone(&house))));
    let outcome = play_in(&schedule, world);
    let mut house = house.borrow_mut();
    let House { hosts, ended, .. } = &mut *house;
    let mut lives = std::mem::take(ended);
    lives.extend(hosts.iter_mut().filter_map(|host| host.life.take()).map(Life::alive));
    Ran { outcome, lives }
}

/// All applications of a cluster.
struct House<A, F> {
    make: F,
    hosts: Vec<Host<A>>,
    ended: Vec<Lived<A>>,
}

struct Host<A> {
    rng: Random,
    life: Option<Life<A>>,
}

struct Life<A> {
    lived: Lived<A>,
    assembler: Assembler,
}

impl<A> Host<A> {
    fn new(seed: u64, id: NodeId) -> Self {
        Self { rng: Random::new(seed, Stream::Layer(id.0)), life: None }
    }
}

impl<A> Life<A> {
    fn alive(self) -> Lived<A> {
        Lived { ended: false, ..self.lived }
    }
}

/// The applications as the world sees them, by the place of their host.
pub(super) trait Hosted {
    fn start(&mut self, node: usize, now: Time, member: &Member, message_bytes_max: usize);
    fn leave(&mut self, node: usize, now: Time);
    fn stop(&mut self, node: usize);
    fn act(&mut self, node: usize, now: Time);
    fn is_settled(&self, node: usize) -> bool;
    fn deliver(&mut self, node: usize, now: Time, delivery: &Delivery);
    fn letter(&mut self, node: usize, now: Time, from: NodeId, payload: &[u8]);
    fn timeout(&mut self, node: usize, now: Time);
    fn poll_publish(&mut self, node: usize) -> Option<Publication>;
    fn poll_letter(&mut self, node: usize) -> Option<Letter>;
    fn poll_timeout(&self, node: usize) -> Option<Time>;
}

impl<A: Application, F: FnMut(NodeId) -> A> House<A, F> {
    fn application(&mut self, node: usize) -> Option<&mut A> {
        self.hosts[node].life.as_mut().map(|life| &mut life.lived.application)
    }
}

impl<A: Application, F: FnMut(NodeId) -> A> Hosted for Rc<RefCell<House<A, F>>> {
    fn start(&mut self, node: usize, now: Time, member: &Member, message_bytes_max: usize) {
        let House { make, hosts, .. } = &mut *self.borrow_mut();
        let Member { id, incarnation, .. } = *member;
        let mut application = make(id);
        application.handle_limit(message_bytes_max);
        application.handle_start(now, id, incarnation);
        let lived = Lived { node: id, incarnation, application, ended: true };
        let assembler = Assembler::new(usize::MAX);
        hosts[node].life = Some(Life { lived, assembler });
    }

    fn leave(&mut self, node: usize, now: Time) {
        if let Some(application) = self.borrow_mut().application(node) {
            application.handle_leave(now);
        }
    }

    fn stop(&mut self, node: usize) {
        let House { hosts, ended, .. } = &mut *self.borrow_mut();
        ended.extend(hosts[node].life.take().map(|life| life.lived));
    }

    fn act(&mut self, node: usize, now: Time) {
        let Host { rng, life } = &mut self.borrow_mut().hosts[node];
        if let Some(life) = life {
            life.lived.application.act(now, rng.between(0, u64::MAX - 1));
        }
    }

    fn is_settled(&self, node: usize) -> bool {
        let life = &self.borrow().hosts[node].life;
        life.as_ref().is_none_or(|life| life.lived.application.is_settled())
    }

    fn deliver(&mut self, node: usize, now: Time, delivery: &Delivery) {
        let Some(life) = &mut self.borrow_mut().hosts[node].life else { return };
        let Life { lived, assembler } = life;
        match delivery {
            Delivery::Configuration(configuration) => {
                lived.application.handle_event(now, StreamEvent::Configuration(configuration));
            }
            Delivery::Primary { ring } => {
                lived.application.handle_event(now, StreamEvent::Primary { ring: *ring });
            }
            Delivery::Packet(_) => {}
        }
        assembler.handle(delivery, |message| {
            lived.application.handle_event(now, StreamEvent::Message(message));
        });
    }

    fn letter(&mut self, node: usize, now: Time, from: NodeId, payload: &[u8]) {
        if let Some(application) = self.borrow_mut().application(node) {
            application.handle_letter(now, from, payload);
        }
    }

    fn timeout(&mut self, node: usize, now: Time) {
        if let Some(application) = self.borrow_mut().application(node)
            && application.poll_timeout().is_some_and(|at| at <= now)
        {
            application.handle_timeout(now);
        }
    }

    fn poll_publish(&mut self, node: usize) -> Option<Publication> {
        self.borrow_mut().application(node)?.poll_publish()
    }

    fn poll_letter(&mut self, node: usize) -> Option<Letter> {
        self.borrow_mut().application(node)?.poll_letter()
    }

    fn poll_timeout(&self, node: usize) -> Option<Time> {
        self.borrow().hosts[node].life.as_ref()?.lived.application.poll_timeout()
    }
}

/// [`Hosted`], for a world.
pub(super) struct Applications(pub(super) Box<dyn Hosted>);

impl fmt::Debug for Applications {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Applications")
    }
}

impl World {
    pub(super) fn start_application(&mut self, node: usize) {
        let Some(Applications(hosted)) = &mut self.applications else { return };
        if let Some(life) = &self.nodes[node].life {
            let member = life.identity.member;
            hosted.start(node, self.now, &member, self.params.message_bytes);
        }
    }

    /// Lets the application at `node` say its last words: what it cannot publish now it does not.
    pub(super) fn take_leave(&mut self, node: usize) -> Result<(), Violated> {
        let now = self.now;
        let Some(Applications(hosted)) = &mut self.applications else { return Ok(()) };
        hosted.leave(node, now);
        self.listen(node)
    }

    pub(super) fn stop_application(&mut self, node: usize) {
        if let Some(Applications(hosted)) = &mut self.applications {
            hosted.stop(node);
        }
    }

    /// Hands the application at `node` what it reads, then takes what it has to say.
    pub(super) fn read(&mut self, node: usize) -> Result<(), Violated> {
        let now = self.now;
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        let read = std::mem::take(&mut life.data_side.stream);
        self.see(node, &read);
        if let Some(Applications(hosted)) = &mut self.applications {
            read.iter().for_each(|delivery| hosted.deliver(node, now, delivery));
        }
        self.listen(node)?;
        self.run_data(node)
    }

    /// Lets the application at `node` do something of its own accord.
    pub(super) fn act(&mut self, node: usize) -> Result<(), Violated> {
        let now = self.now;
        let Some(Applications(hosted)) = &mut self.applications else { return Ok(()) };
        hosted.act(node, now);
        self.listen(node)?;
        self.run_data(node)
    }

    /// The time that the application at `node` asked for.
    pub(super) fn layer_timeout(&mut self, node: usize) -> Result<(), Violated> {
        let now = self.now;
        let Some(Applications(hosted)) = &mut self.applications else { return Ok(()) };
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        if life.layer_wake_at != Some(now) {
            // An earlier one took its place, or its own is still to come.
            return Ok(());
        }
        life.layer_wake_at = None;
        hosted.timeout(node, now);
        self.listen(node)?;
        self.run_data(node)
    }

    /// Hands over letters that came.
    pub(super) fn hand_letters(&mut self, node: usize) -> Result<(), Violated> {
        let (now, applications) = (self.now, self.applications.as_mut());
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        let letters: Vec<(NodeId, Bytes)> = std::mem::take(&mut life.control_side.letters_in);
        let Some(Applications(hosted)) = applications else { return Ok(()) };
        if letters.is_empty() {
            return Ok(());
        }
        letters.iter().for_each(|(from, payload)| hosted.letter(node, now, *from, payload));
        self.listen(node)?;
        self.run_data(node)
    }

    /// Takes what the application at `node` publishes and writes, and when it wants to be called.
    fn listen(&mut self, node: usize) -> Result<(), Violated> {
        let Some(Applications(hosted)) = &mut self.applications else { return Ok(()) };
        let Some(life) = &mut self.nodes[node].life else { return Ok(()) };
        while let Some(Publication { class, payload }) = hosted.poll_publish(node) {
            // Who leaves says no more.
            if !life.leaving {
                let messages = Messages::One(payload);
                life.data_side.commands.push_back(Command::Publish { class, messages });
            }
        }
        let mut writes = false;
        while let Some(letter) = hosted.poll_letter(node) {
            life.control_side.letters.push_back(letter);
            writes = true;
        }
        let wanted = hosted.poll_timeout(node).map(|at| at.max(self.now + TIMEOUT_RESOLUTION));
        if let Some(at) = wanted
            && life.layer_wake_at.is_none_or(|scheduled| scheduled > at)
        {
            life.layer_wake_at = Some(at);
            self.after(at.since(self.now), node, Happening::LayerTimeout);
        }
        if writes { self.run_control(node) } else { Ok(()) }
    }

    /// Every application waits for nothing.
    pub(super) fn are_applications_settled(&self) -> bool {
        let Some(Applications(hosted)) = &self.applications else { return true };
        (0..self.nodes.len()).all(|node| hosted.is_settled(node))
    }
}
