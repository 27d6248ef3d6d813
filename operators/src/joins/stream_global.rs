//! Joins a stream with a global table: each record looks a row up, by any key.
//!
//! # Invariants
//!
//! - Every worker has all rows: nothing is repartitioned, whatever the key.
//! - Nobody waits: a record meets what its worker has read of the table's topic by then.

use std::marker::PhantomData;
use std::sync::Arc;

use onceflow_framework::metrics::DropReason;
use onceflow_framework::processor::{Context, Processor};
use onceflow_framework::serde::SharedSerde;
use onceflow_framework::state::TimestampedKeyValueStore;
use onceflow_framework::{Fault, Record};

use super::joined::Joined;
use super::partitioned::NullKeys;
use crate::Data;
use crate::null::{OrNull, present};
use crate::stream::KStream;
use crate::tables::GlobalKTable;

impl<K: Data, V: Data> KStream<K, V> {
    /// Joins each record with the row of the key that `select` makes of it; a record without a row
    /// goes no further.
    ///
    /// Only the stream triggers, and the result has the record's key, time and headers. A record
    /// with a null value, or for which `select` answers null, is dropped and counted; its own key
    /// may be null. The serdes of [`Joined`] tell what is null: `KG` the selected key, `VS` the
    /// value. Nothing synchronises table and stream, as in Kafka Streams: before a worker starts it
    /// has read what the table's topic held, and then reads on.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, String> = builder.stream("orders", Consumed::new());
    /// let goods: GlobalKTable<String, i64> = builder.global_table("goods", Consumed::new());
    /// let cost = |_buyer: &String, article: String, cents| format!("{article}: {cents}");
    /// orders
    ///     .join_global(&goods, |_, article| article.clone(), cost, Joined::new())
    ///     .to("bills", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("goods", utf8(), i64()).pipe("pen", 120, Timestamp::from_millis(5))?;
    /// let orders = driver.input_topic("orders", utf8(), utf8());
    /// for article in ["pen", "pan"] {
    ///     orders.pipe("ada", article, Timestamp::from_millis(1))?;
    /// }
    /// let bills = driver.output_topic("bills", utf8(), utf8()).read_key_values()?;
    /// assert_eq!(bills, [("ada".to_owned(), "pen: 120".to_owned())]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn join_global<KG, VG, KS, VS, VR>(
        &self,
        table: &GlobalKTable<KG, VG>,
        select: impl Fn(&K, &V) -> KS + Send + Sync + 'static,
        joiner: impl Fn(&K, VS, VG) -> VR + Send + Sync + 'static,
        joined: Joined<KG, VS>,
    ) -> KStream<K, VR>
    where
        KG: Data,
        VG: Data,
        KS: OrNull<KG>,
        VS: Data,
        VR: Data,
        V: OrNull<VS>,
    {
        let join = move |key: &K, value, row: Option<VG>| Some(joiner(key, value, row?));
        self.look_up_global(table, (select, join), joined, NullKeys::Dropped)
    }

    /// Joins each record with the row of the key that `select` makes of it, or with `None`.
    ///
    /// As [`join_global`](Self::join_global), but a record for which `select` answers null is
    /// joined with `None`.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, String> = builder.stream("orders", Consumed::new());
    /// let goods: GlobalKTable<String, i64> = builder.global_table("goods", Consumed::new());
    /// let cost = |_buyer: &String, _article: String, cents: Option<i64>| cents.unwrap_or(100);
    /// orders
    ///     .left_join_global(&goods, |_, article| article.clone(), cost, Joined::new())
    ///     .to("costs", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), utf8()).pipe("ada", "pan", Timestamp::from_millis(1))?;
    /// let cost = driver.output_topic("costs", utf8(), i64()).read()?;
    /// assert_eq!(cost.map(|record| record.value), Some(100));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn left_join_global<KG, VG, KS, VS, VR>(
        &self,
        table: &GlobalKTable<KG, VG>,
        select: impl Fn(&K, &V) -> KS + Send + Sync + 'static,
        joiner: impl Fn(&K, VS, Option<VG>) -> VR + Send + Sync + 'static,
        joined: Joined<KG, VS>,
    ) -> KStream<K, VR>
    where
        KG: Data,
        VG: Data,
        KS: OrNull<KG>,
        VS: Data,
        VR: Data,
        V: OrNull<VS>,
    {
        let join = move |key: &K, value, row| Some(joiner(key, value, row));
        self.look_up_global(table, (select, join), joined, NullKeys::Joined)
    }

    /// Adds the look-up; what `join` answers with `None` goes no further.
    fn look_up_global<KG, VG, KS, VS, VR, S, J>(
        &self,
        table: &GlobalKTable<KG, VG>,
        (select, join): (S, J),
        joined: Joined<KG, VS>,
        null_keys: NullKeys,
    ) -> KStream<K, VR>
    where
        KG: Data,
        VG: Data,
        KS: OrNull<KG>,
        VS: Data,
        VR: Data,
        V: OrNull<VS>,
        S: Fn(&K, &V) -> KS + Send + Sync + 'static,
        J: Fn(&K, VS, Option<VG>) -> Option<VR> + Send + Sync + 'static,
    {
        let name = joined.name.as_deref().or(self.next_name());
        // Inner joins too: Kafka Streams' name for both.
        let name = self.graph.name(name, "KSTREAM-LEFTJOIN-");
        if joined.grace.is_some() {
            let problem = "a join with a global table has no grace period";
            self.graph.problem(format!("{name}: {problem}"));
        }
        if null_keys == NullKeys::Joined {
            self.graph.keep_null_keys(self.node);
        }
        // A problem, if there is one, is told by `build`.
        let _own = self.graph.own(&table.graph, table.node, &table.store);
        let (store, join) = (Arc::clone(&table.store), Arc::new(join));
        let select =
            move |key: &K, value: &V, serde: &SharedSerde<KG>| present(select(key, value), serde);
        let select = Arc::new(select);
        let output = Arc::clone(&name);
        let node = self
            .graph
            .add(Arc::clone(&name), &[self.node], move |lowering| {
                lowering.processor(&output, move || GlobalLookup::<K, V, KG, VG, VS, _, _> {
                    key: joined.key.clone(),
                    value: joined.value.clone(),
                    null_keys,
                    store: Arc::clone(&store),
                    rows: None,
                    select: Arc::clone(&select),
                    join: Arc::clone(&join),
                    types: PhantomData,
                });
            });
        KStream::new(self.graph.clone(), node, name, self.rekeyed)
    }
}

