//! The memory of a whole process whose application does not read: within what is configured.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::fs;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use roundel::{
    Configuration, ConfigurationKind, Event, Node, Params, Publisher, Service, TryPublishError,
    Wanted,
};

/// Waiting longer than this for anything is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Longest packet: the MTU of `lo` is cut to it.
const PACKET_BYTES: usize = 9_000;

/// Of a member, whatever its tunables: commands 16 MiB, receive buffers 64 MiB, copies 16 MiB, and
/// the stacks and queues of its threads.
const MEMBER_BYTES: usize = (16 + 64 + 16 + 16) << 20;

/// Payload of every message.
const MESSAGE_BYTES: usize = 1_000;

/// A number of kilobytes that the kernel knows of this process.
fn kernel_says(key: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<usize>().unwrap() << 10
}

fn params() -> Params {
    Params {
        window_packets: 1_024,
        stream_packets: 128,
        backlog_bytes: 4 << 20,
        backlog_messages: 4_096,
        ..Params::default()
    }
}

fn join(state: &std::path::Path, host: u8) -> Node {
    Node::builder(&format!("bounds-{}", std::process::id()))
        .id(u32::from(host))
        .interface(Wanted::Address(Ipv4Addr::new(127, 0, 0, host)))
        .state_dir(state)
        .params(params())
        .join()
        .unwrap()
}

fn await_ring_of_two(node: &mut Node) {
    let since = Instant::now();
    loop {
        assert!(since.elapsed() < PATIENCE, "no ring of two");
        let event = node.recv_timeout(PATIENCE).unwrap();
        if matches!(event, Event::Configuration(Configuration {
            kind: ConfigurationKind::Regular, members, .. }) if members.len() == 2)
        {
            return;
        }
    }
}

/// Publishes until everything is full; yields how many were taken.
fn publish_until_full(publishers: &[Publisher; 2]) -> usize {
    let (mut taken, mut full_since) = (0, Instant::now());
    // Full for a while: the ring goes on as long as slots are left.
    while full_since.elapsed() < Duration::from_millis(500) {
        for publisher in publishers {
            match publisher.try_publish(Service::Agreed, vec![7; MESSAGE_BYTES]) {
                Ok(()) => (taken, full_since) = (taken + 1, Instant::now()),
                Err(TryPublishError::Full(_)) => std::thread::yield_now(),
                Err(error) => unreachable!("{error}"),
            }
        }
    }
    taken
}

#[test]
fn nobody_reads_and_memory_stays_within_its_bound() {
    let before = kernel_says("VmRSS:");
    let state = tempfile::tempdir().unwrap();
    let mut nodes = [51, 52].map(|host| join(state.path(), host));
    nodes.iter_mut().for_each(await_ring_of_two);
    let publishers = [nodes[0].publisher(), nodes[1].publisher()];
    let Params { window_packets, backlog_bytes, .. } = params();
    // The window once more while a ring is recovered; the backlog besides a message.
    let bound = 2 * (2 * window_packets * PACKET_BYTES + 2 * backlog_bytes + MEMBER_BYTES);
    let taken = publish_until_full(&publishers);
    let full = kernel_says("VmRSS:");
    // Some more for those who try again and again.
    let more = publish_until_full(&publishers);
    let after = kernel_says("VmRSS:");
    let most = kernel_says("VmHWM:") - before;
    println!(
        "{taken} and {more} messages taken; {before} B before, {full} B full, {after} B after"
    );
    println!("{most} B most, {bound} B bound");
    assert!(taken > 4_096, "{taken} taken");
    assert!(most <= bound + bound / 10, "{most} B, {bound} B are configured");
    assert!(after < full + (4 << 20), "{full} B full and {after} B later");
    // Nothing of it is lost: whoever reads at last gets everything.
    let each = taken + more;
    let mut got = [0; 2];
    let since = Instant::now();
    while got != [each; 2] {
        assert!(since.elapsed() < PATIENCE, "{got:?} of {each}");
        for (node, got) in nodes.iter_mut().zip(&mut got) {
            while let Ok(event) = node.try_recv() {
                *got += usize::from(matches!(event, Event::Message(_)));
            }
        }
    }
}
