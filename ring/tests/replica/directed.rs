//! Situations made on purpose.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use roundel_ring::configuration::ConfigurationKind;
use roundel_ring::delivery::Message;
use roundel_ring::id::{Epoch, MessageId, NodeId, RingId};
use roundel_ring::layer::{Layer, StreamEvent};
use roundel_ring::primary::Policy;
use roundel_ring::replica::map::{Map, MapCommand, MapOutput};
use roundel_ring::replica::{Context, Options, Progress, RestoreError, Standing, StateMachine};
use roundel_ring::seq::Ordinal;
use roundel_ring::service::{Channel, Service};

use crate::cluster::Cluster;
use crate::evs::Dice;

fn put(count: u64) -> Option<Bytes> {
    let value = Bytes::from(format!("value {count}"));
    Some(MapCommand::Put { key: Bytes::from_static(b"key"), value }.encode())
}

/// `nodes` members, all synced; the last of them has not been there since.
fn cluster(nodes: u32, ballast: usize, change: impl Fn(&mut Options)) -> Cluster<Map> {
    let mut options = Options::new(Progress::Majority((1..=nodes).map(NodeId).collect()));
    change(&mut options);
    let mut cluster = Cluster::new(1, nodes, options, Map::default, ballast);
    let all = cluster.nodes.clone();
    cluster.install_all(&all);
    cluster.quiesce();
    cluster
}

fn ids(of: &[u32]) -> Vec<NodeId> {
    of.iter().copied().map(NodeId).collect()
}

fn settle(cluster: &mut Cluster<Map>) {
    while cluster.settle_rings() {}
}

/// Member `last` restarts and is a joiner beside all others.
fn rejoin(cluster: &mut Cluster<Map>, last: u32) {
    cluster.crash(NodeId(last));
    let others: Vec<NodeId> = cluster.evs.live();
    cluster.install_all(&others);
    settle(cluster);
    cluster.start(NodeId(last));
    let all = cluster.evs.live();
    cluster.install_all(&all);
    settle(cluster);
    assert!(matches!(cluster.standing(NodeId(last)), Standing::Joining { .. }));
}

fn fetched(cluster: &Cluster<Map>, node: u32) -> u64 {
    match cluster.standing(NodeId(node)) {
        Standing::Joining { bytes, .. } => bytes,
        other => panic!("{node} is {other:?}"),
    }
}

const MEGABYTES: usize = 3 << 20;

#[test]
fn another_donor_goes_on_where_a_crashed_one_stopped() {
    let mut cluster = cluster(5, MEGABYTES, |_| {});
    rejoin(&mut cluster, 5);
    let mut count = 0;
    let mut commands = |cluster: &mut Cluster<Map>| {
        count += 1;
        assert!(cluster.submit(NodeId(2), put(count)));
        settle(cluster);
    };
    for goal in [MEGABYTES / 3, 2 * MEGABYTES / 3] {
        while fetched(&cluster, 5) < goal as u64 {
            assert!(cluster.carry_letter(), "the transfer stands still");
        }
        commands(&mut cluster);
    }
    // The donor crashes in the middle; commands come before, between and after.
    let before = fetched(&cluster, 5);
    cluster.crash(NodeId(1));
    assert!(cluster.submit(NodeId(2), put(1_000)));
    cluster.install_all(&ids(&[2, 3, 4, 5]));
    settle(&mut cluster);
    assert!(fetched(&cluster, 5) >= before, "it begins again");
    commands(&mut cluster);
    cluster.quiesce();
    let received = cluster.hosts[&NodeId(5)].received_bytes;
    assert!(received < MEGABYTES + MEGABYTES / 8, "{received} for {MEGABYTES}");
    let restored = cluster.hosts[&NodeId(5)].replica.machine();
    assert_eq!(restored.digest, cluster.hosts[&NodeId(2)].replica.machine().digest);
    assert!(cluster.hosts[&NodeId(2)].replica.counters().checkpoints == 1, "one instant");
    cluster.heal();
}

#[test]
fn a_donor_whose_letters_do_not_arrive_is_left() {
    let mut cluster = cluster(3, MEGABYTES, |_| {});
    rejoin(&mut cluster, 3);
    while fetched(&cluster, 3) < (MEGABYTES / 2) as u64 {
        cluster.carry_letter();
    }
    cluster.mute.insert(NodeId(1));
    cluster.quiesce();
    let received = cluster.hosts[&NodeId(3)].received_bytes;
    assert!(received < MEGABYTES + MEGABYTES / 8, "{received} for {MEGABYTES}");
    assert!(cluster.hosts[&NodeId(2)].replica.counters().chunks_sent > 1_000);
}

