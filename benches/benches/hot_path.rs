//! The hot path in small pieces, by criterion: `cargo bench -p onceflow-benches`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use onceflow_benches::micro::cases;

/// Operations of one sample: the test driver keeps a history, so none lives for long.
const OPERATIONS: u32 = 1_000;

fn hot_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hot_path");
    group.throughput(Throughput::Elements(u64::from(OPERATIONS)));
    for case in cases() {
        group.bench_function(case.name, |bencher| {
            let run = |operation: &mut Box<dyn FnMut()>| {
                for _ in 0..OPERATIONS {
                    operation();
                }
            };
            bencher.iter_batched_ref(case.make, run, BatchSize::LargeInput);
        });
    }
    group.finish();
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
