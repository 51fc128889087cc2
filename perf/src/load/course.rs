//! The course of a run, by what the ring delivers: the members come together, say that they are
//! ready, begin at the word of the lead (the lowest id), and measure between its two markers.
//!
//! ```text
//! Gathering ── Begin ──► Warming ── Start ──► Measuring ── End ──► Finishing ── Done of all ──► Over
//! ```
//!
//! Every word is a message in the order, so all members change their phase at the same place. A
//! change of the configuration between `Begin` and `End` ends the run.

use std::collections::BTreeSet;

use bytes::Bytes;
use roundel::{Configuration, ConfigurationKind, NodeId, Ordinal, RingId, Service};

use super::measure::{Extras, Measured, Measurement};
use super::tally::Tally;
use crate::counters::Counters;
use crate::exit::End;
use crate::payload::{Load, Payload};

/// What tells one run from another, and whose clocks compare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) members: usize,
    /// Of what must be the same at all members.
    pub(crate) options: u64,
    pub(crate) clock: u64,
    /// Sends are planned.
    pub(crate) is_paced: bool,
    /// Of what is sent.
    pub(crate) service: Service,
}

/// A run as one member sees it.
///
/// Getters: [`Course::phase`], [`Course::is_lead`]. Inputs: `handle_*`. Outputs:
/// [`Course::poll_publish`], and at the end [`Course::into_outcome`].
#[derive(Debug)]
pub(crate) struct Course {
    me: NodeId,
    run: Run,
    phase: Phase,
    /// Of the configuration in force.
    ring: Option<RingId>,
    members: Vec<NodeId>,
    same_clock: bool,
    publish: Vec<Bytes>,
    measured: Option<Measured>,
    end: Option<End>,
}

/// Where a run is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Waiting for all members in one configuration, and for the word of each.
    Gathering { ready: BTreeSet<NodeId> },
    /// Under load, not measured.
    Warming(Tally),
    /// Under load, measured.
    Measuring(Box<Measurement>),
    /// Measured; waiting for the others, so that nobody leaves under the load of another.
    Finishing { done: BTreeSet<NodeId> },
    /// Nothing more to do.
    Over,
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) measured: Option<Measured>,
    pub(crate) end: Option<End>,
}

/// What a member does at a change of phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cue {
    /// Start to send.
    Begun,
    /// The measurement begins.
    Started,
    /// Stop to send.
    Ended,
}

impl Course {
    /// A run that has not begun.
    pub(crate) fn new(me: NodeId, run: Run) -> Self {
        Self {
            me,
            run,
            phase: Phase::Gathering { ready: BTreeSet::new() },
            ring: None,
            members: Vec::new(),
            same_clock: true,
            publish: Vec::new(),
            measured: None,
            end: None,
        }
    }

    pub(crate) const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The member's place among all.
    pub(crate) fn place(&self) -> usize {
        self.members.iter().position(|member| *member == self.me).unwrap_or(0)
    }

    /// This member gives the words to begin, start and end.
    pub(crate) fn is_lead(&self) -> bool {
        self.members.first() == Some(&self.me)
    }

    /// Takes a configuration change.
    pub(crate) fn handle_configuration(&mut self, configuration: &Configuration) {
        match &mut self.phase {
            Phase::Gathering { ready } => {
                ready.clear();
                self.same_clock = true;
                self.gather(configuration);
            }
            Phase::Warming(_) | Phase::Measuring(_) => {
                let together = &configuration.members;
                let lost = self.members.iter().filter(|member| !together.contains(member));
                let lost: Vec<String> = lost.map(ToString::to_string).collect();
                let what = match lost.as_slice() {
                    [] => "the configuration changed".to_owned(),
                    lost => format!("lost member {}", lost.join(", ")),
                };
                self.stop(End::Invalid(format!("{what} during the run")));
            }
            // Those that have seen the end leave.
            Phase::Finishing { .. } => self.phase = Phase::Over,
            Phase::Over => {}
        }
    }

    fn gather(&mut self, configuration: &Configuration) {
        let Configuration { kind, ring, members, .. } = configuration;
        self.members = members.to_vec();
        let complete = *kind == ConfigurationKind::Regular && members.len() == self.run.members;
        self.ring = complete.then_some(*ring);
        if let Some(ring) = self.ring {
            let ready = Payload::Ready { ring, clock: self.run.clock, options: self.run.options };
            self.publish.push(ready.control());
        }
    }

