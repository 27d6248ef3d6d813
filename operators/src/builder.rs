//! The door: streams and tables begin here, and the topology is built here.

use std::fmt;
use std::sync::Arc;

use onceflow_framework::processor::Processor;
use onceflow_framework::state::StoreBuilder;
use onceflow_framework::topology::Consumed;
use onceflow_framework::{Error, Topology};

use crate::Data;
use crate::graph::{Graph, StreamSource};
use crate::materialized::Materialized;
use crate::names::SOURCE;
use crate::optimize::BuildOptions;
use crate::stream::KStream;
use crate::table::KTable;
use crate::tables::{GlobalKTable, add_global_store, add_global_table, add_source_table};

/// Builds a [`Topology`] from streams, tables and operators.
///
/// ```
/// use onceflow::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// builder
///     .stream("names", Consumed::<String, String>::new())
///     .map_values(|name| format!("hello {name}"))
///     .to("greetings", Produced::new());
///
/// let driver = TestDriver::new(builder.build()?)?;
/// let names = driver.input_topic("names", utf8(), utf8());
/// names.pipe("1", "ada", Timestamp::from_millis(7))?;
/// let greeting = driver.output_topic("greetings", utf8(), utf8()).read()?;
/// assert_eq!(greeting.map(|record| record.value), Some("hello ada".to_owned()));
/// # Ok::<(), onceflow::Error>(())
/// ```
#[derive(Default)]
pub struct StreamsBuilder {
    graph: Graph,
}

impl StreamsBuilder {
    /// An empty topology.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let error = StreamsBuilder::new().build().unwrap_err();
    /// assert!(error.to_string().contains("there is no source"));
    /// ```
    #[must_use]
    pub fn new() -> Self {
        StreamsBuilder::default()
    }

    /// A stream of the records of a topic, or of several.
    ///
    /// Streams of the same topics share one source: they have the same types, serdes and offset
    /// reset, else the topology is refused. Its timestamp extractor is that of the first.
    ///
    /// What cannot be read, a null where the type has none included, is up to the handler of bad records
    /// (by default the application stops), and so is a negative timestamp up to the [`RecordTime`] of the
    /// source. Records of a partition come in its order, whatever their timestamps say.
    ///
    /// [`RecordTime`]: crate::time::RecordTime
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks: KStream<String, i64> = builder.stream("clicks", Consumed::new());
    /// let orders = builder.stream(["orders-eu", "orders-us"], Consumed::with(utf8(), i64()));
    /// clicks.merge(&orders).to("all", Produced::new());
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("(topics: [orders-eu, orders-us])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn stream<K: Data, V: Data>(
        &self,
        topics: impl Topics,
        consumed: Consumed<K, V>,
    ) -> KStream<K, V> {
        let name = self.graph.name(consumed.name(), SOURCE);
        let topics = topics.into_names();
        let source = StreamSource::of(topics.clone(), &consumed);
        let output = Arc::clone(&name);
        let node = self
            .graph
            .add_stream_source(Arc::clone(&name), source, move |lowering| {
                let _source = lowering.topology().add_source(&output, topics, consumed);
            });
        KStream::new(self.graph.clone(), node, name, false)
    }

