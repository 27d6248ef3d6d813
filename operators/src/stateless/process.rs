//! Puts a processor of the user's into the stream.

use onceflow_framework::processor::Processor;

use crate::Data;
use crate::optimize::Role;
use crate::stream::{Changes, KStream};

impl<K: Data, V: Data> KStream<K, V> {
    /// Hands each record to a processor, which has the named stores and may forward anything.
    ///
    /// It may change the key, so the next grouping repartitions; where it does not, use
    /// [`process_values`](Self::process_values). `supplier` makes one processor for each task.
    ///
    /// A store may also be a table's, by the name that [`Materialized`](crate::Materialized) gave
    /// it. A processor sees the partition of it that its own task has: records find their row if
    /// stream and table are keyed alike and have the same number of partitions, which nothing
    /// checks here; see [`Repartitioned::with_partitions`](crate::Repartitioned::with_partitions).
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// /// Drops what is no more than the highest so far.
    /// #[derive(Default)]
    /// struct Records(Option<KeyValueStore<String, i64>>);
    ///
    /// impl Processor for Records {
    ///     type KeyIn = String;
    ///     type ValueIn = i64;
    ///     type KeyOut = String;
    ///     type ValueOut = i64;
    ///
    ///     fn init(&mut self, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
    ///         self.0 = Some(ctx.key_value_store("highest")?);
    ///         Ok(())
    ///     }
    ///
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, i64>,
    ///         ctx: &mut Context<String, i64>,
    ///     ) -> Result<(), Fault> {
    ///         let store = self.0.as_ref().expect("init ran");
    ///         if store.get(&record.key)?.is_some_and(|highest| record.value <= highest) {
    ///             return Ok(());
    ///         }
    ///         store.put(&record.key, &record.value)?;
    ///         ctx.forward(record)
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.add_state_store(StoreBuilder::key_value("highest", utf8(), i64()));
    /// let jumps = builder.stream("jumps", Consumed::<String, i64>::new());
    /// jumps.process(Records::default, &["highest"]).to("records", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("jumps", utf8(), i64());
    /// for height in [180, 175, 190] {
    ///     input.pipe("ada", height, Timestamp::from_millis(0))?;
    /// }
    /// let records = driver.output_topic("records", utf8(), i64()).read_all()?;
    /// assert_eq!(records.iter().map(|r| r.value).collect::<Vec<_>>(), [180, 190]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn process<P: Processor<KeyIn = K, ValueIn = V>>(
        &self,
        supplier: impl Fn() -> P + Send + Sync + 'static,
        stores: &[&str],
    ) -> KStream<P::KeyOut, P::ValueOut> {
        let stores: Vec<String> = stores.iter().map(|store| (*store).to_owned()).collect();
        let name = self
            .graph
            .name_if_needed(self.next_name(), "KSTREAM-PROCESSOR-");
        let processed = self.append(name, Changes::Keys, move |lowering, name| {
            lowering.processor(name, supplier);
            lowering.connect(name, &stores);
        });
        // It asks for repartition topics, but none are merged for it: Kafka Streams does not know
        // it for a node that changes keys.
        self.graph.set_role(processed.node, Role::ChangesValues);
        processed
    }
}
