//! What applications behind the virtual synchrony filter were told, compared between members, and
//! judged by C1–C3 and L1–L5 (EVS §4) as the histories that it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roundel::{Configuration, ConfigurationKind, Epoch, MessageId, NodeId, RingId, Service, Time};
use roundel_ring::sim::check::{Clause, Options, check};
use roundel_ring::trace::{ContentHash, Entry, Event, History};
use serde::Deserialize;

use crate::log::{Ring, RingName};
use crate::member::Member;

/// A process by its member and the ring that it came with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Process {
    pub(crate) node: u32,
    pub(crate) since: RingName,
}

/// A view's name: ring, and step on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ViewName {
    pub(crate) ring: RingName,
    pub(crate) step: u32,
}

/// What one line of a member's output says.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told {
    View { ring: Ring, step: u32, processes: Vec<Printed> },
    Message { sender: u32, payload: String },
    Accepted { line: u64 },
    Refused {},
    Stopped,
}

#[derive(Deserialize)]
struct Printed {
    node: u32,
    since: Ring,
}

/// Something that happened to a process in a view.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Happened {
    Delivered {
        sender: u32,
        payload: String,
    },
    /// The line that has this payload.
    Accepted(String),
}

/// A process's time in a view.
#[derive(Clone, Debug)]
pub(crate) struct Stay {
    pub(crate) name: ViewName,
    pub(crate) processes: Vec<Process>,
    happened: Vec<Happened>,
}

impl Stay {
    pub(crate) fn nodes(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.node).collect()
    }

    fn delivered(&self) -> Vec<(u32, &str)> {
        let delivered = |it| match it {
            &Happened::Delivered { sender, ref payload } => Some((sender, payload.as_str())),
            Happened::Accepted(_) => None,
        };
        self.happened.iter().filter_map(delivered).collect()
    }
}

/// What one process was told, from the view it came with on.
#[derive(Debug)]
pub(crate) struct Sight {
    node: u32,
    life: u32,
    pub(crate) stays: Vec<Stay>,
    /// It was told that it has stopped, or its member was ended.
    pub(crate) ended: bool,
}

impl Sight {
    /// Its name, as its first view has it.
    #[track_caller]
    pub(crate) fn process(&self) -> Process {
        let mine = self.stays[0].processes.iter().find(|process| process.node == self.node);
        *mine.unwrap_or_else(|| panic!("{} is not in its view {:?}", self.node, self.stays[0]))
    }

    /// All of one life's processes, and how many of its lines were refused.
    pub(crate) fn all(member: &Member) -> (Vec<Self>, u64) {
        let (node, life) = (member.id(), member.name.life);
        let (mut sights, mut refused): (Vec<Self>, u64) = (Vec::new(), 0);
        let mut is_open = false;
        for value in member.log().told() {
            let told = serde_json::from_value(value.clone());
            let told = told.unwrap_or_else(|error| panic!("{value}: {error}"));
            let happened = match told {
                Told::Refused {} => {
                    refused += 1;
                    continue;
                }
                Told::Stopped => {
                    assert!(is_open, "{node} has stopped and was in no view");
                    sights.last_mut().expect("it is open").ended = true;
                    is_open = false;
                    continue;
                }
                Told::View { ring, step, processes } => {
                    let process = |it: &Printed| Process { node: it.node, since: it.since.name() };
                    let processes = processes.iter().map(process).collect();
                    let name = ViewName { ring: ring.name(), step };
                    let stay = Stay { name, processes, happened: Vec::new() };
                    if !is_open {
                        sights.push(Self { node, life, stays: Vec::new(), ended: false });
                    }
                    is_open = true;
                    sights.last_mut().expect("just put").stays.push(stay);
                    continue;
                }
                Told::Message { sender, payload } => Happened::Delivered { sender, payload },
                // Lines are counted from 1, what they say from 0.
                Told::Accepted { line } => Happened::Accepted(super::views::line(life, line - 1)),
            };
            let stay = sights.last_mut().and_then(|sight| sight.stays.last_mut());
            stay.filter(|_| is_open)
                .unwrap_or_else(|| panic!("{node} has {happened:?} outside of a view"))
                .happened
                .push(happened);
        }
        if let Some(last) = sights.last_mut().filter(|_| member.is_gone()) {
            last.ended = true;
        }
        (sights, refused)
    }
}

/// How much was compared.
#[derive(Default, Debug)]
pub(crate) struct Compared {
    /// Processes.
    pub(crate) processes: u64,
    /// Views, each once.
    pub(crate) views: u64,
    /// Views to which one came while others went on.
    pub(crate) merges: u64,
    /// Views that some left while others went on.
    pub(crate) losses: u64,
    /// Pairs of stays in one view, from which both went on to the same next one, or to none yet.
    pub(crate) stays: u64,
    /// Messages in these.
    pub(crate) messages: u64,
    /// Judged by the clauses of virtual synchrony.
    pub(crate) instances: u64,
}

