//! Delivery of configuration changes: EVS 2.2–2.4, and one member list per ring id.

use crate::configuration::ConfigurationKind;
use crate::trace::Event;

use super::graph::{Order, cycle_name};
use super::model::{Life, Segment};
use super::{Case, Judgement};

/// EVS 2.2: every send, delivery and failure lies in the configuration in force, and
/// configurations follow one another: a life begins with the regular configuration of the member
/// alone (EVS §2), a transitional configuration closes the ring in force, and the regular
/// configuration after it is the one it announced.
pub(super) fn evs_2_2(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for (i, life) in model.lives.iter().enumerate() {
        succession(case, i, life, judgement);
        let failed = life.entries.iter().any(|e| e.event == Event::Fail);
        // A life killed before it wrote anything has no EVS event but the harness's word.
        if failed && life.entries.len() > 1 {
            judgement.require(!life.segments.is_empty(), || {
                format!("{} failed outside of any configuration", model.who(i))
            });
        }
    }
    for send in &model.sends {
        let stay = model.stay_of(send.segment);
        let in_force = stay.is_some_and(|stay| model.stays[stay].ring == send.ring);
        judgement.require(in_force, || {
            let (who, id) = (model.who(send.life), model.message_id(send.message));
            format!("{who} sent {id} on {}, not in force", model.ring_id(send.ring))
        });
    }
    for delivery in &model.deliveries {
        let in_force = delivery.segment.is_some_and(|segment| {
            let segment = &model.segments[segment];
            let ring = segment.stay.map(|stay| model.stays[stay].ring);
            ring == Some(delivery.ring) && segment.kind == delivery.kind
        });
        judgement.require(in_force, || {
            let (who, id) = (model.who(delivery.life), model.message_id(delivery.message));
            let ring = model.ring_id(delivery.ring);
            let kind = delivery.kind.name();
            format!("{who} delivered {id} in {kind} configuration of {ring}, not in force")
        });
    }
}

fn succession(case: &Case<'_>, i: usize, life: &Life<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    let mut before: Option<&Segment<'_>> = None;
    for segment in &model.segments[life.segments.clone()] {
        let (ring_before, announced) = match before {
            None => (None, None),
            Some(b) if b.kind == ConfigurationKind::Regular => (Some(b.ring), None),
            Some(b) => (b.previous, Some(b.ring)),
        };
        let follows = match (segment.kind, before) {
            (ConfigurationKind::Regular, None) => {
                segment.previous.is_none() && segment.members == [life.node]
            }
            (ConfigurationKind::Transitional, None) => false,
            (ConfigurationKind::Regular, Some(_)) => {
                segment.previous == ring_before && announced.is_none_or(|r| r == segment.ring)
            }
            (ConfigurationKind::Transitional, Some(_)) => segment.previous == ring_before,
        };
        judgement.require(follows, || {
            let kind = segment.kind.name();
            let ring = model.ring_id(segment.ring);
            format!("{} installs {kind} {ring} out of place", model.who(i))
        });
        before = Some(segment);
    }
}

/// EVS 2.3: what follows the installation of a configuration at one process follows it at all.
pub(super) fn evs_2_3(case: &Case<'_>, judgement: &mut Judgement) {
    simultaneous(case, judgement, "follows a configuration in one place only");
}

/// EVS 2.4: what precedes the installation of a configuration at one process precedes it at all.
pub(super) fn evs_2_4(case: &Case<'_>, judgement: &mut Judgement) {
    simultaneous(case, judgement, "precedes a configuration in one place only");
}

/// EVS 2.3 and 2.4 hold together exactly if precedence stays free of cycles when the
/// installations of one configuration are one event: on a cycle through it, an event lies between
/// two of its installations and so on different sides of them.
fn simultaneous(case: &Case<'_>, judgement: &mut Judgement, what: &str) {
    judgement.judged(case.model.segments.len());
    if let (Order::Linear(_), Order::Cyclic(cycle)) = (&case.causal, &case.merged) {
        judgement.violated(|| format!("{what}: {}", cycle_name(&case.model, cycle)));
    }
}

/// One ring id, one member list: every regular configuration of a ring has the same members.
pub(super) fn one_member_list(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for stay in &model.stays {
        let segment = &model.segments[stay.regular];
        let ring = &model.rings[stay.ring];
        judgement.require(segment.members == ring.members, || {
            let who = model.who(stay.life);
            let (here, first) = (segment.members, ring.members);
            format!("ring {} has members {here:?} at {who}, {first:?} elsewhere", ring.id)
        });
    }
}