#[test]
fn a_joiner_that_cannot_keep_up_gets_another_instant() {
    let mut cluster = cluster(3, MEGABYTES / 4, |options| options.tail_bytes_max = 10_000);
    rejoin(&mut cluster, 3);
    for count in 0..200 {
        assert!(cluster.submit(NodeId(1), put(count)));
        settle(&mut cluster);
    }
    assert!(cluster.hosts[&NodeId(1)].replica.counters().checkpoints > 1);
    cluster.quiesce();
    cluster.heal();
}

/// What is delivered in a transitional configuration waits, within a bound; beyond it a member forgets
/// its state, as by a crash, and gets it again.
#[test]
fn who_has_to_keep_too_much_forgets_and_gets_it_again() {
    let mut cluster = cluster(3, 10_000, |options| options.tail_bytes_max = 2_000);
    cluster.forgotten_max = 1;
    for count in 0..40 {
        assert!(cluster.submit(NodeId(1), put(count)) && cluster.evs.originate(NodeId(1)));
    }
    for node in ids(&[2, 3]) {
        while cluster.evs.receive(&mut Dice::new(1), node, 1) {}
    }
    // 1 and 2 deliver them where they were sent; 3 is cut off before.
    for node in ids(&[1, 2]) {
        cluster.deliver(node, usize::MAX);
    }
    cluster.install_all(&ids(&[3]));
    assert_eq!(cluster.hosts[&NodeId(3)].replica.counters().forgotten, 1);
    assert_eq!(cluster.hosts[&NodeId(3)].replica.applied_index(), 0);
    assert_eq!(cluster.hosts[&NodeId(3)].replica.machine().machine, Map::default());
    cluster.install_all(&ids(&[1, 2]));
    settle(&mut cluster);
    assert_eq!(cluster.tally.answered, 40);
    cluster.heal();
    assert_eq!(cluster.tally.restored, 1);
}

/// A checkpoint that the machine does not take leaves it in its first state, until the next
/// configuration.
#[test]
fn a_checkpoint_that_is_not_taken_is_tried_again() {
    thread_local! {
        static REFUSES: Cell<bool> = const { Cell::new(false) };
    }
    /// A map that sometimes takes no snapshot but that of an empty one.
    #[derive(Clone, PartialEq, Debug, Default)]
    struct Picky(Map);
    impl StateMachine for Picky {
        type Output = MapOutput;
        fn apply(&mut self, context: &Context<'_>, command: &[u8]) -> MapOutput {
            self.0.apply(context, command)
        }
        fn snapshot(&self, out: &mut Vec<u8>) {
            self.0.snapshot(out);
        }
        fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
            self.0.restore(snapshot)?;
            let refuses = REFUSES.get() && !snapshot.is_empty();
            if refuses { Err(RestoreError { cause: "it is picky" }) } else { Ok(()) }
        }
    }
    let options = Options::new(Progress::Majority(ids(&[1, 2, 3]).into_iter().collect()));
    let mut cluster = Cluster::new(1, 3, options, Picky::default, 10_000);
    cluster.heal();
    assert!(cluster.submit(NodeId(1), put(1)));
    cluster.quiesce();
    cluster.crash(NodeId(3));
    cluster.start(NodeId(3));
    REFUSES.set(true);
    cluster.install_all(&ids(&[1, 2, 3]));
    while cluster.settle_rings() || cluster.carry_letter() {}
    assert_eq!((cluster.tally.refused, cluster.tally.restored), (1, 0));
    assert_eq!(cluster.standing(NodeId(3)), Standing::Blocked);
    let machine = cluster.hosts[&NodeId(3)].replica.machine();
    assert_eq!((&machine.machine, machine.digest), (&Picky::default(), 0), "its first state");
    assert!(cluster.submit(NodeId(2), put(2)), "the others go on");
    while cluster.settle_rings() || cluster.carry_letter() {}
    assert_eq!(cluster.tally.answered, 2);
    REFUSES.set(false);
    cluster.heal();
    assert_eq!((cluster.tally.refused, cluster.tally.restored), (1, 1));
}

