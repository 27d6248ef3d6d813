//! Topics are found, created once, trimmed, and refused with a reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::testing::*;
use crate::broker::{Cluster, NewTopic, Verdict};

fn described(name: &Arc<str>, replication_factor: i32) -> NewTopic {
    NewTopic {
        name: Arc::clone(name),
        partitions: 3,
        replication_factor,
        config: map(&[("cleanup.policy", "compact")]),
    }
}

#[test]
fn a_topic_is_created_once_and_a_missing_one_is_absent() {
    let world = World::new("topics");
    let there: Arc<str> = format!("{}-there", world.application).into();
    let missing: Arc<str> = format!("{}-missing", world.application).into();
    let topic = described(&there, -1);
    world
        .cluster
        .create_topics(std::slice::from_ref(&topic), PATIENCE)
        .unwrap();
    world.cluster.create_topics(&[topic], PATIENCE).unwrap();
    for _ in 0..2 {
        // Asking does not create.
        let asked = [Arc::clone(&there), Arc::clone(&missing)];
        let counts = world.cluster.partition_counts(&asked, PATIENCE).unwrap();
        assert_eq!(counts, BTreeMap::from([(Arc::clone(&there), 3)]));
    }
}

#[test]
fn more_replicas_than_brokers_are_refused_with_advice() {
    let world = World::new("replicas");
    let name: Arc<str> = format!("{}-wide", world.application).into();
    let refused = world
        .cluster
        .create_topics(&[described(&name, 3)], PATIENCE);
    let refused = refused.unwrap_err();
    assert_eq!(refused.verdict, Verdict::Refused, "{refused}");
    assert_eq!(refused.code, "INVALID_REPLICATION_FACTOR");
    assert!(refused.message.contains(&*name), "{refused}");
}

#[test]
fn settings_that_librdkafka_does_not_know_are_refused_before_any_connection() {
    let world = World::with("settings", |p| {
        p.producer.extend(map(&[("no.such.setting", "secret")]));
    });
    let refused = world.cluster.producer("x").unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains("no.such.setting") && !message.contains("secret"),
        "{message}"
    );
}
