//! What the core's paths cost in time, without sockets and threads.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a bench reads the clock")]

mod paths;

use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn every_path(c: &mut Criterion) {
    for path in paths::ALL {
        let mut work = (path.prepare)();
        let mut group = c.benchmark_group(path.group);
        group.throughput(Throughput::Elements(path.elements));
        group.bench_function(path.name, |b| {
            b.iter_custom(|iterations| {
                let start = Instant::now();
                work(iterations);
                start.elapsed()
            });
        });
        group.finish();
    }
}

criterion_group!(benches, every_path);
criterion_main!(benches);
