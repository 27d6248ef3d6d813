//! Puts a stream where the keys of a join are: behind a repartition topic, if its key was changed.

use onceflow_framework::serde::SharedSerde;
use onceflow_framework::topology::Produced;

use crate::Data;
use crate::graph::NodeId;
use crate::null::OrNull;
use crate::repartition::{RepartitionNames, add_repartition};
use crate::stream::KStream;

/// Whether a join has a use for records without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NullKeys {
    Dropped,
    Joined,
}

/// What a repartition topic of a join is made with.
pub(super) struct Side<'s, K, V> {
    pub(super) name: Option<&'s str>,
    pub(super) key: &'s SharedSerde<K>,
    pub(super) value: &'s SharedSerde<V>,
    pub(super) null_keys: NullKeys,
}

impl<K: Data, V: Data> KStream<K, V> {
    /// The node that a join hangs on: the stream's, or a repartition's below it.
    ///
    /// Joins without a name share the repartition topic, and take its three names all the same.
    pub(super) fn partitioned_for_join<KT, VS>(&self, side: &Side<'_, KT, VS>) -> NodeId
    where
        KT: Data,
        VS: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        if side.null_keys == NullKeys::Joined {
            self.graph.keep_null_keys(self.node);
        }
        if !self.rekeyed {
            return self.node;
        }
        side.name.iter().for_each(|name| self.graph.check(name));
        let names = RepartitionNames::take(&self.graph, side.name.unwrap_or(&self.name));
        let shared = self.join_repartition.get().filter(|_| side.name.is_none());
        let node = shared.unwrap_or_else(|| {
            let (key, value) = (side.key.clone(), side.value.clone());
            let produced = Produced::with(K::serde(key), V::serde(value));
            add_repartition(&self.graph, self.node, names, produced)
        });
        self.join_repartition.set(Some(node));
        if side.null_keys == NullKeys::Joined {
            self.graph.keep_null_keys(node);
        }
        node
    }
}
