//! A batch that is refused when it closes, and nobody knows for which record: found by halves.
//!
//! ```text
//!   [ . . . . . x . . ]  refused ──> [ . . . . ]  commits ──> [ . x ]  refused ──> [ . ]  commits ──> [ x ]
//!                                                                                                      │
//!   [ . . . . . . . . . . . . . . ]  <── twice as many, and again <── [ . . ]  <── commits without it ─┘
//! ```
//!
//! Each part is a batch of its own: a transaction with its outputs, changelogs and offsets, and its
//! rows outside. What cannot commit is halved, what can is committed and behind us; so a record
//! that spoils n of them fails with at most ⌈log2 n⌉ + 1 attempts, and holds up no neighbour.
//!
//! # Invariants
//!
//! - A part is the beginning of what waits, in the order in which it was processed: each task takes
//!   as many records as it had among those that failed, the picker which.
//! - An attempt that fails leaves fewer records to suspect, or sends them one by one, or finds the
//!   record: it ends.
//! - While there are suspects nothing else is processed.

use std::collections::BTreeMap;

use super::active_task::ActiveTask;
use super::worker::{TURN_RECORDS_FIRST, Worker};
use crate::broker::Cluster;
use crate::error::{Blame, Error, ErrorKind, Recovery};
use crate::record::TaskId;

/// Among so many records, or fewer, a refused output is found by sending each after the one before:
/// a round trip an output is cheaper than the transactions and producers that further halves take.
const ONE_BY_ONE_MAX: usize = 32;

/// How many records of each task are in a batch.
pub(super) type Counts = BTreeMap<TaskId, usize>;

/// A search, from the first attempt that fails until batches are as large again as that was.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    /// How many of the next records of each task were refused together; without any, what was
    /// refused is committed, and batches grow again.
    suspects: Counts,
    /// How many records the next attempt has at most.
    size: usize,
    /// How many were in the largest batch that failed.
    whole: usize,
    /// Whether single outputs are refused, so that sending them one by one finds which.
    of_outputs: bool,
    /// Whether the next attempt does.
    one_by_one: bool,
}

impl Search {
    /// An attempt with so many records was refused.
    fn refused(&mut self, counts: Counts, of_outputs: bool) {
        let count = counts.values().sum();
        self.whole = self.whole.max(count);
        self.of_outputs = of_outputs;
        let were_one_by_one = std::mem::take(&mut self.one_by_one);
        self.suspects = counts;
        self.suspects.retain(|_, count| *count > 0);
        match were_one_by_one {
            // It was none of the outputs that are sent while records are processed.
            true => self.size = count.div_ceil(2).max(1),
            false => self.split(count),
        }
    }

    /// Of those that were refused together so many are left.
    fn split(&mut self, count: usize) {
        self.one_by_one = self.of_outputs && count <= ONE_BY_ONE_MAX;
        self.size = match self.one_by_one {
            true => count.max(1),
            false => count.div_ceil(2).max(1),
        };
    }

    /// An attempt with so many records was committed; answers whether the search goes on.
    fn committed(&mut self, counts: &Counts) -> bool {
        self.suspects.retain(|task, left| {
            *left = left.saturating_sub(counts.get(task).copied().unwrap_or_default());
            *left > 0
        });
        let left = self.suspects.values().sum();
        if left > 0 {
            // If there was one among them it is still there.
            self.split(left);
            return true;
        }
        self.one_by_one = false;
        self.size = self.size.max(1).saturating_mul(2);
        self.size < self.whole
    }

    /// How many more records of a task the attempt takes, that has these.
    fn room(&self, task: TaskId, counts: &Counts) -> usize {
        let room = self.size.saturating_sub(counts.values().sum());
        if self.suspects.is_empty() {
            return room;
        }
        let of_task = |counts: &Counts| counts.get(&task).copied().unwrap_or_default();
        room.min(of_task(&self.suspects).saturating_sub(of_task(counts)))
    }

    fn is_full(&self, counts: &Counts) -> bool {
        counts.values().sum::<usize>() >= self.size
    }
}

