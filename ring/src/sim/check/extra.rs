//! What a ring promises beyond EVS: ordinals and content.

use super::{Case, Judgement};

/// On one ring an ordinal is of one message and a message has one ordinal.
pub(super) fn ordinal_names_message(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    let mut given = Vec::new();
    for delivery in &model.deliveries {
        if let Some(ordinal) = delivery.ordinal {
            given.push((delivery.ring, ordinal, delivery.message));
        }
    }
    judgement.judged(given.len());
    given.sort_unstable();
    given.dedup();
    for pair in given.windows(2) {
        if (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1) {
            judgement.violated(|| {
                let (a, b) = (model.message_id(pair[0].2), model.message_id(pair[1].2));
                let (ring, ordinal) = (model.ring_id(pair[0].0), pair[0].1.0);
                format!("ordinal {ordinal} of {ring} is of {a} and of {b}")
            });
        }
    }
    given.sort_unstable_by_key(|(ring, ordinal, message)| (*ring, *message, *ordinal));
    for pair in given.windows(2) {
        if (pair[0].0, pair[0].2) == (pair[1].0, pair[1].2) {
            judgement.violated(|| {
                let (id, ring) = (model.message_id(pair[0].2), model.ring_id(pair[0].0));
                let (a, b) = (pair[0].1.0, pair[1].1.0);
                format!("{id} has ordinals {a} and {b} on {ring}")
            });
        }
    }
}

/// A process delivers the agreed and safe messages of a ring in ascending order of ordinals.
/// Messages that took no token have none.
pub(super) fn ordinals_ascend(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for life in &model.lives {
        let mut last = None;
        for delivery in &model.deliveries[life.deliveries.clone()] {
            let Some(ordinal) = delivery.ordinal else {
                continue;
            };
            if !delivery.service.is_totally_ordered() {
                continue;
            }
            // A ring that follows another starts anew.
            let ascends =
                last.is_none_or(|(ring, before)| ring != delivery.ring || before < ordinal);
            judgement.require(ascends, || {
                let (who, id) = (model.who(delivery.life), model.message_id(delivery.message));
                format!("{who} delivered {id}, ordinal {}, after a later one", ordinal.0)
            });
            last = Some((delivery.ring, ordinal));
        }
    }
}

/// What is delivered has the content that was sent. A hash of zero stands for one that was not
/// written down.
pub(super) fn content_kept(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for delivery in &model.deliveries {
        let send = model.messages[delivery.message].send;
        let Some(sent) = send.map(|send| model.sends[send].hash) else {
            continue;
        };
        if sent == 0 || delivery.hash == 0 {
            continue;
        }
        judgement.require(sent == delivery.hash, || {
            let (who, id) = (model.who(delivery.life), model.message_id(delivery.message));
            format!("{who} delivered {id} with other content than was sent")
        });
    }
}