/// A checkpoint longer than a member may keep is not fetched; the others go on, and so does it once
/// it may.
#[test]
fn a_checkpoint_that_is_too_long_is_not_fetched() {
    let mut cluster = cluster(3, MEGABYTES, |options| options.snapshot_bytes_max = MEGABYTES / 2);
    cluster.crash(NodeId(3));
    cluster.start(NodeId(3));
    cluster.install_all(&ids(&[1, 2, 3]));
    for turn in 1..=2 {
        while cluster.settle_rings() || cluster.carry_letter() {}
        assert_eq!((cluster.tally.too_long, cluster.tally.restored), (turn, 0));
        assert_eq!(cluster.standing(NodeId(3)), Standing::Blocked);
        let received = cluster.hosts[&NodeId(3)].received_bytes;
        assert!(received < 200_000 * usize::try_from(turn).unwrap(), "{received}");
        assert!(cluster.submit(NodeId(1), put(turn)));
        settle(&mut cluster);
        assert_eq!(cluster.tally.answered, turn);
        cluster.install_all(&ids(&[1, 2, 3]));
    }
    cluster.options.snapshot_bytes_max = 2 * MEGABYTES;
    cluster.crash(NodeId(3));
    cluster.heal();
    assert_eq!(cluster.tally.restored, 1);
}

/// With a policy, what has a place in the log is applied from the confirmation on, and not before.
#[test]
fn nothing_is_applied_before_the_primary_is_confirmed() {
    let of: BTreeSet<NodeId> = ids(&[1, 2, 3]).into_iter().collect();
    let options = Options::new(Progress::Primary(Policy::Majority(of)));
    let mut cluster: Cluster<Map> = Cluster::new(1, 3, options, Map::default, 0);
    cluster.late_words = true;
    cluster.heal();
    assert!(cluster.submit(NodeId(1), put(1)));
    settle(&mut cluster);
    assert_eq!((cluster.tally.answered, cluster.standing(NodeId(1))), (1, Standing::Synced));
    // Cut off with a command under way: it has its place there, and is applied with the others.
    assert!(cluster.submit(NodeId(3), put(2)) && cluster.evs.originate(NodeId(3)));
    for node in ids(&[1, 2]) {
        while cluster.evs.receive(&mut Dice::new(1), node, 1) {}
    }
    cluster.install_all(&ids(&[3]));
    settle(&mut cluster);
    assert_eq!(cluster.standing(NodeId(3)), Standing::Blocked);
    assert!(!cluster.hosts[&NodeId(3)].is_primary && !cluster.submit(NodeId(3), put(3)));
    let applied = cluster.hosts[&NodeId(1)].replica.applied_index();
    cluster.install_all(&ids(&[1, 2]));
    assert_eq!(cluster.hosts[&NodeId(1)].replica.applied_index(), applied);
    assert_ne!(cluster.standing(NodeId(1)), Standing::Synced);
    settle(&mut cluster);
    assert!(cluster.hosts[&NodeId(1)].is_primary);
    assert!(cluster.hosts[&NodeId(1)].replica.applied_index() > applied);
    cluster.heal();
    assert_eq!(cluster.book.borrow().places.len(), 2);
}

/// The table of sessions is part of the state: who got the state by transfer knows what was applied.
#[test]
fn who_got_the_state_knows_what_was_applied_before() {
    let mut cluster = cluster(3, 10_000, |_| {});
    // 3's request is applied by the others; 3 does not know, and asks again when it is back.
    assert!(cluster.submit(NodeId(3), put(1)) && cluster.evs.originate(NodeId(3)));
    for node in ids(&[1, 2]) {
        while cluster.evs.receive(&mut Dice::new(1), node, 1) {}
    }
    cluster.install_all(&ids(&[1, 2]));
    cluster.install_all(&ids(&[3]));
    settle(&mut cluster);
    // 2 restarts, and has its state from 1 alone.
    cluster.crash(NodeId(2));
    cluster.start(NodeId(2));
    cluster.install_all(&ids(&[1, 2]));
    settle(&mut cluster);
    // Without 3 nobody had a majority meanwhile: the command is applied where all are.
    cluster.heal();
    assert_eq!(cluster.book.borrow().places.len(), 1, "applied once");
    assert!(cluster.submit(NodeId(3), put(2)));
    cluster.quiesce();
    assert_eq!(cluster.tally.answered + cluster.tally.lost, 2);
}

#[test]
fn a_minority_refuses_and_comes_back_by_transfer() {
    let mut cluster = cluster(5, 10_000, |_| {});
    cluster.install_all(&ids(&[1, 2, 3]));
    cluster.install_all(&ids(&[4, 5]));
    settle(&mut cluster);
    assert_eq!(cluster.standing(NodeId(4)), Standing::Blocked);
    assert!(!cluster.submit(NodeId(4), put(1)) && cluster.submit(NodeId(1), put(2)));
    settle(&mut cluster);
    assert_eq!(cluster.tally.answered, 1);
    cluster.heal();
    assert_eq!(cluster.tally.restored, 2);
}

