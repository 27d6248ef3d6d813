//! The application: samples in, the average of each host's minute so far out.

use std::process::ExitCode;
use std::time::Duration;

use onceflow::Config;
use onceflow::prelude::*;
use onceflow_examples::app;
use onceflow_examples::run::WorkerArguments;

use crate::model::{AVERAGES, Average, SAMPLES, Sample};

/// Where the averages of open minutes are kept.
pub(crate) const STORE: &str = "minutes";

/// Builds the monitor; `run` is what the names of its topics end in.
pub(crate) fn monitor(run: &str) -> Result<Topology, Error> {
    let builder = StreamsBuilder::new();
    let minute = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    let samples = Consumed::with(utf8(), json::<Sample>()).with_timestamps(|sample| {
        Timestamp::from_millis(sample.value.second.cast_signed() * 1_000)
    });
    builder
        .stream(&*format!("{SAMPLES}{run}"), samples)
        .group_by_key(Grouped::with(utf8(), json::<Sample>()))
        .windowed_by(minute)
        .aggregate(
            Average::default,
            |_host, sample, average: Average| average.with(&sample),
            Materialized::with(utf8(), json::<Average>()).with_name(STORE),
        )
        .to_stream()
        .select_key(|window, _| window.key.clone())
        .to(
            &format!("{AVERAGES}{run}"),
            Produced::with(utf8(), nullable(json::<Average>())),
        );
    builder.build()
}

/// Runs the monitor until it is told to end, or fails.
pub(crate) fn work(arguments: &WorkerArguments) -> ExitCode {
    let config = Config::builder(&arguments.application_id, &arguments.bootstrap_servers)
        // Offsets are committed before their samples are processed, and output goes out with
        // acks=0: nothing can come twice, and nobody waits for a broker.
        .property("processing.guarantee", "at_most_once")
        .num_stream_threads(2)
        // The name outlives a crash: the next worker is given its partitions at once.
        .instance_id("monitor")
        .static_membership(true)
        .build();
    app::serve(monitor(&arguments.run), config)
}
