//! Safe delivery: EVS 7.1, 7.2, and the lecture's form of it.

use crate::configuration::ConfigurationKind;
use crate::id::NodeId;
use crate::service::Service;

use super::model::{Delivery, NEVER, Ring, Segment};
use super::self_delivery::owes;
use super::{Case, Judgement};

/// EVS 7.1: a safe message that anyone delivered in a configuration is delivered by each of its
/// members, in that ring's regular or any of its transitional configurations, unless it fails
/// there.
pub(super) fn evs_7_1(case: &Case<'_>, judgement: &mut Judgement) {
    for_safe(case, |ring, column, segment, delivery| {
        for &member in segment.members {
            let Some(kept) = kept(case, ring, column, member) else {
                continue;
            };
            judgement.require(kept, || text(case, delivery, member, "did not"));
        }
    });
}

/// Lecture, 10: a safe message delivered before the signal is delivered by every member of the
/// view unless it crashes; delivered after it, by every member of the deliverer's transitional
/// set, and after the signal by those that share that transitional configuration. (One that went
/// into another one may have learnt that the message was safe in the old view.)
pub(super) fn lecture_10(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for_safe(case, |ring, column, segment, delivery| {
        for &member in segment.members {
            let Some(kept) = kept(case, ring, column, member) else {
                continue;
            };
            judgement.require(kept, || text(case, delivery, member, "did not"));
            let early = segment.kind == ConfigurationKind::Transitional
                && model.stays_on(ring, member).any(|(row, stay)| {
                    let shared = stay
                        .transitional
                        .is_some_and(|t| model.segments[t].configuration == segment.configuration);
                    shared && model.rings[ring].row(row)[column] < stay.signal
                });
            if early {
                judgement.violated(|| text(case, delivery, member, "did so before the signal"));
            }
        }
    });
}

/// Calls `judge` with ring, column, configuration and delivery, once for each configuration that
/// somebody delivered a safe message in.
fn for_safe(case: &Case<'_>, mut judge: impl FnMut(usize, usize, &Segment<'_>, &Delivery)) {
    let model = &case.model;
    let mut judged = Vec::new();
    for (i, message) in model.messages.iter().enumerate() {
        let Some((ring, column)) = message.place.filter(|_| message.service == Service::Safe)
        else {
            continue;
        };
        judged.clear();
        for delivery in model.deliveries_of(i).filter(|d| d.ring == ring) {
            let Some(segment) = delivery.segment.map(|s| &model.segments[s]) else {
                continue;
            };
            let here = segment.stay.is_some_and(|stay| model.stays[stay].ring == ring);
            if here && !judged.contains(&segment.configuration) {
                judged.push(segment.configuration);
                judge(ring, column, segment, delivery);
            }
        }
    }
}

/// Whether `member` kept the promise of safe delivery; none while that is not decided.
fn kept(case: &Case<'_>, ring: usize, column: usize, member: NodeId) -> Option<bool> {
    let model = &case.model;
    let mut stays = model.stays_on(ring, member).peekable();
    if stays.peek().is_none() {
        // It never was on the ring, which EVS 7.2 forbids; unless it may still come.
        return (case.options.quiescent || !model.may_install(member, ring)).then_some(false);
    }
    let mut undecided = false;
    for (row, stay) in stays {
        if model.rings[ring].row(row)[column] != NEVER {
            return Some(true);
        }
        undecided |= !owes(case, stay);
    }
    // Failed there, or not yet due.
    if undecided { None } else { Some(false) }
}

fn text(case: &Case<'_>, delivery: &Delivery, member: NodeId, what: &str) -> String {
    let (who, id) = (case.model.who(delivery.life), case.model.message_id(delivery.message));
    format!("{who} delivered {id} as safe, member {member} {what}")
}

/// EVS 7.2: a safe message delivered in a regular configuration proves that all its members
/// installed it; a later failure is no excuse. An instance is a ring with such a message and a
/// member of it.
pub(super) fn evs_7_2(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for (r, ring) in model.rings.iter().enumerate() {
        let Some((life, message)) = proof(case, ring) else {
            continue;
        };
        for &member in ring.members {
            if let Some(installed) = installed(case, r, member) {
                judgement.require(installed, || {
                    let (who, id) = (model.who(life), model.message_id(message));
                    let ring = ring.id;
                    format!("{who} delivered {id} as safe in {ring}; {member} never installed it")
                });
            }
        }
    }
}

/// Somebody's delivery of a safe message in the regular configuration of `ring`.
fn proof(case: &Case<'_>, ring: &Ring<'_>) -> Option<(usize, usize)> {
    let model = &case.model;
    for (row, &stay) in ring.stays.iter().enumerate() {
        let stay = &model.stays[stay];
        for (column, &position) in ring.row(row).iter().enumerate() {
            let message = ring.messages[column];
            if position < stay.signal && model.messages[message].service == Service::Safe {
                return Some((stay.life, message));
            }
        }
    }
    None
}

/// Whether `member` installed `ring`; none while it may yet do so.
pub(super) fn installed(case: &Case<'_>, ring: usize, member: NodeId) -> Option<bool> {
    if case.model.stays_on(ring, member).next().is_some() {
        return Some(true);
    }
    (case.options.quiescent || !case.model.may_install(member, ring)).then_some(false)
}