    /// A stream of the records of all topics whose whole names match a regular expression, in the
    /// syntax of the [`regex`](https://docs.rs/regex) crate: those that there are, and those to come
    /// (Kafka Streams: `stream(Pattern)`).
    ///
    /// A running application looks for new topics every `metadata.max.age.ms` (5 minutes); a change
    /// is a rebalance. There may be none yet, unless the number of partitions of a repartition topic
    /// depends on them. Where a task has stores all of them must have the same number of partitions.
    /// A topic that another source reads is refused, when the topology is built or when it appears;
    /// the application's own topics and the broker's are passed over. The test driver reads all
    /// that match as one topic, which a record's position names by the expression.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream_pattern("orders-[a-z]+", Consumed::new());
    /// orders.to("all", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// for (topic, pieces) in [("orders-eu", 2), ("orders-us", 3)] {
    ///     driver.input_topic(topic, utf8(), i64()).pipe("nuts", pieces, Timestamp::from_millis(0))?;
    /// }
    /// let all = driver.output_topic("all", utf8(), i64()).read_all()?;
    /// assert_eq!(all.iter().map(|order| order.value).collect::<Vec<_>>(), [2, 3]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn stream_pattern<K: Data, V: Data>(
        &self,
        pattern: &str,
        consumed: Consumed<K, V>,
    ) -> KStream<K, V> {
        let name = self.graph.name(consumed.name(), SOURCE);
        let source = StreamSource {
            is_pattern: true,
            ..StreamSource::of(vec![pattern.to_owned()], &consumed)
        };
        let (output, pattern) = (Arc::clone(&name), pattern.to_owned());
        let node = self
            .graph
            .add_stream_source(Arc::clone(&name), source, move |lowering| {
                let topology = lowering.topology();
                let _source = topology.add_source_pattern(&output, &pattern, consumed);
            });
        KStream::new(self.graph.clone(), node, name, false)
    }

    /// A table of the last value of each key of a topic; a null value deletes.
    ///
    /// Records with a null key are dropped and counted. A record that is older than its row
    /// replaces it all the same, as in Kafka Streams, though without a warning. The table gets a
    /// store only if an operator needs old values; see [`table_with`](Self::table_with).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
    /// prices.to_stream().to("changes", Produced::new());
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: KTABLE-SOURCE-0000000002 (stores: [])"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn table<K: Data, V: Data>(&self, topic: &str, consumed: Consumed<K, V>) -> KTable<K, V> {
        let serdes = (consumed.key_serde().clone(), consumed.value_serde().clone());
        let materialized = Materialized::with(serdes.0, serdes.1);
        add_source_table(&self.graph, topic, consumed, materialized)
    }

    /// As [`table`](Self::table), kept as the [`Materialized`] says: with a name, always.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices: KTable<String, i64> =
    ///     builder.table_with("prices", Consumed::new(), Materialized::as_store("price-list"));
    /// assert_eq!(prices.queryable_store_name(), Some("price-list"));
    /// # builder.build()?;
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn table_with<K: Data, V: Data>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        materialized: Materialized<K, V>,
    ) -> KTable<K, V> {
        add_source_table(&self.graph, topic, consumed, materialized)
    }

    /// A table of a topic, all of it in every worker: streams are joined with it by any key.
    ///
    /// It has no changelog, and ignores timestamp extractors, as in Kafka Streams. Records with a
    /// null key are dropped and counted; what a handler gives up is not sent to a topic of dead
    /// letters. See [`KStream::join_global`].
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let goods: GlobalKTable<String, i64> = builder.global_table("goods", Consumed::new());
    /// assert_eq!(goods.queryable_store_name(), None);
    /// let orders: KStream<String, String> = builder.stream("orders", Consumed::new());
    /// let cost = |_buyer: &String, _article: String, cents| cents;
    /// orders
    ///     .join_global(&goods, |_, article| article.clone(), cost, Joined::new())
    ///     .to("costs", Produced::new());
    /// let described = builder.build()?.describe();
    /// assert!(described.contains("Sub-topology: 0 for global store (will not generate tasks)"));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn global_table<K: Data, V: Data>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
    ) -> GlobalKTable<K, V> {
        let serdes = (consumed.key_serde().clone(), consumed.value_serde().clone());
        let materialized = Materialized::with(serdes.0, serdes.1);
        add_global_table(&self.graph, topic, consumed, &materialized)
    }

    /// As [`global_table`](Self::global_table), kept with the name and the serdes of the
    /// [`Materialized`]: nothing else of it applies.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let goods: GlobalKTable<String, i64> =
    ///     builder.global_table_with("goods", Consumed::new(), Materialized::as_store("prices"));
    /// assert_eq!(goods.queryable_store_name(), Some("prices"));
    /// ```
    pub fn global_table_with<K: Data, V: Data>(
        &self,
        topic: &str,
        consumed: Consumed<K, V>,
        materialized: Materialized<K, V>,
    ) -> GlobalKTable<K, V> {
        add_global_table(&self.graph, topic, consumed, &materialized)
    }

    /// Adds a store that a processor fills from a topic, all of it in every worker. Any processor
    /// reads it by its name, without being connected to it.
    ///
    /// See [`TopologyBuilder::add_global_store`](crate::TopologyBuilder::add_global_store).
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// /// Keeps the names of countries by their codes.
    /// #[derive(Default)]
    /// struct Keep(Option<KeyValueStore<String, String>>);
    ///
    /// impl Processor for Keep {
    ///     type KeyIn = String;
    ///     type ValueIn = String;
    ///     type KeyOut = ();
    ///     type ValueOut = ();
    ///
    ///     fn init(&mut self, ctx: &mut Context<(), ()>) -> Result<(), Fault> {
    ///         self.0 = Some(ctx.key_value_store("names")?);
    ///         Ok(())
    ///     }
    ///
    ///     fn process(&mut self, code: Record<String, String>, _: &mut Context<(), ()>) -> Result<(), Fault> {
    ///         Ok(self.0.as_ref().expect("init ran").put(&code.key, &code.value)?)
    ///     }
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = StoreBuilder::key_value("names", utf8(), utf8());
    /// builder.add_global_store(names, "countries", Consumed::new(), Keep::default);
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let countries = driver.input_topic("countries", utf8(), utf8());
    /// countries.pipe("NZ", "New Zealand", Timestamp::from_millis(0))?;
    /// let names = driver.key_value_store::<String, String>("names")?;
    /// assert_eq!(names.get(&"NZ".to_owned())?, Some("New Zealand".to_owned()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn add_global_store<SK: 'static, SV: 'static, P: Processor>(
        &self,
        store: StoreBuilder<SK, SV>,
        topic: &str,
        consumed: Consumed<P::KeyIn, P::ValueIn>,
        supplier: impl Fn() -> P + Send + Sync + 'static,
    ) where
        P::KeyIn: Data,
        P::ValueIn: Data,
    {
        self.graph.check(store.name());
        let _node = add_global_store(&self.graph, store, (topic, consumed), supplier);
    }

    /// Adds a store for processors, which are connected to it by name.
    ///
    /// See [`KStream::process`] for an example.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.add_state_store(StoreBuilder::key_value("unused", utf8(), i64()));
    /// let _orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let error = builder.build().unwrap_err();
    /// assert!(error.to_string().contains("store unused is connected to no processor"));
    /// ```
    pub fn add_state_store<K: 'static, V: 'static>(&self, store: StoreBuilder<K, V>) {
        self.graph.check(store.name());
        self.graph
            .add_extra(move |lowering| lowering.topology().add_state_store(store, &[]));
    }

    /// Checks the whole and closes it; streams and tables of this builder are of no use any more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Topology`](crate::ErrorKind::Topology) with everything that is wrong, nodes
    /// named: names that Kafka does not allow or that are used twice, a topic that two sources
    /// read, a store that does not exist or that nobody uses, no source at all.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// orders.named("same").filter(|_, _| true);
    /// orders.named("same").filter(|_, _| false);
    /// let error = builder.build().unwrap_err();
    /// assert!(error.to_string().contains("two nodes are named same"));
    /// ```
    pub fn build(self) -> Result<Topology, Error> {
        self.build_with(&BuildOptions::new())
    }

    /// As [`build`](Self::build), optimised or with more to check.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// orders.group_by_key(Grouped::new()).count();
    /// let options = BuildOptions::new().with_explicit_names();
    /// let error = builder.build_with(&options).unwrap_err();
    /// assert!(error.to_string().contains("KSTREAM-AGGREGATE-STATE-STORE-0000000001"));
    /// ```
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build), and what the options require.
    pub fn build_with(self, options: &BuildOptions) -> Result<Topology, Error> {
        self.graph.lower(options)
    }
}

