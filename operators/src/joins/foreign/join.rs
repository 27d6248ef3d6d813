//! The join as a user writes it, and how it becomes nodes, topics and stores.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use onceflow_framework::Record;
use onceflow_framework::processor::{Partitioner, Partitions};
use onceflow_framework::serde::nullable;
use onceflow_framework::state::StoreBuilder;
use onceflow_framework::topology::{Produced, TopicName};

use super::answer::{AnswerChange, AnswerSubscription};
use super::formats::{Response, ResponseSerde, SubscribedSerde, SubscriptionSerde};
use super::keep::Keep;
use super::resolve::{ForeignJoin, Output, Resolve};
use super::subscribe::{ForeignKey, Subscribe};
use super::table_joined::{ForeignPartitions, TableJoined};
use crate::Data;
use crate::graph::{Graph, NodeId};
use crate::lowering::Lowering;
use crate::materialized::Materialized;
use crate::null::OrNull;
use crate::repartition::add_source_of;
use crate::table::{Cost, KTable, Keeping, lower_table};
use crate::table_store::TableStore;
use crate::view::ViewSource;

/// Two tables of which the left names rows of the right: see [`KTable::on_foreign_key`].
pub struct ForeignKeyJoin<K, V, KO, VO> {
    left: KTable<K, V>,
    right: KTable<KO, VO>,
    extract: ForeignKey<K, V, KO>,
    joined: TableJoined<K, V, KO, VO>,
}

impl<K: Data, V: Data> KTable<K, V> {
    /// Begins a join with the rows of `other` that `extract` names, by their keys; a row for which
    /// it answers `None` names none.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// // By order: who ordered. By customer: where they live.
    /// let orders: KTable<i64, String> = builder.table("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// orders
    ///     .on_foreign_key(&homes, |_order, who| who.clone(), TableJoined::new())
    ///     .join(|who, city| format!("{who}, {city}"), Materialized::new())
    ///     .to_stream()
    ///     .to("labels", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let homes = driver.input_topic("homes", utf8(), utf8());
    /// homes.pipe("ada", "Oslo", Timestamp::from_millis(0))?;
    /// let orders = driver.input_topic("orders", i64(), utf8());
    /// for order in [1, 2] {
    ///     orders.pipe(order, "ada", Timestamp::from_millis(1))?;
    /// }
    /// homes.pipe("ada", "Rome", Timestamp::from_millis(2))?;
    /// let labels = driver.output_topic("labels", i64(), utf8()).read_key_values()?;
    /// let labels: Vec<_> = labels.iter().map(|(order, label)| (*order, &**label)).collect();
    /// let oslo = [(1, "ada, Oslo"), (2, "ada, Oslo")];
    /// assert_eq!(labels, [oslo[0], oslo[1], (1, "ada, Rome"), (2, "ada, Rome")]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn on_foreign_key<KO: Data, VO: Data, F: OrNull<KO>>(
        &self,
        other: &KTable<KO, VO>,
        extract: impl Fn(&K, &V) -> F + Send + Sync + 'static,
        joined: TableJoined<K, V, KO, VO>,
    ) -> ForeignKeyJoin<K, V, KO, VO> {
        ForeignKeyJoin {
            left: self.clone(),
            right: other.clone(),
            extract: Arc::new(move |key, value| extract(key, value).into_option()),
            joined,
        }
    }
}

