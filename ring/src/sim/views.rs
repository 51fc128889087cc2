//! Simulated applications behind the virtual synchrony filter: what they see must fit together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::node::{Life, Node};
use super::run::Failure;
use super::world::World;
use crate::cycle::Command;
use crate::delivery::{Assembler, Delivery};
use crate::id::{MessageId, NodeId};
use crate::packing::Messages;
use crate::params::Params;
use crate::primary::Policy;
use crate::vs::{Filter, Output, Process, View, ViewId};

/// Bytes held before a confirmation, at most: simulated applications publish whether or not they
/// are in a view, and some of them much.
const HELD_BYTES_MAX: usize = 256 << 20;

/// Something an application behind the filter saw.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Seen {
    View(View),
    Message(MessageId),
    Stopped,
}

/// What the application of one life saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sight {
    node: NodeId,
    seen: Vec<Seen>,
}

/// The filter of a life, with what makes whole messages for it.
#[derive(Debug)]
pub(super) struct Glasses {
    pub(super) filter: Filter,
    assembler: Assembler,
}

impl Node {
    /// The filter of a life that starts, if its application looks through one.
    pub(super) fn glasses(&mut self, params: &Params) -> Option<Glasses> {
        if !self.filtered || self.policy == Policy::None {
            return None;
        }
        self.sights.push(Sight { node: self.id(), seen: Vec::new() });
        Some(Glasses {
            filter: Filter::new(self.id(), self.policy.clone(), HELD_BYTES_MAX),
            assembler: Assembler::new(params.message_bytes),
        })
    }
}

impl Glasses {
    /// The next item of the stream.
    fn handle(&mut self, delivery: &Delivery) {
        let Self { filter, assembler } = self;
        match delivery {
            Delivery::Configuration(configuration) => filter.handle_configuration(configuration),
            Delivery::Primary { ring } => filter.handle_primary(*ring),
            Delivery::Packet(_) => {}
        }
        assembler.handle(delivery, |message| filter.handle_message(message.to_message()));
    }
}

impl World {
    /// The application of a member sees through its filter what it reads.
    pub(super) fn see(&mut self, node: usize, read: &VecDeque<Delivery>) {
        let host = &mut self.nodes[node];
        let Some(Life { data_side, glasses, leaving, .. }) = &mut host.life else { return };
        let Some(glasses) = glasses else { return };
        read.iter().for_each(|delivery| glasses.handle(delivery));
        while let Some(publication) = glasses.filter.poll_publish().filter(|_| !*leaving) {
            let messages = Messages::One(publication.payload);
            data_side.commands.push_back(Command::Publish { class: publication.class, messages });
        }
        let Some(sight) = host.sights.last_mut() else { return };
        while let Some(output) = glasses.filter.poll_output() {
            sight.seen.push(match output {
                Output::View(view) => Seen::View(view),
                Output::Message(message) => Seen::Message(message.id),
                Output::Stopped => Seen::Stopped,
            });
        }
    }

    /// Judges what all applications behind filters saw.
    pub(super) fn judge_views(&mut self) -> Result<(), Failure> {
        let take = |node: &mut Node| std::mem::take(&mut node.sights);
        let sights: Vec<Sight> = self.nodes.iter_mut().flat_map(take).collect();
        let stays: Vec<Stay<'_>> = sights.iter().flat_map(Stay::all).collect();
        self.stats.views += stays.iter().map(|stay| stay.views.len() as u64).sum::<u64>();
        judge(&stays).map_err(|detail| Failure::new("filtered streams agree", detail))
    }
}

/// A process's time in the views of one ring.
#[derive(Debug)]
struct Stay<'s> {
    node: NodeId,
    views: Vec<&'s View>,
    messages: BTreeSet<MessageId>,
    /// It was in no view before, or had stopped.
    came: bool,
    /// The ring whose views follow at this process, without its having stopped.
    next: Option<crate::id::RingId>,
}

