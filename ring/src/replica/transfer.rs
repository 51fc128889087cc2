//! A replica's letters: a donor's answers, a joiner's questions, and the state that comes of them.

use super::checkpoint;
use super::event::Event;
use super::fetch::{Fetch, Outcome};
use super::letters::{Ask, Note};
use super::machine::StateMachine;
use super::message::Ordered;
use super::position::Instant;
use super::replica::{Joining, Phase, Pull, Replica, Role};
use crate::configuration::ConfigurationKind;
use crate::id::NodeId;
use crate::layer::Letter;
use crate::time::Time;

/// Chunks that wait to be sent: the windows of some joiners; whoever comes late asks again. A few bytes each.
const ANSWERS_MAX: usize = 1_024;

impl<M: StateMachine> Replica<M> {
    pub(super) fn handle_note(&mut self, now: Time, from: NodeId, payload: &[u8]) {
        let Some(note) = Note::decode(payload) else {
            self.counters.malformed_letters += 1;
            return;
        };
        let is_member = self.members.binary_search(&from).is_ok();
        let has_effect = is_member
            && match note {
                Note::Ask(ask) => self.handle_ask(from, ask),
                Note::Piece(piece) => {
                    let outcome = match self.fetching_mut() {
                        Some(fetch) => fetch.handle_piece(now, &piece),
                        None => Outcome::Ignored,
                    };
                    self.handle_outcome(outcome);
                    outcome != Outcome::Ignored
                }
            };
        if !has_effect {
            self.counters.stale_letters += 1;
        }
    }

    /// No more is sent than was asked for, and nothing that is not here.
    fn handle_ask(&mut self, from: NodeId, ask: Ask) -> bool {
        if !self.store.has(ask.instant) {
            return false;
        }
        for number in (0..u32::from(ask.count)).filter_map(|more| ask.first.checked_add(more)) {
            if self.answers.len() < ANSWERS_MAX {
                self.answers.push_back((from, ask.instant, number));
            }
        }
        true
    }

    pub(super) fn next_letter(&mut self) -> Option<Letter> {
        if let Some((to, ask)) = self.fetching_mut().and_then(Fetch::poll) {
            return Some(Letter { to, payload: Note::Ask(ask).encode().into() });
        }
        while let Some((to, instant, number)) = self.answers.pop_front() {
            if let Some(piece) = self.store.piece(instant, number) {
                self.counters.chunks_sent += 1;
                return Some(Letter { to, payload: Note::Piece(piece).encode().into() });
            }
        }
        None
    }

    /// The transfer under way. It rests while a decision is due: what a status said of this member's
    /// state must stay true until then.
    pub(super) fn fetching(&self) -> Option<&Fetch> {
        match (&self.phase, &self.role) {
            (Phase::Decided(_), Role::Joining(Joining { pull: Pull::Going(fetch), .. })) => {
                Some(fetch)
            }
            _ => None,
        }
    }

    fn fetching_mut(&mut self) -> Option<&mut Fetch> {
        match (&self.phase, &mut self.role) {
            (Phase::Decided(_), Role::Joining(Joining { pull: Pull::Going(fetch), .. })) => {
                Some(fetch)
            }
            _ => None,
        }
    }

    pub(super) fn handle_silence(&mut self, now: Time) {
        if let Some(fetch) = self.fetching_mut() {
            let outcome = fetch.handle_timeout(now);
            self.handle_outcome(outcome);
        }
    }

    fn handle_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ignored => {}
            Outcome::Going => self.counters.chunks_taken += 1,
            Outcome::Complete => {
                self.counters.chunks_taken += 1;
                self.restore();
            }
            Outcome::Hopeless => self.ask_again(),
            Outcome::TooLong => {
                self.fail();
                self.tell(Event::TooLong);
            }
        }
    }

    /// The checkpoint being fetched is of no use: another, please.
    pub(super) fn ask_again(&mut self) {
        let Role::Joining(joining) = &mut self.role else { return };
        joining.pull = Pull::Waiting;
        joining.log.drop_tail();
        let instant = joining.instant;
        if self.kind == ConfigurationKind::Regular {
            self.announce(Ordered::Again { instant });
        }
    }

    fn fail(&mut self) {
        if let Role::Joining(joining) = &mut self.role {
            joining.pull = Pull::Failed;
            joining.log.drop_tail();
        }
    }

    /// Every chunk is here: becomes the state, followed by what came meanwhile.
    fn restore(&mut self) {
        let Role::Joining(joining) = &self.role else { return };
        let Pull::Going(fetch) = &joining.pull else { return };
        let bytes = fetch.bytes();
        let start = joining.start;
        let is_it =
            |end: super::position::Position| (end.index, end.chain) == (start.index, start.chain);
        let Some(read) = checkpoint::read(bytes).filter(|read| is_it(read.log.end())) else {
            return self.ask_again();
        };
        let (index, length) = (start.index, bytes.len() as u64);
        match self.state.restore(read, joining.log.clone()) {
            Err(error) => {
                self.fail();
                self.tell(Event::RestoreFailed(error));
            }
            Ok(()) => {
                self.role = Role::Holder;
                self.tell(Event::Restored { index, bytes: length });
                let floor = match &self.phase {
                    Phase::Decided(decided) => decided.floor,
                    Phase::Deciding(_) | Phase::Blocked => 0,
                };
                if self.kind == ConfigurationKind::Regular {
                    // As the other holders have: a checkpoint asked for now is the same everywhere.
                    self.apply_to(floor);
                    self.announce(Ordered::Synced { ring: self.ring });
                    self.commit();
                }
            }
        }
    }

    /// Makes and keeps the checkpoint of this place, if anybody fetches it.
    pub(super) fn checkpoint(&mut self, here: Instant) {
        let is_fetched = matches!(&self.phase, Phase::Decided(decided)
            if decided.joiners.values().any(|instant| *instant == here));
        self.drop_unused_checkpoints();
        if is_fetched
            && !self.store.has(here)
            && let Some(bytes) = self.state.checkpoint()
        {
            self.counters.checkpoints += 1;
            self.store.keep(here, bytes);
        }
    }

    /// In a transitional configuration all are kept: the others may not know what is known here.
    pub(super) fn drop_unused_checkpoints(&mut self) {
        if let Phase::Decided(decided) = &self.phase
            && self.kind == ConfigurationKind::Regular
        {
            self.store.retain(|instant| decided.joiners.values().any(|other| *other == instant));
        }
    }
}
