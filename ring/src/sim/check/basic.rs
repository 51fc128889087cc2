//! Basic delivery: EVS 1.1–1.4.

use crate::trace::Event;

use super::graph::{Order, cycle_name};
use super::model::Delivery;
use super::{Case, Judgement};

/// EVS 1.1: precedence is a partial order, so no events precede each other.
pub(super) fn evs_1_1(case: &Case<'_>, judgement: &mut Judgement) {
    judgement.judged(case.merged_graph.event_count());
    if let Order::Cyclic(cycle) = &case.causal {
        judgement.violated(|| cycle_name(&case.model, cycle));
    }
}

/// EVS 1.2: one thread of control: one history a life, its clock never goes back, and nothing
/// happens after it failed.
pub(super) fn evs_1_2(case: &Case<'_>, judgement: &mut Judgement) {
    let lives = &case.model.lives;
    for (i, life) in lives.iter().enumerate() {
        let who = || case.model.who(i);
        judgement.judged(life.entries.len());
        let twin = lives
            .get(i + 1)
            .is_some_and(|next| (next.node, next.incarnation) == (life.node, life.incarnation));
        if twin {
            judgement.violated(|| format!("{} has two histories", who()));
        }
        for pair in life.entries.windows(2) {
            if pair[0].event == Event::Fail {
                judgement.violated(|| format!("{} goes on after its failure", who()));
            }
            if pair[1].time < pair[0].time {
                let (from, to) = (pair[0].time.as_ns(), pair[1].time.as_ns());
                judgement.violated(|| format!("clock of {} fell from {from} to {to} ns", who()));
            }
        }
    }
}

/// EVS 1.3: what is delivered was sent before, by the process that the message names, with the
/// same service, and in the regular configuration that the delivery is for: the deliverer's own
/// or the one that its transitional configuration closes. "Before" across members is EVS 1.1.
pub(super) fn evs_1_3(case: &Case<'_>, judgement: &mut Judgement) {
    for delivery in &case.model.deliveries {
        judgement.instance();
        if let Err(reason) = sent_before(case, delivery) {
            judgement.violated(|| {
                let message = case.model.message_id(delivery.message);
                format!("{} delivered {message}: {reason}", case.model.who(delivery.life))
            });
        }
    }
}

fn sent_before(case: &Case<'_>, delivery: &Delivery) -> Result<(), &'static str> {
    let model = &case.model;
    let message = &model.messages[delivery.message];
    let Some(send) = message.send.map(|send| &model.sends[send]) else {
        return Err("nobody sent it");
    };
    if model.lives[send.life].node != message.id.sender {
        return Err("not its sender sent it");
    }
    if send.life == delivery.life && send.position > delivery.position {
        return Err("it was sent only later");
    }
    if send.ring != delivery.ring {
        return Err("it was sent on another ring");
    }
    if send.service != delivery.service {
        return Err("it was sent with another service");
    }
    let stay = model.stay_of(delivery.segment);
    if stay.is_none_or(|stay| model.stays[stay].ring != send.ring) {
        return Err("the member is not on the ring it was sent on");
    }
    Ok(())
}

/// EVS 1.4: a message is sent once, by the life that it names, in a regular configuration, and
/// delivered at most once by a process, whatever the configuration and the incarnation.
pub(super) fn evs_1_4(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for (i, send) in model.sends.iter().enumerate() {
        let message = &model.messages[send.message];
        let life = &model.lives[send.life];
        let text = |what: &str| format!("{} sent {} {what}", model.who(send.life), message.id);
        judgement.require(message.send == Some(i), || text("again"));
        if (life.node, life.incarnation) != (message.id.sender, message.id.incarnation) {
            judgement.violated(|| text("of another life"));
        }
        let regular = send.segment.is_some_and(|segment| {
            model.segments[segment].kind == crate::configuration::ConfigurationKind::Regular
        });
        if !regular {
            judgement.violated(|| text("outside of a regular configuration"));
        }
    }
    for (i, message) in model.messages.iter().enumerate() {
        let mut last = None;
        for delivery in model.deliveries_of(i) {
            let node = model.lives[delivery.life].node;
            judgement.require(last != Some(node), || {
                format!("{} delivered {} again", model.who(delivery.life), message.id)
            });
            last = Some(node);
        }
    }
}
