//! Members on real sockets of this host: multicast on `lo`, one address each.
//!
//! With `ENGINE_TEST_IO=mmsg` they leave io_uring alone, for tools that know too little of it.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use roundel::{
    BatchError, Builder, Configuration, ConfigurationKind, DriveMode, EndReason, Event, Io, Node,
    Params, Service, SlowConsumer, TryPublishError, TryRecvError, Wanted,
};

/// Waiting longer than this for anything is a failure; with `ENGINE_TEST_PATIENCE` it is that many
/// seconds, for tools that make everything slower.
static PATIENCE: LazyLock<Duration> = LazyLock::new(|| {
    let asked = std::env::var("ENGINE_TEST_PATIENCE").ok();
    Duration::from_secs(asked.and_then(|seconds| seconds.parse().ok()).unwrap_or(20))
});

fn describe(cluster: &str, state: &std::path::Path, host: u8) -> Builder {
    let address = Ipv4Addr::new(127, 0, 0, host);
    let mut builder = Node::builder(cluster);
    if std::env::var_os("ENGINE_TEST_IO").is_some_and(|io| io == "mmsg") {
        builder = builder.io(Io::Mmsg);
    }
    builder.id(u32::from(host)).interface(Wanted::Address(address)).state_dir(state)
}

fn join(cluster: &str, state: &std::path::Path, host: u8) -> Node {
    describe(cluster, state, host).join().unwrap()
}

fn cluster(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// Receives until `done` says so; every message's payload in order.
fn receive(node: &mut Node, mut done: impl FnMut(&Event) -> bool) -> Vec<Vec<u8>> {
    let since = Instant::now();
    let mut payloads = Vec::new();
    while since.elapsed() < *PATIENCE {
        let Ok(event) = node.recv_timeout(*PATIENCE) else { break };
        if let Event::Message(message) = &event {
            payloads.push(message.payload.to_vec());
        }
        if done(&event) {
            return payloads;
        }
    }
    unreachable!("not in time; got {} messages", payloads.len())
}

fn is_ring_of(event: &Event, members: usize) -> bool {
    matches!(event, Event::Configuration(Configuration {
        kind: ConfigurationKind::Regular, members: m, .. }) if m.len() == members)
}

#[test]
fn three_members_deliver_the_same_order() {
    let state = tempfile::tempdir().unwrap();
    let name = cluster("order");
    let mut nodes: Vec<Node> = (11..14).map(|host| join(&name, state.path(), host)).collect();
    for node in &mut nodes {
        receive(node, |event| is_ring_of(event, 3));
    }
    let each = 500;
    for (i, node) in nodes.iter().enumerate() {
        let publisher = node.publisher();
        std::thread::spawn(move || {
            for k in 0..each {
                let service = if k % 3 == 0 { Service::Safe } else { Service::Agreed };
                publisher.publish(service, format!("{i}:{k}")).unwrap();
            }
        });
    }
    let orders: Vec<Vec<Vec<u8>>> = nodes
        .iter_mut()
        .map(|node| {
            let mut left = 3 * each;
            receive(node, |event| {
                left -= usize::from(matches!(event, Event::Message(_)));
                left == 0
            })
        })
        .collect();
    assert_eq!(orders[0].len(), 3 * each);
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[0], orders[2]);
    for node in nodes {
        let report = node.leave(Duration::from_secs(2));
        assert_eq!(report.undelivered, 0, "{report:?}");
    }
}

