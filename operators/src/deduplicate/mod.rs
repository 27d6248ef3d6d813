//! Lets a record through once: what repeats its id within a span of time is dropped.
//!
//! ```text
//!   id a   ──10──────14───────────25──────>      within 10 ms
//!            │        └ repeats 10, dropped
//!            └ through             └ through: 10 is more than 10 ms away, 14 never went through
//! ```
//!
//! # Invariants
//!
//! - Of records with one id, no two that went through are within the span of each other, whatever
//!   order they came in.
//! - A repeat does not make what it repeats live longer.

mod deduplicated;
mod node;

use std::sync::Arc;

use onceflow_framework::serde::bytes;
use onceflow_framework::state::StoreBuilder;

use crate::Data;
use crate::null::OrNull;
use crate::stream::{Changes, KStream};
pub use deduplicated::Deduplicated;
use node::Deduplicate;

/// What generated names of nodes and stores begin with.
const DEDUPLICATE: &str = "KSTREAM-DEDUPLICATE-";

impl<K: Data, V: Data> KStream<K, V> {
    /// Drops each record whose id went through before within a span of event time.
    ///
    /// The idea is KIP-655's; Kafka Streams has no such operator.
    ///
    /// - **Time** is the records' own. A record that is up to the span *earlier* than one that went
    ///   through is a repeat of it, too: which of two came first decides, not which is older.
    /// - **Repeats** are counted as [`Duplicate`], by the operator's node. They do not prolong
    ///   anything: the span counts from the record that went through.
    /// - **Late** records, further behind the node's stream time than the grace, are dropped and
    ///   counted as [`Late`]: what they might repeat is forgotten. The grace is the span, unless
    ///   [`with_grace`](Deduplicated::with_grace) says otherwise.
    /// - **No id**, that is `None` or what is null to the serde of ids, is no repeat of anything:
    ///   such records go through.
    /// - **Scope** is a partition: records of one id in two partitions do not know of each other.
    ///   Where the id does not decide the partition, send the stream through
    ///   [`repartition`](Self::repartition) by it first, or use
    ///   [`deduplicate_by_key`](Self::deduplicate_by_key), which makes sure of that.
    ///
    /// Ids are kept in a window store with a changelog, for span and grace together: an id that was
    /// committed is not forgotten by a crash.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::metrics::DropReason;
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let once = Deduplicated::within(Duration::from_millis(10)).with_name("clicks-seen");
    /// clicks.named("once").deduplicate(|_user, click| click.clone(), once).to("once", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("clicks", utf8(), utf8());
    /// for (click, at) in [("a", 10), ("a", 14), ("b", 14), ("a", 5), ("a", 25)] {
    ///     input.pipe("ada", click, Timestamp::from_millis(at))?;
    /// }
    /// let once = driver.output_topic("once", utf8(), utf8()).read_all()?;
    /// let once: Vec<_> = once.iter().map(|r| (&*r.value, r.timestamp.as_millis())).collect();
    /// assert_eq!(once, [("a", 10), ("b", 14), ("a", 25)]);
    /// let repeats = ("once".to_owned(), DropReason::Duplicate);
    /// assert_eq!(driver.drops()[&repeats], 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    ///
    /// [`Duplicate`]: crate::metrics::DropReason::Duplicate
    /// [`Late`]: crate::metrics::DropReason::Late
    pub fn deduplicate<I: Data, R: OrNull<I>>(
        &self,
        id: impl Fn(&K, &V) -> R + Send + Sync + 'static,
        deduplicated: Deduplicated<I>,
    ) -> Self {
        let store = self
            .graph
            .store_name(deduplicated.name.as_ref(), DEDUPLICATE);
        let name = self.graph.name(self.next_name(), DEDUPLICATE);
        let id = Arc::new(move |key: &K, value: &V| id(key, value).into_option());
        // It takes records for what they are, in the partition where they are: it must not get
        // below a repartition topic that stands behind it.
        self.append(name, Changes::Values, move |lowering, name| {
            let (span, grace) = (deduplicated.span, deduplicated.grace());
            let serde = deduplicated.id.clone();
            let rows = Arc::clone(&store);
            lowering.processor(name, move || {
                Deduplicate::new((Arc::clone(&id), serde.clone()), (span, grace), &rows)
            });
            let (store, retention) = (&*store, deduplicated.retention());
            let built =
                StoreBuilder::window(store, retention, span, deduplicated.id.clone(), bytes());
            let built = deduplicated.configure(built);
            lowering.topology().add_state_store(built, &[name]);
        })
    }

    /// As [`deduplicate`](Self::deduplicate), by the key: in all of the stream, for records of one
    /// key are in one partition.
    ///
    /// A stream whose key was changed has them where their old key put them. It must go through
    /// [`repartition`](Self::repartition) first; `build` fails otherwise.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream("orders", Consumed::<String, i64>::new());
    /// let day = Deduplicated::within(Duration::from_secs(24 * 3_600));
    /// orders.deduplicate_by_key(day).to("once", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let input = driver.input_topic("orders", utf8(), i64());
    /// for (order, cents) in [("order-1", 500), ("order-2", 300), ("order-1", 500)] {
    ///     input.pipe(order, cents, Timestamp::from_millis(0))?;
    /// }
    /// assert_eq!(driver.output_topic("once", utf8(), i64()).read_all()?.len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn deduplicate_by_key<I: Data>(&self, deduplicated: Deduplicated<I>) -> Self
    where
        K: OrNull<I>,
    {
        if self.rekeyed {
            self.graph.problem(format!(
                "the keys below node {} were changed, so records of one key may be in several \
                 partitions: repartition the stream before deduplicate_by_key",
                self.name
            ));
        }
        self.deduplicate(|key, _| key.clone(), deduplicated)
    }
}
