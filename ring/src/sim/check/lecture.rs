//! The lecture's properties of single installations and deliveries: 1, 2 and 6.

use super::{Case, Judgement};

/// Lecture, 1, self inclusion: who installs a configuration is a member of it.
pub(super) fn self_inclusion(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for (i, segment) in model.segments.iter().enumerate() {
        let node = model.lives[segment.life].node;
        judgement.require(segment.members.contains(&node), || {
            let (who, what) = (model.who(segment.life), model.configuration_name(i));
            format!("{who} installed {what} without itself")
        });
    }
}

/// Lecture, 2, local monotonicity: a process installs regular configurations with growing
/// identifiers, across restarts too.
pub(super) fn local_monotonicity(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for pair in model.stays.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        if model.lives[before.life].node != model.lives[after.life].node {
            continue;
        }
        // Ring indices are in the order of ring ids.
        judgement.require(before.ring < after.ring, || {
            let (from, to) = (model.ring_id(before.ring), model.ring_id(after.ring));
            format!("{} installed {to} after {from}", model.who(after.life))
        });
    }
}

/// Lecture, 6, same view delivery: all that deliver a message deliver it in the same view, the
/// regular configuration in force or being closed.
pub(super) fn same_view_delivery(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for i in 0..model.messages.len() {
        let mut first = None;
        for delivery in model.deliveries_of(i) {
            let view = model.stay_of(delivery.segment).map(|stay| model.stays[stay].ring);
            judgement.require(*first.get_or_insert(view) == view, || {
                let (who, id) = (model.who(delivery.life), model.message_id(i));
                format!("{who} delivered {id} in another view than others")
            });
        }
    }
}