impl<C: Cluster> Worker<C> {
    /// A batch that was refused as a whole is processed again in parts, if somebody would go on
    /// without the record that it was refused for.
    pub(super) fn look_closer(&mut self, error: Error) -> Error {
        if error.blame() == Blame::Found && error.recovery() == Recovery::Replay {
            // One output less: that is no repetition.
            self.replays = super::settle::Replays::default();
            return error;
        }
        let handlers = self.settings.config.handlers();
        let of_outputs = error.kind() == ErrorKind::Production;
        if error.blame() != Blame::Batch || error.is_settled() || !handlers.go_on(of_outputs) {
            return error;
        }
        if self.reserves() {
            // At most once nothing is processed again.
            return error.recover_by(Recovery::Replay);
        }
        let counts = self.counts();
        let was_closest = self.search.as_ref().is_some_and(|s| s.one_by_one) || !of_outputs;
        self.replays = super::settle::Replays::default();
        if counts.values().sum::<usize>() <= 1 && was_closest {
            let touched = self.tasks.iter_mut().find(|active| active.is_touched());
            return match touched {
                Some(active) => active.task.blame_last(error),
                None => error,
            };
        }
        let search = self.search.get_or_insert_default();
        search.refused(counts, of_outputs);
        tracing::info!(suspects = ?search.suspects, next = search.size, "looking for what was refused");
        self.transactor.be_careful(search.one_by_one);
        self.turn_records = TURN_RECORDS_FIRST;
        error.recover_by(Recovery::Replay)
    }

    /// The open batch was committed, of which the tasks still know.
    pub(super) fn narrow(&mut self) {
        let Some(mut search) = self.search.take() else {
            return;
        };
        if !search.committed(&self.counts()) {
            self.transactor.be_careful(false);
            return;
        }
        self.transactor.be_careful(search.one_by_one);
        self.search = Some(search);
    }

    /// The tasks go, and with them what was suspected.
    pub(super) fn end_search(&mut self) {
        self.search = None;
        self.transactor.be_careful(false);
    }

    /// Whether the attempt has its records.
    pub(super) fn is_part_full(&self) -> bool {
        let search = self.search.as_ref();
        search.is_some_and(|search| search.is_full(&self.counts()))
    }

    /// How many records of a task a turn takes.
    pub(super) fn turn_room(&self, index: usize) -> usize {
        let Some(search) = &self.search else {
            return self.turn_records;
        };
        let room = search.room(self.tasks[index].id(), &self.counts());
        room.min(self.turn_records)
    }

    fn counts(&self) -> Counts {
        let tasks = self.tasks.iter();
        tasks
            .map(|active| (active.id(), active.records()))
            .collect()
    }
}

