//! What somebody writes who needs one fast exactly-once program and no framework: consume, produce,
//! commit, on rdkafka, tuned.
//!
//! ```text
//!   take in bulk ──> change, count ──> produce ──> ... 100 ms ... ──> offsets, flush, commit
//! ```
//!
//! It leaves out what a framework is for: state is not restored, a failed transaction ends the
//! program, records are not kept for a replay, one record in one record out. What it does on its
//! hot path is honest: counts go to a changelog, timestamps are kept, offsets are in the
//! transaction, Java's partitioner is used, and group events are served between transactions.

mod native;
mod clients;
mod stages;
mod transaction;
mod unsent;

use std::sync::Arc;
use std::time::Duration;

use crate::Failure;
use crate::cli::Options;
use crate::marks::Marks;
use crate::os;
use crate::workload::{Guarantee, Workload};

pub use unsent::Unsent;

use clients::{Committer, Reader, topics};
use stages::Stages;
use transaction::Open;

/// The contender's name.
pub const NAME: &str = "handwritten";

/// How long a transaction stays open, if nobody says.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// How long an empty queue is waited on.
const WAIT: Duration = Duration::from_millis(5);

/// As above while no transaction is open.
const IDLE_WAIT: Duration = Duration::from_millis(50);

/// Chunks of a thousand records that one commit covers, when it comes first: what is prefetched.
const CHUNKS_MAX: usize = 50;

/// Processes records on so many threads until all that `marks` expects are committed.
///
/// # Errors
///
/// Whatever a client says: nothing is tried twice.
pub fn run(workload: Workload, options: &Options, marks: &Arc<Marks>) -> Result<(), Failure> {
    let application_id = options.application_id(NAME);
    let topics = topics(workload, &application_id, options)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads)
            .map(|number| {
                let (topics, application_id) = (&topics, &application_id);
                scope.spawn(move || {
                    let member = format!("{application_id}-{number}");
                    let reader = Reader::new(options, application_id, topics)?;
                    let committer = Committer::new(options, &member)?;
                    let stages = Stages::new(workload, &committer, topics)?;
                    work(reader, committer, stages, options, marks)
                })
            })
            .collect();
        let mut ended = threads.into_iter().map(|thread| thread.join());
        ended.try_for_each(|result| result.unwrap_or_else(|_panic| Err("a thread panicked".into())))
    })
}

fn work(
    reader: Reader,
    committer: Committer,
    mut stages: Stages,
    options: &Options,
    marks: &Marks,
) -> Result<(), Failure> {
    let interval = options.commit_interval().unwrap_or(COMMIT_INTERVAL);
    while !marks.is_done() {
        reader.serve_events()?;
        if !reader.is_settled() {
            os::sleep(WAIT);
            continue;
        }
        marks.running();
        if !reader.wait(IDLE_WAIT) {
            continue;
        }
        marks.processing();
        let committed = match options.guarantee {
            Guarantee::AtMostOnce => commit_first(&reader, &committer, &mut stages)?,
            _ => commit_last(&reader, &committer, &mut stages, interval)?,
        };
        marks.committed(committed);
    }
    committer.close()
}

/// Processes for an interval, then commits; answers how many records.
fn commit_last(
    reader: &Reader,
    committer: &Committer,
    stages: &mut Stages,
    interval: Duration,
) -> Result<u64, Failure> {
    let mut open = Open::begin(committer, reader.topics())?;
    let deadline = os::now() + interval;
    while os::now() < deadline {
        let chunk = reader.take()?;
        for record in chunk.records() {
            let record = record?;
            open.consumed(&record);
            stages.process(&record)?;
        }
        committer.poll();
        if chunk.len() == 0 {
            reader.wait(WAIT);
        }
    }
    open.commit(reader, committer)
}

/// Commits what is there, at most [`CHUNKS_MAX`] chunks, then processes it; answers how many records.
fn commit_first(
    reader: &Reader,
    committer: &Committer,
    stages: &mut Stages,
) -> Result<u64, Failure> {
    let mut open = Open::begin(committer, reader.topics())?;
    let mut chunks = Vec::with_capacity(CHUNKS_MAX);
    while chunks.len() < CHUNKS_MAX {
        let chunk = reader.take()?;
        if chunk.len() == 0 {
            break;
        }
        for record in chunk.records() {
            open.consumed(&record?);
        }
        chunks.push(chunk);
    }
    if chunks.is_empty() {
        return Ok(0);
    }
    let records = open.commit(reader, committer)?;
    for chunk in chunks {
        for record in chunk.records() {
            stages.process(&record?)?;
        }
        committer.poll();
    }
    Ok(records)
}
