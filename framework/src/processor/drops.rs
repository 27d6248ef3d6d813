//! What a task drops: counted exactly, told now and then.
//!
//! # Invariants
//!
//! - A drop is counted in the open batch, and thrown away with it: a replay counts it again.
//! - A node that drops for a reason writes a line at most every [`LINE_EVERY`], however many batches
//!   that is; the next line says how many went by without one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::metrics::{DropReason, Drops};

/// The least time between two lines about one node and reason.
pub(super) const LINE_EVERY: Duration = Duration::from_secs(10);

/// The drops of one task.
#[derive(Debug, Default)]
pub(super) struct TaskDrops {
    batch: RefCell<Drops>,
    /// When each kind was told last; one entry a node and reason.
    told: RefCell<BTreeMap<(String, DropReason), Told>>,
}

#[derive(Debug)]
struct Told {
    at: Duration,
    /// Drops since the line, that of the line included.
    drops: u64,
}

impl TaskDrops {
    /// Counts a drop. If it is worth a line, answers how many there were since the last one.
    pub(super) fn count(
        &self,
        node: &str,
        reason: DropReason,
        now: impl FnOnce() -> Duration,
    ) -> Option<u64> {
        let kind = (node.to_owned(), reason);
        let mut batch = self.batch.borrow_mut();
        if let Some(count) = batch.get_mut(&kind) {
            *count += 1;
            return None;
        }
        // The clock is asked for the first of its kind in a batch only.
        let silent = self.tell(&kind, now());
        batch.insert(kind, 1);
        silent
    }

    fn tell(&self, kind: &(String, DropReason), now: Duration) -> Option<u64> {
        let mut told = self.told.borrow_mut();
        let line = Told { at: now, drops: 0 };
        let Some(last) = told.get_mut(kind) else {
            told.insert(kind.clone(), line);
            return Some(0);
        };
        if now.saturating_sub(last.at) < LINE_EVERY {
            return None;
        }
        let before = std::mem::replace(last, line);
        Some(before.drops.saturating_sub(1))
    }

    /// The drops of the batch, which is then counted or thrown away.
    pub(super) fn take(&self) -> Drops {
        let batch = std::mem::take(&mut *self.batch.borrow_mut());
        let mut told = self.told.borrow_mut();
        for (kind, count) in &batch {
            if let Some(told) = told.get_mut(kind) {
                told.drops += count;
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn every_drop_is_counted_and_the_first_of_ten_seconds_is_told() {
        let drops = TaskDrops::default();
        let mut lines = Vec::new();
        let mut total = 0;
        for second in 0..25 {
            for _ in 0..3 {
                let line = drops.count("filter", DropReason::Late, || secs(second));
                lines.extend(line.map(|silent| (second, silent)));
            }
            total += drops.take().values().sum::<u64>();
        }
        assert_eq!(total, 75);
        assert_eq!(lines, [(0, 0), (10, 29), (20, 29)]);
    }

    #[test]
    fn each_node_and_each_reason_has_its_own_line() {
        let drops = TaskDrops::default();
        let told = |node, reason| drops.count(node, reason, || secs(1)).is_some();
        assert!(told("one", DropReason::Late));
        assert!(told("two", DropReason::Late));
        assert!(told("one", DropReason::NullKey));
        assert!(!told("one", DropReason::Late));
        assert_eq!(drops.take().values().sum::<u64>(), 4);
        assert!(!told("two", DropReason::Late), "the next batch is as quiet");
    }
}
