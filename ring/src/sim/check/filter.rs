//! Virtual synchrony of the filtered history: C1–C3 and L1–L5 of EVS §4, after the filter of §5.
//!
//! The filter masks transitional configurations and lets through what happens on primary rings
//! (its rules 1 and 2). A ring is a primary when anyone confirmed it; a member that leaves for
//! another configuration than the next primary has stopped, and comes back as another (rules 3 and
//! 4 need nothing more here). Failed and stopped members are extended: what they missed is imputed
//! to them (`Extend` of EVS §4), so nothing is asked of them.

use super::atomicity::{Delivered, same_sets};
use super::graph::{Graph, Order, Shape, cycle_name};
use super::model::{Stay, StayEnd};
use super::primary::chain;
use super::self_delivery::owes;
use super::{Case, Judgement};

/// The stays that the filter lets through, each with its index.
fn views<'c>(case: &'c Case<'_>) -> impl Iterator<Item = (usize, &'c Stay)> {
    let model = &case.model;
    let stays = model.stays.iter().enumerate();
    stays.filter(|(_, stay)| model.rings[stay.ring].primary)
}

fn needs_primary(case: &Case<'_>, judgement: &mut Judgement) {
    if case.model.confirmations.is_empty() {
        judgement.not_applicable();
    }
}

/// VS C1: the cause of each event is in the history: what is delivered in a view was sent in one.
pub(super) fn c1(case: &Case<'_>, judgement: &mut Judgement) {
    needs_primary(case, judgement);
    let model = &case.model;
    for (_, stay) in views(case) {
        for delivery in &model.deliveries[stay.deliveries.clone()] {
            let send = model.messages[delivery.message].send;
            let sent_on = send.and_then(|send| model.stay_of(model.sends[send].segment));
            let sent_on = sent_on.map(|sent_on| model.stays[sent_on].ring);
            judgement.require(sent_on.is_some_and(|ring| model.rings[ring].primary), || {
                let (who, id) = (model.who(delivery.life), model.message_id(delivery.message));
                format!("{who} delivered {id} in a view; it was sent in none")
            });
        }
    }
}

/// VS C2: what is sent is delivered, by anyone; by its sender, if nobody else, as it did not fail.
pub(super) fn c2(case: &Case<'_>, judgement: &mut Judgement) {
    needs_primary(case, judgement);
    let model = &case.model;
    for (_, stay) in views(case).filter(|(_, stay)| owes(case, stay)) {
        for send in &model.sends[stay.sends.clone()] {
            let delivered = model.deliveries_of(send.message).any(|delivery| {
                let at = model.stay_of(delivery.segment);
                at.is_some_and(|at| model.rings[model.stays[at].ring].primary)
            });
            judgement.require(delivered, || {
                let (who, id) = (model.who(send.life), model.message_id(send.message));
                format!("{who} sent {id} in a view; nobody delivered it in one")
            });
        }
    }
}

/// VS C3: what one member delivers in a view, all others deliver: all that go on to the next
/// view, and at a quiet end all that are still in the last one.
pub(super) fn c3(case: &Case<'_>, judgement: &mut Judgement) {
    needs_primary(case, judgement);
    let model = &case.model;
    let mut next_view = vec![None; model.rings.len()];
    for pair in chain(case).windows(2) {
        next_view[pair[0].0] = Some(pair[1].0);
    }
    let mut sets = Vec::new();
    for (_, stay) in views(case) {
        let step = match stay.end {
            StayEnd::Left { next } if next_view[stay.ring] == Some(next) => (stay.ring, next),
            StayEnd::Open if owes(case, stay) => (stay.ring, stay.ring),
            StayEnd::Left { .. } | StayEnd::Open | StayEnd::Failed => continue,
        };
        sets.push(Delivered::new(model, step, stay.life, stay.deliveries.clone()));
    }
    same_sets(model, judgement, sets);
}

/// VS L1: a global time respects causality.
pub(super) fn l1(case: &Case<'_>, judgement: &mut Judgement) {
    timed(case, judgement, Shape::CAUSAL);
}

/// VS L2: distinct events of one process have distinct times: none is a view, or the delivery of
/// one message, a second time.
pub(super) fn l2(case: &Case<'_>, judgement: &mut Judgement) {
    needs_primary(case, judgement);
    let model = &case.model;
    let mut seen_views = Vec::new();
    let mut seen_messages = Vec::new();
    for (_, stay) in views(case) {
        let node = model.lives[stay.life].node;
        seen_views.push((node, stay.ring));
        for delivery in &model.deliveries[stay.deliveries.clone()] {
            seen_messages.push((node, delivery.message));
        }
    }
    judgement.judged(seen_views.len() + seen_messages.len());
    seen_views.sort_unstable();
    for pair in seen_views.windows(2).filter(|pair| pair[0] == pair[1]) {
        let (node, ring) = (pair[0].0, model.ring_id(pair[0].1));
        judgement.violated(|| format!("{node} has two views {ring}"));
    }
    seen_messages.sort_unstable();
    for pair in seen_messages.windows(2).filter(|pair| pair[0] == pair[1]) {
        let (node, id) = (pair[0].0, model.message_id(pair[0].1));
        judgement.violated(|| format!("{node} delivers {id} twice"));
    }
}

/// VS L3: all members have a view at one time.
pub(super) fn l3(case: &Case<'_>, judgement: &mut Judgement) {
    timed(case, judgement, Shape::CONFIGURATIONS_MERGED);
}

/// VS L4: all that deliver a message do so in the same view.
pub(super) fn l4(case: &Case<'_>, judgement: &mut Judgement) {
    needs_primary(case, judgement);
    let model = &case.model;
    for i in 0..model.messages.len() {
        let mut first = None;
        for delivery in model.deliveries_of(i) {
            let at = model.stay_of(delivery.segment).map(|stay| model.stays[stay].ring);
            let Some(view) = at.filter(|ring| model.rings[*ring].primary) else {
                continue;
            };
            judgement.require(*first.get_or_insert(view) == view, || {
                let (who, id) = (model.who(delivery.life), model.message_id(i));
                format!("{who} delivers {id} in view {}, others do not", model.ring_id(view))
            });
        }
    }
}

/// VS L5: all deliveries of an ordered (`abcast`) message have one time.
pub(super) fn l5(case: &Case<'_>, judgement: &mut Judgement) {
    timed(case, judgement, Shape::ALL_MERGED);
}

/// A labelling with times exists exactly if the filtered history of `shape` has no cycle.
fn timed(case: &Case<'_>, judgement: &mut Judgement, shape: Shape) {
    needs_primary(case, judgement);
    if !judgement.applicable {
        return;
    }
    let graph = Graph::new(&case.model, shape.filtered());
    judgement.judged(graph.event_count());
    if let Order::Cyclic(cycle) = graph.order() {
        judgement.violated(|| cycle_name(&case.model, &cycle));
    }
}
