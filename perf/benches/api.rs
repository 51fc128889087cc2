//! What the API's path costs in one thread, without a network: a member alone, driven inline.
#![expect(clippy::unwrap_used, reason = "a bench fails where it expects")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use roundel::{DriveMode, EventRef, Node, Service, Wanted};

fn alone(state: &std::path::Path) -> Node {
    let mut node = Node::builder(&format!("bench-{}", std::process::id()))
        .interface(Wanted::Address([127, 0, 0, 99].into()))
        .unicast_port(0)
        .state_dir(state)
        .drive(DriveMode::Inline)
        .join()
        .unwrap();
    while node.try_recv().is_err() {
        node.poll();
    }
    node
}

const MESSAGES: usize = 500;

/// Orders on a ring of one and receives what was published; the receive calls of two idle sockets
/// included.
fn receive(node: &mut Node) {
    let see = |event: EventRef<'_>| _ = black_box(event);
    let mut received = 0;
    while received < MESSAGES {
        node.poll();
        received += node.recv_batch(64, see).unwrap();
    }
}

fn publish_and_receive(c: &mut Criterion) {
    let state = tempfile::tempdir().unwrap();
    let mut node = alone(state.path());
    let mut group = c.benchmark_group("alone, inline");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for bytes in [64, 1_350, 8_192] {
        let payload = Bytes::from(vec![7; bytes]);
        group.bench_function(format!("publish and receive {MESSAGES} of {bytes} B"), |b| {
            b.iter(|| {
                for _ in 0..MESSAGES {
                    node.try_publish(Service::Agreed, payload.clone()).unwrap();
                }
                receive(&mut node);
            });
        });
        let mut batch = node.publisher().batch(Service::Agreed);
        group.bench_function(format!("batch and receive {MESSAGES} of {bytes} B"), |b| {
            b.iter(|| {
                for _ in 0..MESSAGES {
                    batch.try_push(&payload).unwrap();
                }
                batch.try_flush().unwrap();
                receive(&mut node);
            });
        });
    }
    group.finish();
}

/// The hand-over to the worker alone, and back: a queue that another thread would empty.
fn hand_over(c: &mut Criterion) {
    let state = tempfile::tempdir().unwrap();
    let mut node = alone(state.path());
    let publisher = node.publisher();
    let mut group = c.benchmark_group("hand over");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let payload = Bytes::from(vec![7; 64]);
    let publish = || {
        for _ in 0..MESSAGES {
            publisher.try_publish(Service::Agreed, payload.clone()).unwrap();
        }
    };
    group.bench_function(format!("{MESSAGES} of 64 B, one by one"), |b| {
        b.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            for _ in 0..rounds {
                let since = Instant::now();
                publish();
                taken += since.elapsed();
                receive(&mut node);
            }
            taken
        });
    });
    let mut batch = publisher.batch(Service::Agreed);
    group.bench_function(format!("{MESSAGES} of 64 B, as a batch"), |b| {
        b.iter_custom(|rounds| {
            let mut taken = Duration::ZERO;
            for _ in 0..rounds {
                let since = Instant::now();
                for _ in 0..MESSAGES {
                    batch.try_push(&payload).unwrap();
                }
                batch.try_flush().unwrap();
                taken += since.elapsed();
                receive(&mut node);
            }
            taken
        });
    });
    group.finish();
}

criterion_group!(benches, publish_and_receive, hand_over);
criterion_main!(benches);
