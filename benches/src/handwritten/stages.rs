//! What is done with a record.

use std::collections::HashMap;

use rdkafka::producer::Producer;

use super::clients::{Committer, Topics};
use super::native::{Taken, Topic};
use crate::Failure;
use crate::workload::{Workload, join_in_place, map_in_place, other_key};

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
    rows: HashMap<i64, Vec<u8>>,
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
            .filter(|_| workload == Workload::Repartition);
        let between = between.map(|name| Topic::new(client, name)).transpose()?;
        Ok(Stages {
            workload,
            input: None,
            input_name: topics.read[0].clone(),
            between,
            changelog: Topic::new(client, &topics.changelog)?,
            output: Topic::new(client, &topics.output)?,
            counts: HashMap::new(),
            rows: HashMap::new(),
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
            Workload::Join => {
                if self.is_input(record) {
                    self.join(record)
                } else {
                    self.rows.insert(key_of(record), record.value.to_vec());
                    Ok(())
                }
            }
        }
    }

    fn join(&mut self, record: &Taken<'_>) -> Result<(), Failure> {
        self.value.clear();
        self.value.extend_from_slice(record.value);
        if let Some(row) = self.rows.get(&key_of(record)) {
            join_in_place(&mut self.value, row);
        }
        self.output
            .produce(None, record.key, &self.value, record.timestamp)
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
        let count = self.counts.entry(key_of(record)).or_default();
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

fn key_of(record: &Taken<'_>) -> i64 {
    record
        .key
        .first_chunk()
        .map_or(0, |bytes| i64::from_be_bytes(*bytes))
}
