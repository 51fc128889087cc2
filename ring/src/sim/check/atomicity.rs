//! Who goes together delivered the same: EVS 4, and virtual synchrony of the lecture.

use super::model::{Model, StayEnd};
use super::{Case, Judgement};

/// What one process delivered in what one step closes.
pub(super) struct Delivered {
    /// The step: which configuration, and which one next.
    pub(super) step: (usize, usize),
    pub(super) life: usize,
    /// Ascending.
    pub(super) messages: Vec<usize>,
}

impl Delivered {
    /// The set of the messages at `deliveries` of the model, if `wanted`.
    pub(super) fn new(
        model: &Model<'_>,
        step: (usize, usize),
        life: usize,
        deliveries: std::ops::Range<usize>,
    ) -> Self {
        let deliveries = &model.deliveries[deliveries];
        let mut messages: Vec<usize> = deliveries.iter().map(|d| d.message).collect();
        messages.sort_unstable();
        Self { step, life, messages }
    }
}

/// EVS 4: two processes that install the same two configurations one after the other delivered
/// the same set of messages in the first.
pub(super) fn evs_4(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    let mut sets = Vec::new();
    for life in &model.lives {
        for pair in model.segments[life.segments.clone()].windows(2) {
            let step = (pair[0].configuration, pair[1].configuration);
            let deliveries = pair[0].deliveries.clone();
            sets.push(Delivered::new(model, step, pair[0].life, deliveries));
        }
    }
    same_sets(model, judgement, sets);
}

/// Lecture, 7: two processes that move together through two consecutive views delivered the same
/// set of messages in the former, regular and transitional configuration together.
pub(super) fn lecture_7(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    let mut sets = Vec::new();
    for stay in &model.stays {
        if let StayEnd::Left { next } = stay.end {
            let step = (stay.ring, next);
            sets.push(Delivered::new(model, step, stay.life, stay.deliveries.clone()));
        }
    }
    same_sets(model, judgement, sets);
}

/// Requires the sets of each step to be equal. An instance is a process compared with another.
pub(super) fn same_sets(model: &Model<'_>, judgement: &mut Judgement, mut sets: Vec<Delivered>) {
    sets.sort_by_key(|set| set.step);
    for together in sets.chunk_by(|a, b| a.step == b.step) {
        let [first, others @ ..] = together else {
            continue;
        };
        for other in others {
            judgement.require(first.messages == other.messages, || {
                let (who, whom) = (model.who(other.life), model.who(first.life));
                match difference(&first.messages, &other.messages) {
                    Some(message) => {
                        let id = model.message_id(message);
                        format!("{who} and {whom} go on together; only one delivered {id}")
                    }
                    None => format!("{who} and {whom} go on together; one delivered twice"),
                }
            });
        }
    }
}

/// The first message that only one of two ascending lists has.
fn difference(a: &[usize], b: &[usize]) -> Option<usize> {
    let missing = |from: &[usize], m: &usize| from.binary_search(m).is_err();
    let only_a = a.iter().find(|m| missing(b, m));
    let only_b = b.iter().find(|m| missing(a, m));
    only_a.or(only_b).copied()
}
