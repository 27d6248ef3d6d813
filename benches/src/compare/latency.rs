//! Latency: records at a fixed rate, from their making to their sight in the committed output.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::{Message, Offset};

use super::contender::{Contender, Place, Task, Worker};
use super::results::Latency;
use crate::topics::{Admin, loader, reader, send};
use crate::workload::{Records, moment};
use crate::{Failure, os};

/// How long after the last record its output may appear.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after the end a backlog is read: a rate that is too high leaves one.
const BACKLOG: Duration = Duration::from_secs(8);

/// How long it takes to send what is queued when the time is over.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(20);

/// Between two bursts.
const TICK_MICROS: u64 = 2_000;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Records a second.
    pub rate: u64,
    /// Seconds that are not counted: programs warm up.
    pub warm_up_seconds: u64,
    /// Seconds that are.
    pub seconds: u64,
    /// Keys they are spread over.
    pub keys: u64,
    /// Partitions of both topics.
    pub partitions: i32,
}

/// The moments of a measurement.
#[derive(Debug, Clone, Copy)]
struct Span {
    begin: Duration,
    warm: Duration,
    end: Duration,
}

/// Measures one contender under `map`; `broker` is the process that serves, if it is ours.
///
/// # Errors
///
/// When it fails.
pub fn measure(
    load: Load,
    task: &Task,
    place: &Place,
    broker: Option<u32>,
) -> Result<Latency, Failure> {
    let admin = Admin::new(&place.bootstrap_servers)?;
    admin.remove_all_but(&[])?;
    let number = os::now().as_millis();
    let place = Place {
        input: format!("latency-in-{number}"),
        output: format!("latency-out-{number}"),
        ..place.clone()
    };
    admin.create(&place.input, load.partitions, &[])?;
    admin.create(&place.output, load.partitions, &[])?;
    let (mut worker, _) = task.idle(&place)?;
    let begin = os::now();
    let warm = begin + Duration::from_secs(load.warm_up_seconds);
    let span = Span {
        begin,
        warm,
        end: warm + Duration::from_secs(load.seconds),
    };
    let sent = AtomicBool::new(false);
    let (received, used) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let outcome = pace(load, &place, span);
            sent.store(true, Ordering::Release);
            outcome
        });
        let usage = scope.spawn(|| usage_of(task, &mut worker, broker, span));
        let received = receive(load, &place, span, &sent);
        sender.join().map_err(|_panic| "the sender panicked")??;
        let used = usage.join().map_err(|_panic| "the observer panicked")??;
        Ok::<_, Failure>((received?, used))
    })?;
    let Received { mut millis, served } = received;
    millis.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let served_per_second = served as f64 / load.seconds as f64;
    Ok(Latency {
        who: task.contender,
        workload: task.workload,
        guarantee: task.guarantee,
        commit_interval_ms: task.interval_ms(),
        settings: task.settings.clone(),
        records_per_second: load.rate,
        served_per_second,
        records: millis.len() as u64,
        p50_ms: quantile(&millis, 500),
        p99_ms: quantile(&millis, 990),
        p999_ms: quantile(&millis, 999),
        processors: used.processors,
        broker_processors: used.broker_processors,
        commits_per_second: used.commits_per_second,
    })
}

/// What was used while it was measured.
#[derive(Debug)]
struct Used {
    processors: f64,
    broker_processors: Option<f64>,
    commits_per_second: Option<f64>,
}

fn usage_of(
    task: &Task,
    worker: &mut Worker,
    broker: Option<u32>,
    span: Span,
) -> Result<Used, Failure> {
    let pid = worker.pid();
    let mut look = || -> Result<_, Failure> {
        let own = os::usage(pid).ok_or("the worker ended")?.cpu;
        let brokers = broker.and_then(os::usage).map(|usage| usage.cpu);
        let tells = matches!(task.contender, Contender::Onceflow | Contender::Handwritten);
        let commits = if tells {
            Some(worker.counts()?.commits)
        } else {
            None
        };
        Ok((os::now(), own, brokers, commits))
    };
    os::sleep(span.warm.saturating_sub(os::now()));
    let before = look()?;
    os::sleep(span.end.saturating_sub(os::now()));
    let after = look()?;
    let seconds = (after.0 - before.0).as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let commits = |(after, before): (u64, u64)| (after - before) as f64 / seconds;
    Ok(Used {
        processors: (after.1 - before.1).as_secs_f64() / seconds,
        broker_processors: after
            .2
            .zip(before.2)
            .map(|(after, before)| (after - before).as_secs_f64() / seconds),
        commits_per_second: after.3.zip(before.3).map(commits),
    })
}

/// Sends a burst each tick; a record's moment is when its burst was due, however late it goes.
///
/// Single records would be requests of their own, and the broker would be busy with them alone.
fn pace(load: Load, place: &Place, span: Span) -> Result<(), Failure> {
    let producer = loader(&place.bootstrap_servers, 0)?;
    let mut source = Records::new(load.keys);
    let (mut due, mut owed) = (span.begin, 0);
    while due < span.end && os::now() < span.end + PATIENCE {
        os::sleep(due.saturating_sub(os::now()));
        // In millionths of a record: no rate is rounded.
        owed += load.rate * TICK_MICROS;
        for _ in 0..owed / 1_000_000 {
            let (key, value) = source.next(due);
            send(&producer, &place.input, key, value)?;
        }
        owed %= 1_000_000;
        producer.poll(Duration::ZERO);
        due += Duration::from_micros(TICK_MICROS);
    }
    Ok(producer.flush(FLUSH_TIMEOUT)?)
}

/// What came out.
#[derive(Debug, Default)]
struct Received {
    /// The latency of each record that was made once warm.
    millis: Vec<f64>,
    /// Records that came out between warm and the end.
    served: u64,
}

fn receive(load: Load, place: &Place, span: Span, sent: &AtomicBool) -> Result<Received, Failure> {
    let (servers, topic) = (&place.bootstrap_servers, &place.output);
    let consumer = reader(servers, topic, load.partitions, Offset::Beginning)?;
    let mut received = Received::default();
    let mut heard = os::now();
    while !sent.load(Ordering::Acquire) || os::now() < heard + PATIENCE {
        match consumer.poll(Duration::from_millis(10)) {
            Some(Ok(message)) => {
                heard = os::now();
                let made = message
                    .payload()
                    .and_then(moment)
                    .ok_or("a record without its moment")?;
                if made >= span.warm {
                    received.millis.push((heard - made).as_secs_f64() * 1e3);
                }
                received.served += u64::from((span.warm..span.end).contains(&heard));
                if heard > span.end + BACKLOG {
                    break;
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Ok(received)
}

fn quantile(sorted: &[f64], per_mille: usize) -> f64 {
    let index = sorted.len().saturating_sub(1) * per_mille / 1000;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
