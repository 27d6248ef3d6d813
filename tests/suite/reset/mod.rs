//! A stopped application is reset and begins anew: as if it had never run, or from a time on. One
//! that runs is refused, and a plan changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use onceflow::prelude::*;
use onceflow_framework::reset::{Reset, ResetPlan, ResetTo};
use onceflow_tests::{
    Cluster, Isolation, Outgoing, Program, Tail, unique,
    wait::{Deadline, PATIENCE, spawn, wait_until},
};
use tempfile::TempDir;

/// How long a plan waits for members, where it does.
const WAITS: Duration = Duration::from_secs(30);

/// An application that counts words: with a repartition topic, a changelog, and local state.
struct WordCount {
    id: String,
    lines: String,
    counts: String,
    state: TempDir,
}

impl WordCount {
    fn new(name: &str) -> Self {
        let cluster = Cluster::shared();
        WordCount {
            id: unique(name),
            lines: cluster.topic("lines", 2),
            counts: cluster.topic("counts", 2),
            state: tempfile::tempdir().unwrap(),
        }
    }

    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        builder
            .stream(&*self.lines, Consumed::<String, String>::new())
            .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
            .group_by(|_, word| word.clone(), Grouped::new().with_name("words"))
            .count_with(Materialized::as_store("counts"))
            .to_stream()
            .to(&self.counts, Produced::new());
        builder.build().unwrap()
    }

    fn config(&self) -> Config {
        Config::builder(&self.id, Cluster::shared().bootstrap_servers())
            .state_dir(self.state.path())
            .property("commit.interval.ms", "50")
            .property("broker.address.family", "v4")
            .property("consumer.session.timeout.ms", "6000")
            .property("consumer.heartbeat.interval.ms", "200")
            .build()
            .unwrap()
    }

    fn start(&self) -> Program {
        Program::start(self.topology(), self.config()).unwrap()
    }

    /// Runs until so many counts have come out in all, and closes.
    fn run_to(&self, counts: usize) {
        let program = self.start();
        self.await_counts(counts);
        program.close().unwrap();
    }

    fn await_counts(&self, counts: usize) {
        let mut tail = Tail::of(Cluster::shared(), &self.counts);
        let reached = tail.reach(counts, Deadline::after(PATIENCE));
        assert!(reached, "{} of {counts} counts", tail.records.len());
    }

    /// Lines of two words, with numbers from 1 on: the number is also the time, in seconds.
    fn write(&self, numbers: std::ops::Range<i64>) {
        let lines = numbers.map(|number| {
            let line = format!("even odd{}", number % 2);
            Outgoing::value(line)
                .key(format!("line-{number}"))
                .timestamp(number * 1_000)
        });
        Cluster::shared().produce(&self.lines, lines);
    }

    /// Every count that came out, by word, in its order.
    fn told(&self) -> BTreeMap<String, Vec<i64>> {
        let mut told: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for record in Cluster::shared().settled(&self.counts) {
            let count = record.value.as_deref().unwrap().try_into().unwrap();
            let count = i64::from_be_bytes(count);
            told.entry(record.key_text()).or_default().push(count);
        }
        told
    }

    fn reset(&self) -> Reset {
        Reset::of(self.config()).input_topics([&self.lines])
    }

    fn plan(&self) -> ResetPlan {
        self.reset().plan().unwrap()
    }

    fn internal_topics(&self) -> [String; 2] {
        ["counts-changelog", "words-repartition"].map(|name| format!("{}-{name}", self.id))
    }

    fn has_internal_topics(&self) -> bool {
        let topics = self.internal_topics();
        let exists = |topic: &String| !Cluster::shared().partitions(topic).is_empty();
        topics.iter().all(exists)
    }

    /// What is committed for the lines, partition by partition.
    fn committed(&self) -> Vec<i64> {
        let committed = Cluster::shared().committed(&self.id, &self.lines);
        committed
            .values()
            .map(|committed| committed.offset)
            .collect()
    }

    /// How many lines each partition has.
    fn written(&self) -> Vec<i64> {
        let end = |partition| {
            let isolation = Isolation::ReadUncommitted;
            Cluster::shared()
                .watermarks(&self.lines, partition, isolation)
                .1
        };
        (0..2).map(end).collect()
    }

    /// Something that an application may leave behind in its directory.
    fn leave_state_behind(&self) -> PathBuf {
        let task = self.state.path().join(&self.id).join("1_0");
        std::fs::create_dir_all(&task).unwrap();
        std::fs::write(task.join("counts"), "rows").unwrap();
        task
    }
}

fn starts(plan: &ResetPlan) -> Vec<i64> {
    let starts = plan.partitions().iter().map(|reset| reset.start.get());
    starts.collect()
}

fn paths(plan: &ResetPlan) -> Vec<&Path> {
    plan.paths().iter().map(PathBuf::as_path).collect()
}

