//! Latency: records at a fixed rate, from their making to their sight in the committed output.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;
use rdkafka::{Message, Offset};

use super::contender::{Place, Task};
use super::plan::Plan;
use super::results::Latency;
use crate::topics::{Admin, loader, reader, send};
use crate::workload::{Records, moment};
use crate::{Failure, os};

/// Records of the first seconds are not counted: programs warm up.
const WARM_UP: Duration = Duration::from_secs(3);

/// How long after the last record its output may appear.
const PATIENCE: Duration = Duration::from_secs(3);

/// Measures one contender under `map`.
///
/// # Errors
///
/// When it fails.
pub fn measure(plan: &Plan, task: &Task, place: &Place) -> Result<Latency, Failure> {
    let admin = Admin::new(&place.bootstrap_servers)?;
    admin.remove_all_but(&[])?;
    let number = os::now().as_millis();
    let place = Place {
        input: format!("latency-in-{number}"),
        output: format!("latency-out-{number}"),
        ..place.clone()
    };
    admin.create(&place.input, plan.partitions, &[])?;
    admin.create(&place.output, plan.partitions, &[])?;
    let (worker, _) = task.idle(&place)?;
    let begin = os::now();
    let end = begin + WARM_UP + Duration::from_secs(plan.latency_seconds());
    let sent = AtomicBool::new(false);
    let cpu = || os::usage(worker.pid()).map_or(Duration::ZERO, |usage| usage.cpu);
    let before = cpu();
    let mut millis = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let outcome = pace(plan, &place, begin, end);
            sent.store(true, Ordering::Release);
            outcome
        });
        let received = receive(plan, &place, begin + WARM_UP, &sent);
        sender.join().map_err(|_panic| "the sender panicked")??;
        received
    })?;
    let span = os::now() - begin;
    let processors = (cpu() - before).as_secs_f64() / span.as_secs_f64();
    millis.sort_by(f64::total_cmp);
    Ok(Latency {
        who: task.contender,
        workload: task.workload,
        guarantee: task.guarantee,
        commit_interval_ms: task.commit_interval_ms,
        records_per_second: plan.latency_rate,
        records: millis.len() as u64,
        p50_ms: quantile(&millis, 500),
        p99_ms: quantile(&millis, 990),
        p999_ms: quantile(&millis, 999),
        processors,
    })
}

/// Sends what is due, once a millisecond; a record's moment is when it was due.
fn pace(plan: &Plan, place: &Place, begin: Duration, end: Duration) -> Result<(), Failure> {
    let producer = loader(&place.bootstrap_servers, 0)?;
    let mut source = Records::new(plan.keys);
    let gap = Duration::from_nanos(1_000_000_000 / plan.latency_rate);
    let mut due = begin;
    while due < end {
        while due <= os::now() {
            let (key, value) = source.next(due);
            send(&producer, &place.input, key, value)?;
            due += gap;
        }
        producer.poll(Duration::ZERO);
        os::sleep(Duration::from_millis(1));
    }
    Ok(producer.flush(PATIENCE)?)
}

fn receive(
    plan: &Plan,
    place: &Place,
    from: Duration,
    sent: &AtomicBool,
) -> Result<Vec<f64>, Failure> {
    let consumer = reader(
        &place.bootstrap_servers,
        &place.output,
        plan.partitions,
        Offset::Beginning,
    )?;
    let mut millis = Vec::new();
    let mut heard = os::now();
    while !sent.load(Ordering::Acquire) || os::now() < heard + PATIENCE {
        match consumer.poll(Duration::from_millis(10)) {
            Some(Ok(message)) => {
                heard = os::now();
                let made = message
                    .payload()
                    .and_then(moment)
                    .ok_or("a record without its moment")?;
                if made >= from {
                    millis.push((heard - made).as_secs_f64() * 1e3);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Ok(millis)
}

fn quantile(sorted: &[f64], per_mille: usize) -> f64 {
    let index = sorted.len().saturating_sub(1) * per_mille / 1000;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
