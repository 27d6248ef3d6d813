//! Random histories of transactions against a naive model: whatever three producers do in turn,
//! each reader sees what the model says.
//!
//! ```text
//!   seed ──> steps ──┬──> broker ──> visible, settled, committed offsets
//!                    └──> model  ──> the same, from a list in memory      must agree
//! ```

use std::collections::BTreeMap;

use onceflow_tests::{
    Cluster,
    Isolation::{ReadCommitted, ReadUncommitted},
    Record, TransactionalProducer, offsets, unique,
    wait::wait_until,
};
use rdkafka::consumer::Consumer;

const PRODUCERS: usize = 3;
const PARTITIONS: i32 = 3;
const STEPS: u32 = 60;

#[test]
fn random_histories_agree_with_the_model_seed_1() {
    History::start("seed-1").run(1);
}

#[test]
fn random_histories_agree_with_the_model_seed_2() {
    History::start("seed-2").run(2);
}

#[test]
fn random_histories_agree_with_the_model_seed_3() {
    History::start("seed-3").run(3);
}

/// The fate of a written record: bound to a transaction until that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open(usize),
    Committed,
    Aborted,
}

/// What the log should hold, and what the group should have committed.
#[derive(Debug, Default)]
struct Model {
    log: BTreeMap<i32, Vec<(String, Fate)>>,
    committed: BTreeMap<i32, i64>,
    pending: BTreeMap<usize, BTreeMap<i32, i64>>,
}

impl Model {
    fn write(&mut self, partition: i32, value: &str, fate: Fate) {
        let log = self.log.entry(partition).or_default();
        log.push((value.to_owned(), fate));
    }

    fn end(&mut self, producer: usize, fate: Fate) {
        let records = self.log.values_mut().flatten();
        for (_, found) in records.filter(|(_, found)| *found == Fate::Open(producer)) {
            *found = fate;
        }
        let pending = self.pending.remove(&producer).unwrap_or_default();
        if fate != Fate::Committed {
            return;
        }
        for (partition, offset) in pending {
            // Offsets here are step numbers: of two, the greater was sent later, and that one
            // counts, whichever transaction ended last.
            let committed = self.committed.entry(partition).or_insert(offset);
            *committed = offset.max(*committed);
        }
    }

    /// Read committed: up to the first open record of each partition, without the aborted.
    fn stable(&self) -> Vec<(i32, String)> {
        self.each(|log| {
            log.iter()
                .take_while(|(_, fate)| !matches!(fate, Fate::Open(_)))
                .filter(|(_, fate)| *fate == Fate::Committed)
                .collect()
        })
    }

    /// Read uncommitted: everything.
    fn written(&self) -> Vec<(i32, String)> {
        self.each(|log| log.iter().collect())
    }

    fn each(
        &self,
        seen: impl Fn(&Vec<(String, Fate)>) -> Vec<&(String, Fate)>,
    ) -> Vec<(i32, String)> {
        let seen = self.log.iter().map(|(p, log)| (*p, seen(log)));
        seen.flat_map(|(p, log)| log.into_iter().map(move |(value, _)| (p, value.clone())))
            .collect()
    }
}

struct History {
    cluster: &'static Cluster,
    topic: String,
    group: String,
    ids: Vec<String>,
    producers: Vec<TransactionalProducer>,
    open: [bool; PRODUCERS],
    model: Model,
}

impl History {
    fn start(name: &str) -> Self {
        let cluster = Cluster::shared();
        let ids: Vec<String> = (0..PRODUCERS).map(|_| unique(name)).collect();
        let producers = ids
            .iter()
            .map(|id| TransactionalProducer::ready(cluster, id));
        Self {
            cluster,
            topic: cluster.topic(name, PARTITIONS),
            group: unique(name),
            producers: producers.collect(),
            ids,
            open: [false; PRODUCERS],
            model: Model::default(),
        }
    }

    fn run(mut self, seed: u64) {
        let mut dice = Dice(seed);
        for step in 0..STEPS {
            let producer = dice.below(PRODUCERS);
            match dice.below(20) {
                0..8 => self.write(producer, dice.partition(), &step.to_string()),
                8..10 => self.write_plainly(dice.partition(), &step.to_string()),
                10..12 => self.send_offsets(producer, dice.partition(), i64::from(step)),
                12..16 => self.finish(producer, Fate::Committed),
                16..18 => self.finish(producer, Fate::Aborted),
                18 => self.replace(producer),
                _ => self.compare(),
            }
        }
        (0..PRODUCERS).for_each(|producer| self.finish(producer, Fate::Committed));
        self.compare();
        self.compare_offsets();
    }

    fn write(&mut self, producer: usize, partition: i32, value: &str) {
        self.begin_if_idle(producer);
        let sender = &self.producers[producer];
        sender.send_values(&self.topic, partition, [value]).unwrap();
        self.model.write(partition, value, Fate::Open(producer));
    }

    fn write_plainly(&mut self, partition: i32, value: &str) {
        let record = onceflow_tests::Outgoing::value(value).partition(partition);
        self.cluster.produce(&self.topic, [record]);
        self.model.write(partition, value, Fate::Committed);
    }

    fn send_offsets(&mut self, producer: usize, partition: i32, offset: i64) {
        self.begin_if_idle(producer);
        let outsider = self.cluster.consumer(&self.group, ReadCommitted);
        let consumed = offsets(&[(&self.topic, partition, offset, "")]);
        let membership = outsider.group_metadata().unwrap();
        let sender = &self.producers[producer];
        sender.send_offsets(&consumed, &membership).unwrap();
        let pending = self.model.pending.entry(producer).or_default();
        pending.insert(partition, offset);
    }

    fn begin_if_idle(&mut self, producer: usize) {
        if !self.open[producer] {
            self.producers[producer].begin().unwrap();
            self.open[producer] = true;
        }
    }

    fn finish(&mut self, producer: usize, fate: Fate) {
        if !self.open[producer] {
            return;
        }
        self.open[producer] = false;
        match fate {
            Fate::Committed => self.producers[producer].commit().unwrap(),
            _ => self.producers[producer].abort().unwrap(),
        }
        self.model.end(producer, fate);
    }

    /// A new owner of the id: what the last one left open is aborted.
    fn replace(&mut self, producer: usize) {
        let id = &self.ids[producer];
        self.producers[producer] = TransactionalProducer::ready(self.cluster, id);
        self.open[producer] = false;
        self.model.end(producer, Fate::Aborted);
    }

    fn compare(&self) {
        let written = pairs(&self.cluster.visible(&self.topic, ReadUncommitted));
        assert_eq!(written, self.model.written());
        // Markers follow the answer to a commit: the view settles a moment later.
        wait_until("the committed view agrees with the model", || {
            pairs(&self.cluster.visible(&self.topic, ReadCommitted)) == self.model.stable()
        });
    }

    fn compare_offsets(&self) {
        let committed = self.cluster.committed(&self.group, &self.topic);
        let offsets: BTreeMap<i32, i64> = committed.iter().map(|(p, c)| (*p, c.offset)).collect();
        assert_eq!(offsets, self.model.committed);
    }
}

fn pairs(records: &[Record]) -> Vec<(i32, String)> {
    records.iter().map(|r| (r.partition, r.text())).collect()
}

/// A linear congruential generator: the same seed, the same history, on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn partition(&mut self) -> i32 {
        (0..PARTITIONS).nth(self.below(3)).unwrap()
    }
}
