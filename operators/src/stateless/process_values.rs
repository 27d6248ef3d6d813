//! Puts a processor of the user's into the stream that cannot change the key.

use onceflow_framework::processor::FixedKeyProcessor;

use crate::Data;
use crate::stream::{Changes, KStream};

impl<K: Data, V: Data> KStream<K, V> {
    /// Hands each record to a processor that cannot change the key, so nothing is repartitioned.
    ///
    /// Nulls, late records and records out of order are like any other to it.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// /// Replaces each value by the sum so far.
    /// #[derive(Default)]
    /// struct RunningSum(Option<KeyValueStore<String, i64>>);
    ///
    /// impl FixedKeyProcessor for RunningSum {
    ///     type Key = String;
    ///     type ValueIn = i64;
    ///     type ValueOut = i64;
    ///
    ///     fn init(&mut self, ctx: &mut FixedKeyContext<'_, String, i64>) -> Result<(), Fault> {
    ///         self.0 = Some(ctx.key_value_store("sums")?);
    ///         Ok(())
    ///     }
    ///
    ///     fn process(
    ///         &mut self,
    ///         record: FixedKeyRecord<String, i64>,
    ///         ctx: &mut FixedKeyContext<'_, String, i64>,
    ///     ) -> Result<(), Fault> {
    ///         let store = self.0.as_ref().expect("init ran");
    ///         let sum = store.get(record.key())?.unwrap_or(0) + record.value;
    ///         store.put(record.key(), &sum)?;
    ///         ctx.forward(record.with_value(sum))
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.add_state_store(StoreBuilder::key_value("sums", utf8(), i64()));
    /// let amounts = builder.stream("amounts", Consumed::<String, i64>::new());
    /// amounts.process_values(RunningSum::default, &["sums"]).to("sums-so-far", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("amounts", utf8(), i64());
    /// for amount in [1, 2] {
    ///     input.pipe("ada", amount, Timestamp::from_millis(0))?;
    /// }
    /// let sums = driver.output_topic("sums-so-far", utf8(), i64()).read_all()?;
    /// assert_eq!(sums.iter().map(|r| r.value).collect::<Vec<_>>(), [1, 3]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn process_values<P: FixedKeyProcessor<Key = K, ValueIn = V>>(
        &self,
        supplier: impl Fn() -> P + Send + Sync + 'static,
        stores: &[&str],
    ) -> KStream<K, P::ValueOut> {
        let stores: Vec<String> = stores.iter().map(|store| (*store).to_owned()).collect();
        let name = self
            .graph
            .name_if_needed(self.next_name(), "KSTREAM-PROCESSVALUES-");
        self.append(name, Changes::Values, move |lowering, name| {
            lowering.fixed_key_processor(name, supplier);
            lowering.connect(name, &stores);
        })
    }
}