/// Compares all that the processes of all lives were told.
#[track_caller]
pub(crate) fn compare(lives: &[Arc<Member>]) -> Compared {
    let sights: Vec<Sight> = lives.iter().flat_map(|member| Sight::all(member).0).collect();
    let mut compared = Compared { processes: sights.len() as u64, ..Compared::default() };
    let views = one_name_one_list(&sights);
    compared.views = views.len() as u64;
    one_history(&views, &mut compared);
    same_views_in_the_same_order(&sights, &views);
    same_messages(&sights, &mut compared);
    judged(&sights, &mut compared);
    compared
}

/// Each view, as all that had it were told it.
#[track_caller]
fn one_name_one_list(sights: &[Sight]) -> BTreeMap<ViewName, Vec<Process>> {
    let mut views: BTreeMap<ViewName, Vec<Process>> = BTreeMap::new();
    for sight in sights {
        for stay in &sight.stays {
            let first = views.entry(stay.name).or_insert_with(|| stay.processes.clone());
            assert_eq!(*first, stay.processes, "{:?} at {} and at others", stay.name, sight.node);
        }
    }
    views
}

/// All views are one line: from each to the next some leave, or one comes; nobody comes twice.
#[track_caller]
fn one_history(views: &BTreeMap<ViewName, Vec<Process>>, compared: &mut Compared) {
    let mut seen: BTreeSet<Process> = BTreeSet::new();
    let mut before: Option<(&ViewName, &Vec<Process>)> = None;
    for (name, view) in views {
        let (last_name, last) = before.map_or((None, &[][..]), |(name, view)| (Some(name), view));
        let step = format!("{name:?} of {view:?} follows {last_name:?} of {last:?}");
        let came: Vec<&Process> = view.iter().filter(|it| !last.contains(it)).collect();
        let left = last.iter().filter(|it| !view.contains(it)).count();
        let goes_on = came.len() < view.len();
        for process in &came {
            assert!(process.since == name.ring && seen.insert(**process), "{step}: came back");
        }
        assert!(came.len() <= 1, "{step}: more than one came");
        assert!(came.is_empty() || left == 0 || !goes_on, "{step}: one came as others left");
        assert!(!(came.is_empty() && left == 0) || Some(name.ring) != last_name.map(|it| it.ring));
        compared.merges += u64::from(goes_on && !came.is_empty());
        compared.losses += u64::from(goes_on && left > 0);
        before = Some((name, view));
    }
}

/// Each process has all views from the one with which it came to its last one, and one name in
/// all of them; and a member that comes back has another.
#[track_caller]
fn same_views_in_the_same_order(sights: &[Sight], views: &BTreeMap<ViewName, Vec<Process>>) {
    let mut names: BTreeSet<Process> = BTreeSet::new();
    for sight in sights {
        let (process, first) = (sight.process(), &sight.stays[0]);
        let had: Vec<ViewName> = sight.stays.iter().map(|stay| stay.name).collect();
        assert!(names.insert(process), "{process:?} has come twice");
        assert_eq!(process.since, first.name.ring, "{process:?} begins in {:?}", first.name);
        let with_it = views.iter().filter(|(_, view)| view.contains(&process));
        let all: Vec<ViewName> = with_it.map(|(name, _)| *name).collect();
        // One that has stopped or died need not have been told of what the others went on to.
        let is_whole = if sight.ended { all.starts_with(&had) } else { all == had };
        assert!(is_whole, "{process:?} is in {all:?} and was told of {had:?}");
    }
}

/// Two that have one view and the same next one, or are in it still, were told the same in it, in
/// the same order.
#[track_caller]
fn same_messages(sights: &[Sight], compared: &mut Compared) {
    let mut known = BTreeMap::new();
    for sight in sights {
        for (at, stay) in sight.stays.iter().enumerate() {
            let next = sight.stays.get(at + 1).map(|next| next.name);
            if next.is_none() && sight.ended {
                continue;
            }
            let delivered = stay.delivered();
            let key = (stay.name, next);
            let Some((other, theirs)): Option<&(u32, Vec<(u32, &str)>)> = known.get(&key) else {
                known.insert(key, (sight.node, delivered));
                continue;
            };
            compared.stays += 1;
            compared.messages += delivered.len() as u64;
            let differs = delivered.iter().zip(theirs).position(|(mine, theirs)| mine != theirs);
            assert!(
                differs.is_none() && delivered.len() == theirs.len(),
                "{} and {other} went together through {key:?} and differ at {differs:?} of {} and \
                 {}",
                sight.node,
                delivered.len(),
                theirs.len()
            );
        }
    }
}

