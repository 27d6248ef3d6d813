//! The hot path in small pieces, by criterion: `cargo bench -p onceflow-benches`.
//!
//! `elem/s` are operations of one core: records for `task` and `driver`. What handing a record to
//! librdkafka costs is `produce`.

use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use onceflow_benches::handwritten::Unsent;
use onceflow_benches::micro::{OPERATIONS, cases};
use onceflow_benches::os;
use onceflow_benches::workload::VALUE_BYTES;

fn hot_path(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hot_path");
    group.throughput(Throughput::Elements(OPERATIONS));
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    group.sample_size(30);
    for case in cases() {
        group.bench_function(case.name, |bencher| {
            if case.name.starts_with("driver/") {
                // It keeps a history: none lives for long.
                bencher.iter_batched_ref(case.make, |piece| piece(), BatchSize::LargeInput);
            } else {
                let mut piece = (case.make)();
                bencher.iter(&mut *piece);
            }
        });
    }
    group.bench_function("produce/librdkafka", |bencher| {
        let unsent = Unsent::new().expect("a client needs no broker to be made");
        let value = [7; VALUE_BYTES];
        bencher.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let begin = os::now();
                for key in 0..OPERATIONS {
                    unsent
                        .produce(&key.to_be_bytes(), &value)
                        .expect("there is room");
                }
                spent += os::now() - begin;
                unsent.purge();
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, hot_path);
criterion_main!(benches);