impl Stay<'_> {
    fn all(sight: &Sight) -> Vec<Stay<'_>> {
        let mut stays: Vec<Stay<'_>> = Vec::new();
        let mut goes_on = false;
        for seen in &sight.seen {
            match seen {
                Seen::Stopped => goes_on = false,
                Seen::View(view) => {
                    let same =
                        stays.last().is_some_and(|stay| stay.views[0].id.ring == view.id.ring);
                    if !same {
                        if let Some(before) = stays.last_mut().filter(|_| goes_on) {
                            before.next = Some(view.id.ring);
                        }
                        let node = sight.node;
                        let (views, messages) = (Vec::new(), BTreeSet::new());
                        stays.push(Stay { node, views, messages, came: !goes_on, next: None });
                    }
                    goes_on = true;
                    if let Some(stay) = stays.last_mut() {
                        stay.views.push(view);
                    }
                }
                Seen::Message(id) => {
                    if let Some(stay) = stays.last_mut() {
                        stay.messages.insert(*id);
                    }
                }
            }
        }
        stays
    }

    /// Its views are one step apart, from the one it came with, or from the first one if it was in
    /// the view before.
    fn comes_step_by_step(&self) -> bool {
        let first = self.views[0];
        let last_to_come = first.processes.iter().rfind(|it| it.since == first.id.ring);
        let begins = match self.process(first) {
            Some(mine) if mine.since == first.id.ring => last_to_come == Some(&mine),
            _ => first.id.step <= 1,
        };
        begins && self.views.windows(2).all(|pair| pair[0].id.step + 1 == pair[1].id.step)
    }

    fn process(&self, view: &View) -> Option<Process> {
        view.processes.iter().find(|process| process.node == self.node).copied()
    }
}

fn judge(stays: &[Stay<'_>]) -> Result<(), String> {
    let views = one_member_list(stays)?;
    one_history(&views)?;
    for stay in stays {
        let names: BTreeSet<Option<Process>> =
            stay.views.iter().map(|view| stay.process(view)).collect();
        if names.len() != 1 || names.contains(&None) {
            return Err(format!("{} has {names:?} in {:?}", stay.node, stay.views));
        }
        let is_new = names.iter().flatten().all(|it| it.since == stay.views[0].id.ring);
        if stay.came && !is_new {
            return Err(format!("{} comes back as {names:?} in {:?}", stay.node, stay.views));
        }
        if !stay.comes_step_by_step() {
            return Err(format!("{} has views out of order: {:?}", stay.node, stay.views));
        }
    }
    one_view_a_message(stays)?;
    // C3: who goes on together has had the same.
    let mut together: BTreeMap<_, &Stay<'_>> = BTreeMap::new();
    for stay in stays.iter().filter(|stay| stay.next.is_some()) {
        let first = together.entry((stay.views[0].id.ring, stay.next)).or_insert(stay);
        if first.messages != stay.messages {
            let differ: Vec<_> = first.messages.symmetric_difference(&stay.messages).collect();
            let ring = stay.views[0].id.ring;
            return Err(format!(
                "{} and {} go on from {ring} and differ in {differ:?}",
                first.node, stay.node
            ));
        }
    }
    Ok(())
}

/// A view is the same at all that have it.
fn one_member_list(stays: &[Stay<'_>]) -> Result<BTreeMap<ViewId, Vec<Process>>, String> {
    let mut views: BTreeMap<ViewId, Vec<Process>> = BTreeMap::new();
    for (stay, view) in stays.iter().flat_map(|stay| stay.views.iter().map(move |it| (stay, it))) {
        let first = views.entry(view.id).or_insert_with(|| view.processes.to_vec());
        if first[..] != view.processes[..] {
            let text = format!("{} has {:?}, others {first:?}", stay.node, view);
            return Err(text);
        }
    }
    Ok(views)
}

/// All views are one history: each is the one before without those that left, and then with one more
/// that came; nobody that left comes back by the same name.
fn one_history(views: &BTreeMap<ViewId, Vec<Process>>) -> Result<(), String> {
    let mut before: &[Process] = &[];
    let mut before_id: Option<ViewId> = None;
    let mut gone: BTreeSet<Process> = BTreeSet::new();
    for (id, view) in views {
        let is_new = |process: &&Process| process.since == id.ring;
        let came = view.iter().filter(is_new).count();
        let old = view.iter().filter(|process| !is_new(process));
        let goes_on = old.clone().all(|process| before.contains(process));
        let left: Vec<_> = before.iter().filter(|process| !view.contains(process)).collect();
        // One at a time, although not all that had a view may have lived to tell.
        let same_ring = before_id.is_some_and(|before| before.ring == id.ring);
        let fits = came == id.step as usize && goes_on && (left.is_empty() || !same_ring);
        if !fits || view.iter().any(|process| gone.contains(process)) {
            return Err(format!("view {id:?} of {view:?} follows {before_id:?} of {before:?}"));
        }
        gone.extend(left);
        (before, before_id) = (view, Some(*id));
    }
    Ok(())
}

/// L4: a message is delivered in the views of one ring.
fn one_view_a_message(stays: &[Stay<'_>]) -> Result<(), String> {
    let mut view_of = BTreeMap::new();
    for stay in stays {
        let ring = stay.views[0].id.ring;
        for message in &stay.messages {
            let first = *view_of.entry(*message).or_insert(ring);
            if first != ring {
                return Err(format!("{message} is delivered in {first} and in {ring}"));
            }
        }
    }
    Ok(())
}
