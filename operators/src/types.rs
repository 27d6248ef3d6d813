//! What must not compile: a serde or a key of another type than the stream's.
//!
//! Each claim is a pair of doc tests that differ in one word: the first compiles, so the second
//! can fail for that word only.

/// A grouping takes serdes of the stream's own types.
///
/// ```
/// use onceflow::prelude::*;
/// let amounts = StreamsBuilder::new().stream("amounts", Consumed::with(utf8(), i64()));
/// amounts.group_by_key(Grouped::with(utf8(), i64())).count();
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// let amounts = StreamsBuilder::new().stream("amounts", Consumed::with(utf8(), i64()));
/// amounts.group_by_key(Grouped::with(i64(), i64())).count();
/// ```
pub struct GroupedBySerdeOfAnotherType;

/// Streams of different types do not merge.
///
/// ```
/// use onceflow::prelude::*;
/// let builder = StreamsBuilder::new();
/// let amounts = builder.stream("amounts", Consumed::with(utf8(), i64()));
/// let others = builder.stream("others", Consumed::with(utf8(), i64()));
/// amounts.merge(&others);
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// let builder = StreamsBuilder::new();
/// let amounts = builder.stream("amounts", Consumed::with(utf8(), i64()));
/// let others = builder.stream("others", Consumed::with(utf8(), utf8()));
/// amounts.merge(&others);
/// ```
pub struct MergeOfOtherTypes;

/// A sink takes serdes of the stream's own types.
///
/// ```
/// use onceflow::prelude::*;
/// let amounts = StreamsBuilder::new().stream("amounts", Consumed::with(utf8(), i64()));
/// amounts.to("out", Produced::with(utf8(), i64()));
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// let amounts = StreamsBuilder::new().stream("amounts", Consumed::with(utf8(), i64()));
/// amounts.to("out", Produced::with(utf8(), utf8()));
/// ```
pub struct SinkSerdeOfAnotherType;

/// The store of a count holds numbers.
///
/// ```
/// use onceflow::prelude::*;
/// let words = StreamsBuilder::new().stream("words", Consumed::with(utf8(), utf8()));
/// words.group_by_key(Grouped::new()).count_with(Materialized::with(utf8(), i64()));
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// let words = StreamsBuilder::new().stream("words", Consumed::with(utf8(), utf8()));
/// words.group_by_key(Grouped::new()).count_with(Materialized::with(utf8(), utf8()));
/// ```
pub struct StoreOfAnotherType;

/// A type without a serde of its own has none to leave out.
///
/// ```
/// use onceflow::prelude::*;
/// let orders: KStream<String, String> = StreamsBuilder::new().stream("orders", Consumed::new());
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// let orders: KStream<String, [u8; 3]> = StreamsBuilder::new().stream("orders", Consumed::new());
/// ```
pub struct TypeWithoutASerde;

/// A processor takes what the stream carries.
///
/// ```
/// use onceflow::prelude::*;
/// struct Same;
/// impl Processor for Same {
///     type KeyIn = String;
///     type ValueIn = i64;
///     type KeyOut = String;
///     type ValueOut = i64;
///     fn process(&mut self, r: Record<String, i64>, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
///         ctx.forward(r)
///     }
/// }
/// let amounts = StreamsBuilder::new().stream("amounts", Consumed::with(utf8(), i64()));
/// amounts.process(|| Same, &[]);
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// struct Same;
/// impl Processor for Same {
///     type KeyIn = String;
///     type ValueIn = i64;
///     type KeyOut = String;
///     type ValueOut = i64;
///     fn process(&mut self, r: Record<String, i64>, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
///         ctx.forward(r)
///     }
/// }
/// let amounts = StreamsBuilder::new().stream("amounts", Consumed::with(utf8(), utf8()));
/// amounts.process(|| Same, &[]);
/// ```
pub struct ProcessorOfOtherTypes;

/// A stream joins a table of its own key type.
///
/// ```
/// use onceflow::prelude::*;
/// let builder = StreamsBuilder::new();
/// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
/// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
/// orders.join_table(&homes, |cents, _city: String| cents, Joined::new());
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// let builder = StreamsBuilder::new();
/// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
/// let homes: KTable<i64, String> = builder.table("homes", Consumed::new());
/// orders.join_table(&homes, |cents, _city: String| cents, Joined::new());
/// ```
pub struct JoinWithATableOfAnotherKey;