#[test]
fn a_member_that_leaves_is_missed_at_once_and_may_come_back() {
    let state = tempfile::tempdir().unwrap();
    let name = cluster("leave");
    let mut first = join(&name, state.path(), 21);
    let mut second = join(&name, state.path(), 22);
    receive(&mut first, |event| is_ring_of(event, 2));
    receive(&mut second, |event| is_ring_of(event, 2));
    let large = vec![7; 1 << 20];
    second.publish(Service::Agreed, large.clone()).unwrap();
    let report = second.leave(Duration::from_secs(5));
    assert_eq!(report.undelivered, 0, "{report:?}");
    let seen = receive(&mut first, |event| is_ring_of(event, 1));
    assert_eq!(seen, [large], "a message of a megabyte arrives whole");
    let mut back = join(&name, state.path(), 22);
    receive(&mut back, |event| is_ring_of(event, 2));
    receive(&mut first, |event| is_ring_of(event, 2));
    assert!(back.facts().incarnation.0 > 0);
    assert_eq!(IpAddr::from(back.facts().interface.address), IpAddr::from([127, 0, 0, 22]));
}

/// Publishes at `sender` until its queues are full, which they are only when the ring waits.
fn fill(sender: &Node) -> usize {
    let mut accepted = 0;
    let mut full_since = None;
    loop {
        match sender.try_publish(Service::Agreed, vec![b'f'; 1000]) {
            Ok(()) => {
                accepted += 1;
                full_since = None;
            }
            Err(TryPublishError::Full(payload)) => {
                assert_eq!(payload.len(), 1000, "the payload comes back");
                let since = *full_since.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(500) {
                    return accepted;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => unreachable!("{error}"),
        }
    }
}

#[test]
fn the_ring_waits_for_a_consumer_that_stands_still() {
    let state = tempfile::tempdir().unwrap();
    let name = cluster("slow");
    // This is about who does not read: on a busy machine nobody is to be taken for dead.
    let params = Params { token_loss: Duration::from_secs(2), ..Params::default() };
    let [mut reader, mut sleeper] = [31, 32]
        .map(|host| describe(&name, state.path(), host).params(params.clone()).join().unwrap());
    receive(&mut reader, |event| is_ring_of(event, 2));
    receive(&mut sleeper, |event| is_ring_of(event, 2));
    let sent = fill(&reader);
    assert!(sent > 1_000, "{sent} accepted before the ring waited");
    // Nobody was taken for dead, and when both read, everything comes.
    let read = |node: &mut Node| {
        let mut left = sent;
        let seen = receive(node, |event| {
            assert!(!matches!(event, Event::Configuration(_)), "no change: {event:?}");
            left -= 1;
            left == 0
        });
        assert_eq!(seen.len(), sent);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| read(&mut reader));
        read(&mut sleeper);
    });
}

#[test]
fn a_consumer_that_stands_still_is_evicted_where_the_policy_says_so() {
    let state = tempfile::tempdir().unwrap();
    let name = cluster("evict");
    let mut reader = join(&name, state.path(), 41);
    let policy = SlowConsumer::Evict(Duration::from_millis(300));
    let mut sleeper = describe(&name, state.path(), 42).slow_consumer(policy).join().unwrap();
    receive(&mut reader, |event| is_ring_of(event, 2));
    receive(&mut sleeper, |event| is_ring_of(event, 2));
    let publisher = reader.publisher();
    let sender = std::thread::spawn(move || {
        for _ in 0..20_000 {
            publisher.publish(Service::Agreed, vec![b'e'; 1000]).unwrap();
        }
    });
    // The reader goes on, also when a slow machine takes the ring apart and together meanwhile.
    let (since, mut members) = (Instant::now(), 2);
    let mut read = |reader: &mut Node| {
        if let Ok(Event::Configuration(Configuration { members: of, .. })) =
            reader.recv_timeout(Duration::from_millis(1))
        {
            members = of.len();
        }
        members
    };
    while !matches!(sleeper.try_publish(Service::Agreed, "?"), Err(TryPublishError::Closed { .. }))
    {
        assert!(since.elapsed() < 3 * *PATIENCE, "it stays, and stands still");
        for _ in 0..100 {
            read(&mut reader);
        }
    }
    // The sleeper reads what it was given, and the reason.
    let mut last = None;
    while last.is_none() {
        match sleeper.recv_timeout(*PATIENCE) {
            Ok(_) => {}
            Err(TryRecvError::Ended(reason)) => last = Some(reason),
            Err(TryRecvError::Empty) => unreachable!("it never ended"),
        }
    }
    assert_eq!(last, Some(EndReason::Evicted));
    while read(&mut reader) > 1 || !sender.is_finished() {
        assert!(since.elapsed() < 6 * *PATIENCE, "the reader does not go on alone");
    }
}

