//! Transitional configurations: the lecture's transitional set and signal, 11 and 12.

use crate::configuration::ConfigurationKind;
use crate::id::NodeId;

use super::atomicity::{Delivered, same_sets};
use super::model::{Model, Segment};
use super::{Case, Judgement};

/// A transitional configuration at one process: the segment, the ring closed, the ring announced.
struct Transition<'c, 'h> {
    segment: &'c Segment<'h>,
    closed: usize,
    announced: usize,
}

fn transitions<'c, 'h>(model: &'c Model<'h>) -> impl Iterator<Item = Transition<'c, 'h>> {
    model.segments.iter().filter_map(|segment| {
        let closed = segment.previous?;
        (segment.kind == ConfigurationKind::Transitional).then_some(Transition {
            segment,
            closed,
            announced: segment.ring,
        })
    })
}

/// Lecture, 11, transitional set: it holds the process itself and, of those that install the view,
/// exactly the ones that come from the same view (EVS §2); all of them have the same set.
pub(super) fn lecture_11(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    let mut agreed: Vec<Option<&[NodeId]>> = vec![None; model.configuration_count];
    for Transition { segment, closed, announced } in transitions(model) {
        let members = segment.members;
        let node = model.lives[segment.life].node;
        let text = |what: &str| {
            let (from, to) = (model.ring_id(closed), model.ring_id(announced));
            format!("{}: transitional set of {from} to {to} {what}", model.who(segment.life))
        };
        judgement.require(members.contains(&node), || text("lacks the process itself"));
        let first = agreed[segment.configuration].get_or_insert(members);
        judgement.require(*first == members, || text("differs from others'"));
        for ring in [closed, announced] {
            let all = model.rings[ring].members;
            let inside = all.is_empty() || members.iter().all(|m| all.contains(m));
            judgement.require(inside, || text("has strangers"));
        }
        for &stay in &model.rings[announced].stays {
            let other = &model.segments[model.stays[stay].regular];
            let from_here = other.previous == Some(closed);
            let listed = members.contains(&model.lives[other.life].node);
            judgement.require(from_here == listed, || {
                let whom = model.who(other.life);
                if listed {
                    text(&format!("has {whom}, which comes from elsewhere"))
                } else {
                    text(&format!("lacks {whom}, which comes along"))
                }
            });
        }
    }
}

/// Lecture, 12, transitional signal: one before each view but the first of a life; and processes
/// of one transitional set delivered the same ordered messages before it, and the same after it.
pub(super) fn lecture_12(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for life in &model.lives {
        for pair in model.segments[life.segments.clone()].windows(2) {
            let alternate = pair[0].kind != pair[1].kind;
            judgement.require(alternate, || {
                let (who, ring) = (model.who(pair[1].life), model.ring_id(pair[1].ring));
                let what = match pair[1].kind {
                    ConfigurationKind::Regular => "without a transitional signal",
                    ConfigurationKind::Transitional => "with a second transitional signal",
                };
                format!("{who} goes on to {ring} {what}")
            });
        }
    }
    same_sets(model, judgement, ordered_around_signals(model));
}

/// What each process delivered of the order before and after each signal that a view followed.
fn ordered_around_signals(model: &Model<'_>) -> Vec<Delivered> {
    let mut sets = Vec::new();
    for stay in &model.stays {
        let Some(signal) = stay.transitional.map(|t| &model.segments[t]) else {
            continue;
        };
        if stay.end == (super::model::StayEnd::Left { next: signal.ring }) {
            let middle = signal.deliveries.start;
            let parts = [stay.deliveries.start..middle, middle..stay.deliveries.end];
            for (after, part) in parts.into_iter().enumerate() {
                let step = (signal.configuration, after);
                let mut set = Delivered::new(model, step, stay.life, part);
                let ordered = |m: &usize| model.messages[*m].service.is_totally_ordered();
                set.messages.retain(ordered);
                sets.push(set);
            }
        }
    }
    sets
}
