//! Idle: how soon a process runs, and what it costs to keep it running with nothing to do.

use std::time::Duration;

use super::contender::{Place, Task};
use super::plan::Plan;
use super::results::Idle;
use crate::topics::Admin;
use crate::{Failure, os};

/// After it runs, before it is watched.
const SETTLE: Duration = Duration::from_secs(2);

/// Watches one contender on empty topics.
///
/// # Errors
///
/// When it fails.
pub fn measure(plan: &Plan, task: &Task, place: &Place) -> Result<Idle, Failure> {
    let admin = Admin::new(&place.bootstrap_servers)?;
    admin.remove_all_but(&[])?;
    let number = os::now().as_millis();
    let place = Place {
        input: format!("idle-in-{number}"),
        output: format!("idle-out-{number}"),
        ..place.clone()
    };
    admin.create(&place.input, plan.partitions, &[])?;
    admin.create(&place.output, plan.partitions, &[])?;
    let (worker, start) = task.idle(&place)?;
    os::sleep(SETTLE);
    let usage = || os::usage(worker.pid()).ok_or("the process ended");
    let (before, began) = (usage()?, os::now());
    os::sleep(Duration::from_secs(plan.idle_seconds()));
    let (after, ended) = (usage()?, os::now());
    Ok(Idle {
        who: task.contender,
        start_seconds: start.as_secs_f64(),
        rss_bytes: after.rss_bytes,
        processors: (after.cpu - before.cpu).as_secs_f64() / (ended - began).as_secs_f64(),
    })
}
