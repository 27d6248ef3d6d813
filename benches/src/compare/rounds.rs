//! Throughput: rounds of runs, contender after contender.

use super::contender::{Broker, Contender, Place, Task};
use super::plan::Plan;
use super::results::Measured;
use crate::topics::{Admin, fingerprint, load, load_table};
use crate::workload::{Expected, Workload};
use crate::{Failure, os};

/// A broker with its input.
pub struct Ground {
    broker: Broker,
    place: Place,
    /// Its process, if it is ours.
    pid: Option<u32>,
    admin: Admin,
    expected: Expected,
}

impl std::fmt::Debug for Ground {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ground({})", self.place.bootstrap_servers)
    }
}

impl Ground {
    /// Loads the input and the table.
    ///
    /// # Errors
    ///
    /// When the broker does not take them.
    pub fn load(
        plan: &Plan,
        broker: Broker,
        place: &Place,
        pid: Option<u32>,
    ) -> Result<Self, Failure> {
        let admin = Admin::new(&place.bootstrap_servers)?;
        let servers = &place.bootstrap_servers;
        if plan.workloads.contains(&Workload::Join) {
            // First, so that its rows are older than the records that look them up.
            admin.create(&place.table, plan.partitions, &[])?;
            load_table(servers, &place.table, plan.keys)?;
        }
        admin.create(&place.input, plan.partitions, &[])?;
        let expected = load(servers, &place.input, plan.records(), plan.keys)?;
        Ok(Ground {
            broker,
            place: place.clone(),
            pid,
            admin,
            expected,
        })
    }

    /// A new output topic; whatever the last run wrote is removed.
    fn arena(&self, plan: &Plan, number: usize) -> Result<Place, Failure> {
        let (input, table) = (&self.place.input, &self.place.table);
        self.admin.remove_all_but(&[input, table])?;
        let output = format!("{}-{number}", self.place.output);
        self.admin.create(&output, plan.partitions, &[])?;
        Ok(Place {
            output,
            ..self.place.clone()
        })
    }

    fn measure(&self, plan: &Plan, task: &Task, place: &Place) -> Result<Measured, Failure> {
        let broker_cpu = || Some(os::usage(self.pid?)?.cpu.as_secs_f64());
        let (own, brokers) = (os::children_cpu(), broker_cpu());
        let run = task.run(place, plan.records())?;
        Ok(Measured {
            who: task.contender,
            broker: self.broker,
            round: 0,
            run,
            process_cpu_seconds: (os::children_cpu() - own).as_secs_f64(),
            broker_cpu_seconds: broker_cpu()
                .zip(brokers)
                .map(|(after, before)| after - before),
            verified: false,
            unmatched: 0,
        })
    }

    /// One run on a topic of its own; in the first round its output is compared.
    fn run(
        &self,
        plan: &Plan,
        task: &Task,
        (round, number): (usize, usize),
    ) -> Result<Measured, Failure> {
        let place = self.arena(plan, number)?;
        let mut result = self.measure(plan, task, &place)?;
        result.round = round;
        if round == 0 {
            result.unmatched = self.verify(plan, task, &place)?;
            result.verified = true;
        }
        Ok(result)
    }

    /// Compares an output with the input; answers how many records of `join` came before their row.
    fn verify(&self, plan: &Plan, task: &Task, place: &Place) -> Result<u64, Failure> {
        let (servers, workload) = (&place.bootstrap_servers, task.workload);
        let wanted = self.expected.output(workload);
        let (found, joined) = fingerprint(servers, &place.output, plan.partitions, workload)?;
        if found != wanted {
            let (who, found, wanted) = (task.contender, found.records, wanted.records);
            return Err(format!(
                "the output of {who}, {workload} is wrong: {found} records, {wanted} expected"
            )
            .into());
        }
        Ok(match workload {
            Workload::Join => wanted.records - joined,
            Workload::Map | Workload::Count | Workload::Repartition => 0,
        })
    }
}

/// What came of all rounds.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Every run, in the order they ran.
    pub measured: Vec<Measured>,
    /// What failed, or whose output was wrong.
    pub failures: Vec<String>,
}

/// Runs all rounds; `say` is told what was measured.
///
/// # Errors
///
/// When the broker fails, or the first run, which warms it up.
pub fn run(plan: &Plan, grounds: &[Ground], mut say: impl FnMut(&str)) -> Result<Outcome, Failure> {
    let rounds: Vec<Vec<Task>> = (0..plan.rounds()).map(|round| plan.round(round)).collect();
    let all: usize = rounds.iter().map(Vec::len).sum();
    say("warming the brokers up");
    for ground in grounds {
        let task = plan.task(Contender::Handwritten);
        ground.measure(plan, &task, &ground.arena(plan, 0)?)?;
    }
    let (mut outcome, mut number) = (Outcome::default(), 0);
    for (round, tasks) in rounds.into_iter().enumerate() {
        for task in tasks {
            number += 1;
            let ground = grounds.iter().find(|ground| ground.broker == task.broker);
            let ground = ground.ok_or("no such broker was started")?;
            match ground.run(plan, &task, (round, number)) {
                Ok(result) => {
                    say(&format!("[{number}/{all}] {}", line(&result)));
                    outcome.measured.push(result);
                }
                // The other runs are as good as without it.
                Err(failure) => {
                    let (who, workload, guarantee) =
                        (task.contender, task.workload, task.guarantee);
                    let told = format!("{workload}, {guarantee}: {who} failed: {failure}");
                    say(&format!("[{number}/{all}] {told}"));
                    outcome.failures.push(told);
                }
            }
        }
    }
    for ground in grounds {
        ground.admin.remove_all_but(&[])?;
    }
    Ok(outcome)
}

fn line(result: &Measured) -> String {
    let run = &result.run;
    let place = match result.broker {
        Broker::Kafka => "",
        Broker::Embedded => ", embedded broker",
    };
    let unmatched = match result.unmatched {
        0 => String::new(),
        count => format!(", {count} before their row"),
    };
    format!(
        "{}, {}, threads {}{place}: {}: {:.0} k records/s (second half {:.0} k), {:.2} CPU s/M, {} MiB{unmatched}",
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
