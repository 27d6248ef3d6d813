//! Groups the rows of a table under new keys.

use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::{Encoded, Serde, SharedSerde};
use onceflow_framework::{Error, ErrorKind, Fault, Record};

use super::grouped::KGroupedTable;
use crate::Data;
use crate::change::Change;
use crate::grouped::Grouped;
use crate::null::{OrNull, present};
use crate::table::{Cost, KTable};

impl<K: Data, V: Data> KTable<K, V> {
    /// Groups rows under the key, and by the value, that `select` answers for each.
    ///
    /// A changed row leaves the group that it was in and enters the one that it is in now; a row
    /// whose group or value is null is in none. The rows go through a repartition topic.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// homes
    ///     .group_by(|who, city| (city, who.clone()), Grouped::new())
    ///     .count()
    ///     .to_stream()
    ///     .to("inhabitants", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("homes", utf8(), utf8());
    /// for city in ["Oslo", "Rome"] {
    ///     input.pipe("ada", city, Timestamp::from_millis(0))?;
    /// }
    /// let counts = driver.output_topic("inhabitants", utf8(), i64()).read_all()?;
    /// let counts: Vec<_> = counts.iter().map(|r| (&*r.key, r.value)).collect();
    /// assert_eq!(counts, [("Oslo", 1), ("Oslo", 0), ("Rome", 1)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn group_by<K2, V2, KG, VG>(
        &self,
        select: impl Fn(&K, V) -> (K2, V2) + Send + Sync + 'static,
        grouped: Grouped<KG, VG>,
    ) -> KGroupedTable<KG, VG>
    where
        K2: OrNull<KG> + 'static,
        V2: OrNull<VG> + 'static,
        KG: Data,
        VG: Data,
    {
        let given = grouped.name.as_deref().or(self.next_name());
        let name = self.graph.name(given, "KTABLE-SELECT-");
        self.keeping.send_old_values(Cost::EvenAStore);
        let (output, select) = (Arc::clone(&name), Arc::new(select));
        let (key, value) = (grouped.key.clone(), grouped.value.clone());
        let node = self.graph.add(name, &[self.node], move |lowering| {
            lowering.processor(&output, move || SelectGroup::<K, V, KG, VG, _> {
                key: key.clone(),
                value: value.clone(),
                select: Arc::clone(&select),
                bytes: Default::default(),
                types: PhantomData,
            });
        });
        KGroupedTable::new(self.graph.clone(), node, grouped)
    }
}

/// Splits each change into what leaves the old group and what enters the new one.
struct SelectGroup<K, V, KG, VG, F> {
    key: SharedSerde<KG>,
    value: SharedSerde<VG>,
    select: Arc<F>,
    /// Reused to compare the old and the new key.
    bytes: [Vec<u8>; 2],
    types: PhantomData<fn(K, V)>,
}

impl<K, V, K2, V2, KG, VG, F> SelectGroup<K, V, KG, VG, F>
where
    K2: OrNull<KG>,
    V2: OrNull<VG>,
    KG: Data,
    VG: Data,
    F: Fn(&K, V) -> (K2, V2),
{
    /// The group of a row and its value there, unless one of them is null.
    fn grouped(&self, key: &K, value: Option<V>) -> Option<(KG, VG)> {
        let (key, value) = (self.select)(key, value?);
        present(key, &self.key).zip(present(value, &self.value))
    }

    /// Keys are the same if their bytes are: then they are in the same partition, too.
    fn is_same(&mut self, old: &KG, new: &KG) -> Result<bool, Error> {
        let mut write = |at: usize, key: &KG| -> Result<Encoded, Error> {
            self.bytes[at].clear();
            let written = self.key.serialize(key, &mut self.bytes[at]);
            written.map_err(|error| {
                Error::new(ErrorKind::Serialization, "cannot serialize the group").because(error)
            })
        };
        Ok(write(0, old)? == write(1, new)? && self.bytes[0] == self.bytes[1])
    }
}

impl<K, V, K2, V2, KG, VG, F> Processor for SelectGroup<K, V, KG, VG, F>
where
    K: Data,
    V: Data,
    K2: OrNull<KG> + 'static,
    V2: OrNull<VG> + 'static,
    KG: Data,
    VG: Data,
    F: Fn(&K, V) -> (K2, V2) + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = KG;
    type ValueOut = Change<VG>;

    fn process(
        &mut self,
        record: Record<K, Change<V>>,
        ctx: &mut Context<KG, Change<VG>>,
    ) -> Result<(), Fault> {
        let Record {
            key,
            value: change,
            timestamp,
            headers,
        } = record;
        if !change.is_latest() {
            // It has changed the row's history, not the row. Not counted, as in Kafka Streams.
            return Ok(());
        }
        let old = self.grouped(&key, change.old);
        let new = self.grouped(&key, change.new);
        let mut forward = |key, old, new, headers| {
            let value = Change::latest(old, new);
            ctx.forward(Record {
                key,
                value,
                timestamp,
                headers,
            })
        };
        match (old, new) {
            (Some((from, old)), Some((to, new))) if self.is_same(&from, &to)? => {
                forward(to, Some(old), Some(new), headers)
            }
            // The old group first: a reader never sees the row in two groups at once.
            (Some((from, old)), Some((to, new))) => {
                forward(from, Some(old), None, headers.clone())?;
                forward(to, None, Some(new), headers)
            }
            (Some((from, old)), None) => forward(from, Some(old), None, headers),
            (None, Some((to, new))) => forward(to, None, Some(new), headers),
            (None, None) => Ok(()),
        }
    }
}
