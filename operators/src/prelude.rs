//! Everything that a topology, and a test of it, is written with.
//!
//! ```
//! use onceflow::prelude::*;
//!
//! let builder = StreamsBuilder::new();
//! builder.stream("in", Consumed::with(utf8(), i64())).to("out", Produced::new());
//! # builder.build()?;
//! # Ok::<(), onceflow::Error>(())
//! ```

pub use crate::{
    BuildOptions, CogroupedKStream, Data, Deduplicated, EmitStrategy, ForeignKeyJoin, GlobalKTable,
    Grouped, JoinWindows, Joined, KGroupedStream, KGroupedTable, KStream, KTable, Materialized,
    Named, OrNull, Printed, Repartitioned, SessionWindowedCogroupedKStream, SessionWindowedKStream,
    SessionWindows, SlidingWindows, StoreType, StreamJoined, StreamsBuilder, Suppressed,
    TableJoined, TimeWindowedCogroupedKStream, TimeWindowedKStream, TimeWindows, UnlimitedWindows,
};
pub use onceflow_framework::handler::{
    ErrorContext, OnBadRecord, OnFailedRecord, OnRefusedOutput, Response, Retry, UncaughtResponse,
};
pub use onceflow_framework::processor::{
    AsyncCalls, AsyncProcessor, Backoff, Context, FixedKeyContext, FixedKeyProcessor,
    FixedKeyRecord, Partitions, Processor, Punctuation, PunctuationKind,
};
pub use onceflow_framework::query::{
    QueryError, ReadOnlyKeyValueStore, ReadOnlySessionStore, ReadOnlyWindowStore,
};
pub use onceflow_framework::serde::{
    DefaultSerde, Serde, bincode, bytes, f32, f64, i16, i32, i64, json, nullable, session_windowed,
    time_windowed, utf8, uuid, vec,
};
pub use onceflow_framework::state::{
    KeyValueStore, SessionStore, StoreBuilder, TimestampedKeyValueStore, TimestampedWindowStore,
    VersionPut, VersionedKeyValueStore, VersionedRecord, WindowStore,
};
pub use onceflow_framework::test_driver::{TestDriver, TestInputTopic, TestOutputTopic};
pub use onceflow_framework::time::RecordTime;
pub use onceflow_framework::topology::{Consumed, OffsetReset, Produced};
pub use onceflow_framework::{
    App, Bytes, Config, Error, ErrorKind, Fault, Headers, Record, State, Timestamp, Topology,
    Window, Windowed,
};
