//! In steady state nothing is allocated for a message: not by the application's calls, not by the
//! members' own work.
//!
//! Two members in inline drive do all of it in one thread, where it can be counted. Control
//! allocates at its own slow pace (beacons); that does not grow with the messages.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use roundel::{
    Batch, BatchError, Configuration, ConfigurationKind, DriveMode, Event, EventRef, Node, Service,
    Wanted,
};

/// Waiting longer than this for anything is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

fn join(state: &std::path::Path, host: u8) -> Node {
    Node::builder(&format!("allocations-{}", std::process::id()))
        .id(u32::from(host))
        .interface(Wanted::Address(Ipv4Addr::new(127, 0, 0, host)))
        .state_dir(state)
        .drive(DriveMode::Inline)
        .join()
        .unwrap()
}

/// Both members work until each has seen a configuration of two.
fn together(nodes: &mut [Node; 2]) {
    let since = Instant::now();
    let mut done = [false; 2];
    while done != [true; 2] {
        assert!(since.elapsed() < PATIENCE, "no ring of two");
        for (node, done) in nodes.iter_mut().zip(&mut done) {
            node.poll();
            while let Ok(event) = node.try_recv() {
                *done |= matches!(event, Event::Configuration(Configuration {
                    kind: ConfigurationKind::Regular, members, .. }) if members.len() == 2);
            }
        }
    }
}

/// Has so many messages of each member delivered at both.
fn exchange(nodes: &mut [Node; 2], batches: &mut [Batch; 2], each: u64, payload: &[u8]) {
    let since = Instant::now();
    let mut pushed = [0; 2];
    let mut delivered = [0; 2];
    while delivered != [2 * each; 2] {
        assert!(since.elapsed() < PATIENCE, "{delivered:?} of {} in time", 2 * each);
        for index in 0..2 {
            while pushed[index] < each {
                match batches[index].try_push(payload) {
                    Ok(()) => pushed[index] += 1,
                    Err(error) => {
                        assert_eq!(error, BatchError::Full);
                        break;
                    }
                }
            }
            if pushed[index] == each {
                let _ = batches[index].try_flush();
            }
            nodes[index].poll();
            let count = &mut delivered[index];
            let each = |event: EventRef<'_>| {
                *count += u64::from(matches!(event, EventRef::Message(_)));
            };
            nodes[index].recv_batch(usize::MAX, each).unwrap();
        }
    }
}

#[test]
fn a_message_allocates_nothing() {
    const WARM_UP: u64 = 300_000;
    const EACH: u64 = 200_000;
    const MOST: f64 = 0.001;
    let state = tempfile::tempdir().unwrap();
    for bytes in [64, 1_000] {
        let mut nodes = [41, 42].map(|host| join(state.path(), host));
        together(&mut nodes);
        let mut batches = [0, 1].map(|i: usize| nodes[i].publisher().batch(Service::Agreed));
        let payload = vec![7; bytes];
        exchange(&mut nodes, &mut batches, WARM_UP, &payload);
        let info = allocation_counter::measure(|| {
            exchange(&mut nodes, &mut batches, EACH, &payload);
        });
        let per_message = info.count_total as f64 / (2 * EACH) as f64;
        println!("{bytes} B: {} allocations, {per_message} a message", info.count_total);
        assert!(per_message < MOST, "{bytes} B: {info:?}");
    }
}
