//! PostgreSQL is killed and started again under load while the application is killed, too.
//!
//! `ONCEFLOW_CHAOS_KILLS` sets how many kills a seed gets, `ONCEFLOW_CHAOS_SEEDS` which seeds
//! (separated by commas): a run that failed says both.

use std::env;

use onceflow_framework::BatchPoint;
use onceflow_tests::{
    Cluster, Dice,
    ledger::Ledger,
    postgres::Postgres,
    rows,
    wait::holds_for,
    worker::{At, Worker},
};

use super::{tables, worker};

/// Kills a seed by default: seconds on the embedded broker.
const KILLS: u64 = 8;

/// The points at which a worker may die by its own hand.
const POINTS: [BatchPoint; 5] = [
    BatchPoint::RecordProcessed,
    BatchPoint::BeforeExternalCommit,
    BatchPoint::AfterExternalCommit,
    BatchPoint::AfterSendOffsets,
    BatchPoint::BeforeCommit,
];

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |number| number.parse().expect("a number"))
}

fn storm(seed: u64, kills: u64) {
    show(&format!(
        "ONCEFLOW_CHAOS_SEEDS={seed} ONCEFLOW_CHAOS_KILLS={kills}"
    ));
    let mut dice = Dice::from_seed(seed);
    let ledger = Ledger::seeded(Cluster::shared(), "pg-chaos", 2, seed);
    let server = Postgres::start();
    let database = tables(&server, "chaos");
    let mut slot: Option<Worker> = None;
    for _ in 0..kills {
        ledger.feed(usize::try_from(20 + dice.below(150)).expect("a small number"));
        let running = slot.as_mut().is_some_and(|w| w.exit_status().is_none());
        if !running {
            let doomed = (dice.below(2) == 0).then(|| doom(&mut dice));
            slot = Some(worker(&ledger, &database, "one", doomed));
        }
        assert!(holds_for(dice.millis(300, 1200), || true), "it works");
        server.kill();
        if dice.below(2) == 0 {
            assert!(holds_for(dice.millis(5, 300), || true), "it notices");
            if let Some(victim) = slot.take() {
                victim.kill();
            }
        }
        server.restart();
    }
    if let Some(worker) = slot.take() {
        worker.kill();
    }
    let last = worker(&ledger, &database, "one", None);
    ledger.wait_for_all();
    last.close();
    rows::audit(&ledger, &database);
}

/// Some point, at some time.
fn doom(dice: &mut Dice) -> At {
    let point = *dice.pick(&POINTS);
    let often = match point {
        BatchPoint::RecordProcessed => 200,
        _ => 8,
    };
    At::abort(point, 1 + dice.below(often))
}

#[expect(clippy::print_stderr, reason = "what a failed run is repeated with")]
fn show(text: &str) {
    eprintln!("{text}");
}

#[test]
fn kills_on_both_sides_lose_and_double_nothing() {
    let kills = number("ONCEFLOW_CHAOS_KILLS", KILLS);
    let Ok(seeds) = env::var("ONCEFLOW_CHAOS_SEEDS") else {
        return storm(20_261_121, kills);
    };
    for seed in seeds.split(',') {
        storm(seed.trim().parse().expect("a seed"), kills);
    }
}