/// Streams are joined by the same key.
///
/// ```
/// use onceflow::prelude::*;
/// let builder = StreamsBuilder::new();
/// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
/// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
/// let soon = JoinWindows::between_millis(0, 60_000);
/// orders.join(&payments, |due: i64, paid: i64| due - paid, soon, StreamJoined::new());
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// let builder = StreamsBuilder::new();
/// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
/// let payments: KStream<i64, i64> = builder.stream("payments", Consumed::new());
/// let soon = JoinWindows::between_millis(0, 60_000);
/// orders.join(&payments, |due: i64, paid: i64| due - paid, soon, StreamJoined::new());
/// ```
pub struct JoinOfStreamsOfOtherKeys;

/// Tables are joined by the same key.
///
/// ```
/// use onceflow::prelude::*;
/// let builder = StreamsBuilder::new();
/// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
/// let stock: KTable<String, i64> = builder.table("stock", Consumed::new());
/// let worth: KTable<String, i64> = prices.join(&stock, |price, left| price * left);
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// let builder = StreamsBuilder::new();
/// let prices: KTable<String, i64> = builder.table("prices", Consumed::new());
/// let stock: KTable<i64, i64> = builder.table("stock", Consumed::new());
/// let worth: KTable<String, i64> = prices.join(&stock, |price, left| price * left);
/// ```
pub struct JoinOfTablesOfOtherKeys;

/// The right side of a left join may be missing.
///
/// ```
/// use onceflow::prelude::*;
/// let builder = StreamsBuilder::new();
/// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
/// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
/// orders.left_join_table(&homes, |cents, _city: Option<String>| cents, Joined::new());
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// let builder = StreamsBuilder::new();
/// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
/// let homes: KTable<String, String> = builder.table("homes", Consumed::new());
/// orders.left_join_table(&homes, |cents, _city: String| cents, Joined::new());
/// ```
pub struct LeftJoinWithoutAnOption;

/// The rows of a windowed aggregation are keyed by key and window, not by key.
///
/// ```
/// use std::time::Duration;
/// use onceflow::prelude::*;
/// let clicks = StreamsBuilder::new().stream("clicks", Consumed::with(utf8(), utf8()));
/// let minute = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
/// let counts: KTable<Windowed<String>, i64> = clicks.group_by_key(Grouped::new()).windowed_by(minute).count();
/// ```
///
/// ```compile_fail
/// use std::time::Duration;
/// use onceflow::prelude::*;
/// let clicks = StreamsBuilder::new().stream("clicks", Consumed::with(utf8(), utf8()));
/// let minute = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
/// let counts: KTable<String, i64> = clicks.group_by_key(Grouped::new()).windowed_by(minute).count();
/// ```
pub struct WindowedTableReadAsUnwindowed;

/// Only windows close: a table without them has no final results to wait for.
///
/// ```
/// use std::time::Duration;
/// use onceflow::prelude::*;
/// let clicks = StreamsBuilder::new().stream("clicks", Consumed::with(utf8(), utf8()));
/// let counts = clicks.group_by_key(Grouped::new()).count();
/// counts.suppress(Suppressed::until_time_limit(Duration::from_secs(60), utf8(), i64()));
/// ```
///
/// ```compile_fail
/// use onceflow::prelude::*;
/// let clicks = StreamsBuilder::new().stream("clicks", Consumed::with(utf8(), utf8()));
/// let counts = clicks.group_by_key(Grouped::new()).count();
/// counts.suppress(Suppressed::until_window_closes(utf8(), i64()));
/// ```
pub struct UnwindowedTableThatWaitsForWindows;

/// Sessions that become one need to know how.
///
/// ```
/// use std::time::Duration;
/// use onceflow::prelude::*;
/// let words = StreamsBuilder::new().stream("words", Consumed::<String, String>::new());
/// let gap = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(60));
/// let words = words.group_by_key(Grouped::new()).windowed_by(gap);
/// words.aggregate(|| 0, |_, _, n: i64| n + 1, |_, one, two| one + two, Materialized::new());
/// ```
///
/// ```compile_fail
/// use std::time::Duration;
/// use onceflow::prelude::*;
/// let words = StreamsBuilder::new().stream("words", Consumed::<String, String>::new());
/// let gap = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_secs(60));
/// let words = words.group_by_key(Grouped::new()).windowed_by(gap);
/// words.aggregate(|| 0, |_, _, n: i64| n + 1, Materialized::new());
/// ```
pub struct SessionsWithoutAMerge;