#[test]
fn a_leave_behind_full_queues_delivers_all_of_them() {
    let state = tempfile::tempdir().unwrap();
    let mut node = join(&cluster("full"), state.path(), 31);
    receive(&mut node, |event| is_ring_of(event, 1));
    let publisher = node.publisher();
    // Nobody reads: the worker's queues fill, then those of the publishers.
    let full_since = Instant::now();
    while full_since.elapsed() < Duration::from_millis(300) {
        while publisher.try_publish(Service::Agreed, vec![7; 1_000]).is_ok() {}
        std::thread::sleep(Duration::from_millis(10));
    }
    let report = node.leave(Duration::from_secs(10));
    assert_eq!((report.reason, report.undelivered), (EndReason::Left, 0));
}

/// More than the queue to the application takes is on its way when it asks to leave: who reads on
/// gets all of it.
#[test]
fn a_leave_waits_for_an_application_that_reads_on() {
    const MESSAGES: usize = 3_000;
    let state = tempfile::tempdir().unwrap();
    let mut node = join(&cluster("reads on"), state.path(), 39);
    receive(&mut node, |event| is_ring_of(event, 1));
    let publisher = node.publisher();

    let deadline = Instant::now() + Duration::from_secs(20);
    for number in 0..MESSAGES {
        while publisher.try_publish(Service::Agreed, vec![7; 900]).is_err() {
            assert!(Instant::now() < deadline, "{number} messages fit the queues");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    node.begin_leave(Duration::from_secs(20));
    // Control would have announced the leave by now.
    std::thread::sleep(Duration::from_millis(200));
    let mut delivered = 0;
    while let Ok(event) = node.recv_timeout(Duration::from_secs(20)) {
        delivered += usize::from(matches!(event, Event::Message(_)));
    }
    assert_eq!(delivered, MESSAGES);
}

#[test]
fn a_leave_waits_for_an_application_that_reads_late() {
    // More packets than the stream holds, few enough for the worker to be rid of the rest.
    const MESSAGES: usize = 1_200;
    let state = tempfile::tempdir().unwrap();
    let mut node = join(&cluster("late"), state.path(), 62);
    receive(&mut node, |event| is_ring_of(event, 1));
    for _ in 0..MESSAGES {
        // No two fit one packet.
        node.publish(Service::Agreed, vec![b'l'; 6_000]).unwrap();
    }
    node.begin_leave(*PATIENCE);
    // For a member that does not wait to be gone.
    std::thread::sleep(Duration::from_millis(500));
    let mut delivered = 0;
    loop {
        match node.recv_timeout(*PATIENCE) {
            Ok(event) => delivered += usize::from(matches!(event, Event::Message(_))),
            Err(error) => break assert_eq!(error, TryRecvError::Ended(EndReason::Left)),
        }
    }
    assert_eq!((delivered, node.leave(*PATIENCE).undelivered), (MESSAGES, 0));
}

#[test]
fn a_leave_at_its_deadline_reports_what_the_application_did_not_get() {
    const MESSAGES: u64 = 1_200;
    let state = tempfile::tempdir().unwrap();
    let mut node = join(&cluster("too-late"), state.path(), 63);
    receive(&mut node, |event| is_ring_of(event, 1));
    for _ in 0..MESSAGES {
        node.publish(Service::Agreed, vec![b'l'; 6_000]).unwrap();
    }
    node.begin_leave(Duration::from_millis(1));
    std::thread::sleep(Duration::from_millis(500));
    let mut delivered = 0;
    while let Ok(event) = node.recv_timeout(*PATIENCE) {
        delivered += u64::from(matches!(event, Event::Message(_)));
    }
    let report = node.leave(*PATIENCE);
    assert_eq!((report.reason, delivered + report.undelivered), (EndReason::Left, MESSAGES));
}

#[test]
fn a_batch_keeps_its_order_whatever_the_sizes() {
    let state = tempfile::tempdir().unwrap();
    let name = cluster("batch");
    let mut nodes: Vec<Node> = (31..33).map(|host| join(&name, state.path(), host)).collect();
    for node in &mut nodes {
        receive(node, |event| is_ring_of(event, 2));
    }
    // Some fill a packet, some several, some share one.
    let size = |i: usize| [0, 3, 64, 1_300, 9_000, 200_000][i * i % 6];
    let sent: Vec<Vec<u8>> =
        (0..600).map(|i| format!("{i}:{}", "x".repeat(size(i))).into_bytes()).collect();
    let mut batch = nodes[0].publisher().batch(Service::Agreed);
    for payload in &sent {
        batch.push(payload).unwrap();
    }
    let singles = nodes[0].publisher();
    batch.flush().unwrap();
    assert!(batch.is_empty());
    singles.publish(Service::Agreed, "last").unwrap();
    for node in &mut nodes {
        let got = receive(
            node,
            |event| matches!(event, Event::Message(message) if message.payload[..] == *b"last"),
        );
        assert!(got[..sent.len()] == sent, "{} messages, in another order", got.len());
    }
}

#[test]
fn a_batch_refuses_what_a_member_does() {
    let state = tempfile::tempdir().unwrap();
    let name = cluster("refusing-batch");
    let mut node = join(&name, state.path(), 33);
    let mut batch = node.publisher().batch(Service::Safe);
    let too_large = vec![0; (64 << 20) + 1];
    assert_eq!(batch.try_push(&too_large), Err(BatchError::TooLarge { max: 64 << 20 }));
    batch.push(b"kept").unwrap();
    assert_eq!(batch.len(), 1);
    node.begin_leave(Duration::from_secs(1));
    assert!(matches!(batch.flush(), Err(BatchError::Closed { .. })));
    assert_eq!(batch.len(), 1, "what was not accepted stays");
}

#[test]
fn messages_of_a_batch_may_be_longer_together_than_the_longest_alone() {
    const COUNT: usize = 1_000;
    let state = tempfile::tempdir().unwrap();
    let params = Params { message_bytes: 100, ..Params::default() };
    let node = describe(&cluster("short-messages"), state.path(), 36).params(params).join();
    let mut node = node.unwrap();
    let mut batch = node.publisher().batch(Service::Agreed);
    assert_eq!(batch.try_push(&[7; 101]), Err(BatchError::TooLarge { max: 100 }));
    for _ in 0..COUNT {
        batch.push(&[7; 100]).unwrap();
    }
    batch.flush().unwrap();
    let mut left = COUNT;
    receive(&mut node, |event| {
        left -= usize::from(matches!(event, Event::Message(_)));
        left == 0
    });
}

#[test]
fn an_inline_wait_ends_with_what_another_thread_publishes() {
    const COUNT: u32 = 50;
    let state = tempfile::tempdir().unwrap();
    let mut node = describe(&cluster("inline-wait"), state.path(), 37);
    node = node.drive(DriveMode::Inline);
    let mut node = node.join().unwrap();
    let publisher = node.publisher();
    let other = std::thread::spawn(move || {
        for number in 0..COUNT {
            // Long enough for the member to be asleep.
            std::thread::sleep(Duration::from_millis(2));
            publisher.publish(Service::Agreed, number.to_le_bytes().to_vec()).unwrap();
        }
    });
    let mut seen = 0;
    while seen < COUNT {
        // As long as it takes; the message ends it.
        node.wait(Duration::MAX);
        while let Ok(event) = node.try_recv() {
            if let Event::Message(message) = event {
                assert_eq!(message.payload, seen.to_le_bytes()[..]);
                seen += 1;
            }
        }
    }
    other.join().unwrap();
}

#[test]
fn a_wait_ends_while_messages_of_a_batch_are_left() {
    for drive in [DriveMode::Threads, DriveMode::Inline] {
        let state = tempfile::tempdir().unwrap();
        let builder = describe(&cluster("left-over"), state.path(), 61).drive(drive);
        let mut node = builder.join().unwrap();
        let mut batch = node.publisher().batch(Service::Agreed);
        let sent: Vec<Vec<u8>> = (0..5).map(|number| vec![number]).collect();
        for payload in &sent {
            batch.push(payload).unwrap();
        }
        batch.flush().unwrap();
        let (since, mut got) = (Instant::now(), Vec::new());
        while got.len() < sent.len() {
            // Alone and idle: nothing else would end it.
            node.wait(*PATIENCE);
            assert!(since.elapsed() < *PATIENCE, "{drive:?}: slept beside {got:?}");
            // One of those that are ready, as a loop does that has other things to do.
            if let Ok(Event::Message(message)) = node.try_recv() {
                got.push(message.payload.to_vec());
            }
        }
        assert_eq!(got, sent);
    }
}

#[test]
fn a_dropped_batch_hands_over_what_it_has() {
    let state = tempfile::tempdir().unwrap();
    let mut node = join(&cluster("dropped-batch"), state.path(), 34);
    node.publisher().batch(Service::Agreed).push(b"one").unwrap();
    let got = receive(&mut node, |event| matches!(event, Event::Message(_)));
    assert_eq!(got, [b"one"]);
}

/// Nobody reads: a batch is refused at a bound, and nothing it took is lost, whether messages share
/// packets or fill several.
#[test]
fn a_batch_ends_at_the_queues_bounds() {
    let state = tempfile::tempdir().unwrap();
    for bytes in [1_000, 70_000] {
        let mut node = join(&cluster("full-batch"), state.path(), 35);
        let mut batch = node.publisher().batch(Service::Agreed);
        let payload = vec![7; bytes];
        let mut pushed = 0_u64;
        while batch.try_push(&payload) != Err(BatchError::Full) {
            pushed += 1;
            assert!(pushed < 1_000_000, "nothing is refused");
        }
        assert!(!batch.is_empty(), "who waits for room has something to wait with");
        let mut received = 0;
        receive(&mut node, |event| {
            received += u64::from(matches!(event, Event::Message(_)));
            let _ = batch.try_flush();
            received == pushed
        });
        assert!(batch.is_empty());
        let _ = node.leave(Duration::from_secs(1));
    }
}

/// A loop of the application's own sleeps on the descriptor alone, so the end must tell there too.
#[test]
fn the_end_wakes_a_loop_that_waits_for_events_alone() {
    let state = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let mut node = join(&cluster(&format!("end-{round}")), state.path(), 38);
        receive(&mut node, |event| is_ring_of(event, 1));
        node.begin_leave(Duration::from_secs(2));
        let reason = loop {
            match node.try_recv() {
                Ok(_) => {}
                Err(TryRecvError::Ended(reason)) => break reason,
                Err(TryRecvError::Empty) if node.arm() => {
                    let mut fds = [PollFd::new(node.event_fd(), PollFlags::POLLIN)];
                    let patience = PollTimeout::try_from(*PATIENCE).unwrap();
                    assert_eq!(poll(&mut fds, patience), Ok(1), "round {round}: slept through it");
                }
                Err(TryRecvError::Empty) => {}
            }
        };
        assert_eq!(reason, EndReason::Left);
    }
}
