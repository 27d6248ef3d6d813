//! Whose answers a store gives where the stores of Kafka Streams differ.

/// A kind of store of Kafka Streams (KIP-591), whose answers ours give where the kinds differ.
///
/// All of ours lie in memory, whatever is chosen. The kinds answer otherwise in one point: of a
/// table in time windows that are told when they [close](crate::EmitStrategy::on_window_close), a
/// reader finds the window that begins behind the latest one by just the retention, or not.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow::prelude::*;
///
/// let ten = TimeWindows::of_size_with_no_grace(Duration::from_millis(10));
/// let windows_after = |store_type| {
///     let builder = StreamsBuilder::new();
///     builder
///         .stream("clicks", Consumed::<String, String>::new())
///         .group_by_key(Grouped::new())
///         .windowed_by(ten)
///         .emit_strategy(EmitStrategy::on_window_close())
///         .count_with(Materialized::as_store("counts"));
///     let topology = builder.build_with(&BuildOptions::new().with_store_type(store_type))?;
///     let driver = TestDriver::new(topology)?;
///     let clicks = driver.input_topic("clicks", utf8(), utf8());
///     clicks.pipe("ada", "home", Timestamp::from_millis(1))?;
///     clicks.pipe("ada", "home", Timestamp::from_millis(12))?;
///     let counts = driver.timestamped_window_store::<String, i64>("counts")?;
///     Ok::<usize, onceflow::Error>(counts.all()?.len())
/// };
/// assert_eq!(windows_after(StoreType::InMemory)?, 1); // [10, 20)
/// assert_eq!(windows_after(StoreType::RocksDb)?, 2); // and [0, 10), which is closed
/// # Ok::<(), onceflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StoreType {
    /// The window at the edge of the retention is not found.
    #[default]
    InMemory,
    /// It is found.
    RocksDb,
}
