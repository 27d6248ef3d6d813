//! onceflow's worker: each workload in the words of the DSL, marked from outside of it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use onceflow::prelude::*;
use onceflow::{App, BatchPoint, Config, State};

use crate::Failure;
use crate::cli::Options;
use crate::marks::Marks;
use crate::workload::{self, Workload};

/// The contender's name.
pub const NAME: &str = "onceflow";

/// How long the last batch may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// The topics of a workload.
#[derive(Debug, Clone, Copy)]
pub struct Topics<'t> {
    /// The topic to read.
    pub input: &'t str,
    /// The table that `join` looks up.
    pub table: &'t str,
    /// The topic to write.
    pub output: &'t str,
}

/// The topology of a workload.
///
/// # Errors
///
/// A topic name that is none.
pub fn topology(workload: Workload, topics: Topics<'_>) -> Result<Topology, Error> {
    let Topics {
        input,
        table,
        output,
    } = topics;
    let builder = StreamsBuilder::new();
    let records = builder.stream(input, Consumed::<i64, Vec<u8>>::new());
    match workload {
        Workload::Map => records
            .map_values(|mut value| {
                workload::map_in_place(&mut value);
                value
            })
            .to(output, Produced::new()),
        Workload::Count => count(&records, output),
        Workload::Repartition => {
            count(
                &records.select_key(|_, value| workload::other_key(value)),
                output,
            );
        }
        Workload::Join => {
            let rows = Consumed::<i64, Vec<u8>>::new();
            let table = builder.table_with(table, rows, Materialized::as_store("rows"));
            records
                .left_join_table(&table, joined, Joined::<i64, Vec<u8>>::new())
                .to(output, Produced::new());
        }
    }
    builder.build()
}

fn joined(mut value: Vec<u8>, row: Option<Vec<u8>>) -> Vec<u8> {
    workload::join_in_place(&mut value, &row.unwrap_or_default());
    value
}

fn count(records: &KStream<i64, Vec<u8>>, output: &str) {
    records
        .group_by_key(Grouped::<i64, Vec<u8>>::new())
        .count_with(Materialized::as_store("counts"))
        .to_stream()
        .to(output, Produced::new());
}

/// Processes records until all that `marks` expects are committed.
///
/// # Errors
///
/// Whatever ends the application before.
pub async fn run(workload: Workload, options: &Options, marks: Arc<Marks>) -> Result<(), Failure> {
    let app = start(workload, options, &marks).await?;
    let (tell, done) = tokio::sync::oneshot::channel();
    // A thread of its own: if the application ends before, nobody waits for it.
    std::thread::Builder::new()
        .name("marks".to_owned())
        .spawn(move || {
            marks.wait();
            tell.send(())
        })?;
    tokio::select! {
        end = app.wait() => {
            end?;
            return Err("the application ended before all records were committed".into());
        }
        waited = done => waited?,
    }
    app.close(CLOSE_TIMEOUT).await?;
    Ok(())
}

/// Starts the application and waits until it runs.
///
/// # Errors
///
/// Whatever ends it before.
pub async fn start(
    workload: Workload,
    options: &Options,
    marks: &Arc<Marks>,
) -> Result<App, Failure> {
    let topics = Topics {
        input: &options.input,
        table: &options.table,
        output: &options.output,
    };
    let topology = topology(workload, topics)?;
    let guarantee = match options.guarantee {
        workload::Guarantee::ExactlyOnce => "exactly_once_v2",
        workload::Guarantee::AtLeastOnce => "at_least_once",
        workload::Guarantee::AtMostOnce => "at_most_once",
    };
    let settings = options.settings.iter().map(|(name, value)| (name, value));
    let mut config = Config::builder(options.application_id(NAME), &*options.bootstrap_servers)
        .num_stream_threads(options.threads)
        .property("processing.guarantee", guarantee);
    if let Some(interval) = options.commit_interval() {
        config = config.commit_interval(interval);
    }
    let config = config.properties(settings).build()?;
    let observed = Arc::clone(marks);
    let app =
        App::new(topology, config)?.with_batch_observer(move |point| observe(&observed, point));
    let mut states = app.watch();
    app.start().await?;
    let reached = states
        .wait_for(|state| *state == State::Running || state.is_final())
        .await;
    reached.map_err(|closed| closed.to_string())?;
    marks.running();
    Ok(app)
}

/// Counts what each worker's open batch has processed; a commit makes it final.
fn observe(marks: &Marks, point: BatchPoint) {
    thread_local! {
        static OPEN: Cell<u64> = const { Cell::new(0) };
    }
    match point {
        BatchPoint::RecordProcessed => OPEN.set(OPEN.get() + 1),
        BatchPoint::BeforeBegin => marks.processing(),
        BatchPoint::AfterCommit => marks.committed(OPEN.take()),
        BatchPoint::AfterAbort => OPEN.set(0),
        _ => {}
    }
}
