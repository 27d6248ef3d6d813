//! Exactly-once stream processing for Kafka: Kafka Streams' operators, typed from end to end.
//!
//! A topology is written with a [`StreamsBuilder`], operator by operator, and built into a
//! [`Topology`] that a test driver tries and an application runs.
//!
//! ```text
//!   StreamsBuilder ─stream─> KStream ─group_by─> KGroupedStream ─count─> KTable ─to_stream─> KStream ─to─> topic
//!         │                     every call adds a node to one logical graph
//!         └─build()──> Topology      the graph, lowered to sources, processors, stores and sinks
//! ```
//!
//! ```
//! use onceflow::prelude::*;
//!
//! let builder = StreamsBuilder::new();
//! builder
//!     .stream("lines", Consumed::<String, String>::new())
//!     .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
//!     .group_by(|_, word| word.clone(), Grouped::new())
//!     .count()
//!     .to_stream()
//!     .to("counts", Produced::new());
//!
//! let driver = TestDriver::new(builder.build()?)?;
//! let lines = driver.input_topic("lines", utf8(), utf8());
//! lines.pipe("k", "to be or not to be", Timestamp::from_millis(0))?;
//! let counts = driver.output_topic("counts", utf8(), i64());
//! let counts: Vec<(String, i64)> = counts.read_all()?.into_iter().map(|r| (r.key, r.value)).collect();
//! assert_eq!(counts.last(), Some(&("be".to_owned(), 2)));
//! # Ok::<(), onceflow::Error>(())
//! ```
//!
//! # Conventions
//!
//! - **Names.** A node is named before the operator that makes it: `stream.named("big").filter(..)`
//!   is Kafka Streams' `filter(.., Named.as("big"))`. Without a name it gets Kafka Streams' own.
//! - **Stores.** An operator that can keep a store has a twin that ends in `_with` and takes a
//!   [`Materialized`] last: `count()` and `count_with(Materialized::as_store("counts"))`.
//!   `aggregate` always takes one: the type of its rows may have no default serde.
//! - **Nulls** are in the types: a key or value that may be null is an `Option`. A plain type is
//!   never null; a table is keyed and filled by plain types, and its changes, as a stream, are
//!   `Option`s because rows can be deleted. See [`OrNull`] for where an `Option` becomes plain.
//! - **Serdes** are named wherever records cross a topic or a store, so a missing serde does not
//!   compile. Types with an obvious one ([`DefaultSerde`](serde::DefaultSerde)) can leave it out.
//! - **Functions** are shared by all tasks of an application: they are `Fn + Send + Sync`, and keep
//!   state only in stores.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use onceflow_framework::*;

mod names;
mod lowering;
mod graph;
mod optimize;
mod logged_headers;
mod null;
mod materialized;
mod stream;
mod view;
mod table;
mod change;
mod write_back;
mod store_type;
mod table_store;
mod grouped;
mod repartition;
mod builder;
mod waiting_entry;
mod stateless;
mod asynchronous;
mod aggregate;
mod windows;
mod deduplicate;
mod suppress;
mod cogroup;
mod tables;
mod joins;
pub mod prelude;

pub use builder::{StreamsBuilder, Topics};
pub use cogroup::CogroupedKStream;
pub use deduplicate::Deduplicated;
pub use grouped::{Grouped, KGroupedStream};
pub use joins::{ForeignKeyJoin, JoinWindows, Joined, StreamJoined, TableJoined};
pub use materialized::Materialized;
pub use names::Named;
pub use null::OrNull;
pub use optimize::BuildOptions;
pub use repartition::Repartitioned;
pub use stateless::{BranchedKStream, Printed};
pub use store_type::StoreType;
pub use stream::KStream;
pub use suppress::{Overflow, Suppressed};
pub use table::KTable;
pub use tables::{GlobalKTable, KGroupedTable};
pub use windows::{
    EmitStrategy, SessionWindowedCogroupedKStream, SessionWindowedKStream, SessionWindows,
    SlidingWindows, TimeWindowedCogroupedKStream, TimeWindowedKStream, TimeWindows,
    UnlimitedWindows, Windows,
};

/// What keys and values must be: owned and clonable, for where the graph forks.
///
/// Every `Clone + 'static` type is.
///
/// ```
/// fn takes_any_stream<K: onceflow::Data, V: onceflow::Data>(stream: &onceflow::KStream<K, V>) {
///     stream.peek(|_key, _value| {});
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot flow through a topology: it is not `Clone + 'static`",
    note = "derive or implement `Clone` for it, and let it own what it holds"
)]
pub trait Data: Clone + 'static {}

impl<T: Clone + 'static> Data for T {}

#[cfg(doctest)]
mod types;

/// The README's programs, compiled and run as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