#[test]
fn an_application_that_is_reset_counts_again_to_the_same_values() {
    let count = WordCount::new("reset");
    count.write(1..21);
    count.run_to(40);
    let first = count.told();
    assert_eq!(first["even"], (1..=20).collect::<Vec<_>>());
    let task = count.leave_state_behind();

    // Planned twice: the first plan has changed nothing.
    let unused = count.plan();
    let plan = count.plan();
    assert_eq!(unused.to_string(), plan.to_string());
    assert_eq!(plan.topics(), count.internal_topics());
    assert_eq!(paths(&plan), [&*task]);
    assert_eq!(starts(&plan), [0, 0]);
    assert!(count.has_internal_topics() && task.is_dir());
    assert_eq!(count.committed(), count.written());

    plan.execute().unwrap();
    for topic in count.internal_topics() {
        assert_eq!(Cluster::shared().partitions(&topic), [0; 0], "{topic}");
    }
    assert!(!task.exists());
    assert_eq!(count.committed(), [0, 0]);

    count.run_to(80);
    for (word, again) in count.told() {
        assert_eq!(again, first[&word].repeat(2), "{word}");
    }
}

#[test]
fn an_application_that_is_reset_to_a_time_counts_from_there() {
    let count = WordCount::new("reset-to-time");
    count.write(1..21);
    count.run_to(40);
    let to = ResetTo::Time(Timestamp::from_millis(15_500));
    let plan = count.reset().to(to).plan().unwrap();
    let begun: i64 = starts(&plan).iter().sum();
    assert_eq!(begun, 15, "{plan}");
    plan.execute().unwrap();

    count.run_to(50);
    let told = count.told();
    let expected: Vec<i64> = (1..=20).chain(1..=5).collect();
    assert_eq!(told["even"], expected);
}

#[test]
fn each_way_to_begin_is_committed_as_planned() {
    let count = WordCount::new("reset-ways");
    count.write(1..21);
    count.run_to(40);
    let written = count.written();
    let all = |offset: i64| vec![offset; 2];
    let less = |by: i64| {
        written
            .iter()
            .map(|end| (end - by).max(0))
            .collect::<Vec<_>>()
    };
    for (to, expected) in [
        (ResetTo::ShiftBy(-2), less(2)),
        (ResetTo::ShiftBy(1), less(1)),
        (ResetTo::Offset(3), all(3)),
        (ResetTo::Latest, written.clone()),
        (ResetTo::Ago(Duration::from_secs(60)), written.clone()),
        (ResetTo::Earliest, all(0)),
    ] {
        let plan = count.reset().to(to).plan().unwrap();
        assert_eq!(starts(&plan), expected, "{to:?}");
        plan.execute().unwrap();
        assert_eq!(count.committed(), expected, "{to:?}");
    }
}

#[test]
fn an_application_that_runs_is_refused_and_goes_on() {
    let count = WordCount::new("reset-running");
    count.write(1..11);
    let program = count.start();
    count.await_counts(20);
    let task = count.leave_state_behind();
    let plan = count.plan();
    assert_eq!(plan.members().len(), 1, "{plan}");
    let error = plan.execute().unwrap_err().to_string();
    assert!(error.contains("stop them first"), "{error}");
    assert!(count.has_internal_topics() && task.is_dir());
    wait_until("offsets are committed", || {
        count.committed() == count.written()
    });

    count.write(11..21);
    count.await_counts(40);
    program.close().unwrap();
    assert_eq!(count.told()["even"], (1..=20).collect::<Vec<_>>());
}

#[test]
fn members_that_go_are_waited_for_if_asked_to() {
    let count = WordCount::new("reset-leaving");
    count.write(1..11);
    let program = count.start();
    count.await_counts(20);
    let plan = count.reset().wait_for_members(WAITS).plan().unwrap();
    assert_eq!(plan.members().len(), 1, "{plan}");
    let executing = spawn("reset", move || plan.execute());
    program.close().unwrap();
    executing.join().unwrap().unwrap();
    assert_eq!(count.committed(), [0, 0]);
}

#[test]
fn topics_of_an_application_with_a_longer_name_are_kept() {
    let cluster = Cluster::shared();
    let count = WordCount::new("reset-longer");
    count.write(1..3);
    count.run_to(4);
    let longer = WordCount {
        id: format!("{}-two", count.id),
        lines: count.lines.clone(),
        counts: cluster.topic("counts", 2),
        state: tempfile::tempdir().unwrap(),
    };
    longer.run_to(4);
    let plan = count.plan();
    assert_eq!(plan.topics(), count.internal_topics());
    let kept = format!("of group {}", longer.id);
    assert!(plan.to_string().contains(&kept), "{plan}");
    plan.execute().unwrap();
    assert!(longer.has_internal_topics());
}

#[test]
fn an_input_topic_that_is_not_there_is_named() {
    let count = WordCount::new("reset-missing");
    let reset = Reset::of(count.config()).input_topics(["nobody-made-this"]);
    let error = reset.plan().unwrap_err().to_string();
    assert!(error.contains("nobody-made-this does not exist"), "{error}");
}