#[test]
fn who_installs_alone_applies_nothing_of_what_follows() {
    // EVS §2.2: 1 installs {1, 2, 3}, the others of it do not, and go to {2, 3, 4, 5}.
    let mut cluster = cluster(5, 0, |_| {});
    assert!(cluster.submit(NodeId(1), put(1)) && cluster.evs.originate(NodeId(1)));
    while cluster.evs.receive(&mut Dice::new(1), NodeId(2), 1) {}
    let applied = cluster.hosts[&NodeId(1)].replica.applied_index();
    cluster.install(&ids(&[1, 2, 3]), &BTreeSet::from([NodeId(1)]));
    settle(&mut cluster);
    assert_eq!(cluster.hosts[&NodeId(1)].replica.applied_index(), applied);
    assert_eq!(cluster.standing(NodeId(1)), Standing::Changing);
    cluster.install_all(&ids(&[2, 3, 4, 5]));
    settle(&mut cluster);
    assert_eq!(cluster.standing(NodeId(2)), Standing::Synced);
    assert_eq!(cluster.tally.answered, 0);
    cluster.heal();
    // 2 had the request, so it went on with the majority; 1 was away when it was applied.
    assert_eq!((cluster.tally.answered, cluster.tally.lost), (0, 1));
}

#[test]
fn a_guessed_decision_counts_more_than_a_longer_tail() {
    let mut cluster = cluster(5, 0, |_| {});
    // 4 and 5 keep what nobody else has.
    for count in 1..=9 {
        assert!(cluster.submit(NodeId(5), put(count)) && cluster.evs.originate(NodeId(5)));
    }
    cluster.install_all(&ids(&[4, 5]));
    // 1 alone delivers the decision of its part, and a command, in the regular configuration.
    cluster.install_all(&ids(&[1, 2, 3]));
    let mut everybody_has_and_one_delivers = || {
        for node in ids(&[1, 2, 3]) {
            cluster.evs.originate(node);
        }
        for node in ids(&[1, 2, 3]) {
            while cluster.evs.receive(&mut Dice::new(1), node, 1) {}
        }
        cluster.deliver(NodeId(1), usize::MAX);
        if cluster.tally.answered == 0 {
            assert!(cluster.submit(NodeId(1), put(10)));
        }
    };
    everybody_has_and_one_delivers();
    everybody_has_and_one_delivers();
    assert_eq!(cluster.tally.answered, 1);
    cluster.crash(NodeId(1));
    cluster.install_all(&ids(&[2, 3, 4, 5]));
    // Two of five hold it: nothing is applied before a third has got it.
    settle(&mut cluster);
    assert_eq!(cluster.standing(NodeId(2)), Standing::Waiting);
    cluster.quiesce();
    // What 5 had asked for comes after it, asked for again.
    let places = cluster.book.borrow().places.clone();
    let place = |count| places[&put(count).unwrap()];
    assert!((1..=9).all(|count| place(10) < place(count)));
    cluster.heal();
}

#[test]
fn those_that_forgot_make_no_majority() {
    let mut cluster = cluster(3, 0, |_| {});
    cluster.install_all(&ids(&[1, 2]));
    settle(&mut cluster);
    assert!(cluster.submit(NodeId(1), put(1)));
    settle(&mut cluster);
    assert_eq!(cluster.tally.answered, 1);
    // 2 forgets, and meets 3, who was away.
    cluster.crash(NodeId(2));
    cluster.start(NodeId(2));
    cluster.install_all(&ids(&[2, 3]));
    settle(&mut cluster);
    assert_eq!(cluster.standing(NodeId(2)), Standing::Blocked);
    assert_eq!(cluster.standing(NodeId(3)), Standing::Blocked);
    cluster.heal();
    let map = &cluster.hosts[&NodeId(3)].replica.machine().machine;
    assert_eq!(map.get(b"key").map(|value| &value[..]), Some(&b"value 1"[..]));
}

