//! What the joins of two tables share: how they become three processors.
//!
//! ```text
//!   left's changes  ──> JOINTHIS   (looks the right row up) ──┐
//!                                                             ├──> MERGE (store, if named) ──>
//!   right's changes ──> JOINOTHER  (looks the left row up)  ──┘
//! ```

use std::rc::Rc;
use std::sync::Arc;

use super::table_sides::{JoinMerge, SideRules, TableJoin, lower_side};
use crate::Data;
use crate::materialized::Materialized;
use crate::table::{Cost, KTable, Keeping, lower_table};
use crate::table_store::TableStore;

/// Which side must have a row for the other's changes to matter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meeting {
    left_needed: bool,
    right_needed: bool,
}

impl Meeting {
    pub(super) const INNER: Meeting = Meeting {
        left_needed: true,
        right_needed: true,
    };
    pub(super) const LEFT: Meeting = Meeting {
        left_needed: true,
        right_needed: false,
    };
    pub(super) const OUTER: Meeting = Meeting {
        left_needed: false,
        right_needed: false,
    };
}

/// The names of the three processors.
struct MeetingNames {
    merge: Arc<str>,
    this: Arc<str>,
    other: Arc<str>,
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Adds a join of two tables.
    pub(super) fn meet<V2: Data, VR: Data>(
        &self,
        other: &KTable<K, V2>,
        meeting: Meeting,
        join: impl TableJoin<V, V2, VR>,
        materialized: Option<Materialized<K, VR>>,
    ) -> KTable<K, VR> {
        let stored = materialized.map(|m| {
            let store = self.graph.store_name(m.shared_name(), MERGE);
            (m, store)
        });
        let names = self.meeting_names();
        let store = stored.as_ref().map(|(_, store)| Arc::clone(store));
        let history = stored.as_ref().and_then(|(m, _)| m.history());
        let kept = store.as_ref().map(|store| (store, history));
        let keeping = Keeping::joined(&self.keeping, &other.keeping, kept);
        // A side that the result can do without tells a row that ends from one that never was.
        if !meeting.right_needed {
            self.keeping.send_old_values(Cost::EvenAStore);
        }
        if !meeting.left_needed {
            other.keeping.send_old_values(Cost::EvenAStore);
        }
        let views = self.lookup(&self.graph).zip(other.lookup(&self.graph));
        let (parents, join) = ([self.node, other.node], Arc::new(join));
        let (merge, sends) = (Arc::clone(&names.merge), Rc::clone(&keeping));
        let Some((left, right)) = views else {
            let node = self.graph.add(Arc::clone(&merge), &[self.node], |_| {});
            return KTable::new(self.graph.clone(), node, merge, keeping);
        };
        self.graph.copartition(&parents);
        let (lefts, rights, joins) = (Rc::clone(&left), Rc::clone(&right), Arc::clone(&join));
        let node = self
            .graph
            .add(Arc::clone(&merge), &parents, move |lowering| {
                let sends_old = sends.sends_old();
                let flipped = Arc::clone(&join);
                let flipped = Arc::new(move |right, left| flipped(left, right));
                let rules = |other_needed| SideRules {
                    other_needed,
                    sends_old,
                };
                lowering.below(parents[0]);
                let this = rules(meeting.right_needed);
                lower_side::<K, V, V2, VR, _>(lowering, &names.this, right(), join, this);
                lowering.below(parents[1]);
                let other = rules(meeting.left_needed);
                lower_side::<K, V2, V, VR, _>(lowering, &names.other, left(), flipped, other);
                lowering.below_all(&[&names.this, &names.other]);
                let kept = stored.as_ref();
                let kept = kept.map(|(m, store)| (Arc::clone(store), m.kept(lowering)));
                let supplier = move || JoinMerge::<K, VR> {
                    store: kept
                        .as_ref()
                        .map(|(name, kept)| TableStore::new(name, *kept, sends_old)),
                    sends_old,
                };
                let stored = stored.as_ref().map(|(m, store)| (m, store));
                lower_table(lowering, &names.merge, stored, supplier);
            });
        let table = KTable::new(self.graph.clone(), node, merge, keeping);
        match store {
            Some(store) => table.with_store(store),
            None => table.with_view(move || lefts().joined(rights(), Arc::clone(&joins))),
        }
    }

    fn meeting_names(&self) -> MeetingNames {
        let given = self.next_name();
        let name = |suffix, prefix| self.graph.suffixed_name(given, suffix, prefix);
        MeetingNames {
            merge: name("", MERGE),
            this: name("-join-this", "KTABLE-JOINTHIS-"),
            other: name("-join-other", "KTABLE-JOINOTHER-"),
        }
    }
}

/// The prefix of the merging node and of its store.
const MERGE: &str = "KTABLE-MERGE-";