/// What the clauses say of a run at rest, each process being a life that fails when it stops
/// (rule 4 of the filter) and each view a primary component.
#[track_caller]
fn judged(sights: &[Sight], compared: &mut Compared) {
    let verdict = check(&histories(sights), Options { quiescent: true });
    for clause in CLAUSES {
        let judgement = verdict.of(clause).expect("every clause has one");
        let (name, instances) = (clause.name(), judgement.instances);
        assert!(judgement.applicable && instances > 0, "{name} was not judged");
        compared.instances += instances;
    }
    let violations = verdict.violations().filter(|it| CLAUSES.contains(&it.clause));
    let texts: Vec<String> =
        violations.map(|it| format!("{}: {}", it.clause.name(), it.text)).collect();
    assert!(texts.is_empty(), "{}", texts.join("\n"));
}

/// Those that speak of views and of messages in them; the others ask for transitional configurations.
const CLAUSES: [Clause; 16] = [
    Clause::FilterC1,
    Clause::FilterC2,
    Clause::FilterC3,
    Clause::FilterL1,
    Clause::FilterL2,
    Clause::FilterL3,
    Clause::FilterL4,
    Clause::FilterL5,
    Clause::PrimaryUniqueness,
    Clause::PrimaryContinuity,
    Clause::Lecture1,
    Clause::Lecture2,
    Clause::Lecture6,
    Clause::Lecture7,
    Clause::OneMemberList,
    Clause::ContentKept,
];

/// More than the steps of any ring here.
const STEPS: u64 = 1000;

fn ring_id(name: ViewName) -> RingId {
    RingId::new(Epoch(name.ring.0 * STEPS + u64::from(name.step)), NodeId(name.ring.1))
}

/// A history of each process, in the form of those of members.
fn histories(sights: &[Sight]) -> Vec<History> {
    let ids = message_ids(sights);
    let history = |(sight, incarnation): (&Sight, u64)| {
        let mut history = History::new(NodeId(sight.node), Epoch(incarnation));
        let mut previous = None;
        for (at, stay) in sight.stays.iter().enumerate() {
            let ring = ring_id(stay.name);
            let kind = ConfigurationKind::Regular;
            let members: Arc<[NodeId]> = stay.nodes().into_iter().map(NodeId).collect();
            let eligible = Some(true);
            let conf = Configuration { kind, ring, previous, members, eligible };
            previous = Some(ring);
            put(&mut history, Event::Configuration(conf));
            put(&mut history, Event::Primary { ring });
            for happened in &stay.happened {
                put(&mut history, event(happened, &ids, ring));
            }
            if at + 1 == sight.stays.len() {
                for (payload, _) in unprinted(sight, &ids, incarnation) {
                    put(&mut history, event(&Happened::Accepted(payload.clone()), &ids, ring));
                }
            }
        }
        if sight.ended {
            put(&mut history, Event::Fail);
        }
        history
    };
    sights.iter().zip(1..).map(history).collect()
}

/// Messages by their payloads, each of the process that accepted it: all processes are counted from 1.
///
/// A member that was killed may have sent what it did not come to print. That is of its last process,
/// behind all that it printed.
fn message_ids(sights: &[Sight]) -> BTreeMap<String, MessageId> {
    let mut ids = BTreeMap::new();
    let mut last_of_life = BTreeMap::new();
    for (sight, incarnation) in sights.iter().zip(1..) {
        let (sender, incarnation) = (NodeId(sight.node), Epoch(incarnation));
        for happened in sight.stays.iter().flat_map(|stay| &stay.happened) {
            if let Happened::Accepted(payload) = happened {
                let counter = ids.len() as u64;
                ids.insert(payload.clone(), MessageId { sender, incarnation, counter });
            }
        }
        last_of_life.insert(sight.life, (sender, incarnation));
    }
    let delivered = sights.iter().flat_map(|sight| &sight.stays).flat_map(Stay::delivered);
    for (node, payload) in delivered {
        if !ids.contains_key(payload) {
            let life = payload.split_once('.').and_then(|(life, _)| life.parse::<u32>().ok());
            let (sender, incarnation) = life
                .and_then(|life| last_of_life.get(&life).copied())
                .unwrap_or_else(|| panic!("{payload:?} of {node} was sent by no process"));
            assert_eq!(sender, NodeId(node), "{payload:?} is not of its sender");
            let counter = ids.len() as u64;
            ids.insert(payload.to_owned(), MessageId { sender, incarnation, counter });
        }
    }
    ids
}

