//! Global stores: filled from all partitions of a topic, whole in every worker.
//!
//! ```text
//!   topic ──all partitions──> source ──> one processor ──> store <──reads── any processor
//! ```
//!
//! # Invariants
//!
//! - Such a part is a source, a processor and a store, and nothing else: nothing leaves it, so it
//!   needs no transaction, and it is a pure function of its topic.
//! - No processor is connected to a global store, so it joins no sub-topologies.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::builder::{NodeRef, TopologyBuilder};
use super::node::{NodeKind, NodeSpec, SourceFactory};
use super::options::{Consumed, TopicName};
use crate::processor::Processor;
use crate::state::StoreBuilder;
use crate::time::RecordTime;

impl TopologyBuilder {
    /// Adds the source of a global store; [`add_global_store`](Self::add_global_store) follows.
    ///
    /// Timestamp extractors and offset resets do not apply, as in Kafka Streams: the topic is read
    /// from its beginning, and records have the time that they carry.
    pub fn add_global_source<K: Clone + 'static, V: Clone + 'static>(
        &mut self,
        name: &str,
        topic: impl Into<TopicName>,
        consumed: Consumed<K, V>,
    ) -> NodeRef<K, V> {
        let topics = [topic.into()];
        self.check_unread(name, &topics);
        let consumed = consumed.with_record_time(RecordTime::FailOnInvalid);
        let kind = NodeKind::GlobalSource { topics };
        self.add(name, kind, Vec::new(), Arc::new(SourceFactory(consumed)))
    }

    /// Adds a store that `supplier`'s processor, under this name, fills from a global source. Every
    /// worker has all of it, and every processor can read it by its name, without being connected
    /// to it. It has no changelog: that is what its topic is.
    ///
    /// Unlike in Kafka Streams, which may copy the topic into the store when it starts, each record
    /// goes through the processor each time. Records are read once they are committed; when a
    /// batch is aborted and processed again, it may find newer rows.
    ///
    /// ```
    /// use onceflow_framework::processor::{Context, Processor};
    /// use onceflow_framework::serde::utf8;
    /// use onceflow_framework::state::{KeyValueStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestDriver;
    /// use onceflow_framework::topology::{Consumed, Produced, TopologyBuilder};
    /// use onceflow_framework::{Fault, Record, Timestamp};
    ///
    /// /// Keeps the names of codes.
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
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, String>,
    ///         _ctx: &mut Context<(), ()>,
    ///     ) -> Result<(), Fault> {
    ///         let store = self.0.as_ref().expect("init ran");
    ///         Ok(store.put(&record.key, &record.value)?)
    ///     }
    /// }
    ///
    /// /// Replaces codes by names.
    /// #[derive(Default)]
    /// struct Name(Option<KeyValueStore<String, String>>);
    ///
    /// impl Processor for Name {
    ///     type KeyIn = String;
    ///     type ValueIn = String;
    ///     type KeyOut = String;
    ///     type ValueOut = Option<String>;
    ///
    ///     fn init(&mut self, ctx: &mut Context<String, Option<String>>) -> Result<(), Fault> {
    ///         self.0 = Some(ctx.key_value_store("names")?);
    ///         Ok(())
    ///     }
    ///
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, String>,
    ///         ctx: &mut Context<String, Option<String>>,
    ///     ) -> Result<(), Fault> {
    ///         let name = self.0.as_ref().expect("init ran").get(&record.value)?;
    ///         ctx.forward(record.with_value(name))
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let countries = builder.add_global_source("countries", "countries", Consumed::new());
    /// let store = StoreBuilder::key_value("names", utf8(), utf8());
    /// builder.add_global_store(store, "keep", Keep::default, &countries);
    /// let people = builder.add_source("people", ["people"], Consumed::new());
    /// let name = builder.add_processor("name", Name::default, &[&people]);
    /// builder.add_sink("out", "homes", Produced::new(), &[&name]);
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let countries = driver.input_topic("countries", utf8(), utf8());
    /// countries.pipe("NZ", "New Zealand", Timestamp::from_millis(0))?;
    /// driver.input_topic("people", utf8(), utf8()).pipe("ada", "NZ", Timestamp::from_millis(0))?;
    /// let homes = driver.output_topic("homes", utf8(), utf8()).read_key_values()?;
    /// assert_eq!(homes, [("ada".to_owned(), "New Zealand".to_owned())]);
    /// # Ok::<(), onceflow_framework::Error>(())
    /// ```
    pub fn add_global_store<K: 'static, V: 'static, P: Processor>(
        &mut self,
        store: StoreBuilder<K, V>,
        name: &str,
        supplier: impl Fn() -> P + Send + Sync + 'static,
        source: &NodeRef<P::KeyIn, P::ValueIn>,
    ) {
        let _processor = self.add_processor(name, supplier, &[source]);
        self.add_state_store(store.with_logging_disabled(), &[name]);
    }

    /// A global source feeds one processor, which has one store that no other is connected to.
    pub(super) fn check_global(&mut self) {
        let mut problems = Vec::new();
        for source in self.nodes.iter().filter(|node| node.is_global_source()) {
            let name = &source.name;
            let children: Vec<&NodeSpec> =
                source.children.iter().map(|c| &self.nodes[*c]).collect();
            let [processor] = children[..] else {
                let count = children.len();
                problems.push(format!(
                    "global source {name} feeds {count} processors; it feeds the one of its store"
                ));
                continue;
            };
            let processor_name = &processor.name;
            if !processor.children.is_empty() || processor.parents.len() > 1 {
                problems.push(format!(
                    "processor {processor_name} fills a global store: it has no parent but global \
                     source {name}, and no children"
                ));
            }
            let [store] = processor.stores() else {
                let stores: BTreeSet<&str> = processor.stores().iter().map(|s| &**s).collect();
                problems.push(format!(
                    "processor {processor_name} of global source {name} fills one store, not \
                     {stores:?}"
                ));
                continue;
            };
            let others = self
                .nodes
                .iter()
                .filter(|node| node.name != *processor_name);
            for other in others.filter(|node| node.stores().contains(store)) {
                let other = &other.name;
                problems.push(format!(
                    "node {other} is connected to global store {store}; take the connection out: \
                     every processor can read it"
                ));
            }
        }
        self.problems.append(&mut problems);
    }
}
