//! Causal delivery: EVS 5.

use crate::service::Service;

use super::model::{Model, NEVER, Ring, Stay};
use super::{Case, Judgement};

/// EVS 5: what its sender sent or delivered in a configuration before it sent a causal, agreed or
/// safe message there precedes that message wherever it is delivered. Transitivity then follows,
/// as the message before was delivered with its own past. Causality does not pass through
/// reliable and fifo messages; the fifo messages of one sender precede one another.
pub(super) fn evs_5(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    for (r, ring) in model.rings.iter().enumerate() {
        for &stay in &ring.stays {
            let stay = &model.stays[stay];
            judge_sender(model, ring, &Past::causal(model, r, stay), judgement);
            judge_sender(model, ring, &Past::fifo(model, r, stay), judgement);
        }
    }
}

/// What one sender did on one ring, as columns of the ring.
struct Past {
    life: usize,
    /// What it sent and delivered, in local order.
    columns: Vec<usize>,
    /// Each message that it sent, with how many of `columns` precede that send.
    sent: Vec<(usize, usize)>,
}

impl Past {
    fn causal(model: &Model<'_>, ring: usize, stay: &Stay) -> Self {
        let mut past = Self::of(stay);
        let mut deliveries = model.deliveries[stay.deliveries.clone()].iter().peekable();
        for send in &model.sends[stay.sends.clone()] {
            while let Some(earlier) = deliveries.next_if(|d| d.position < send.position) {
                past.columns.extend(causal_column(model, ring, earlier.message));
            }
            past.send(causal_column(model, ring, send.message));
        }
        past
    }

    fn fifo(model: &Model<'_>, ring: usize, stay: &Stay) -> Self {
        let mut past = Self::of(stay);
        for send in &model.sends[stay.sends.clone()] {
            if model.messages[send.message].service == Service::Fifo {
                past.send(column(model, ring, send.message));
            }
        }
        past
    }

    const fn of(stay: &Stay) -> Self {
        Self { life: stay.life, columns: Vec::new(), sent: Vec::new() }
    }

    fn send(&mut self, column: Option<usize>) {
        if let Some(column) = column {
            self.sent.push((column, self.columns.len()));
            self.columns.push(column);
        }
    }
}

fn causal_column(model: &Model<'_>, ring: usize, message: usize) -> Option<usize> {
    match model.messages[message].service {
        Service::Reliable | Service::Fifo => None,
        Service::Causal | Service::Agreed | Service::Safe => column(model, ring, message),
    }
}

fn column(model: &Model<'_>, ring: usize, message: usize) -> Option<usize> {
    let (home, column) = model.messages[message].place?;
    (home == ring).then_some(column)
}

/// For each deliverer one walk over the sender's past, keeping the latest place at which any of it
/// was delivered there: it must not be after the message itself.
fn judge_sender(model: &Model<'_>, ring: &Ring<'_>, past: &Past, judgement: &mut Judgement) {
    for (row, &stay) in ring.stays.iter().enumerate() {
        let deliverer = model.stays[stay].life;
        let delivered = ring.row(row);
        let (mut latest, mut latest_column) = (0, None);
        let mut walked = 0;
        for &(message, past_len) in &past.sent {
            for &column in &past.columns[walked..past_len] {
                if delivered[column] > latest {
                    (latest, latest_column) = (delivered[column], Some(column));
                }
            }
            walked = past_len;
            if delivered[message] == NEVER || past_len == 0 {
                continue;
            }
            judgement.require(latest <= delivered[message], || {
                let id = |column: usize| model.message_id(ring.messages[column]);
                let (who, sender) = (model.who(deliverer), model.who(past.life));
                let before = latest_column.map_or_else(String::new, |c| id(c).to_string());
                let how = if latest == NEVER { "without" } else { "before" };
                let message = id(message);
                format!("{who} delivered {message} {how} {before}, which {sender} had before it")
            });
        }
    }
}
