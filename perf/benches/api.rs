//! What the API's path costs in one thread, without a network: a member alone, driven inline.
#![expect(clippy::unwrap_used, reason = "a bench fails where it expects")]

use std::hint::black_box;

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

/// Publish, order on a ring of one, receive; the receive calls of two idle sockets included.
fn publish_and_receive(c: &mut Criterion) {
    const MESSAGES: usize = 500;
    let state = tempfile::tempdir().unwrap();
    let mut node = alone(state.path());
    let mut group = c.benchmark_group("alone, inline");
    for bytes in [64, 1_350, 8_192] {
        let payload = Bytes::from(vec![7; bytes]);
        let see = |event: EventRef<'_>| _ = black_box(event);
        group.throughput(Throughput::Elements(MESSAGES as u64));
        group.bench_function(format!("publish and receive {MESSAGES} of {bytes} B"), |b| {
            b.iter(|| {
                for _ in 0..MESSAGES {
                    node.try_publish(Service::Agreed, payload.clone()).unwrap();
                }
                let mut received = 0;
                while received < MESSAGES {
                    node.poll();
                    received += node.recv_batch(64, see).unwrap();
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, publish_and_receive);
criterion_main!(benches);
