//! How a join of two streams becomes five processors and their stores.
//!
//! ```text
//!   left  ──> WINDOWED (left's store)  ──> JOINTHIS  (right's store) ──┐
//!                                               OUTERSHARED            ├──> MERGE ──>
//!   right ──> WINDOWED (right's store) ──> JOINOTHER (left's store)  ──┘
//! ```

use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use onceflow_framework::Record;
use onceflow_framework::processor::Context;
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::state::StoreBuilder;

use super::partitioned;
use super::partitioned::NullKeys;
use super::stream_joined::StreamJoined;
use super::stream_meet::{Meet, MeetSettings};
use super::stream_self::MeetSelf;
use super::stream_sides::{Keep, Left, Right, StreamJoin};
use super::unmatched::{WaitingKeySerde, WaitingSerde};
use super::windows::JoinWindows;
use crate::Data;
use crate::graph::NodeId;
use crate::lowering::Lowering;
use crate::null::OrNull;
use crate::stream::{KStream, Step};

/// Whose records leave unmatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unmatched {
    left: bool,
    right: bool,
}

impl Unmatched {
    pub(super) const NONE: Unmatched = Unmatched {
        left: false,
        right: false,
    };
    pub(super) const LEFT: Unmatched = Unmatched {
        left: true,
        right: false,
    };
    pub(super) const BOTH: Unmatched = Unmatched {
        left: true,
        right: true,
    };

    /// What repartition topics do with null keys: one rule for both sides, as in Kafka Streams.
    fn null_keys(self) -> NullKeys {
        match self {
            Unmatched::NONE => NullKeys::Dropped,
            _ => NullKeys::Joined,
        }
    }
}

/// The names of a join's nodes and stores.
#[derive(Clone)]
struct MeetingNames {
    windowed: [Arc<str>; 2],
    join: [Arc<str>; 2],
    merge: Arc<str>,
    stores: [Arc<str>; 2],
    waiting: Arc<str>,
}

impl<K: Data, V: Data> KStream<K, V> {
    /// Adds a join of two streams.
    pub(super) fn meet<V2, KT, VS, VS2, VR>(
        &self,
        other: &KStream<K, V2>,
        unmatched: Unmatched,
        join: impl StreamJoin<K, VS, VS2, VR>,
        (windows, joined): (JoinWindows, StreamJoined<KT, VS, VS2>),
    ) -> KStream<K, VR>
    where
        V2: Data,
        KT: Data,
        VS: Data,
        VS2: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
        V2: OrNull<VS2>,
    {
        let name = joined.name.as_deref().or(self.next_name());
        let sides = [
            name.map(|n| format!("{n}-left")),
            name.map(|n| format!("{n}-right")),
        ];
        let left = self.partitioned_for_join(&partitioned::Side {
            name: sides[0].as_deref(),
            key: &joined.key,
            value: &joined.left,
            null_keys: unmatched.null_keys(),
        });
        let right = other.partitioned_for_join(&partitioned::Side {
            name: sides[1].as_deref(),
            key: &joined.key,
            value: &joined.right,
            null_keys: unmatched.null_keys(),
        });
        let names = self.stream_meeting_names(name, joined.store.as_deref(), unmatched);
        let merge = Arc::clone(&names.merge);
        let Some(right) = self.graph.own(&other.graph, right, &other.name) else {
            return KStream::new(self.graph.clone(), left, merge, false);
        };
        if windows.length().is_none() {
            let problem = format!("the window of join {merge} ends before it begins");
            self.graph.problem(problem);
        }
        self.graph.copartition(&[left, right]);
        let parts = Parts {
            names,
            unmatched,
            windows,
            joined,
            join: Arc::new(join),
            is_self_join: false,
        };
        let output = Arc::clone(&merge);
        let node = self.graph.add(output, &[left, right], move |lowering| {
            parts.lower::<K, V, V2, VR>(lowering, [left, right]);
        });
        KStream::new(self.graph.clone(), node, merge, false)
    }

