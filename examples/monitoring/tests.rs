//! The example's parts on their own, and the whole of it, short.
#![expect(
    dead_code,
    reason = "what only the program calls is run as a program, below"
)]

mod audit;
mod model;
#[expect(
    dead_code,
    reason = "only the topology is tried here, the process below"
)]
mod worker;

use onceflow::prelude::*;
use onceflow_examples::testing::run_example;

use model::{AVERAGES, Average, SAMPLES, Sample};

#[test]
fn a_host_is_averaged_minute_by_minute() {
    let driver = TestDriver::new(worker::monitor("").unwrap()).unwrap();
    let samples = driver.input_topic(SAMPLES, utf8(), json::<Sample>());
    for (second, busy) in [(58, 100), (59, 300), (60, 500)] {
        let host = "ada".to_owned();
        let sample = Sample { host, second, busy };
        samples
            .pipe("ada", sample, Timestamp::from_millis(0))
            .unwrap();
    }
    let averages = driver.output_topic(AVERAGES, utf8(), json::<Average>());
    let averages = averages.read_key_values().unwrap().into_iter();
    let told: Vec<_> = averages
        .map(|(_, it)| (it.minute, it.percent, it.samples))
        .collect();
    assert_eq!(told, [(0, 10.0, 1), (0, 20.0, 2), (1, 50.0, 1)]);
}

#[test]
fn it_loses_samples_in_a_crash_and_counts_none_twice() {
    let said = run_example("monitoring", &["--samples=30000", "--crashes=2"]);
    assert!(said.contains("crash 2/2"), "{said}");
    assert!(
        said.contains("\nPASSED: no sample was counted twice"),
        "{said}"
    );
}
