//! Totally ordered delivery: EVS 6.1–6.3.

use super::graph::{Order, cycle_name};
use super::model::{Model, NEVER, Ring};
use super::{Case, Judgement};

/// EVS 6.1: the logical order contains precedence. One such order exists exactly if precedence
/// stays free of cycles with the simultaneous events of EVS 6.2 as one.
pub(super) fn evs_6_1(case: &Case<'_>, judgement: &mut Judgement) {
    judgement.judged(case.ordered_graph.edges().len());
    judge_order(case, judgement);
}

/// EVS 6.2: processes install a configuration, and deliver an agreed or safe message, at one
/// logical time. An instance is an event that others are simultaneous with.
pub(super) fn evs_6_2(case: &Case<'_>, judgement: &mut Judgement) {
    let graph = &case.ordered_graph;
    judgement.judged(graph.event_count() - graph.node_count());
    judge_order(case, judgement);
}

fn judge_order(case: &Case<'_>, judgement: &mut Judgement) {
    if let Order::Cyclic(cycle) = &case.ordered {
        judgement.violated(|| cycle_name(&case.model, cycle));
    }
}

/// EVS 6.3 (agreed and safe messages): of what p delivered before a message that q delivered,
/// too, q delivered everything; but in a transitional configuration q may miss what was sent by
/// processes that are not in it.
pub(super) fn evs_6_3(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for (r, ring) in model.rings.iter().enumerate() {
        for (row, &stay) in ring.stays.iter().enumerate() {
            let order = order_of(model, r, stay);
            for other in (0..ring.stays.len()).filter(|other| *other != row) {
                judge_pair(model, ring, &order, (stay, other), judgement);
            }
        }
    }
}

/// The ordered messages of a ring in the order of one stay, as columns.
fn order_of(model: &Model<'_>, ring: usize, stay: usize) -> Vec<usize> {
    let deliveries = &model.deliveries[model.stays[stay].deliveries.clone()];
    let mut order = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let message = &model.messages[delivery.message];
        match message.place {
            Some((home, column)) if home == ring && message.service.is_totally_ordered() => {
                order.push(column);
            }
            _ => {}
        }
    }
    order
}

/// Walks p's order backwards: what q delivered later excuses nothing before it.
fn judge_pair(
    model: &Model<'_>,
    ring: &Ring<'_>,
    order: &[usize],
    (p, q_row): (usize, usize),
    judgement: &mut Judgement,
) {
    let q = &model.stays[ring.stays[q_row]];
    let delivered = ring.row(q_row);
    let (mut later_in_regular, mut later_in_transitional) = (None, None);
    for &column in order.iter().rev() {
        let message = ring.messages[column];
        if delivered[column] != NEVER {
            let later = if delivered[column] < q.signal {
                &mut later_in_regular
            } else {
                &mut later_in_transitional
            };
            *later = Some(message);
            judgement.instance();
            continue;
        }
        let sender = model.messages[message].id.sender;
        let obliged =
            |_: &usize| q.transitional.is_some_and(|t| model.segments[t].members.contains(&sender));
        if let Some(later) = later_in_regular.or(later_in_transitional.filter(obliged)) {
            judgement.violated(|| {
                let (p, q) = (model.who(model.stays[p].life), model.who(q.life));
                let (gap, later) = (model.message_id(message), model.message_id(later));
                format!("{q} delivered {later} without {gap}, which {p} delivered before it")
            });
        }
    }
}