impl fmt::Debug for StreamsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamsBuilder").finish_non_exhaustive()
    }
}

/// The topics of a stream: one name, or several.
///
/// ```
/// use onceflow::Topics;
///
/// assert_eq!("orders".into_names(), ["orders"]);
/// assert_eq!(["eu", "us"].into_names(), ["eu", "us"]);
/// assert_eq!(vec!["eu".to_owned()].into_names(), ["eu"]);
/// assert_eq!(["eu", "us"][..].into_names(), ["eu", "us"]);
/// assert_eq!((&"eu".to_owned()).into_names(), ["eu"]);
/// ```
pub trait Topics {
    /// The names.
    fn into_names(self) -> Vec<String>;
}

impl Topics for &str {
    fn into_names(self) -> Vec<String> {
        vec![self.to_owned()]
    }
}

impl Topics for String {
    fn into_names(self) -> Vec<String> {
        vec![self]
    }
}

impl Topics for &String {
    fn into_names(self) -> Vec<String> {
        vec![self.clone()]
    }
}

impl<T: AsRef<str>> Topics for &[T] {
    fn into_names(self) -> Vec<String> {
        self.iter().map(|name| name.as_ref().to_owned()).collect()
    }
}

impl<T: Into<String>, const N: usize> Topics for [T; N] {
    fn into_names(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<T: Into<String>> Topics for Vec<T> {
    fn into_names(self) -> Vec<String> {
        self.into_iter().map(Into::into).collect()
    }
}
