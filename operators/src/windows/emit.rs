//! When results of windows are emitted, and the time that decides it.
//!
//! # Invariants
//!
//! - A window is emitted once: when stream time first passes its close, and never again.
//! - Emission comes before the record that causes it is put: what that put lets expire is out.

use std::time::Duration;

use onceflow_framework::Timestamp;
use onceflow_framework::processor::{Context, NodeTime, Punctuation, PunctuationKind};

use crate::Data;

/// When the rows of a windowed aggregation are handed on (KIP-825).
///
/// ```
/// use std::time::Duration;
///
/// use onceflow::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// builder
///     .stream("clicks", Consumed::<String, String>::new())
///     .group_by_key(Grouped::new())
///     .windowed_by(TimeWindows::of_size_with_no_grace(Duration::from_millis(10)))
///     .emit_strategy(EmitStrategy::on_window_close())
///     .count()
///     .to_stream()
///     .map(|window, count| (window.key, count))
///     .to("counts", Produced::with(utf8(), nullable(i64())));
///
/// let driver = TestDriver::new(builder.build()?)?;
/// let clicks = driver.input_topic("clicks", utf8(), utf8());
/// for at in [1, 2, 12] {
///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
/// }
/// let counts = driver.output_topic("counts", utf8(), i64()).read_all()?;
/// assert_eq!(counts.iter().map(|r| r.value).collect::<Vec<_>>(), [2]); // [0, 10), closed by 12
/// # Ok::<(), onceflow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmitStrategy {
    when: When,
    idle_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Update,
    Close,
}

impl EmitStrategy {
    /// Every update of a window is handed on at once: the default.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let minute = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let counts = clicks.group_by_key(Grouped::new()).windowed_by(minute);
    /// let counts = counts.emit_strategy(EmitStrategy::on_window_update()).count();
    /// counts.to_stream().select_key(|window, _| window.to_string()).to("counts", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [1, 2] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// assert_eq!(driver.output_topic("counts", utf8(), i64()).read_all()?.len(), 2);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub const fn on_window_update() -> Self {
        EmitStrategy {
            when: When::Update,
            idle_after: None,
        }
    }

    /// The last row of a window is handed on once, when the window closes.
    ///
    /// Windows that close together are handed on by start, then key; sessions by end, then key.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let minute = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let counts = clicks.group_by_key(Grouped::new()).windowed_by(minute);
    /// let counts = counts.emit_strategy(EmitStrategy::on_window_close()).count();
    /// counts.to_stream().select_key(|window, _| window.to_string()).to("counts", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// for at in [1, 2, 60_000] {
    ///     clicks.pipe("ada", "home", Timestamp::from_millis(at))?;
    /// }
    /// let counts = driver.output_topic("counts", utf8(), i64()).read_key_values()?;
    /// assert_eq!(counts, [("ada@0/60000".to_owned(), 2)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub const fn on_window_close() -> Self {
        EmitStrategy {
            when: When::Close,
            idle_after: None,
        }
    }

    /// Closes windows although their input has fallen silent: once no record has advanced stream
    /// time for `idle_after` by the machine's clock, stream time advances with that clock.
    ///
    /// Off by default, and unknown to Kafka Streams. It trades completeness for promptness: what
    /// comes after the silence and is older than the clock moved is late.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let (ten, second) = (Duration::from_millis(10), Duration::from_secs(1));
    /// let builder = StreamsBuilder::new();
    /// builder
    ///     .stream("clicks", Consumed::<String, String>::new())
    ///     .group_by_key(Grouped::new())
    ///     .windowed_by(TimeWindows::of_size_with_no_grace(ten))
    ///     .emit_strategy(EmitStrategy::on_window_close().with_idle_advance(second))
    ///     .count()
    ///     .to_stream()
    ///     .map(|window, count| (window.key, count))
    ///     .to("counts", Produced::with(utf8(), nullable(i64())));
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// let clicks = driver.input_topic("clicks", utf8(), utf8());
    /// clicks.pipe("ada", "home", Timestamp::from_millis(1))?;
    /// driver.advance_wall_clock(second)?; // the silence is noticed
    /// driver.advance_wall_clock(second)?; // it lasts
    /// let counts = driver.output_topic("counts", utf8(), i64()).read_all()?;
    /// assert_eq!(counts.iter().map(|r| r.value).collect::<Vec<_>>(), [1]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    #[must_use]
    pub const fn with_idle_advance(mut self, idle_after: Duration) -> Self {
        self.idle_after = Some(idle_after);
        self
    }

    pub(super) fn is_on_close(self) -> bool {
        self.when == When::Close
    }

    /// What is wrong with it, for `build` to report.
    pub(super) fn problem(self) -> Option<String> {
        let too_short = self.idle_after.is_some_and(|after| after.as_millis() == 0);
        too_short.then(|| "an idle advance after less than a millisecond".to_owned())
    }

    pub(crate) fn idle_after(self) -> Option<Duration> {
        self.idle_after
    }
}

/// Stream time of one operator, which may advance with the clock while its input is silent.
pub(crate) struct OperatorTime {
    time: Option<NodeTime>,
    idle_after: Option<Duration>,
    /// The stream time and the clock when they were last looked at.
    looked: Option<(Timestamp, Timestamp)>,
}

impl OperatorTime {
    pub(crate) fn new(idle_after: Option<Duration>) -> Self {
        OperatorTime {
            time: None,
            idle_after,
            looked: None,
        }
    }

    /// Opens the time and schedules the look at the clock, if there is to be one.
    pub(crate) fn open<K: Data, V: Data>(&mut self, ctx: &mut Context<K, V>) {
        self.time = Some(ctx.node_time());
        if let Some(after) = self.idle_after {
            let _schedule: Punctuation = ctx.schedule(after, PunctuationKind::WallClock);
        }
    }

    pub(crate) fn get(&self) -> Timestamp {
        self.time().get()
    }

    pub(crate) fn advance(&self, timestamp: Timestamp) -> Timestamp {
        self.time().advance(timestamp)
    }

    /// Looks at the clock; answers the new stream time if the input has been silent since the last
    /// look.
    pub(crate) fn look<K: Data, V: Data>(&mut self, ctx: &Context<K, V>) -> Option<Timestamp> {
        let (now, clock) = (self.get(), ctx.wall_clock_time());
        let before = self.looked.replace((now, clock));
        let (_, since) = before.filter(|(time, _)| *time == now && now.is_some())?;
        let advanced = self.advance(now + clock.since(since));
        self.looked = Some((advanced, clock));
        Some(advanced)
    }

    fn time(&self) -> &NodeTime {
        let time = self.time.as_ref();
        time.expect("init opens it before the first record")
    }
}
