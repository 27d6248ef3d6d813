//! Joins a stream with a stream: records of one key that are near in time.

use super::stream_joined::StreamJoined;
use super::stream_meeting::Unmatched;
use super::windows::JoinWindows;
use crate::Data;
use crate::null::OrNull;
use crate::stream::KStream;

impl<K: Data, V: Data> KStream<K, V> {
    /// Joins each pair of records of one key that are as near in time as the window says.
    ///
    /// Either record triggers, whichever comes last; the result has the later time of the two and the
    /// headers of the one that came last. Several matches come in the order of their times, equal ones
    /// in that of their arrival. Records with a null key or value are dropped and counted.
    ///
    /// A late record joins with whatever is still kept: a side keeps its records for the length of the
    /// window and its grace, counted from its own latest.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let within = JoinWindows::of(Duration::from_secs(60));
    /// let missing = |due, paid| due - paid;
    /// orders.join(&payments, missing, within, StreamJoined::new()).to("missing", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(5))?;
    /// let payments = driver.input_topic("payments", utf8(), i64());
    /// for (paid, at) in [(10, 3), (30, 60_006)] {
    ///     payments.pipe("ada", paid, Timestamp::from_millis(at))?;
    /// }
    /// let missing = driver.output_topic("missing", utf8(), i64()).read_all()?;
    /// let missing: Vec<_> = missing.iter().map(|r| (r.value, r.timestamp.as_millis())).collect();
    /// assert_eq!(missing, [(20, 5)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn join<V2, KT, VS, VS2, VR>(
        &self,
        other: &KStream<K, V2>,
        joiner: impl Fn(VS, VS2) -> VR + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<KT, VS, VS2>,
    ) -> KStream<K, VR>
    where
        V2: Data + OrNull<VS2>,
        KT: Data,
        VS: Data,
        VS2: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        let joiner = move |_: &K, left, right| joiner(left, right);
        self.join_with_key(other, joiner, windows, joined)
    }

    /// As [`join`](Self::join), by a function that sees the key.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let within = JoinWindows::of(Duration::from_secs(60));
    /// let line = |who: &String, due: i64, paid: i64| format!("{who}: {due} {paid}");
    /// orders.join_with_key(&payments, line, within, StreamJoined::new()).to("lines", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// for topic in ["orders", "payments"] {
    ///     driver.input_topic(topic, utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(5))?;
    /// }
    /// let line = driver.output_topic("lines", utf8(), utf8()).read()?;
    /// assert_eq!(line.map(|r| r.value), Some("ada: 30 30".to_owned()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn join_with_key<V2, KT, VS, VS2, VR>(
        &self,
        other: &KStream<K, V2>,
        joiner: impl Fn(&K, VS, VS2) -> VR + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<KT, VS, VS2>,
    ) -> KStream<K, VR>
    where
        V2: Data + OrNull<VS2>,
        KT: Data,
        VS: Data,
        VS2: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        let join = move |key: &K, l: Option<VS>, r: Option<VS2>| Some(joiner(key, l?, r?));
        self.meet(other, Unmatched::NONE, join, (windows, joined))
    }

    /// As [`join`](Self::join), and joins a left record that meets nobody with `None`.
    ///
    /// It leaves once its window and the grace have passed: when a record of either stream brings stream
    /// time there, with the headers of that record. A left record with a null key is joined with `None`
    /// at once. One that comes after its window and the grace, and meets nobody, is dropped and counted;
    /// Kafka Streams joins it with `None` at once, and so it does with one that comes late but within the
    /// grace, which may still meet somebody (KAFKA-19536): here it waits.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let within = JoinWindows::of(Duration::from_secs(60));
    /// let missing = |due, paid: Option<i64>| due - paid.unwrap_or(0);
    /// orders.left_join(&payments, missing, within, StreamJoined::new()).to("missing", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// driver.input_topic("orders", utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(5))?;
    /// // A payment of somebody else brings stream time past the window.
    /// let payments = driver.input_topic("payments", utf8(), i64());
    /// payments.pipe("bob", 10, Timestamp::from_millis(60_006))?;
    /// let missing = driver.output_topic("missing", utf8(), i64()).read_all()?;
    /// let missing: Vec<_> = missing.iter().map(|r| (r.value, r.timestamp.as_millis())).collect();
    /// assert_eq!(missing, [(30, 5)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn left_join<V2, KT, VS, VS2, VR>(
        &self,
        other: &KStream<K, V2>,
        joiner: impl Fn(VS, Option<VS2>) -> VR + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<KT, VS, VS2>,
    ) -> KStream<K, VR>
    where
        V2: Data + OrNull<VS2>,
        KT: Data,
        VS: Data,
        VS2: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        let joiner = move |_: &K, left, right| joiner(left, right);
        self.left_join_with_key(other, joiner, windows, joined)
    }

    /// As [`left_join`](Self::left_join), by a function that sees the key.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let within = JoinWindows::of(Duration::from_secs(60));
    /// let line = |who: &String, _due: i64, paid: Option<i64>| format!("{who} {paid:?}");
    /// orders.left_join_with_key(&payments, line, within, StreamJoined::new()).to("lines", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// for topic in ["orders", "payments"] {
    ///     driver.input_topic(topic, utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(5))?;
    /// }
    /// let line = driver.output_topic("lines", utf8(), utf8()).read()?;
    /// assert_eq!(line.map(|r| r.value), Some("ada Some(30)".to_owned()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn left_join_with_key<V2, KT, VS, VS2, VR>(
        &self,
        other: &KStream<K, V2>,
        joiner: impl Fn(&K, VS, Option<VS2>) -> VR + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<KT, VS, VS2>,
    ) -> KStream<K, VR>
    where
        V2: Data + OrNull<VS2>,
        KT: Data,
        VS: Data,
        VS2: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        let join = move |key: &K, l: Option<VS>, r| Some(joiner(key, l?, r));
        self.meet(other, Unmatched::LEFT, join, (windows, joined))
    }

    /// As [`left_join`](Self::left_join), for records of both sides that meet nobody.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let within = JoinWindows::of(Duration::from_secs(60));
    /// let missing = |due: Option<i64>, paid: Option<i64>| due.unwrap_or(0) - paid.unwrap_or(0);
    /// orders.outer_join(&payments, missing, within, StreamJoined::new()).to("missing", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// for (who, at) in [("ada", 5), ("bob", 60_006)] {
    ///     let payments = driver.input_topic("payments", utf8(), i64());
    ///     payments.pipe(who, 10, Timestamp::from_millis(at))?;
    /// }
    /// let missing = driver.output_topic("missing", utf8(), i64()).read_key_values()?;
    /// assert_eq!(missing, [("ada".to_owned(), -10)]);
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn outer_join<V2, KT, VS, VS2, VR>(
        &self,
        other: &KStream<K, V2>,
        joiner: impl Fn(Option<VS>, Option<VS2>) -> VR + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<KT, VS, VS2>,
    ) -> KStream<K, VR>
    where
        V2: Data + OrNull<VS2>,
        KT: Data,
        VS: Data,
        VS2: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        let joiner = move |_: &K, left, right| joiner(left, right);
        self.outer_join_with_key(other, joiner, windows, joined)
    }

    /// As [`outer_join`](Self::outer_join), by a function that sees the key.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let payments: KStream<String, i64> = builder.stream("payments", Consumed::new());
    /// let within = JoinWindows::of(Duration::from_secs(60));
    /// let line = |who: &String, due: Option<i64>, paid: Option<i64>| format!("{who} {due:?} {paid:?}");
    /// orders.outer_join_with_key(&payments, line, within, StreamJoined::new()).to("lines", Produced::new());
    ///
    /// let driver = TestDriver::new(builder.build()?)?;
    /// for topic in ["orders", "payments"] {
    ///     driver.input_topic(topic, utf8(), i64()).pipe("ada", 30, Timestamp::from_millis(5))?;
    /// }
    /// let line = driver.output_topic("lines", utf8(), utf8()).read()?;
    /// assert_eq!(line.map(|r| r.value), Some("ada Some(30) Some(30)".to_owned()));
    /// # Ok::<(), onceflow::Error>(())
    /// ```
    pub fn outer_join_with_key<V2, KT, VS, VS2, VR>(
        &self,
        other: &KStream<K, V2>,
        joiner: impl Fn(&K, Option<VS>, Option<VS2>) -> VR + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<KT, VS, VS2>,
    ) -> KStream<K, VR>
    where
        V2: Data + OrNull<VS2>,
        KT: Data,
        VS: Data,
        VS2: Data,
        VR: Data,
        K: OrNull<KT>,
        V: OrNull<VS>,
    {
        let join = move |key: &K, left, right| Some(joiner(key, left, right));
        self.meet(other, Unmatched::BOTH, join, (windows, joined))
    }
}
