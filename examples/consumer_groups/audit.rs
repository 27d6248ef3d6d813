//! The audit: what every application processed, against what was written and who owned what.
//!
//! # Invariants
//!
//! - Every claim can fail, and a test makes it fail.

use std::collections::{BTreeMap, BTreeSet};

use onceflow_examples::finding::Finding;
use onceflow_examples::text::count;

use crate::show::Shown;
use crate::topology::Stamped;

/// What an application processed, in the order of each partition.
type Processed = (String, Vec<Stamped>);

/// Holds what every application processed against what was shown.
pub(crate) fn audit(shown: &Shown, processed: &[Processed]) -> Vec<Finding> {
    let total: usize = processed.iter().map(|(_, stamped)| stamped.len()).sum();
    let extent = format!("{} results", count(total));
    let moves = shown.steps.len() * processed.len();
    vec![
        Finding::new(
            "every application got every event",
            format!("{} events", count(shown.events)),
            processed.iter().flat_map(|of| missing(shown.events, of)),
        ),
        Finding::new(
            "no application got an event twice",
            extent.clone(),
            processed.iter().flat_map(repeated),
        ),
        Finding::new(
            "the events of a partition came in their order",
            extent.clone(),
            processed.iter().flat_map(disordered),
        ),
        Finding::new(
            "every partition had one owner in every application",
            format!("{moves} spreads"),
            unowned(shown).into_iter(),
        ),
        Finding::new(
            "while nothing moved, only the owner processed",
            extent,
            processed.iter().flat_map(|of| strangers(shown, of)),
        ),
    ]
}

fn missing(events: u64, (application, stamped): &Processed) -> Vec<String> {
    let got: BTreeSet<u64> = stamped.iter().map(|stamped| stamped.event).collect();
    let missing = (0..events).filter(|event| !got.contains(event));
    let told = missing.map(|event| format!("{application} did not get event {event}"));
    told.collect()
}

fn repeated((application, stamped): &Processed) -> Vec<String> {
    let mut got = BTreeSet::new();
    let again = stamped.iter().filter(|stamped| !got.insert(stamped.event));
    let told = again.map(|it| {
        format!(
            "{application} got event {} again, by {}",
            it.event, it.worker
        )
    });
    told.collect()
}

fn disordered((application, stamped): &Processed) -> Vec<String> {
    let (mut last, mut wrong) = (BTreeMap::new(), Vec::new());
    for it in stamped {
        let before = last.insert(it.partition, it.offset);
        if before.is_some_and(|before| before >= it.offset) {
            let Stamped {
                partition, offset, ..
            } = it;
            wrong.push(format!(
                "{application}: partition {partition} went back to {offset}"
            ));
        }
    }
    wrong
}

fn unowned(shown: &Shown) -> Vec<String> {
    let mut wrong = Vec::new();
    if shown.steps.is_empty() {
        wrong.push("nothing was spread".to_owned());
    }
    for step in &shown.steps {
        let unsettled = step
            .owners
            .iter()
            .filter(|(_, owners)| !owners.are_settled());
        wrong.extend(unsettled.map(|(name, owners)| format!("{}: {name} {owners}", step.title)));
    }
    wrong
}

fn strangers(shown: &Shown, (application, stamped): &Processed) -> Vec<String> {
    let mut wrong = Vec::new();
    for it in stamped {
        let step = shown
            .steps
            .iter()
            .find(|step| step.events.contains(&it.event));
        let Some(owners) = step.and_then(|step| step.owners.get(application)) else {
            // It was written while partitions moved.
            continue;
        };
        if owners.of(it.partition) != Some(&it.worker) {
            let Stamped {
                event,
                worker,
                partition,
                ..
            } = it;
            wrong.push(format!(
                "{application}: {worker} processed event {event} of partition {partition}"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ownership::Owners;
    use crate::show::Step;

    /// Two partitions: events 0 to 3 belong to worker-1; then partition 1 goes to worker-2.
    fn shown() -> Shown {
        let step = |events, owners: [&str; 2]| Step {
            title: String::new(),
            owners: BTreeMap::from([(
                "billing".to_owned(),
                Owners((0..).zip(owners.map(|it| vec![it.to_owned()])).collect()),
            )]),
            events,
        };
        Shown {
            steps: vec![
                step(0..4, ["worker-1", "worker-1"]),
                step(4..8, ["worker-1", "worker-2"]),
            ],
            events: 8,
        }
    }

    fn honest() -> Vec<Stamped> {
        let stamped = |event: u64| Stamped {
            event,
            worker: if event >= 4 && event % 2 == 1 {
                "worker-2"
            } else {
                "worker-1"
            }
            .to_owned(),
            partition: i32::from(event % 2 == 1),
            offset: (event / 2).cast_signed(),
        };
        (0..8).map(stamped).collect()
    }

    /// The claims that do not hold after a defect.
    fn broken(defect: impl FnOnce(&mut Shown, &mut Vec<Stamped>)) -> Vec<&'static str> {
        let (mut shown, mut stamped) = (shown(), honest());
        defect(&mut shown, &mut stamped);
        let findings = audit(&shown, &[("billing".to_owned(), stamped)]);
        let broken = findings.into_iter().filter(|finding| !finding.holds());
        broken.map(|finding| finding.claim).collect()
    }

    #[test]
    fn groups_that_work_pass() {
        assert_eq!(broken(|_, _| ()), [""; 0]);
    }

    #[test]
    fn an_event_that_is_lost_is_found() {
        let lost = ["every application got every event"];
        assert_eq!(broken(|_, stamped| drop(stamped.remove(3))), lost);
        assert_eq!(broken(|_, stamped| stamped.clear()), lost);
    }

    #[test]
    fn an_event_that_comes_twice_is_found() {
        let twice = |_: &mut Shown, stamped: &mut Vec<Stamped>| {
            let mut again = stamped[6].clone();
            again.offset += 1;
            stamped.push(again);
        };
        assert_eq!(broken(twice), ["no application got an event twice"]);
    }

    #[test]
    fn events_out_of_order_are_found() {
        let swapped = |_: &mut Shown, stamped: &mut Vec<Stamped>| stamped.swap(0, 2);
        let claim = "the events of a partition came in their order";
        assert_eq!(broken(swapped), [claim]);
    }

    #[test]
    fn a_worker_that_processes_what_it_does_not_own_is_found() {
        let stranger = |_: &mut Shown, stamped: &mut Vec<Stamped>| {
            stamped[5].worker = "worker-1".to_owned();
        };
        let claim = "while nothing moved, only the owner processed";
        assert_eq!(broken(stranger), [claim]);
    }

    #[test]
    fn a_partition_with_two_owners_is_found() {
        let two = |shown: &mut Shown, _: &mut Vec<Stamped>| {
            let owners = shown.steps[0].owners.get_mut("billing").unwrap();
            owners.0.get_mut(&0).unwrap().push("worker-2".to_owned());
            shown.steps[0].events = 0..0;
        };
        let claim = "every partition had one owner in every application";
        assert_eq!(broken(two), [claim]);
        assert_eq!(broken(|shown, _| shown.steps.clear()), [claim]);
    }
}