    fn stream_meeting_names(
        &self,
        given: Option<&str>,
        store: Option<&str>,
        unmatched: Unmatched,
    ) -> MeetingNames {
        let (this_prefix, this) = match unmatched.right {
            true => ("KSTREAM-OUTERTHIS-", "-outer-this-join"),
            false => ("KSTREAM-JOINTHIS-", "-this-join"),
        };
        let (other_prefix, other) = match unmatched.left {
            true => ("KSTREAM-OUTEROTHER-", "-outer-other-join"),
            false => ("KSTREAM-JOINOTHER-", "-other-join"),
        };
        let shared = match unmatched.right {
            true => "-outer-shared-join",
            false => "-left-shared-join",
        };
        let graph = &self.graph;
        store.iter().for_each(|store| graph.check(store));
        let windowed = ["-this-windowed", "-other-windowed"]
            .map(|suffix| graph.suffixed_name(given, suffix, "KSTREAM-WINDOWED-"));
        let generated = [graph.generate(this_prefix), graph.generate(other_prefix)];
        let merge = graph.suffixed_name(given, "-merge", "KSTREAM-MERGE-");
        // Nodes take the join's name and stores their own; either may be generated alone.
        let named = |given: Option<&str>, suffix, generated: &Arc<str>| match given {
            Some(given) => Arc::from(format!("{given}{suffix}")),
            None => Arc::clone(generated),
        };
        let join = [
            named(given, this, &generated[0]),
            named(given, other, &generated[1]),
        ];
        let index = generated[0].trim_start_matches(this_prefix);
        let waiting = Arc::from(format!("KSTREAM-OUTERSHARED-{index}"));
        let store_of =
            |suffix, generated| Arc::from(format!("{}-store", named(store, suffix, generated)));
        MeetingNames {
            windowed,
            join,
            merge,
            stores: [
                store_of(this, &generated[0]),
                store_of(other, &generated[1]),
            ],
            waiting: store_of(shared, &waiting),
        }
    }
}

/// What a join is lowered from.
struct Parts<KT, VS, VS2, F> {
    names: MeetingNames,
    unmatched: Unmatched,
    windows: JoinWindows,
    joined: StreamJoined<KT, VS, VS2>,
    join: Arc<F>,
    is_self_join: bool,
}

