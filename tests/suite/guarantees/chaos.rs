//! Kills at random moments under each guarantee, and one tally at the end.

use std::env;

use onceflow_framework::BatchPoint;
use onceflow_tests::{
    Cluster, Dice,
    ledger::{Ledger, Tallies},
    wait::holds_for,
    worker::{At, Worker},
};

use super::worker;

/// Kills a seed by default: seconds on the embedded broker.
const KILLS: u64 = 8;

const SEED: u64 = 20_261_121;

/// The points at which a worker may die by its own hand.
const POINTS: [BatchPoint; 6] = [
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

fn seeds() -> Vec<u64> {
    let Ok(seeds) = env::var("ONCEFLOW_CHAOS_SEEDS") else {
        return vec![SEED];
    };
    let seeds = seeds
        .split(',')
        .map(|seed| seed.trim().parse().expect("a seed"));
    seeds.collect()
}

/// One worker after the other, each killed from outside at any moment or by its own hand at a
/// point of a batch. One at a time: two would be zombies to each other, whose late writes to a
/// changelog only a transaction keeps out.
fn storm(guarantee: &str, seed: u64) -> Tallies {
    let kills = kills();
    show(&format!(
        "ONCEFLOW_CHAOS_SEEDS={seed} ONCEFLOW_CHAOS_KILLS={kills} ({guarantee})"
    ));
    let mut dice = Dice::from_seed(seed);
    let ledger = Ledger::seeded(Cluster::shared(), "storm", 3, seed);
    for _ in 0..kills {
        ledger.feed(usize::try_from(20 + dice.below(150)).expect("a small number"));
        let doomed = (dice.below(2) == 0).then(|| doom(&mut dice));
        let mut victim = worker(&ledger, guarantee, "one", doomed);
        let span = dice.millis(5, 900);
        assert!(
            holds_for(span, || victim.exit_status().is_none()) || victim.exit_status().is_some(),
            "it works, or has died"
        );
        victim.kill();
    }
    let last = worker(&ledger, guarantee, "one", None);
    ledger.wait_until_consumed();
    Worker::close(last);
    ledger.tallies()
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
fn kills_at_random_moments_lose_nothing_at_least_once() {
    for seed in seeds() {
        let tallies = storm("at_least_once", seed);
        assert_eq!(tallies.lost(), 0, "{tallies:?}");
    }
}

#[test]
fn kills_at_random_moments_repeat_nothing_at_most_once() {
    for seed in seeds() {
        let tallies = storm("at_most_once", seed);
        assert_eq!(tallies.repeated(), 0, "{tallies:?}");
    }
}
