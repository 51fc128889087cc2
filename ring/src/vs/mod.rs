//! Virtual synchrony on top of extended virtual synchrony: the filter of EVS §5.
//!
//! An application that knows nothing of partitions sees *views* of *processes*. Only the primary
//! component has views, they follow each other in one order, and each differs from the one before by those that
//! left it at once, or by one process that came.
//!
//! ```text
//! EVS    {1,2,3} primary ── a b ──┤T {1,2}├─ c ──► {1,2,4,5} … primary ── d ──►
//! VS     {1,2,3}         ── a b c ──────────► {1,2} {1,2,4} {1,2,4,5} ── d ──►   at 1 and 2
//!                              4 and 5 are blocked ► {1,2,4} {1,2,4,5} ── d ──►   at 4
//! ```
//!
//! 1. Transitional configurations are masked: what is delivered in one is delivered in the view of the
//!    regular configuration before it.
//! 2. Outside of the primary component the member is blocked: [`Filter::may_publish`] is false, and
//!    what is delivered is discarded. That ends its process ([`Output::Stopped`]).
//! 3. A merge is split: first those that go on, then each that comes, ascending, one at a time.
//! 4. A member that comes, or comes back, is a new [`Process`].
//!
//! # Before the confirmation
//!
//! A configuration is known to be the primary some time after its installation. Until then its messages are
//! held, and nothing may be published; then the views are given, and what was held follows in the last of
//! them. When the configuration ends before, what was held is discarded and the process has stopped;
//! others may have had its confirmation and delivered: to them, this process has failed in that view, as any may
//! (`Extend` of EVS §4). What is held is bounded by what the constructor is told. Since nobody publishes
//! meanwhile, it is no more than what the members' backlogs had accepted; with more, the process stops, and
//! comes back as another with the next configuration.
//!
//! # Who goes on
//!
//! Members know of each other's past what they say: at the installation of a configuration that may be the
//! primary each publishes its *standing*, the view it comes from directly, if any. All standings, delivered in
//! the regular configuration, are the same at all members, so the views are too. Those go on that come
//! from the newest view named, if they are a quorum of it ([`Policy::is_quorum`]): then no other primary
//! can have been between it and this one without one of them in it, and none of them was. Else all that come are new.
//! A process is named by its member and the ring it came with, so a name never comes back.

mod layer;
mod standing;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::configuration::{Configuration, ConfigurationKind};
use crate::delivery::Message;
use crate::id::{NodeId, RingId};
use crate::layer::Publication;
use crate::primary::Policy;
use crate::service::{Channel, Class, Service};
use standing::Standing;

/// A member from the view it came with to the last one it is in. When it comes back, it is another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Process {
    /// The member.
    pub node: NodeId,
    /// The ring of the primary component that it came with.
    pub since: RingId,
}

/// Name of a view, the same at all its processes. Ascending at each of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ViewId {
    /// The primary component's ring.
    pub ring: RingId,
    /// Processes that have come with this ring.
    pub step: u32,
}

/// Who is there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct View {
    /// Its name.
    pub id: ViewId,
    /// Its processes, ascending by node.
    pub processes: Arc<[Process]>,
}

/// What the application gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// The next view.
    View(View),
    /// A message, delivered in the last view.
    Message(Message),
    /// The process has stopped: this member is outside of the primary component, or missed something
    /// in it. With the next view it is another process.
    Stopped,
}

/// Where the filter is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// Outside of the primary component, or in it and stopped.
    Blocked,
    /// Nobody knows yet whether the configuration in force is the primary.
    Undecided(Undecided),
    /// In a view.
    Open,
    /// In a view whose configuration ends: the transitional one is in force.
    Closing,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Undecided {
    ring: RingId,
    members: Arc<[NodeId]>,
    is_confirmed: bool,
    /// In the order of members.
    standings: Vec<Option<Standing>>,
    held: Vec<Message>,
    held_bytes: usize,
}

/// The filter at one member, on its event stream; a [`Layer`](crate::layer::Layer) there, too.
///
/// Getters: [`Filter::may_publish`], [`Filter::view`]. Inputs: `handle_*`, in the order of the
/// stream. Outputs: `poll_*`, to be drained after each input.
#[derive(Clone, Debug)]
pub struct Filter {
    me: NodeId,
    policy: Policy,
    held_bytes_max: usize,
    /// The last view of this process, which has not stopped.
    view: Option<View>,
    stage: Stage,
    publications: VecDeque<Publication>,
    outputs: VecDeque<Output>,
    discarded: u64,
}

impl Filter {
    /// The filter of a member that starts. `policy` is the primary component's; at most
    /// `held_bytes_max` bytes of messages wait for a confirmation.
    #[must_use]
    pub const fn new(me: NodeId, policy: Policy, held_bytes_max: usize) -> Self {
        Self {
            me,
            policy,
            held_bytes_max,
            view: None,
            stage: Stage::Blocked,
            publications: VecDeque::new(),
            outputs: VecDeque::new(),
            discarded: 0,
        }
    }

    /// Whether the application may publish: it is in a view that is not about to end.
    #[must_use]
    pub fn may_publish(&self) -> bool {
        self.stage == Stage::Open
    }

    /// The view of the process, from its first one until it stops.
    #[must_use]
    pub const fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// Messages that were delivered outside of views, and so not given to the application.
    #[must_use]
    pub const fn discarded(&self) -> u64 {
        self.discarded
    }