/// Looks each record's row up.
struct GlobalLookup<K, V, KG, VG, VS, S, J> {
    key: SharedSerde<KG>,
    value: SharedSerde<VS>,
    null_keys: NullKeys,
    store: Arc<str>,
    /// Opened by `init`.
    rows: Option<TimestampedKeyValueStore<KG, VG>>,
    select: Arc<S>,
    join: Arc<J>,
    types: PhantomData<fn(K, V)>,
}

impl<K, V, KG, VG, VS, VR, S, J> Processor for GlobalLookup<K, V, KG, VG, VS, S, J>
where
    K: Data,
    V: Data + OrNull<VS>,
    KG: Data,
    VG: Data,
    VS: Data,
    VR: Data,
    S: Fn(&K, &V, &SharedSerde<KG>) -> Option<KG> + Send + Sync + 'static,
    J: Fn(&K, VS, Option<VG>) -> Option<VR> + Send + Sync + 'static,
{
    type KeyIn = K;
    type ValueIn = V;
    type KeyOut = K;
    type ValueOut = VR;

    fn init(&mut self, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        self.rows = Some(ctx.timestamped_key_value_store(&self.store)?);
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &mut Context<K, VR>) -> Result<(), Fault> {
        let Record {
            key,
            value,
            timestamp,
            headers,
        } = record;
        let selected = (self.select)(&key, &value, &self.key);
        if selected.is_none() && self.null_keys == NullKeys::Dropped {
            ctx.dropped(DropReason::NullKey);
            return Ok(());
        }
        let Some(value) = present(value, &self.value) else {
            ctx.dropped(DropReason::NullValue);
            return Ok(());
        };
        let rows = self.rows.as_ref();
        let rows = rows.expect("init opens the rows before the first record");
        let row = match &selected {
            Some(selected) => rows.get(selected)?.map(|row| row.value),
            None => None,
        };
        let Some(value) = (self.join)(&key, value, row) else {
            return Ok(());
        };
        ctx.forward(Record {
            key,
            value,
            timestamp,
            headers,
        })
    }
}