impl ActiveTask {
    /// How many records the open batch has of this task.
    fn records(&self) -> usize {
        self.lanes.iter().map(|lane| lane.queue.done()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn task(partition: i32) -> TaskId {
        TaskId {
            sub_topology: 0,
            partition,
        }
    }

    /// Tasks whose records are good or poison, and what was done with them.
    struct Lab {
        /// Of each task the records that wait; true is poison.
        waiting: BTreeMap<TaskId, Vec<bool>>,
        of_outputs: bool,
        /// How many records the attempts had that failed, and those that were committed.
        failed: Vec<usize>,
        committed: Vec<usize>,
        found: usize,
    }

    impl Lab {
        fn new(tasks: &[Vec<bool>], of_outputs: bool) -> Self {
            let tasks = (0..).zip(tasks);
            Lab {
                waiting: tasks
                    .map(|(n, records)| (task(n), records.clone()))
                    .collect(),
                of_outputs,
                failed: Vec::new(),
                committed: Vec::new(),
                found: 0,
            }
        }

        /// What an attempt takes, in turns as a worker does.
        fn take(&self, search: Option<&Search>) -> Counts {
            let mut counts = Counts::new();
            for (task, waiting) in &self.waiting {
                let room = search.map_or(usize::MAX, |search| search.room(*task, &counts));
                counts.insert(*task, waiting.len().min(room));
            }
            counts
        }

        /// Until nothing waits; answers how large the last batch could have been.
        fn run(&mut self) -> Option<Search> {
            let mut search: Option<Search> = None;
            while self.waiting.values().any(|waiting| !waiting.is_empty()) {
                assert!(self.failed.len() < 10_000, "it ends");
                let counts = self.take(search.as_ref());
                let count = counts.values().sum::<usize>();
                assert!(count > 0, "an attempt has records");
                let parts = counts.iter().map(|(task, n)| &self.waiting[task][..*n]);
                if parts.flatten().all(|poison| !poison) {
                    self.committed.push(count);
                    for (task, waiting) in &mut self.waiting {
                        waiting.drain(..counts[task]);
                    }
                    search.take_if(|search| !search.committed(&counts));
                    continue;
                }
                self.failed.push(count);
                let closest = search.as_ref().is_some_and(|search| search.one_by_one);
                if closest || (count == 1 && !self.of_outputs) {
                    self.find(&counts);
                } else {
                    search
                        .get_or_insert_default()
                        .refused(counts, self.of_outputs);
                }
            }
            search
        }

        /// The first of the attempt's poison will do no harm any more.
        fn find(&mut self, counts: &Counts) {
            let mut records = self.waiting.iter_mut();
            let first = records.find_map(|(task, waiting)| {
                waiting[..counts[task]].iter_mut().find(|poison| **poison)
            });
            *first.expect("it failed for one") = false;
            self.found += 1;
        }
    }

    fn log2(count: usize) -> usize {
        count.next_power_of_two().trailing_zeros() as usize
    }

    #[test]
    fn one_poison_record_costs_at_most_the_logarithm_and_one_attempt() {
        for of_outputs in [false, true] {
            for count in (2..70).chain([100, 127, 128, 129, 1_000, 1_024]) {
                for at in 0..count {
                    let mut records = vec![false; count];
                    records[at] = true;
                    let mut lab = Lab::new(&[records], of_outputs);
                    lab.run();
                    assert_eq!(lab.found, 1);
                    assert!(
                        lab.failed.len() <= log2(count) + 1,
                        "{count} {at} {:?}",
                        lab.failed
                    );
                    assert_eq!(lab.committed.iter().sum::<usize>(), count);
                }
            }
        }
    }

    #[test]
    fn a_record_that_is_alone_is_found_at_once_or_by_its_outputs() {
        let mut lab = Lab::new(&[vec![true]], false);
        lab.run();
        assert_eq!(lab.failed.len(), 1);
        let mut lab = Lab::new(&[vec![true]], true);
        lab.run();
        assert_eq!(lab.failed.len(), 2, "once with all, once one by one");
    }

    #[test]
    fn each_of_several_is_found_in_whichever_tasks_they_are() {
        for of_outputs in [false, true] {
            let tasks = [300, 0, 77, 1].map(|count| (0..count).map(|n| n % 50 == 7).collect());
            let mut lab = Lab::new(&tasks, of_outputs);
            lab.run();
            assert_eq!(lab.found, 6 + 2);
            assert_eq!(lab.committed.iter().sum::<usize>(), 378);
            assert!(lab.failed.len() <= 8 * (log2(378) + 1), "{:?}", lab.failed);
        }
    }

    #[test]
    fn all_may_be_poison() {
        for of_outputs in [false, true] {
            let mut lab = Lab::new(&[vec![true; 40], vec![true; 9]], of_outputs);
            lab.run();
            assert_eq!(lab.found, 49);
        }
    }

    #[test]
    fn batches_grow_back_to_where_they_were() {
        let mut records = vec![false; 4_000];
        records[1] = true;
        let mut lab = Lab::new(&[records], false);
        assert_eq!(lab.run(), None, "the search is over");
        assert_eq!(lab.failed.first(), Some(&4_000));
        let largest = lab.committed.iter().max().unwrap();
        assert!(*largest >= 1_000, "{:?}", lab.committed);
    }

    #[test]
    fn a_batch_of_punctuations_alone_is_tried_one_by_one() {
        let mut search = Search::default();
        search.refused(Counts::from([(task(0), 0)]), true);
        assert_eq!((search.size, search.one_by_one), (1, true));
        assert!(
            !search.committed(&Counts::new()),
            "nothing is left to look for"
        );
    }
}
