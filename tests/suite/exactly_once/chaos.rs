//! Kills at random moments, many of them, and one history at the end.
//!
//! `ONCEFLOW_CHAOS_KILLS` sets how many kills each seed gets, `ONCEFLOW_CHAOS_SEEDS` which seeds
//! (separated by commas): a run that failed says both.

use std::{env, time::Duration};

use onceflow_framework::BatchPoint;
use onceflow_tests::{
    Cluster, Dice,
    ledger::Ledger,
    wait::holds_for,
    worker::{At, Worker},
};

use super::worker;

/// Kills a seed by default: seconds on the embedded broker.
const KILLS: u64 = 12;

/// The points at which a worker may die by its own hand.
const POINTS: [BatchPoint; 7] = [
    BatchPoint::BeforeBegin,
    BatchPoint::RecordProcessed,
    BatchPoint::BeforeSendOffsets,
    BatchPoint::AfterSendOffsets,
    BatchPoint::BeforeCommit,
    BatchPoint::AfterCommit,
    BatchPoint::AfterApply,
];

fn kills() -> u64 {
    env::var("ONCEFLOW_CHAOS_KILLS")
        .map_or(KILLS, |kills| kills.parse().expect("a number of kills"))
}

fn seeds(default: &[u64]) -> Vec<u64> {
    let Ok(seeds) = env::var("ONCEFLOW_CHAOS_SEEDS") else {
        return default.to_vec();
    };
    let seeds = seeds
        .split(',')
        .map(|seed| seed.trim().parse().expect("a seed"));
    seeds.collect()
}

/// Two workers, each killed again and again: from outside at any moment, or at a point of a batch.
fn storm(cluster: &Cluster, seed: u64) {
    let kills = kills();
    show(&format!(
        "ONCEFLOW_CHAOS_SEEDS={seed} ONCEFLOW_CHAOS_KILLS={kills}"
    ));
    let mut dice = Dice::from_seed(seed);
    let ledger = Ledger::seeded(cluster, "chaos", 3, seed);
    let mut workers = ["one", "two"].map(|name| (name, None::<Worker>));
    for _ in 0..kills {
        ledger.feed(usize::try_from(20 + dice.below(150)).expect("a small number"));
        for (name, slot) in &mut workers {
            let running = slot
                .as_mut()
                .is_some_and(|worker| worker.exit_status().is_none());
            if !running {
                let doomed = (dice.below(2) == 0).then(|| doom(&mut dice));
                *slot = Some(worker(&ledger, name, doomed));
            }
        }
        let span = dice.millis(5, 900);
        assert!(holds_for(span, || true), "they work");
        let (_, victim) = &mut workers[usize::try_from(dice.below(2)).expect("zero or one")];
        if let Some(victim) = victim.take() {
            victim.kill();
        }
    }
    for (_, slot) in &mut workers {
        if let Some(worker) = slot.take() {
            worker.kill();
        }
    }
    let last = workers.map(|(name, _)| worker(&ledger, name, None));
    ledger.wait_for_all();
    last.into_iter().for_each(Worker::close);
    ledger.audit();
}

/// Some point, at some time.
fn doom(dice: &mut Dice) -> At {
    let point = *dice.pick(&POINTS);
    let often = if point == BatchPoint::RecordProcessed {
        200
    } else {
        8
    };
    At::abort(point, 1 + dice.below(often))
}

#[expect(clippy::print_stderr, reason = "what a failed run is repeated with")]
fn show(text: &str) {
    eprintln!("{text}");
}

#[test]
fn kills_at_random_moments_lose_and_double_nothing() {
    for seed in seeds(&[20_260_731]) {
        storm(Cluster::shared(), seed);
    }
}

/// A successor comes while its predecessor's markers are still on their way: offsets may be stable
/// already, and changelogs and inputs not.
#[test]
fn kills_while_markers_are_on_their_way_lose_and_double_nothing() {
    let cluster = Cluster::start_with_late_markers(Duration::from_millis(15));
    for seed in seeds(&[20_260_732]) {
        storm(&cluster, seed);
    }
}
