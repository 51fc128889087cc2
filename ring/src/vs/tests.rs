//! One filter, step by step.

use bytes::Bytes;

use super::*;
use crate::id::{Epoch, MessageId};
use crate::seq::Ordinal;

fn ring(epoch: u64) -> RingId {
    RingId::new(Epoch(epoch), NodeId(1))
}

fn configuration(kind: ConfigurationKind, epoch: u64, members: &[u32]) -> Configuration {
    Configuration {
        kind,
        ring: ring(epoch),
        previous: None,
        members: members.iter().copied().map(NodeId).collect(),
        eligible: (kind == ConfigurationKind::Regular).then_some(members.len() > 1),
    }
}

fn message(sender: u32, epoch: u64, channel: Channel, payload: &[u8]) -> Message {
    Message {
        id: MessageId { sender: NodeId(sender), incarnation: Epoch(1), counter: 1 },
        ring: ring(epoch),
        ordinal: Some(Ordinal(1)),
        in_configuration: ConfigurationKind::Regular,
        service: Service::Agreed,
        channel,
        payload: Bytes::copy_from_slice(payload),
    }
}

/// Three filters that get the same.
struct Three(Vec<Filter>);

impl Three {
    fn new() -> Self {
        let policy = Policy::Majority([1, 2, 3].map(NodeId).into());
        let filter = |id| Filter::new(NodeId(id), policy.clone(), 10_000);
        Self((1..=3).map(filter).collect())
    }

    fn at(&mut self, id: u32) -> &mut Filter {
        &mut self.0[id as usize - 1]
    }

    /// Installs a configuration at its members, after the transitional one, and tells standings.
    fn install(&mut self, epoch: u64, members: &[u32]) {
        let mut standings = Vec::new();
        for id in members {
            let filter = self.at(*id);
            let (transitional, regular) =
                (ConfigurationKind::Transitional, ConfigurationKind::Regular);
            filter.handle_configuration(&configuration(transitional, epoch, &[*id]));
            filter.handle_configuration(&configuration(regular, epoch, members));
            while let Some(publication) = filter.poll_publish() {
                let Class { channel, .. } = publication.class;
                standings.push(message(*id, epoch, channel, &publication.payload));
            }
        }
        for standing in standings {
            members.iter().for_each(|id| self.at(*id).handle_message(standing.clone()));
        }
    }

    fn confirm(&mut self, epoch: u64, members: &[u32]) {
        members.iter().for_each(|id| self.at(*id).handle_primary(ring(epoch)));
    }

    /// What the application of a member got: views as (node, ring it came with), messages, stops.
    fn outputs(&mut self, id: u32) -> Vec<String> {
        let filter = self.at(id);
        let outputs = std::iter::from_fn(|| filter.poll_output());
        let text = |output| match output {
            Output::View(view) => {
                let processes = view.processes.iter();
                let text = processes.map(|it| format!("{}@{}", it.node, it.since.epoch));
                text.collect::<Vec<_>>().join(" ")
            }
            Output::Message(message) => String::from_utf8(message.payload.to_vec()).unwrap(),
            Output::Stopped => "stopped".to_owned(),
        };
        outputs.map(text).collect()
    }
}

#[test]
fn a_merge_is_one_process_at_a_time() {
    let mut three = Three::new();
    three.install(10, &[1, 2]);
    three.confirm(10, &[1, 2]);
    assert_eq!(three.outputs(1), ["1@10", "1@10 2@10"]);
    assert_eq!(three.outputs(2), ["1@10 2@10"], "views before it came are none of its own");
    three.install(20, &[1, 2, 3]);
    assert!(three.outputs(1).is_empty() && !three.at(1).may_publish());
    three.confirm(20, &[1, 2, 3]);
    assert_eq!(three.outputs(1), ["1@10 2@10 3@20"]);
    assert_eq!(three.outputs(3), ["1@10 2@10 3@20"]);
    assert!(three.at(3).may_publish());
}

#[test]
fn what_comes_before_the_confirmation_is_held() {
    let mut three = Three::new();
    three.install(10, &[1, 2]);
    three.at(1).handle_message(message(2, 10, Channel::APPLICATION, b"early"));
    assert!(three.outputs(1).is_empty());
    three.confirm(10, &[1]);
    assert_eq!(three.outputs(1), ["1@10", "1@10 2@10", "early"]);
    // Not confirmed at 2 when its configuration ends.
    three.at(2).handle_message(message(2, 10, Channel::APPLICATION, b"early"));
    three.install(20, &[1, 2]);
    three.confirm(20, &[1, 2]);
    assert_eq!(three.outputs(2), ["1@20 2@20"], "1 alone is no majority: both are new");
    assert_eq!((three.at(2).discarded(), three.outputs(1).len()), (1, 3));
}

#[test]
fn a_member_that_was_outside_comes_back_as_another() {
    let mut three = Three::new();
    three.install(10, &[1, 2, 3]);
    three.confirm(10, &[1, 2, 3]);
    (1..=3).for_each(|id| drop(three.outputs(id)));
    three.install(11, &[3]);
    three.at(3).handle_message(message(3, 11, Channel::APPLICATION, b"alone"));
    assert_eq!(three.outputs(3), ["stopped"]);
    three.install(20, &[1, 2]);
    three.confirm(20, &[1, 2]);
    assert_eq!(three.outputs(1), ["1@10 2@10"]);
    three.install(30, &[1, 2, 3]);
    three.confirm(30, &[1, 2, 3]);
    assert_eq!(three.outputs(3), ["1@10 2@10 3@30"]);
}

#[test]
fn nothing_changes_but_the_ring_is_still_a_view() {
    let mut three = Three::new();
    three.install(10, &[1, 2]);
    three.confirm(10, &[1, 2]);
    drop(three.outputs(1));
    three.install(20, &[1, 2]);
    // In the transitional configuration that closed it, as in the view.
    three.confirm(20, &[1, 2]);
    assert_eq!(three.outputs(1), ["1@10 2@10"]);
}

#[test]
fn what_is_held_is_bounded() {
    let mut three = Three::new();
    three.install(10, &[1, 2]);
    for _ in 0..10 {
        three.at(1).handle_message(message(2, 10, Channel::APPLICATION, &[b'x'; 2_000]));
    }
    three.confirm(10, &[1, 2]);
    assert!(three.outputs(1).is_empty(), "it has stopped");
    assert_eq!(three.at(1).discarded(), 10);
    three.install(20, &[1, 2]);
    three.confirm(20, &[1, 2]);
    assert_eq!(three.outputs(1), ["1@20", "1@20 2@20"]);
}

#[test]
fn rubbish_on_the_channel_changes_nothing() {
    let mut three = Three::new();
    three.install(10, &[1, 2]);
    let before = three.at(1).clone();
    for payload in [&b""[..], b"\x01", b"\x02123456789012", &[1; 200]] {
        three.at(1).handle_message(message(2, 10, Channel::VIEWS, payload));
        three.at(1).handle_message(message(9, 10, Channel::VIEWS, payload));
    }
    assert_eq!(three.at(1).stage, before.stage);
}