impl<KT: Data, VS: Data, VS2: Data, F> Parts<KT, VS, VS2, F> {
    fn lower<K, V, V2, VR>(self, lowering: &mut Lowering<'_>, parents: [NodeId; 2])
    where
        K: Data + OrNull<KT>,
        V: Data + OrNull<VS>,
        V2: Data + OrNull<VS2>,
        VR: Data,
        F: StreamJoin<K, VS, VS2, VR>,
    {
        // Java tells a self join by its nodes; here the types must be the same as well.
        if lowering.is_self_join(parents) && TypeId::of::<VS>() == TypeId::of::<VS2>() {
            return self.lower_self_join::<K, V, VR>(lowering, parents[0]);
        }
        let [keep_left, keep_right] = &self.names.windowed;
        let [meet_left, meet_right] = &self.names.join;
        let (left, right) = (&self.joined.left, &self.joined.right);
        lowering.below(parents[0]);
        self.keep::<K, V, VS>(lowering, 0, left);
        lowering.below(parents[1]);
        self.keep::<K, V2, VS2>(lowering, 1, right);

        let settings = self.settings(1, self.windows, left.clone());
        lowering.below_all(&[keep_left]);
        lowering.processor(meet_left, move || {
            Meet::<K, V, KT, VS, VS2, VR, F, Left>::new(settings.clone())
        });
        let settings = self.settings(0, self.windows.flipped(), right.clone());
        lowering.below_all(&[keep_right]);
        lowering.processor(meet_right, move || {
            Meet::<K, V2, KT, VS, VS2, VR, F, Right>::new(settings.clone())
        });
        lowering.connect(meet_left, &self.names.stores[1..]);
        lowering.connect(meet_right, &self.names.stores[..1]);
        if self.unmatched != Unmatched::NONE {
            self.add_waiting::<K>(lowering);
        }
        lowering.below_all(&[meet_left, meet_right]);
        let pass = |record: Record<K, VR>, ctx: &mut Context<K, VR>| ctx.forward(record);
        lowering.processor(&self.names.merge, Step::supplier(pass));
    }

    /// One store, and one processor where the sides would have been merged.
    fn lower_self_join<K, V, VR>(mut self, lowering: &mut Lowering<'_>, parent: NodeId)
    where
        K: Data + OrNull<KT>,
        V: Data + OrNull<VS>,
        VR: Data,
        F: StreamJoin<K, VS, VS2, VR>,
    {
        self.is_self_join = true;
        lowering.below(parent);
        self.keep::<K, V, VS>(lowering, 0, &self.joined.left.clone());
        let (key, value) = (self.joined.key.clone(), self.joined.left.clone());
        let (store, windows, join) = (
            Arc::clone(&self.names.stores[0]),
            self.windows,
            Arc::clone(&self.join),
        );
        lowering.processor(&self.names.merge, move || MeetSelf::<
            K,
            V,
            KT,
            VS,
            VS2,
            VR,
            F,
        > {
            key: key.clone(),
            value: value.clone(),
            name: Arc::clone(&store),
            store: None,
            windows,
            join: Arc::clone(&join),
            types: PhantomData,
        });
        lowering.connect(&self.names.merge, &self.names.stores[..1]);
    }

    /// Adds a side's store, and the processor that fills it.
    fn keep<K, V, VX>(&self, lowering: &mut Lowering<'_>, side: usize, value: &SharedSerde<VX>)
    where
        K: Data + OrNull<KT>,
        V: Data + OrNull<VX>,
        VX: Data,
    {
        let (name, store) = (&self.names.windowed[side], &self.names.stores[side]);
        let (key, values, store_name) = (self.joined.key.clone(), value.clone(), Arc::clone(store));
        let forwards_first = self.is_self_join;
        lowering.processor(name, move || Keep::<K, V, KT, VX> {
            forwards_first,
            key: key.clone(),
            value: values.clone(),
            name: Arc::clone(&store_name),
            store: None,
            types: PhantomData,
        });
        let size = self.windows.length().unwrap_or_default();
        let retention = size + Duration::from_millis(self.windows.grace_ms.unsigned_abs());
        let key = K::serde(self.joined.key.clone());
        let built = StoreBuilder::window(&**store, retention, size, key, value.clone());
        let built = self.joined.store(built.with_duplicates());
        let built = match lowering.logged_headers.kept_by_joins {
            true => built.with_headers(),
            false => built,
        };
        lowering.topology().add_state_store(built, &[name]);
    }

    /// What a side is made from; `other` is the other side's index.
    fn settings<VX>(
        &self,
        other: usize,
        windows: JoinWindows,
        value: SharedSerde<VX>,
    ) -> MeetSettings<KT, VX, F> {
        let is_outer = match other {
            1 => self.unmatched.left,
            _ => self.unmatched.right,
        };
        let waits = self.unmatched != Unmatched::NONE;
        MeetSettings {
            key: self.joined.key.clone(),
            value,
            name: Arc::clone(&self.names.merge),
            other: Arc::clone(&self.names.stores[other]),
            waiting: waits.then(|| Arc::clone(&self.names.waiting)),
            windows,
            is_outer,
            join: Arc::clone(&self.join),
        }
    }

    fn add_waiting<K: Data + OrNull<KT>>(&self, lowering: &mut Lowering<'_>) {
        let key = WaitingKeySerde(K::serde(self.joined.key.clone()));
        let value = WaitingSerde {
            left: self.joined.left.clone(),
            right: self.joined.right.clone(),
        };
        let built = StoreBuilder::key_value(&*self.names.waiting, key, value);
        let built = self.joined.store(built);
        let users = self.names.join.each_ref().map(|name| &**name);
        lowering.topology().add_state_store(built, &users);
    }
}
