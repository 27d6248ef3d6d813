//! Throughput: rounds of runs, contender after contender.

use super::contender::{Contender, Place, Task};
use super::plan::Plan;
use super::results::Measured;
use crate::topics::{Admin, fingerprint, load};
use crate::workload::Expected;
use crate::{Failure, os};

/// Runs all rounds; `say` is told what was measured.
///
/// # Errors
///
/// When a contender fails, or its output is wrong.
pub fn run(
    plan: &Plan,
    place: &Place,
    broker: Option<u32>,
    mut say: impl FnMut(&str),
) -> Result<Vec<Measured>, Failure> {
    let admin = Admin::new(&place.bootstrap_servers)?;
    admin.create(&place.input, plan.partitions, &[])?;
    say(&format!("loading {} records", plan.records()));
    let expected = load(
        &place.bootstrap_servers,
        &place.input,
        plan.records(),
        plan.keys,
    )?;
    let rounds: Vec<Vec<Task>> = (0..plan.rounds()).map(|round| plan.round(round)).collect();
    let all: usize = rounds.iter().map(Vec::len).sum();
    if let Some(task) = rounds.first().and_then(|tasks| tasks.first()) {
        say("warming the broker up");
        let task = Task {
            contender: Contender::Handwritten,
            ..task.clone()
        };
        measure(plan, &task, &arena(plan, place, &admin, 0)?, None)?;
    }
    let mut measured = Vec::new();
    for (round, tasks) in rounds.into_iter().enumerate() {
        for task in tasks {
            let number = measured.len() + 1;
            let place = arena(plan, place, &admin, number)?;
            let mut result = measure(plan, &task, &place, broker)?;
            result.round = round;
            if round == 0 {
                verify(plan, &task, &place, &expected)?;
                result.verified = true;
            }
            say(&line(&result, number, all));
            measured.push(result);
        }
    }
    admin.remove_all_but(&[])?;
    Ok(measured)
}

/// A new output topic; whatever the last run wrote is removed.
fn arena(plan: &Plan, place: &Place, admin: &Admin, number: usize) -> Result<Place, Failure> {
    admin.remove_all_but(&[&place.input])?;
    let output = format!("{}-{number}", place.output);
    admin.create(&output, plan.partitions, &[])?;
    Ok(Place {
        output,
        ..place.clone()
    })
}

fn measure(
    plan: &Plan,
    task: &Task,
    place: &Place,
    broker: Option<u32>,
) -> Result<Measured, Failure> {
    let broker_cpu = || {
        broker
            .and_then(os::usage)
            .map(|usage| usage.cpu.as_secs_f64())
    };
    let (own, brokers) = (os::children_cpu(), broker_cpu());
    let run = task.run(place, plan.records())?;
    Ok(Measured {
        who: task.contender,
        round: 0,
        run,
        process_cpu_seconds: (os::children_cpu() - own).as_secs_f64(),
        broker_cpu_seconds: broker_cpu()
            .zip(brokers)
            .map(|(after, before)| after - before),
        verified: false,
    })
}

fn verify(plan: &Plan, task: &Task, place: &Place, expected: &Expected) -> Result<(), Failure> {
    let wanted = expected.output(task.workload);
    let found = fingerprint(&place.bootstrap_servers, &place.output, plan.partitions)?;
    if found == wanted {
        return Ok(());
    }
    let (who, workload) = (task.contender, task.workload);
    let (found, wanted) = (found.records, wanted.records);
    Err(
        format!("the output of {who}, {workload} is wrong: {found} records, {wanted} expected")
            .into(),
    )
}

fn line(result: &Measured, number: usize, all: usize) -> String {
    let run = &result.run;
    format!(
        "[{number}/{all}] {} {} threads={} {}: {:.0} k records/s (second half {:.0} k), {:.2} CPU s/M, {} MiB",
        run.workload,
        run.guarantee,
        run.threads,
        result.who,
        run.records_per_second() / 1e3,
        run.warm_records_per_second() / 1e3,
        run.cpu_per_million(),
        run.peak_rss_bytes >> 20,
    )
}
