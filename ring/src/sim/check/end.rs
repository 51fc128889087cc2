//! What must hold when a run was healed and left quiet: EVS 2.1, one ring, nothing left over.

use crate::configuration::ConfigurationKind;

use super::{Case, Judgement};

/// EVS 2.1: at the quiet end every member of a live member's last configuration is alive and in
/// it too.
pub(super) fn evs_2_1(case: &Case<'_>, judgement: &mut Judgement) {
    if !case.options.quiescent {
        judgement.not_applicable();
        return;
    }
    let model = &case.model;
    for (life, last) in model.live_ends() {
        let Some(last) = last else { continue };
        let segment = &model.segments[last];
        for &member in segment.members {
            let other = model.last_life(member).filter(|other| !other.failed);
            let there = other.and_then(|other| other.segments.clone().last());
            let same = there
                .is_some_and(|there| model.segments[there].configuration == segment.configuration);
            judgement.require(same, || {
                let (who, what) = (model.who(life), model.configuration_name(last));
                format!("{who} ends in {what}, its member {member} does not")
            });
        }
    }
}

/// A healed run ends in one ring: all live members end in the same regular configuration.
pub(super) fn ends_in_one_ring(case: &Case<'_>, judgement: &mut Judgement) {
    if !case.options.quiescent {
        judgement.not_applicable();
        return;
    }
    let model = &case.model;
    let mut first = None;
    for (life, last) in model.live_ends() {
        let ring = last.filter(|last| {
            let kind = model.segments[*last].kind;
            kind == ConfigurationKind::Regular
        });
        let ring = ring.map(|last| model.segments[last].ring);
        let first = first.get_or_insert(ring);
        judgement.require(ring.is_some() && *first == ring, || {
            let place = last.map_or_else(
                || "no configuration".to_owned(),
                |last| model.configuration_name(last),
            );
            format!("{} ends in {place}, not in one ring with all others", model.who(life))
        });
    }
}

/// Every message accepted by a member that is alive at the quiet end was originated, and delivered
/// at that member.
pub(super) fn accepted_is_delivered(case: &Case<'_>, judgement: &mut Judgement) {
    if !case.options.quiescent {
        judgement.not_applicable();
        return;
    }
    let model = &case.model;
    for (life, _) in model.live_ends() {
        for submit in &model.submits[model.lives[life].submits.clone()] {
            let message = &model.messages[submit.message];
            let delivered = model.deliveries_of(submit.message).any(|d| d.life == life);
            judgement.require(message.send.is_some() && delivered, || {
                let missing = if message.send.is_some() { "delivered" } else { "originated" };
                format!("{} accepted {}, never {missing} it", model.who(life), message.id)
            });
        }
    }
}
