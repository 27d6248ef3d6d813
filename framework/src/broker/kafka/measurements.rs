//! Not tests but measurements, of one worker's clients:
//! `cargo test --release -p onceflow-framework --lib kafka::measurements -- --ignored --nocapture --test-threads 1`

#![expect(clippy::print_stdout, reason = "figures are for a person")]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::{ClientConfig, TopicPartitionList};

use super::native::{Client, Queue, Role, Taken};
use super::partitions::add;
use super::testing::*;
use crate::broker::{GroupConsumer, Producer, RecordQueue, Wake};
use crate::record::{Offset, TopicPartition};

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{what}: median {median:?}, worst {worst:?} of {}",
        times.len()
    );
}

#[test]
#[ignore = "a measurement"]
fn rate_of_large_volumes() {
    const RECORDS: usize = 1_000_000;
    let world = World::new("volume");
    let topic = world.topic(4);
    let mut producer = world.producer("0", &[&topic]);
    let value = "x".repeat(54); // twice: as key and as value
    let mut calls = Duration::ZERO;
    let ((), sending) = timed(|| {
        for batch in 0..10 {
            producer.begin().unwrap();
            let ((), took) = timed(|| {
                for number in 0..RECORDS / 10 {
                    let partition = i32::try_from((batch + number) % 4).unwrap();
                    while send(&mut producer, partition, &value).is_err() {
                        producer.flush(Duration::from_millis(1)).unwrap();
                    }
                }
            });
            calls += took;
            commit(&mut producer).unwrap();
        }
    });
    let (mut consumer, partitions) = world.sole_member(&[topic]);
    let mut queue = RecordQueue::default();
    let mut taking = Duration::ZERO;
    let (records, reading) = timed(|| {
        let mut records = 0;
        eventually("all of them", || {
            for index in 0..partitions.len() {
                let (count, took) = timed(|| consumer.fetch(index, 10_000, &mut queue).unwrap());
                taking += took;
                records += count;
                queue = RecordQueue::default();
            }
            (records == RECORDS).then_some(records)
        })
    });
    let rate = |time: Duration| records as f64 / time.as_secs_f64() / 1000.0;
    let each = |time: Duration| time.as_nanos() / records as u128;
    println!("sent {:.0}k/s, {} ns a call", rate(sending), each(calls));
    println!(
        "read {:.0}k/s, {} ns a record in fetch",
        rate(reading),
        each(taking)
    );
}

/// Both ways take messages in bulk; in turn, so that neither has the warmer broker.
#[test]
#[ignore = "a measurement"]
fn rate_by_queues_of_partitions_and_by_the_one_of_the_consumer() {
    const RECORDS: usize = 2_000_000;
    let world = World::new("queues");
    let topic = world.topic(4);
    let mut producer = world.producer("0", &[&topic]);
    let value = "x".repeat(54); // twice: as key and as value
    producer.begin().unwrap();
    for number in 0..RECORDS {
        let partition = i32::try_from(number % 4).unwrap();
        while send(&mut producer, partition, &value).is_err() {
            producer.flush(Duration::from_millis(1)).unwrap();
        }
    }
    commit(&mut producer).unwrap();
    let partitions: Vec<_> = (0..4)
        .map(|partition| TopicPartition::new(Arc::clone(&topic), partition))
        .collect();
    for round in 0..5 {
        for (what, is_split) in [("queues of partitions", true), ("one queue", false)] {
            let group = format!("{}-{round}-{is_split}", world.application);
            let (client, queues) = reading(&group, &partitions, is_split);
            let (mut bytes, mut taking, mut records) = (Vec::new(), Duration::ZERO, 0);
            let (records, took) = timed(|| {
                while records < RECORDS {
                    for queue in &queues {
                        let (count, took) = timed(|| copy_out(queue, &mut bytes));
                        taking += took;
                        records += count;
                    }
                }
                records
            });
            let rate = records as f64 / took.as_secs_f64() / 1000.0;
            let each = taking.as_nanos() / records as u128;
            println!("{what}: {rate:.0}k/s, {each} ns a record in calls");
            drop((queues, client));
        }
    }
}

