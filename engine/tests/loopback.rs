//! Members on real sockets of this host: multicast on `lo`, one address each.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use roundel::{Configuration, ConfigurationKind, Event, Node, Service, Wanted};

/// Waiting longer than this for anything is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

fn join(cluster: &str, state: &std::path::Path, host: u8) -> Node {
    let address = Ipv4Addr::new(127, 0, 0, host);
    Node::builder(cluster)
        .id(u32::from(host))
        .interface(Wanted::Address(address))
        .state_dir(state)
        .join()
        .unwrap()
}

fn cluster(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// Receives until `done` says so; every message's payload in order.
fn receive(node: &mut Node, mut done: impl FnMut(&Event) -> bool) -> Vec<Vec<u8>> {
    let since = Instant::now();
    let mut payloads = Vec::new();
    while since.elapsed() < PATIENCE {
        let Ok(event) = node.recv_timeout(PATIENCE) else { break };
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
