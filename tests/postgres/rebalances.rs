//! Partitions move between workers while rows are written: each claims the positions it gets, and
//! a task that comes back to its worker claims them anew.

use onceflow_tests::{
    Cluster, Program,
    ledger::{Ledger, no_hook},
    postgres::Postgres,
    rows,
};

use super::{start, tables};

#[test]
fn workers_that_come_and_go_lose_and_double_no_rows() {
    let ledger = Ledger::new(Cluster::shared(), "pg-rebalance", 3);
    let database = tables(Postgres::shared(), "rebalance");
    let begin = |instance: &str, workers: usize| -> Program {
        let topology = rows::topology(&ledger.topics, &database.connection, no_hook()).unwrap();
        start(
            topology,
            ledger.config(instance).num_stream_threads(workers),
        )
    };
    let stays = begin("stays", 1);
    for round in 0..3 {
        ledger.feed(150);
        let comes = begin(&format!("comes-{}", round % 2), 1 + round % 2);
        ledger.feed(150);
        comes.wait_until_running();
        ledger.feed(150);
        comes.close().unwrap();
    }
    ledger.wait_for_all();
    stays.close().unwrap();
    rows::audit(&ledger, &database);
    let epochs = database.rows("SELECT max(epoch) FROM onceflow_positions");
    let epoch: i64 = epochs[0].parse().unwrap();
    assert!(epoch >= 4, "positions were claimed {epoch} times only");
}