impl<K: Data, V: Data, KO: Data, VO: Data> ForeignKeyJoin<K, V, KO, VO> {
    /// A table of the left rows whose right rows are there, by the left keys.
    ///
    /// A change of a left row gives the later time of the two rows, a change of a right row its
    /// own, and that for every left row that names it, in the order of their keys. A left row that
    /// names none is dropped and counted. What comes out of order is applied as it comes, but for
    /// versioned tables: there it is dropped and counted (KIP-914). A left row that is
    /// deleted is told even if it had no result, as in Kafka Streams. The result has a store if the
    /// [`Materialized`] names one, or if something downstream needs it.
    ///
    /// See [`KTable::on_foreign_key`] for an example.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// // By order: who ordered. By customer: where they live.
    /// let orders: KTable<i64, String> = builder.table("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// orders
    ///     .on_foreign_key(&homes, |_, who| who.clone(), TableJoined::new())
    ///     .join(|_, city| city, Materialized::new())
    ///     .to_stream()
    ///     .to("destinations", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", i64(), utf8()).pipe(1, "ada", Timestamp::from_millis(1))?;
    /// driver.input_topic("homes", utf8(), utf8()).pipe("ada", "Oslo", Timestamp::from_millis(2))?;
    /// let destinations = driver.output_topic("destinations", i64(), utf8()).read_key_values()?;
    /// assert_eq!(destinations, [(1, "Oslo".to_owned())]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn join<VR: Data, R: OrNull<VR>>(
        &self,
        joiner: impl Fn(V, VO) -> R + Send + Sync + 'static,
        materialized: Materialized<K, VR>,
    ) -> KTable<K, VR> {
        let join = move |left, right: Option<VO>| joiner(left, right?).into_option();
        self.add(false, join, materialized)
    }

    /// A table of all left rows, joined with the right rows that they name, or with `None`.
    ///
    /// As [`join`](Self::join), but no left row is dropped.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KTable<i64, String> = builder.table("orders", Consumed::new());
    /// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
    /// orders
    ///     .on_foreign_key(&homes, |_, who| who.clone(), TableJoined::new())
    ///     .left_join(|_, city: Option<String>| city.unwrap_or_default(), Materialized::new())
    ///     .to_stream()
    ///     .to("destinations", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", i64(), utf8()).pipe(1, "bob", Timestamp::from_millis(1))?;
    /// let destination = driver.output_topic("destinations", i64(), utf8()).read()?;
    /// assert_eq!(destination.map(|r| r.value), Some(String::new()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn left_join<VR: Data, R: OrNull<VR>>(
        &self,
        joiner: impl Fn(V, Option<VO>) -> R + Send + Sync + 'static,
        materialized: Materialized<K, VR>,
    ) -> KTable<K, VR> {
        let join = move |left, right| joiner(left, right).into_option();
        self.add(true, join, materialized)
    }

    fn add<VR: Data>(
        &self,
        is_left: bool,
        join: impl ForeignJoin<V, VO, VR>,
        materialized: Materialized<K, VR>,
    ) -> KTable<K, VR> {
        let (left, right, graph) = (&self.left, &self.right, &self.left.graph);
        let names = ForeignNames::take(graph, self.joined.name.as_deref().or(left.next_name()));
        left.keeping.send_old_values(Cost::EvenAStore);
        right.keeping.send_old_values(Cost::EvenAStore);
        let given = materialized.shared_name();
        let store = graph.store_name(given, OUTPUT);
        let keeping = Keeping::source(&materialized);
        let output = Arc::clone(&names.output);
        let views = left.lookup(graph).zip(right.lookup(graph));
        let Some((left_view, right_view)) = views else {
            let node = graph.add(Arc::clone(&output), &[left.node], |_| {});
            return KTable::new(graph.clone(), node, output, keeping);
        };
        let subscriptions = self.add_subscriptions(&names, is_left);
        let responses = self.add_answers(&names, subscriptions, right_view);
        graph.copartition(&[subscriptions, right.node]);
        graph.copartition(&[responses, left.node]);
        let (value, join) = (self.joined.value.clone(), Arc::new(join));
        let (kept, rows) = (Rc::clone(&keeping), Arc::clone(&store));
        let node = graph.add(Arc::clone(&output), &[responses], move |lowering| {
            let view = left_view();
            let stores = view.stores.clone();
            lowering.processor(&names.resolver, move || Resolve::<K, V, VO, VR, _> {
                value: value.clone(),
                view: view.clone(),
                rows: None,
                join: Arc::clone(&join),
                types: PhantomData,
            });
            lowering.connect(&names.resolver, &stores);
            lower_output(lowering, &names.output, (materialized, store), &kept);
        });
        KTable::new(graph.clone(), node, output, keeping).with_store(rows)
    }

    /// Left's changes, through a topic, to where right's rows are.
    fn add_subscriptions(&self, names: &ForeignNames, is_left: bool) -> NodeId {
        let (graph, joined) = (&self.left.graph, self.joined.clone());
        let (extract, topic) = (
            Arc::clone(&self.extract),
            Arc::clone(&names.subscription_topic),
        );
        let (subscribe, sink) = (
            Arc::clone(&names.subscribe),
            Arc::clone(&names.subscription_sink),
        );
        let source = Arc::clone(&names.subscription_source);
        let node = graph.add(Arc::clone(&source), &[self.left.node], move |lowering| {
            let topic = lowering.topology().add_internal_topic(&topic, None);
            let key = nullable(joined.foreign_key.clone());
            let produced = Produced::with(key, SubscriptionSerde(joined.key.clone()));
            let produced = match joined.foreign_partitions.as_ref().map(Arc::clone) {
                Some(partitions) => produced.with_partitioner(to_right_row(partitions)),
                None => produced,
            };
            lowering.processor(&subscribe, move || Subscribe::<K, V, KO> {
                value: joined.value.clone(),
                foreign_key: joined.foreign_key.clone(),
                extract: Arc::clone(&extract),
                is_left,
            });
            lowering.sink(&sink, topic.clone(), produced.clone());
            add_source_of(lowering.topology(), &source, topic, &produced);
        });
        graph.reads(node, TopicName::internal(&*names.subscription_topic));
        node
    }

    /// Right's answers, through a topic, to where left's rows are.
    fn add_answers(
        &self,
        names: &ForeignNames,
        subscriptions: NodeId,
        right: ViewSource<KO, VO>,
    ) -> NodeId {
        let (graph, joined, names) = (&self.left.graph, self.joined.clone(), names.clone());
        let topic = TopicName::internal(&*names.response_topic);
        let parents = [subscriptions, self.right.node];
        let node = graph.add(
            Arc::clone(&names.response_source),
            &parents,
            move |lowering| {
                let store = Arc::clone(&names.store);
                lowering.below(parents[0]);
                lowering.processor(&names.keep, move || Keep::<K, KO> {
                    name: Arc::clone(&store),
                    store: None,
                });
                let view = right();
                let stores = view.stores.clone();
                lowering.processor(&names.answer, move || AnswerSubscription::<K, KO, VO> {
                    view: view.clone(),
                    rows: None,
                    types: PhantomData,
                });
                lowering.connect(&names.answer, &stores);
                lowering.below(parents[1]);
                let (foreign_key, store) = (joined.foreign_key.clone(), Arc::clone(&names.store));
                lowering.processor(&names.answer_change, move || AnswerChange::<K, KO, VO> {
                    foreign_key: foreign_key.clone(),
                    name: Arc::clone(&store),
                    store: None,
                    types: PhantomData,
                });
                let (foreign, key) = (joined.foreign_key.clone(), joined.key.clone());
                let value = SubscriptionSerde(joined.key.clone());
                let key = SubscribedSerde { foreign, key };
                let store = StoreBuilder::timestamped_key_value(&*names.store, key, value);
                let users = [&*names.keep, &*names.answer_change];
                lowering.topology().add_state_store(store, &users);
                lowering.below_all(&[&names.answer, &names.answer_change]);
                let topic = lowering
                    .topology()
                    .add_internal_topic(&names.response_topic, None);
                let value = ResponseSerde(joined.foreign_value.clone());
                let to_asker = |record: &Record<K, Response<VO>>, _: i32| {
                    Partitions::One(record.value.partition)
                };
                let produced = Produced::with(joined.key.clone(), value).with_partitioner(to_asker);
                lowering.sink(&names.response_sink, topic.clone(), produced.clone());
                add_source_of(
                    lowering.topology(),
                    &names.response_source,
                    topic,
                    &produced,
                );
            },
        );
        graph.reads(node, topic);
        node
    }
}

