//! Topics for tests: created under a unique name, and usable when the call returns.

use std::time::Duration;

use futures::executor::block_on;
use rdkafka::{
    admin::{NewPartitions, NewTopic, TopicReplication},
    consumer::Consumer,
};

use crate::{
    clients::admin_options,
    cluster::{Cluster, unique},
    wait::{eventually, wait_until},
};

/// How long one metadata request may take.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

impl Cluster {
    /// Creates a topic whose name starts with `name` and is no other test's, and returns the name.
    ///
    /// # Panics
    ///
    /// When the broker refuses.
    #[must_use]
    pub fn topic(&self, name: &str, partitions: i32) -> String {
        self.topic_with(name, partitions, &[])
    }

    /// Creates a uniquely named topic with topic settings, and returns its name.
    ///
    /// # Panics
    ///
    /// When the broker refuses.
    #[must_use]
    pub fn topic_with(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = unique(name);
        self.create_topic(&name, partitions, settings);
        name
    }

    /// Creates a topic under exactly this name and waits until its partitions have leaders.
    ///
    /// # Panics
    ///
    /// When the broker refuses, for instance because the topic exists.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = settings
            .iter()
            .fold(topic, |topic, (key, value)| topic.set(key, value));
        let answers = block_on(self.admin().create_topics([&topic], &admin_options()));
        for answer in answers.expect("the broker answers CreateTopics") {
            answer.unwrap_or_else(|(topic, code)| panic!("topic {topic} not created: {code}"));
        }
        let expected = usize::try_from(partitions).expect("a partition count is positive");
        // A leader is elected a moment after the controller's answer.
        wait_until("every partition of the new topic has a leader", || {
            self.partitions_with_leader(name) == expected
        });
    }

    /// Gives a topic more partitions and waits until they have leaders.
    ///
    /// # Panics
    ///
    /// When the broker refuses.
    pub fn grow_topic(&self, name: &str, partitions: i32) {
        let count = usize::try_from(partitions).expect("a partition count is positive");
        let more = NewPartitions::new(name, count);
        let answers = block_on(self.admin().create_partitions([&more], &admin_options()));
        for answer in answers.expect("the broker answers CreatePartitions") {
            answer.unwrap_or_else(|(topic, code)| panic!("topic {topic} did not grow: {code}"));
        }
        wait_until("every partition of the grown topic has a leader", || {
            self.partitions_with_leader(name) == count
        });
    }

    /// The partitions that a topic has now, in order.
    ///
    /// # Panics
    ///
    /// When the broker does not answer.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> Vec<i32> {
        let client = self.admin().inner();
        let metadata = client
            .fetch_metadata(Some(topic), METADATA_TIMEOUT)
            .expect("the broker answers Metadata");
        let mut partitions: Vec<i32> = metadata
            .topics()
            .iter()
            .filter(|found| found.name() == topic)
            .flat_map(|found| found.partitions())
            .map(rdkafka::metadata::MetadataPartition::id)
            .collect();
        partitions.sort_unstable();
        partitions
    }

    fn partitions_with_leader(&self, topic: &str) -> usize {
        let client = self.admin().inner();
        client
            .fetch_metadata(Some(topic), METADATA_TIMEOUT)
            .map_or(0, |metadata| {
                metadata
                    .topics()
                    .iter()
                    .filter(|found| found.name() == topic)
                    .flat_map(|found| found.partitions())
                    .filter(|partition| partition.leader() >= 0)
                    .count()
            })
    }

    /// The low and the high end of a partition as a reader of this isolation sees them:
    /// the high end is the last stable offset or the high watermark.
    ///
    /// # Panics
    ///
    /// When the broker does not answer.
    #[must_use]
    pub fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        isolation: crate::clients::Isolation,
    ) -> (i64, i64) {
        let client = self.lookup(isolation);
        // A new topic's leader may refuse for a moment: it was elected, but does not know it yet.
        eventually("the broker tells where a partition ends", || {
            client
                .fetch_watermarks(topic, partition, METADATA_TIMEOUT)
                .ok()
        })
    }
}