    /// Takes a message that `sender` sent, delivered at `now_ns`.
    pub(crate) fn handle_message(
        &mut self,
        now_ns: u64,
        sender: NodeId,
        at: Option<Ordinal>,
        bytes: &[u8],
    ) -> Option<Cue> {
        match Payload::parse(bytes)? {
            Payload::Load(load) => {
                if let Err(reason) = self.handle_load(now_ns, sender, at, load, bytes) {
                    self.stop(End::Invalid(reason));
                }
                None
            }
            Payload::Ready { ring, clock, options } => {
                self.note_ready(sender, ring, clock, options);
                None
            }
            Payload::Begin { ring } => {
                let gathering = matches!(self.phase, Phase::Gathering { .. });
                let begins = gathering && self.ring == Some(ring);
                begins.then(|| {
                    self.phase = Phase::Warming(Tally::new(self.run.service));
                    Cue::Begun
                })
            }
            // Markers are agreed, and have a place.
            Payload::Start => self.note_start(at?),
            Payload::End => self.note_end(at?),
            Payload::Done => {
                if let Phase::Finishing { done } = &mut self.phase {
                    done.insert(sender);
                    if done.len() == self.members.len() {
                        self.phase = Phase::Over;
                    }
                }
                None
            }
        }
    }

    fn handle_load(
        &mut self,
        now_ns: u64,
        sender: NodeId,
        at: Option<Ordinal>,
        load: Load,
        bytes: &[u8],
    ) -> Result<(), String> {
        load.check_sender(sender)?;
        match &mut self.phase {
            Phase::Measuring(measurement) => measurement.message(now_ns, at, load, bytes),
            Phase::Warming(tally) if !self.run.service.is_totally_ordered() => {
                tally.add(at, load, bytes);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn note_ready(&mut self, sender: NodeId, ring: RingId, clock: u64, options: u64) {
        let Phase::Gathering { ready } = &mut self.phase else { return };
        if self.ring != Some(ring) {
            return;
        }
        self.same_clock &= clock == self.run.clock;
        ready.insert(sender);
        let all = ready.len() == self.run.members;
        if options != self.run.options {
            self.stop(End::Disagree(format!(
                "member {sender} runs another load; fix: the same --members, --size, --seconds, \
                 --warmup, --rate, --senders and --service at every member"
            )));
        } else if all && self.is_lead() {
            self.publish.push(Payload::Begin { ring }.control());
        }
    }

    fn note_start(&mut self, at: Ordinal) -> Option<Cue> {
        let measuring = Phase::Finishing { done: BTreeSet::new() };
        match std::mem::replace(&mut self.phase, measuring) {
            Phase::Warming(mut tally) => {
                tally.begin(at);
                let extras = Extras { others: self.same_clock, lateness: self.run.is_paced };
                let measurement = Measurement::start(self.me, tally, extras);
                self.phase = Phase::Measuring(Box::new(measurement));
                Some(Cue::Started)
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn note_end(&mut self, at: Ordinal) -> Option<Cue> {
        let finishing = Phase::Finishing { done: BTreeSet::new() };
        match std::mem::replace(&mut self.phase, finishing) {
            Phase::Measuring(measurement) => {
                self.measured = Some(measurement.end(at));
                self.publish.push(Payload::Done.control());
                Some(Cue::Ended)
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Takes the member's counters after [`Cue::Started`] and after [`Cue::Ended`].
    pub(crate) fn handle_counters(&mut self, counters: Counters) {
        if let Phase::Measuring(measurement) = &mut self.phase {
            measurement.set_counters(counters);
        } else if let Some(measured) = &mut self.measured {
            measured.set_counters(counters);
        }
    }

    /// The phase has lasted longer than it may.
    pub(crate) fn handle_timeout(&mut self) {
        match &self.phase {
            Phase::Gathering { ready } => {
                let (members, ready) = (self.members.len(), ready.len());
                let wanted = self.run.members;
                self.stop(End::NotTogether(format!(
                    "{members} of {wanted} members in one configuration, {ready} of them ready, \
                     when the wait was over; fix: start the others with the same --cluster, \
                     --members and network"
                )));
            }
            Phase::Warming(_) => {
                self.stop(End::Invalid("the start marker did not come".to_owned()));
            }
            Phase::Measuring(_) => {
                self.stop(End::Invalid("the end marker did not come".to_owned()));
            }
            // What was measured is whole: the others may be gone.
            Phase::Finishing { .. } => self.phase = Phase::Over,
            Phase::Over => {}
        }
    }

    /// Ends the run.
    pub(crate) fn stop(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.phase = Phase::Over;
    }

    /// Takes what is behind the end of a run.
    pub(crate) fn explain(&mut self, problem: String) {
        self.end = Some(End::Invalid(problem));
    }

    /// The next message to publish.
    pub(crate) fn poll_publish(&mut self) -> Option<Bytes> {
        (!self.publish.is_empty()).then(|| self.publish.remove(0))
    }

    /// Gives a message back that found no room.
    pub(crate) fn publish_later(&mut self, message: Bytes) {
        self.publish.insert(0, message);
    }

    /// What the run gave.
    pub(crate) fn into_outcome(self) -> Outcome {
        Outcome { measured: self.measured, end: self.end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roundel::Epoch;

    const RING: RingId = RingId::new(Epoch(5), NodeId(1));

    fn configuration(kind: ConfigurationKind, members: &[u32]) -> Configuration {
        let members = members.iter().copied().map(NodeId).collect();
        Configuration { kind, ring: RING, previous: None, members, eligible: None }
    }

    fn course(me: u32) -> Course {
        let run =
            Run { members: 2, options: 7, clock: 9, is_paced: true, service: Service::Agreed };
        let mut course = Course::new(NodeId(me), run);
        course.handle_configuration(&configuration(ConfigurationKind::Regular, &[1, 2]));
        course
    }

    fn say(course: &mut Course, sender: u32, payload: Payload) -> Option<Cue> {
        course.handle_message(0, NodeId(sender), Some(Ordinal(1)), &payload.control())
    }

    fn ready(options: u64) -> Payload {
        Payload::Ready { ring: RING, clock: 9, options }
    }

    fn published(course: &mut Course) -> Vec<Payload> {
        std::iter::from_fn(|| course.poll_publish())
            .filter_map(|message| Payload::parse(&message))
            .collect()
    }

    #[test]
    fn the_lead_begins_when_all_are_ready_and_everybody_ends_together() {
        for me in [1, 2] {
            let mut course = course(me);
            assert_eq!(published(&mut course), [ready(7)]);
            say(&mut course, 1, ready(7));
            say(&mut course, 2, ready(7));
            let begin = Payload::Begin { ring: RING };
            assert_eq!(published(&mut course), if me == 1 { vec![begin] } else { vec![] });
            assert_eq!(say(&mut course, 1, begin), Some(Cue::Begun));
            assert_eq!(say(&mut course, 1, Payload::Start), Some(Cue::Started));
            assert_eq!(say(&mut course, 1, Payload::End), Some(Cue::Ended));
            assert_eq!(published(&mut course), [Payload::Done]);
            say(&mut course, 1, Payload::Done);
            say(&mut course, 2, Payload::Done);
            assert!(matches!(course.phase(), Phase::Over));
            let outcome = course.into_outcome();
            assert!(outcome.measured.is_some() && outcome.end.is_none());
        }
    }

    #[test]
    fn words_of_another_configuration_count_for_nothing() {
        let mut course = course(1);
        let other = RingId::new(Epoch(4), NodeId(1));
        say(&mut course, 2, Payload::Ready { ring: other, clock: 9, options: 7 });
        say(&mut course, 1, ready(7));
        assert_eq!(published(&mut course).len(), 1, "no word to begin");
        assert_eq!(say(&mut course, 1, Payload::Begin { ring: other }), None);
    }

    #[test]
    fn a_lost_member_ends_the_run_and_says_so() {
        let mut course = course(1);
        say(&mut course, 1, Payload::Begin { ring: RING });
        course.handle_configuration(&configuration(ConfigurationKind::Transitional, &[1]));
        let end = course.into_outcome().end;
        assert_eq!(end, Some(End::Invalid("lost member 2 during the run".to_owned())));
    }

    #[test]
    fn a_message_that_comes_as_one_of_another_member_makes_the_run_invalid() {
        let bytes = crate::payload::Maker::new(64)
            .make(Load { sender: NodeId(2), counter: 4, planned_ns: 0, lateness_ns: 0 })
            .to_vec();
        for sender in [2, 1] {
            let mut course = course(1);
            say(&mut course, 1, Payload::Begin { ring: RING });
            say(&mut course, 1, Payload::Start);
            course.handle_message(0, NodeId(sender), Some(Ordinal(1)), &bytes);
            match course.into_outcome().end {
                None => assert_eq!(sender, 2),
                Some(End::Invalid(why)) => assert!(why.contains("came as one of"), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn other_options_and_absent_members_are_told() {
        let mut one = course(1);
        say(&mut one, 2, ready(8));
        assert!(matches!(one.into_outcome().end, Some(End::Disagree(_))));
        let mut alone = course(1);
        alone.handle_timeout();
        assert!(matches!(alone.into_outcome().end, Some(End::NotTogether(_))));
    }
}