    /// The next configuration of the stream.
    pub fn handle_configuration(&mut self, configuration: &Configuration) {
        self.publications.clear();
        match configuration.kind {
            // Rule 1.
            ConfigurationKind::Transitional => match self.stage {
                Stage::Open | Stage::Closing => self.stage = Stage::Closing,
                Stage::Undecided(_) | Stage::Blocked => self.stop(),
            },
            ConfigurationKind::Regular if configuration.eligible == Some(false) => self.stop(),
            ConfigurationKind::Regular => {
                let members = Arc::clone(&configuration.members);
                self.stage = Stage::Undecided(Undecided {
                    ring: configuration.ring,
                    is_confirmed: false,
                    standings: vec![None; members.len()],
                    members,
                    held: Vec::new(),
                    held_bytes: 0,
                });
                let standing = Standing::of(self.view.as_ref());
                let payload = standing.encode(configuration.ring);
                let class = Class { service: Service::Agreed, channel: Channel::VIEWS };
                self.publications.push_back(Publication { class, payload });
            }
        }
    }

    /// The configuration in force is the primary component.
    pub fn handle_primary(&mut self, ring: RingId) {
        if let Stage::Undecided(undecided) = &mut self.stage {
            undecided.is_confirmed |= undecided.ring == ring;
            self.decide();
        }
    }

    /// The next message of the stream.
    pub fn handle_message(&mut self, message: Message) {
        if message.channel == Channel::VIEWS {
            self.handle_standing(&message);
            return;
        }
        match &mut self.stage {
            Stage::Open | Stage::Closing => self.outputs.push_back(Output::Message(message)),
            Stage::Blocked => self.discarded += 1,
            Stage::Undecided(undecided) => {
                undecided.held_bytes += size_of::<Message>() + message.payload.len();
                undecided.held.push(message);
                if undecided.held_bytes > self.held_bytes_max {
                    self.stop();
                }
            }
        }
    }

    /// What the application gets next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What is to be ordered next.
    pub fn poll_publish(&mut self) -> Option<Publication> {
        self.publications.pop_front()
    }

    /// Rule 2.
    fn stop(&mut self) {
        if let Stage::Undecided(undecided) = std::mem::replace(&mut self.stage, Stage::Blocked) {
            self.discarded += undecided.held.len() as u64;
        }
        if self.view.take().is_some() {
            self.outputs.push_back(Output::Stopped);
        }
    }

    fn handle_standing(&mut self, message: &Message) {
        let Stage::Undecided(undecided) = &mut self.stage else { return };
        let sender = undecided.members.binary_search(&message.id.sender);
        let in_force = message.in_configuration == ConfigurationKind::Regular
            && message.ring == undecided.ring
            && message.service.is_totally_ordered();
        let (true, Ok(sender), Some((ring, standing))) =
            (in_force, sender, Standing::decode(&message.payload))
        else {
            return;
        };
        if ring == undecided.ring {
            undecided.standings[sender].get_or_insert(standing);
            self.decide();
        }
    }

    /// Gives the views of a confirmed configuration all of whose members' pasts are known.
    fn decide(&mut self) {
        let ready = |undecided: &Undecided| {
            undecided.is_confirmed && undecided.standings.iter().all(Option::is_some)
        };
        let undecided = match std::mem::replace(&mut self.stage, Stage::Open) {
            Stage::Undecided(undecided) if ready(&undecided) => undecided,
            stage => {
                self.stage = stage;
                return;
            }
        };
        let steps = undecided.views(&self.policy);
        let goes_on = self.view.as_ref().is_some_and(|view| {
            let mine = view.processes.iter().find(|process| process.node == self.me);
            mine.is_some_and(|mine| steps.iter().any(|step| step.processes.contains(mine)))
        });
        if !goes_on && self.view.take().is_some() {
            self.outputs.push_back(Output::Stopped);
        }
        // Views before it came are none of its own (rule 4).
        let mine = |view: &View| view.processes.iter().any(|process| process.node == self.me);
        for view in steps.into_iter().filter(mine) {
            self.view = Some(view.clone());
            self.outputs.push_back(Output::View(view));
        }
        self.outputs.extend(undecided.held.into_iter().map(Output::Message));
    }
}

impl Undecided {
    /// The views of this configuration, in order: who goes on, then rule 3.
    fn views(&self, policy: &Policy) -> Vec<View> {
        let standings: Vec<&Standing> = self.standings.iter().flatten().collect();
        let newest = standings.iter().filter_map(|it| it.view.as_ref()).max_by_key(|it| it.ring);
        let mut processes: Vec<Process> = Vec::new();
        let mut before: &[Process] = &[];
        if let Some(newest) = newest {
            before = &newest.processes;
            let comes = |node: NodeId| {
                let index = self.members.binary_search(&node).ok()?;
                standings[index].view.as_ref().filter(|view| view.ring == newest.ring)
            };
            processes.extend(before.iter().filter(|process| comes(process.node).is_some()));
            let nodes = |of: &[Process]| of.iter().map(|it| it.node).collect::<Vec<_>>();
            if !policy.is_quorum(&nodes(before), &nodes(&processes)) {
                processes.clear();
            }
        }
        let mut views = Vec::new();
        let mut step = 0;
        let is_new = |node: &NodeId| !processes.iter().any(|process| process.node == *node);
        let new: Vec<NodeId> = self.members.iter().copied().filter(is_new).collect();
        let view = |step, processes: &[Process]| View {
            id: ViewId { ring: self.ring, step },
            processes: Arc::from(processes),
        };
        // Unless nobody has left and the next view says the same.
        if !processes.is_empty() && (processes.len() < before.len() || new.is_empty()) {
            views.push(view(step, &processes));
        }
        for node in new {
            let process = Process { node, since: self.ring };
            let place = processes.partition_point(|it| it.node < node);
            processes.insert(place, process);
            step += 1;
            views.push(view(step, &processes));
        }
        views
    }
}