/// A member without a replica holds everything up, and is named.
#[test]
fn who_says_nothing_is_named() {
    let mut cluster = cluster(3, 0, |_| {});
    cluster.install_all(&ids(&[1, 2, 3]));
    for node in ids(&[1, 3]) {
        cluster.evs.originate(node);
    }
    for node in ids(&[1, 2, 3]) {
        while cluster.evs.receive(&mut Dice::new(1), node, 1) {}
    }
    for node in [1, 3] {
        cluster.deliver(NodeId(node), usize::MAX);
        assert_eq!(cluster.standing(NodeId(node)), Standing::Changing);
        assert_eq!(cluster.hosts[&NodeId(node)].replica.waiting_for(), ids(&[2]));
    }
    cluster.install_all(&ids(&[1, 3]));
    settle(&mut cluster);
    assert_eq!(cluster.standing(NodeId(1)), Standing::Synced);
    assert_eq!(cluster.hosts[&NodeId(1)].replica.waiting_for(), []);
    cluster.heal();
}

#[test]
fn when_all_crash_all_begin_again() {
    let mut cluster = cluster(3, 0, |_| {});
    assert!(cluster.submit(NodeId(1), put(1)));
    settle(&mut cluster);
    for node in [1, 2, 3] {
        cluster.crash(NodeId(node));
    }
    // Another world, as far as the book is concerned.
    cluster.book.borrow_mut().lines.clear();
    for node in [1, 2, 3] {
        cluster.start(NodeId(node));
    }
    cluster.install_all(&ids(&[1, 2]));
    settle(&mut cluster);
    assert_eq!(cluster.standing(NodeId(1)), Standing::Blocked, "3 may have it");
    cluster.heal();
    assert_eq!(cluster.hosts[&NodeId(1)].replica.machine().machine, Map::default());
}

#[test]
fn a_request_of_unknown_fate_is_applied_once() {
    for reaches_the_others in [false, true] {
        let mut cluster = cluster(3, 0, |_| {});
        assert!(cluster.submit(NodeId(3), put(1)) && cluster.evs.originate(NodeId(3)));
        if reaches_the_others {
            while cluster.evs.receive(&mut Dice::new(1), NodeId(1), 1) {}
        }
        cluster.install_all(&ids(&[1, 2]));
        cluster.install_all(&ids(&[3]));
        settle(&mut cluster);
        let applied = cluster.book.borrow().places.len();
        assert_eq!(applied, usize::from(reaches_the_others));
        cluster.heal();
        assert_eq!(cluster.book.borrow().places.len(), 1);
        let outcome = (cluster.tally.answered, cluster.tally.lost);
        assert_eq!(outcome, if reaches_the_others { (0, 1) } else { (1, 0) });
    }
}

#[test]
fn noise_has_no_effect() {
    let mut cluster = cluster(3, 0, |_| {});
    let now = cluster.now;
    let mut dice = Dice::new(9);
    let host = cluster.hosts.get_mut(&NodeId(1)).unwrap();
    let index = host.replica.applied_index();
    for _ in 0..50_000 {
        let length = dice.below(90);
        let mut noise: Vec<u8> =
            (0..length).map(|_| u8::try_from(dice.below(256)).unwrap()).collect();
        // Often with a good beginning.
        for (at, good) in [(0, 1), (1, dice.below(5))] {
            if dice.below(4) > 0 && at < length {
                noise[at] = u8::try_from(good).unwrap();
            }
        }
        host.replica.handle_letter(now, NodeId(2), &noise);
        // A request of a stranger's session is the one thing that noise could be.
        if noise.get(1) == Some(&3) {
            continue;
        }
        let message = Message {
            id: MessageId { sender: NodeId(2), incarnation: Epoch(1), counter: 1 },
            ring: RingId::default(),
            ordinal: Some(Ordinal(1)),
            in_configuration: ConfigurationKind::Regular,
            service: Service::Safe,
            channel: Channel::REPLICA,
            payload: noise.into(),
        };
        host.replica.handle_event(now, StreamEvent::Message(message.as_ref()));
        assert!(host.replica.poll_publish().is_none() && host.replica.poll_letter().is_none());
        assert!(host.replica.poll_event().is_none() && host.replica.poll_timeout().is_none());
    }
    assert_eq!((host.replica.applied_index(), host.replica.standing()), (index, Standing::Synced));
    let counters = host.replica.counters();
    assert!(counters.malformed_letters > 10_000 && counters.malformed_messages > 10_000);
}

#[test]
fn a_spurious_timeout_is_harmless() {
    let mut cluster = cluster(3, 100_000, |_| {});
    rejoin(&mut cluster, 3);
    for _ in 0..10_000 {
        cluster.pass_time(Duration::ZERO);
    }
    cluster.quiesce();
}