/// Sends a subscription to where the right row is; one that names none can go anywhere.
fn to_right_row<KO: 'static, S: 'static>(
    partitions: ForeignPartitions<KO>,
) -> impl Partitioner<Option<KO>, S> + 'static {
    move |record: &Record<Option<KO>, S>, count: i32| match &record.key {
        Some(key) => partitions(key, count),
        None => Partitions::Default,
    }
}

/// Adds the table of the results.
fn lower_output<K: Data, VR: Data>(
    lowering: &mut Lowering<'_>,
    name: &Arc<str>,
    (materialized, store): (Materialized<K, VR>, Arc<str>),
    keeping: &Keeping,
) {
    let stored = keeping.is_stored().then_some((&materialized, &store));
    let named = stored.map(|(_, store)| Arc::clone(store));
    let (sends_old, kept) = (keeping.sends_old(), materialized.kept(lowering));
    let supplier = move || Output::<K, VR> {
        store: named
            .as_ref()
            .map(|name| TableStore::new(name, kept, sends_old)),
        sends_old,
    };
    lower_table(lowering, name, stored, supplier);
}

/// The prefix of the result's node and store.
const OUTPUT: &str = "KTABLE-FK-JOIN-OUTPUT-";

/// The names of a join's nodes, topics and store, in the order in which indices are taken.
#[derive(Clone)]
struct ForeignNames {
    subscription_topic: Arc<str>,
    subscribe: Arc<str>,
    subscription_sink: Arc<str>,
    subscription_source: Arc<str>,
    store: Arc<str>,
    keep: Arc<str>,
    answer: Arc<str>,
    answer_change: Arc<str>,
    response_topic: Arc<str>,
    response_sink: Arc<str>,
    response_source: Arc<str>,
    resolver: Arc<str>,
    output: Arc<str>,
}

