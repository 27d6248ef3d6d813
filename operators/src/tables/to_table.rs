//! Makes a table of a stream: each record replaces, or deletes, the row of its key.

use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::topology::Produced;

use super::source::lower_source;
use crate::Data;
use crate::materialized::Materialized;
use crate::null::OrNull;
use crate::repartition::{RepartitionNames, add_repartition};
use crate::stream::KStream;
use crate::table::{KTable, Keeping};

/// The prefix of the node and of its store.
const TO_TABLE: &str = "KSTREAM-TOTABLE-";

impl<K: Data, V: Data> KStream<K, V> {
    /// A table of the last value of each key: a null value deletes, a null key is dropped and
    /// counted. Repartitions first if the key was changed.
    ///
    /// Of a stream of `Option`s the table has what is inside: a `KStream<String, Option<i64>>`
    /// becomes a `KTable<String, i64>` by a `Materialized<String, i64>` (see [`OrNull`]).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let moves = builder.stream("moves", Consumed::<String, Option<String>>::new());
    /// let homes: KTable<String, String> = moves.to_table(Materialized::as_store("homes"));
    /// homes.to_stream().to("homes", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("moves", utf8(), nullable(utf8()));
    /// for home in [Some("Oslo".to_owned()), None] {
    ///     input.pipe("ada", home, Timestamp::from_millis(0))?;
    /// }
    /// let homes = driver.output_topic("homes", utf8(), nullable(utf8())).read_all()?;
    /// let homes: Vec<_> = homes.iter().map(|r| r.value.as_deref()).collect();
    /// assert_eq!(homes, [Some("Oslo"), None]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn to_table<KT, VT>(&self, materialized: Materialized<KT, VT>) -> KTable<KT, VT>
    where
        KT: Data,
        VT: Data,
        K: OrNull<KT>,
        V: OrNull<VT>,
    {
        let name = self.graph.name(self.next_name(), TO_TABLE);
        let store = self.graph.store_name(materialized.shared_name(), TO_TABLE);
        let mut parent = self.node;
        if self.rekeyed {
            let names = RepartitionNames::take(&self.graph, &name);
            let (key, value) = (materialized.key.clone(), materialized.value.clone());
            let produced = Produced::with(K::serde(key), V::serde(value));
            parent = add_repartition(&self.graph, parent, names, produced);
        }
        let keeping = Keeping::source(&materialized);
        let rows = Arc::clone(&store);
        let (output, kept) = (Arc::clone(&name), Rc::clone(&keeping));
        let node = self
            .graph
            .add(Arc::clone(&name), &[parent], move |lowering| {
                lower_source::<KT, VT, K, V>(lowering, &output, &store, materialized, &kept);
            });
        KTable::new(self.graph.clone(), node, name, keeping).with_store(rows)
    }
}
