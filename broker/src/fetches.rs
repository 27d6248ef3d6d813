//! Fetches that wait for more to read.
//!
//! # Invariants
//!
//! - **A write wakes only who reads there:** waiting fetches are indexed by partition.
//! - **One waiting fetch a connection**, so their number is bounded by the connections'.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::FetchRequest;
use uuid::Uuid;

use crate::request::{ConnectionId, Waiter};

/// All waiting fetches.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    parked: BTreeMap<u64, ParkedFetch>,
    readers: BTreeMap<(Uuid, i32), BTreeSet<u64>>,
    woken: BTreeSet<u64>,
    count: u64,
}

/// A waiting fetch.
#[derive(Debug)]
pub(crate) struct ParkedFetch {
    pub(crate) waiter: Waiter,
    pub(crate) request: FetchRequest,
    partitions: Vec<(Uuid, i32)>,
}

impl Fetches {
    pub(crate) fn park(
        &mut self,
        waiter: Waiter,
        request: FetchRequest,
        partitions: Vec<(Uuid, i32)>,
    ) -> u64 {
        self.count += 1;
        for partition in &partitions {
            self.readers
                .entry(*partition)
                .or_default()
                .insert(self.count);
        }
        self.parked.insert(
            self.count,
            ParkedFetch {
                waiter,
                request,
                partitions,
            },
        );
        self.count
    }

    /// Notes that a partition has changed: its readers have to look again.
    pub(crate) fn touch(&mut self, topic: Uuid, index: i32) {
        if let Some(readers) = self.readers.get(&(topic, index)) {
            self.woken.extend(readers);
        }
    }

    pub(crate) fn take_woken(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn get(&self, id: u64) -> Option<&ParkedFetch> {
        self.parked.get(&id)
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<ParkedFetch> {
        let parked = self.parked.remove(&id)?;
        for partition in &parked.partitions {
            if let Some(readers) = self.readers.get_mut(partition) {
                readers.remove(&id);
                if readers.is_empty() {
                    self.readers.remove(partition);
                }
            }
        }
        Some(parked)
    }

    pub(crate) fn remove_of(&mut self, connection: ConnectionId) -> Option<u64> {
        let (id, _) = self
            .parked
            .iter()
            .find(|(_, parked)| parked.waiter.connection == connection)?;
        let id = *id;
        self.remove(id);
        Some(id)
    }
}
