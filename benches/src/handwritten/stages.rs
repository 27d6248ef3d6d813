//! What is done with a record.

use std::collections::HashMap;

use rdkafka::producer::Producer;

use super::clients::{Committer, Topics};
use super::native::{Taken, Topic};
use crate::Failure;
use crate::workload::{Workload, map_in_place, other_key};

/// The workload on one thread.
pub(super) struct Stages {
    workload: Workload,
    // The topic that the input was recognised by; another one is that between the stages.
    input: Option<*const std::ffi::c_void>,
    input_name: String,
    between: Option<Topic>,
    changelog: Topic,
    output: Topic,
    counts: HashMap<i64, i64>,
    value: Vec<u8>,
}

impl Stages {
    /// The topics are the committer's: drop this first.
    pub(super) fn new(
        workload: Workload,
        committer: &Committer,
        topics: &Topics,
    ) -> Result<Self, Failure> {
        let client = committer.producer.client().native_ptr();
        let between = topics
            .read
            .get(1)
            .map(|name| Topic::new(client, name))
            .transpose()?;
        Ok(Stages {
            workload,
            input: None,
            input_name: topics.read[0].clone(),
            between,
            changelog: Topic::new(client, &topics.changelog)?,
            output: Topic::new(client, &topics.output)?,
            counts: HashMap::new(),
            value: Vec::new(),
        })
    }

    pub(super) fn process(&mut self, record: &Taken<'_>) -> Result<(), Failure> {
        match self.workload {
            Workload::Map => {
                self.value.clear();
                self.value.extend_from_slice(record.value);
                map_in_place(&mut self.value);
                self.output
                    .produce(None, record.key, &self.value, record.timestamp)
            }
            Workload::Count => self.count(record),
            Workload::Repartition => {
                if self.is_input(record) {
                    self.rekey(record)
                } else {
                    self.count(record)
                }
            }
        }
    }

    fn rekey(&self, record: &Taken<'_>) -> Result<(), Failure> {
        let key = other_key(record.value).to_be_bytes();
        let between = self
            .between
            .as_ref()
            .expect("this workload has such a topic");
        between.produce(None, &key, record.value, record.timestamp)
    }

    fn count(&mut self, record: &Taken<'_>) -> Result<(), Failure> {
        let count = self.counts.entry(other_key(record.key)).or_default();
        *count += 1;
        let bytes = count.to_be_bytes();
        self.changelog
            .produce(Some(record.partition), record.key, &bytes, record.timestamp)?;
        self.output
            .produce(None, record.key, &bytes, record.timestamp)
    }

    fn is_input(&mut self, record: &Taken<'_>) -> bool {
        if self.input.is_none() && Topic::name_of(record) == self.input_name {
            self.input = Some(record.topic);
        }
        self.input == Some(record.topic)
    }
}
