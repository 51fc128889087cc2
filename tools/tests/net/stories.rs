//! What endpoints were told of their groups, compared between members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::member::Member;

/// An endpoint's time in a view of a group.
#[derive(Clone, Debug)]
struct Stay {
    view: String,
    members: Vec<String>,
    /// Who came along from the view before.
    transitional: Vec<String>,
    /// Sender and text.
    messages: Vec<(String, String)>,
}

/// What one life was told.
#[derive(Debug)]
struct Story {
    name: String,
    life: u32,
    /// It was not ended.
    goes_on: bool,
    /// By group.
    stays: BTreeMap<String, Vec<Stay>>,
    /// All messages, of groups or not.
    order: Vec<(String, String)>,
}

fn word(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(word).collect()
}

impl Story {
    fn new(member: &Member) -> Self {
        let name = format!("{}@{}", super::groups::NAME, member.id());
        let goes_on = !member.is_gone();
        let (stays, order) = (BTreeMap::new(), Vec::new());
        let mut story = Self { name, life: member.name.life, goes_on, stays, order };
        for value in member.log().told() {
            match value["event"].as_str() {
                Some("view") => story.view(value),
                Some("message") => story.message(value),
                _ => {}
            }
        }
        story
    }

    fn view(&mut self, value: &Value) {
        let stay = Stay {
            view: word(&value["view"]),
            members: words(&value["members"]),
            transitional: words(&value["transitional"]),
            messages: Vec::new(),
        };
        self.stays.entry(word(&value["group"])).or_default().push(stay);
    }

    fn message(&mut self, value: &Value) {
        let message = (word(&value["sender"]), word(&value["payload"]));
        for group in words(&value["to"]) {
            let stay = self.stays.get_mut(&group).and_then(|stays| stays.last_mut());
            // Who has left may get it by a filter; that is no matter of the group's members.
            if let Some(stay) = stay.filter(|stay| stay.members.contains(&self.name)) {
                stay.messages.push(message.clone());
            }
        }
        self.order.push(message);
    }

    /// Each stay in a group, with the one before and the one behind it where it was a member of both.
    fn steps(&self) -> impl Iterator<Item = (&String, Option<&Stay>, &Stay, Option<&Stay>)> {
        self.stays.iter().flat_map(move |(group, stays)| {
            (0..stays.len()).map(move |at| {
                let is_in = |stay: &&Stay| stay.members.contains(&self.name);
                let before = at.checked_sub(1).map(|at| &stays[at]).filter(is_in);
                (group, before, &stays[at], stays.get(at + 1))
            })
        })
    }
}

/// How an endpoint came to a view.
struct Arrival<'s> {
    story: &'s Story,
    stay: &'s Stay,
    /// The view it was a member of before.
    from: Option<&'s String>,
}

/// How much was compared.
#[derive(Default, Debug)]
pub(crate) struct Compared {
    /// Views that two endpoints had.
    pub(crate) views: u64,
    /// Pairs of stays from the same view to the same next one, or until now.
    pub(crate) stays: u64,
    /// Messages in these.
    pub(crate) messages: u64,
    /// Pairs of endpoints that came to one view, from one or from different ones.
    pub(crate) transitions: u64,
    /// Of these, from different ones.
    pub(crate) merges: u64,
}

/// Compares all that all lives were told.
#[track_caller]
pub(crate) fn compare(lives: &[Arc<Member>]) -> Compared {
    let stories: Vec<Story> = lives.iter().map(|member| Story::new(member)).collect();
    let mut compared = Compared::default();
    same_members(&stories, &mut compared);
    same_messages(&stories, &mut compared);
    transitional_sets(&stories, &mut compared);
    one_order(&stories);
    compared
}

/// One identifier, one list of members.
#[track_caller]
fn same_members(stories: &[Story], compared: &mut Compared) {
    let mut known: BTreeMap<(&String, &String), (&Story, &Vec<String>)> = BTreeMap::new();
    for story in stories {
        let mut last: BTreeSet<(&String, &String)> = BTreeSet::new();
        for (group, _, stay, _) in story.steps() {
            let key = (group, &stay.view);
            assert!(last.insert(key), "{} has {key:?} twice", story.name);
            if let Some((other, members)) = known.get(&key) {
                let (a, b) = (&other.name, &story.name);
                assert_eq!(**members, stay.members, "{key:?} at {a} and at {b}");
                compared.views += 1;
            } else {
                known.insert(key, (story, &stay.members));
            }
        }
    }
}

/// Who goes from one view of a group to the next, or is in one still, was told the same in between.
#[track_caller]
fn same_messages(stories: &[Story], compared: &mut Compared) {
    let mut known = BTreeMap::new();
    for story in stories {
        for (group, _, stay, next) in story.steps() {
            let is_in = stay.members.contains(&story.name);
            // The last stay of a life that was ended: nobody went on with it.
            if !is_in || next.is_none() && !story.goes_on {
                continue;
            }
            let key = (group, &stay.view, next.map(|next| &next.view));
            let Some((other, messages)) = known.insert(key, (&story.name, &stay.messages)) else {
                continue;
            };
            compared.stays += 1;
            compared.messages += stay.messages.len() as u64;
            let differs = messages.iter().zip(&stay.messages).position(|(a, b)| a != b);
            let lengths = (messages.len(), stay.messages.len());
            assert!(
                differs.is_none() && lengths.0 == lengths.1,
                "{other} and {} went together through {key:?}, and differ at {differs:?} of \
                 {lengths:?}",
                story.name
            );
        }
    }
}

/// Of two that come to one view, each has the other in its transitional set if and only if they come
/// from the same view.
#[track_caller]
fn transitional_sets(stories: &[Story], compared: &mut Compared) {
    let mut came: BTreeMap<(&String, &String), Vec<Arrival<'_>>> = BTreeMap::new();
    for story in stories {
        for (group, before, stay, _) in story.steps() {
            if stay.members.contains(&story.name) {
                let from = before.map(|before| &before.view);
                came.entry((group, &stay.view)).or_default().push(Arrival { story, stay, from });
            }
        }
    }
    for (view, arrivals) in &came {
        for Arrival { story: a, stay, from } in arrivals.iter().filter(|it| it.from.is_some()) {
            for other in arrivals.iter().filter(|it| it.story.name != a.name) {
                let b = other.story;
                let is_named = stay.transitional.contains(&b.name);
                assert_eq!(
                    is_named,
                    *from == other.from,
                    "{} came to {view:?} from {from:?} and {} (life {}) from {:?}",
                    a.name,
                    b.name,
                    b.life,
                    other.from
                );
                compared.transitions += 1;
                compared.merges += u64::from(!is_named);
            }
        }
    }
}

/// What two lives were both told, they were told in one order.
#[track_caller]
fn one_order(stories: &[Story]) {
    for (at, a) in stories.iter().enumerate() {
        let places: BTreeMap<_, usize> =
            a.order.iter().enumerate().map(|(place, message)| (message, place)).collect();
        assert_eq!(places.len(), a.order.len(), "{} was told something twice", a.name);
        for b in &stories[at + 1..] {
            let common = b.order.iter().filter_map(|message| places.get(message));
            let sorted = common.clone().zip(common.skip(1)).all(|(one, next)| one < next);
            assert!(sorted, "{}.{} and {}.{} differ in order", a.name, a.life, b.name, b.life);
        }
    }
}
