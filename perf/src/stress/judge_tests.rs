//! The judge, on what members tell that agree and that do not.

use roundel::{Configuration, ConfigurationKind, Epoch, MessageId, NodeId, RingId};

use super::history::History;
use super::judge::Judge;
use super::words::{Passage, Point, Ring, Told};
use crate::payload::Load;

const RING: Ring = Ring(1, 1);
const NEXT: Ring = Ring(2, 1);

fn point(count: u64, digest: u64) -> Point {
    Point { count, digest }
}

fn checkpoint(count: u64, digest: u64) -> Told {
    Told::Checkpoint { ring: RING, point: point(count, digest) }
}

fn passage(together: &[u32], regular: Point, whole: Point) -> Told {
    let together = together.to_vec();
    Told::Passage(Passage { from: RING, to: NEXT, together, regular, whole })
}

fn begun() -> Judge {
    let mut judge = Judge::default();
    for host in [1, 2, 3] {
        let first = Told::Configuration { ring: RING, members: vec![1, 2, 3] };
        assert_eq!(judge.handle_told(host, &first), None);
    }
    judge
}

#[test]
fn another_order_is_found_at_a_checkpoint() {
    let mut judge = begun();
    assert_eq!(judge.handle_told(1, &checkpoint(1024, 5)), None);
    assert_eq!(judge.handle_told(2, &checkpoint(1024, 5)), None);
    let found = judge.handle_told(3, &checkpoint(1024, 6)).unwrap();
    assert!(found.contains("differ in the first 1024"), "{found}");
    assert_eq!(judge.compared().checkpoints, 2);
}

#[test]
fn those_that_go_together_delivered_the_same() {
    let mut judge = begun();
    let (regular, whole) = (point(7, 70), point(9, 90));
    assert_eq!(judge.handle_told(1, &passage(&[1, 2], regular, whole)), None);
    assert_eq!(judge.handle_told(2, &passage(&[1, 2], regular, whole)), None);
    let fewer = passage(&[1, 2], regular, point(8, 80));
    assert!(judge.handle_told(2, &fewer).unwrap().contains("went together"));
    // Another way: only the beginning is compared.
    assert_eq!(judge.handle_told(3, &passage(&[3], regular, point(8, 81))), None);
    let other = passage(&[3], point(7, 71), point(7, 71));
    assert!(judge.handle_told(3, &other).unwrap().contains("differ in the first 7"));
    assert_eq!(judge.compared().passages, 2);
}

#[test]
fn a_configuration_has_one_list_of_members() {
    let mut judge = begun();
    let other = Told::Configuration { ring: RING, members: vec![1, 2] };
    assert!(judge.handle_told(2, &other).unwrap().contains("elsewhere"));
}

#[test]
fn what_all_have_passed_is_forgotten_and_the_dead_are_not_waited_for() {
    let mut judge = begun();
    let kept = |judge: &Judge| judge.points_kept(RING);
    for (host, count) in [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)] {
        judge.handle_told(host, &checkpoint(count, count));
    }
    assert_eq!(kept(&judge), 3);
    judge.handle_end(3);
    judge.handle_told(2, &checkpoint(3, 3));
    assert_eq!(kept(&judge), 1);
}

/// What a member tells that delivers these messages, then goes on with all others.
fn told_by(order: &[(u32, u64)]) -> Vec<Told> {
    let ring = |epoch| RingId::new(Epoch(epoch), NodeId(1));
    let members: Vec<NodeId> = [1, 2, 3].map(NodeId).into();
    let configuration = |kind, epoch| Configuration {
        kind,
        ring: ring(epoch),
        previous: None,
        members: members.clone().into(),
        eligible: None,
    };
    let mut history = History::default();
    history.handle_configuration(&configuration(ConfigurationKind::Regular, 1));
    for (sender, counter) in order {
        let (sender, counter) = (NodeId(*sender), *counter);
        let load = Load { sender, counter, planned_ns: 0, lateness_ns: 0 };
        let id = MessageId { sender: load.sender, incarnation: Epoch(1), counter: 1 };
        history.handle_message(ring(1), id, load, b"payload");
    }
    history.handle_configuration(&configuration(ConfigurationKind::Transitional, 2));
    history.handle_configuration(&configuration(ConfigurationKind::Regular, 2));
    std::iter::from_fn(|| history.poll_told()).collect()
}

#[test]
fn a_member_that_delivers_two_messages_the_other_way_round_is_found() {
    let usual = [(1, 0), (2, 0), (1, 1)];
    let swapped = [(1, 0), (1, 1), (2, 0)];
    let found = |orders: [&[(u32, u64)]; 2]| -> Vec<String> {
        let mut judge = Judge::default();
        let both = (1..)
            .zip(orders)
            .flat_map(|(host, order)| told_by(order).into_iter().map(move |told| (host, told)));
        both.filter_map(|(host, told)| judge.handle_told(host, &told)).collect()
    };
    assert_eq!(found([&usual, &usual]), Vec::<String>::new());
    let differ = found([&usual, &swapped]);
    assert!(differ[0].contains("members 1 and 2 differ"), "{differ:?}");
    let fewer = found([&usual, &usual[..2]]);
    assert!(fewer[0].contains("went together"), "{fewer:?}");
}
