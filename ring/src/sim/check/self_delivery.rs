//! A process and its own messages: EVS 3, and the order in which they were accepted.

use super::model::{NEVER, Stay, StayEnd};
use super::{Case, Judgement};

/// Whether a stay owes what its ring demands of a member that does not fail: it went on to the
/// next regular configuration, or the run was left quiet with it there. A failed one is excused,
/// and one cut off by the end of the history may still deliver.
pub(super) fn owes(case: &Case<'_>, stay: &Stay) -> bool {
    match stay.end {
        StayEnd::Left { .. } => true,
        StayEnd::Failed => false,
        StayEnd::Open => case.options.quiescent,
    }
}

/// EVS 3: a process delivers what it sent in a configuration, there or in the transitional one
/// that follows, unless it fails in them.
pub(super) fn evs_3(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for stay in model.stays.iter().filter(|stay| owes(case, stay)) {
        let delivered: Vec<usize> = {
            let deliveries = &model.deliveries[stay.deliveries.clone()];
            let mut messages: Vec<usize> = deliveries.iter().map(|d| d.message).collect();
            messages.sort_unstable();
            messages
        };
        for send in &model.sends[stay.sends.clone()] {
            judgement.require(delivered.binary_search(&send.message).is_ok(), || {
                let (who, id) = (model.who(stay.life), model.message_id(send.message));
                let ring = model.ring_id(stay.ring);
                format!("{who} sent {id} on {ring} and did not deliver it there")
            });
        }
    }
}

/// Sends of one class, early or ordered, of one life follow the order of its `submit` events, and
/// a message is accepted once, before it is sent, by the life that it names. Messages without a
/// `submit` are not judged: writing them is optional.
pub(super) fn submit_order(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    let mut accepted = vec![NEVER; model.messages.len()];
    for (i, life) in model.lives.iter().enumerate() {
        for submit in &model.submits[life.submits.clone()] {
            let id = model.message_id(submit.message);
            let first = accepted[submit.message] == NEVER;
            accepted[submit.message] = super::model::narrow(submit.position);
            judgement.require(first, || format!("{} accepted {id} again", model.who(i)));
            if (id.sender, id.incarnation) != (life.node, life.incarnation) {
                judgement.violated(|| format!("{} accepted {id} of another life", model.who(i)));
            }
        }
        let mut last = [None; 2];
        for send in &model.sends[life.sends.clone()] {
            let at = accepted[send.message];
            if at == NEVER {
                continue;
            }
            let before = &mut last[usize::from(send.service.is_totally_ordered())];
            let in_order = before.is_none_or(|before| before < at);
            judgement.require(in_order && (at as usize) < send.position, || {
                let id = model.message_id(send.message);
                format!("{} sent {id} out of the order of acceptance", model.who(i))
            });
            *before = Some(at);
        }
    }
}