/// A client that reads these partitions from their beginning, and the queues to take from.
fn reading(group: &str, partitions: &[TopicPartition], is_split: bool) -> (Client, Vec<Queue>) {
    let settings = [
        ("bootstrap.servers", bootstrap()),
        ("group.id", group.to_owned()),
        ("isolation.level", "read_committed".to_owned()),
        ("enable.auto.commit", "false".to_owned()),
        ("queued.max.messages.kbytes", "16384".to_owned()),
        ("fetch.queue.backoff.ms", "10".to_owned()),
    ];
    let mut config = ClientConfig::new();
    config.extend(settings.map(|(name, value)| (name.to_owned(), value)));
    let client = Client::new(Role::Consumer, &config).unwrap();
    let wake = Arc::new(Wake::default());
    let split = partitions
        .iter()
        .map(|partition| client.partition(partition, &wake).unwrap());
    let queues = match is_split {
        true => split.collect(),
        false => vec![client.events(Role::Consumer)],
    };
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        add(&mut list, partition, Offset::ZERO).unwrap();
    }
    client.assign(Some(&list)).unwrap();
    (client, queues)
}

fn copy_out(queue: &Queue, bytes: &mut Vec<u8>) -> usize {
    bytes.clear();
    queue.take(4096, |taken| {
        if let Taken::Record { key, value, .. } = taken {
            bytes.extend_from_slice(key.unwrap_or_default());
            bytes.extend_from_slice(value.unwrap_or_default());
        }
        ControlFlow::Continue(())
    })
}

#[test]
#[ignore = "a measurement"]
fn time_of_commits_and_aborts() {
    let world = World::new("commits");
    let topic = world.topic(4);
    let mut producer = world.producer("0", &[&topic]);
    let (consumer, partitions) = world.sole_member(&[std::sync::Arc::clone(&topic)]);
    let pause = Wake::default();
    let (mut commits, mut ends, mut aborts) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..100 {
        pause.sleep(Duration::from_millis(20));
        producer.begin().unwrap();
        for number in 0..1000 {
            send(&mut producer, number % 4, "x").unwrap();
        }
        let (offsets, group) = ([offset_of(&partitions[0], round)], group_of(&consumer));
        let (ended, took) = timed(|| {
            producer.send_offsets(&offsets, &group, PATIENCE).unwrap();
            while !producer.flush(Duration::from_millis(50)).unwrap() {}
            timed(|| producer.commit(PATIENCE).unwrap()).1
        });
        commits.push(took);
        ends.push(ended);
    }
    for _ in 0..30 {
        pause.sleep(Duration::from_millis(50));
        producer.begin().unwrap();
        for number in 0..1000 {
            send(&mut producer, number % 4, "x").unwrap();
        }
        let (outcome, took) = timed(|| abort(&mut producer));
        aborts.push(took);
        if outcome.is_err() {
            println!("fatal abort");
            producer = world.producer("0", &[&topic]);
        }
    }
    print("offsets, flush, commit of 1000 records", commits);
    print("of which commit", ends);
    print("abort with 1000 records queued", aborts);
}

#[test]
#[ignore = "a measurement"]
fn time_of_goodbyes() {
    let world = World::new("goodbyes");
    let topic = world.topic(4);
    let (mut idle, mut open, mut queued, mut left) = (vec![], vec![], vec![], vec![]);
    for round in 0..20 {
        let worker = format!("{round}");
        let mut producer = world.producer(&worker, &[&topic]);
        publish(&mut producer, 0, &["x"]);
        idle.push(timed(|| drop(producer)).1);

        let mut producer = world.producer(&worker, &[&topic]);
        producer.begin().unwrap();
        send(&mut producer, 0, "x").unwrap();
        while !producer.flush(Duration::from_millis(50)).unwrap() {}
        open.push(timed(|| drop(producer)).1);

        let mut producer = world.producer(&worker, &[&topic]);
        producer.begin().unwrap();
        for number in 0..100_000 {
            send(&mut producer, number % 4, "x").unwrap();
        }
        queued.push(timed(|| drop(producer)).1);

        let (consumer, _) = world.sole_member(&[std::sync::Arc::clone(&topic)]);
        left.push(timed(|| consumer.close()).1);
    }
    print("drop of an idle producer", idle);
    print("drop in a transaction", open);
    print("drop with 100 000 records queued", queued);
    print("close of a member", left);
}