/// What a process sent and did not print.
fn unprinted<'i>(
    sight: &Sight,
    ids: &'i BTreeMap<String, MessageId>,
    incarnation: u64,
) -> impl Iterator<Item = (&'i String, &'i MessageId)> {
    let accepted = |happened: &Happened| match happened {
        Happened::Accepted(payload) => Some(payload.clone()),
        Happened::Delivered { .. } => None,
    };
    let happened = sight.stays.iter().flat_map(|stay| &stay.happened);
    let printed: BTreeSet<String> = happened.filter_map(accepted).collect();
    let own = ids.iter().filter(move |(_, id)| id.incarnation == Epoch(incarnation));
    own.filter(move |(payload, _)| !printed.contains(*payload))
}

fn event(happened: &Happened, ids: &BTreeMap<String, MessageId>, ring: RingId) -> Event {
    // Some are safe; the clauses here ask of these what they ask of agreed ones.
    let service = Service::Agreed;
    match happened {
        Happened::Accepted(payload) => {
            let hash = ContentHash::of(payload.as_bytes());
            Event::Send { message: ids[payload], ring, service, hash }
        }
        Happened::Delivered { payload, .. } => Event::Deliver {
            message: ids[payload],
            ring,
            in_configuration: ConfigurationKind::Regular,
            ordinal: None,
            service,
            hash: ContentHash::of(payload.as_bytes()),
        },
    }
}

fn put(history: &mut History, event: Event) {
    let time = Time::from_ns(history.entries.len() as u64);
    history.entries.push(Entry { time, event });
}

#[cfg(test)]
mod tests {
    use std::panic::{UnwindSafe, catch_unwind};

    use super::*;

    const A: Process = Process { node: 1, since: (5, 1) };
    const B: Process = Process { node: 2, since: (5, 1) };
    const C: Process = Process { node: 3, since: (6, 1) };
    const D: Process = Process { node: 4, since: (6, 1) };

    fn stay(epoch: u64, step: u32, processes: &[Process]) -> Stay {
        let name = ViewName { ring: (epoch, 1), step };
        let told = Happened::Delivered { sender: 1, payload: format!("1.{}", epoch * 10) };
        Stay { name, processes: processes.to_vec(), happened: vec![told] }
    }

    fn sight(process: Process, stays: &[Stay]) -> Sight {
        Sight { node: process.node, life: process.node, stays: stays.to_vec(), ended: false }
    }

    fn is_noticed(what: &str, compare: impl FnOnce() + UnwindSafe) {
        assert!(catch_unwind(compare).is_err(), "{what} is not noticed");
    }

    fn history(stays: &[Stay]) {
        let views = one_name_one_list(&[sight(A, stays)]);
        one_history(&views, &mut Compared::default());
    }

    #[test]
    fn views_that_are_no_history_are_noticed() {
        let [first, both] = [stay(5, 1, &[A]), stay(5, 2, &[A, B])];
        history(&[first.clone(), both.clone(), stay(6, 1, &[A, B, C]), stay(7, 0, &[A, C])]);
        let wrong = [
            ("a merge at once", stay(6, 2, &[A, B, C, D])),
            ("one comes as another leaves", stay(6, 1, &[A, C])),
            ("a name of another ring", stay(6, 1, &[A, B, Process { since: (5, 1), ..D }])),
        ];
        for (what, next) in wrong {
            let views = [first.clone(), both.clone(), next];
            is_noticed(what, || history(&views));
        }
        let back = [first, both, stay(6, 0, &[A]), stay(7, 1, &[A, B])];
        is_noticed("one that left is back", || history(&back));
    }

    #[test]
    fn members_that_were_told_different_things_are_noticed() {
        let all = [stay(5, 2, &[A, B]), stay(6, 1, &[A, B, C]), stay(7, 0, &[A, B])];
        let same = |other: &[Stay]| {
            let sights = [sight(A, &all), sight(B, other)];
            let views = one_name_one_list(&sights);
            same_views_in_the_same_order(&sights, &views);
            same_messages(&sights, &mut Compared::default());
        };
        same(&all);
        let mut list = all.clone();
        list[1].processes = vec![A, B];
        is_noticed("another list", || same(&list));
        is_noticed("a view that is left out", || same(&[all[0].clone(), all[2].clone()]));
        is_noticed("an order of views", || same(&[1, 0, 2].map(|at| all[at].clone())));
        let mut fewer = all.clone();
        fewer[0].happened.clear();
        is_noticed("a message that is missing", || same(&fewer));
        is_noticed("views that were not of it", || same(&all[1..]));
    }
}