impl ForeignNames {
    fn take(graph: &Graph, given: Option<&str>) -> Self {
        let name = |suffix: &str, kind: &str| {
            graph.suffixed_name(given, suffix, &format!("KTABLE-{kind}-"))
        };
        let topic = |name: Arc<str>| Arc::from(format!("{name}-topic"));
        let fk = |suffix: &str, kind: &str| name(suffix, &format!("FK-JOIN-{kind}"));
        let processor = "SUBSCRIPTION-PROCESSOR";
        ForeignNames {
            subscription_topic: topic(fk(
                "-subscription-registration",
                "SUBSCRIPTION-REGISTRATION",
            )),
            subscribe: fk(
                "-subscription-registration-processor",
                "SUBSCRIPTION-REGISTRATION",
            ),
            subscription_sink: name("-subscription-registration-sink", "SINK"),
            subscription_source: name("-subscription-registration-source", "SOURCE"),
            store: fk("-subscription-store", "SUBSCRIPTION-STATE-STORE"),
            keep: fk("-subscription-receive", processor),
            answer: fk("-subscription-join-foreign", processor),
            answer_change: fk("-foreign-join-subscription", processor),
            response_topic: topic(fk("-subscription-response", "SUBSCRIPTION-RESPONSE")),
            response_sink: name("-subscription-response-sink", "SINK"),
            response_source: name("-subscription-response-source", "SOURCE"),
            resolver: fk(
                "-subscription-response-resolver",
                "SUBSCRIPTION-RESPONSE-RESOLVER-PROCESSOR",
            ),
            output: fk("-result", "OUTPUT"),
        }
    }
}

impl<K, V, KO, VO> fmt::Debug for ForeignKeyJoin<K, V, KO, VO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForeignKeyJoin({:?}, {:?})", self.left, self.right)
    }
}
