//! From a grouped stream to a windowed one.

use crate::Data;
use crate::cogroup::CogroupedKStream;
use crate::grouped::KGroupedStream;
use crate::null::OrNull;

use super::cogrouped::{SessionWindowedCogroupedKStream, TimeWindowedCogroupedKStream};
use super::session_windowed::SessionWindowedKStream;
use super::session_windows::SessionWindows;
use super::sliding_windows::SlidingWindows;
use super::time_windowed::{Kind, TimeWindowedKStream};
use super::time_windows::TimeWindows;
use super::unlimited_windows::UnlimitedWindows;

/// Windows that a grouped stream can be divided into.
///
/// [`TimeWindows`], [`SlidingWindows`] and [`UnlimitedWindows`] make a [`TimeWindowedKStream`],
/// [`SessionWindows`] a [`SessionWindowedKStream`](super::SessionWindowedKStream).
pub trait Windows: sealed::Sealed + Sized {
    /// What the stream becomes.
    type Windowed<K: Data, V: Data, K0: Data + OrNull<K>, V0: Data + OrNull<V>>;

    /// What cogrouped streams become.
    type Cogrouped<K: Data, A: Data>;

    /// Divides cogrouped streams.
    #[doc(hidden)]
    fn divide_cogrouped<K: Data, A: Data>(
        self,
        cogrouped: &CogroupedKStream<K, A>,
    ) -> Self::Cogrouped<K, A>;

    /// Divides a stream.
    #[doc(hidden)]
    fn divide<K, V, K0, V0>(
        self,
        grouped: &KGroupedStream<K, V, K0, V0>,
    ) -> Self::Windowed<K, V, K0, V0>
    where
        K: Data,
        V: Data,
        K0: Data + OrNull<K>,
        V0: Data + OrNull<V>;
}

mod sealed {
    pub trait Sealed {}
}

impl<K, V, K0, V0> KGroupedStream<K, V, K0, V0>
where
    K: Data,
    V: Data,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    /// Divides the records of each key into windows.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks", Consumed::<String, String>::new());
    /// let by_user = clicks.group_by_key(Grouped::new());
    /// let a_minute = by_user.windowed_by(TimeWindows::of_size_with_no_grace(Duration::from_secs(60)));
    /// let counts: KTable<Windowed<String>, i64> = a_minute.count();
    /// # let _ = counts;
    /// ```
    pub fn windowed_by<W: Windows>(&self, windows: W) -> W::Windowed<K, V, K0, V0> {
        windows.divide(self)
    }
}

macro_rules! time_windows {
    ($windows:ty, $kind:path) => {
        impl sealed::Sealed for $windows {}

        impl Windows for $windows {
            type Windowed<K: Data, V: Data, K0: Data + OrNull<K>, V0: Data + OrNull<V>> =
                TimeWindowedKStream<K, V, K0, V0>;
            type Cogrouped<K: Data, A: Data> = TimeWindowedCogroupedKStream<K, A>;

            fn divide_cogrouped<K: Data, A: Data>(
                self,
                cogrouped: &CogroupedKStream<K, A>,
            ) -> TimeWindowedCogroupedKStream<K, A> {
                TimeWindowedCogroupedKStream::new(cogrouped, $kind(self))
            }

            fn divide<K, V, K0, V0>(
                self,
                grouped: &KGroupedStream<K, V, K0, V0>,
            ) -> TimeWindowedKStream<K, V, K0, V0>
            where
                K: Data,
                V: Data,
                K0: Data + OrNull<K>,
                V0: Data + OrNull<V>,
            {
                TimeWindowedKStream::new(grouped, $kind(self))
            }
        }
    };
}

time_windows!(TimeWindows, Kind::Time);
time_windows!(SlidingWindows, Kind::Sliding);
time_windows!(UnlimitedWindows, Kind::Unlimited);

impl sealed::Sealed for SessionWindows {}

impl Windows for SessionWindows {
    type Windowed<K: Data, V: Data, K0: Data + OrNull<K>, V0: Data + OrNull<V>> =
        SessionWindowedKStream<K, V, K0, V0>;
    type Cogrouped<K: Data, A: Data> = SessionWindowedCogroupedKStream<K, A>;

    fn divide_cogrouped<K: Data, A: Data>(
        self,
        cogrouped: &CogroupedKStream<K, A>,
    ) -> SessionWindowedCogroupedKStream<K, A> {
        SessionWindowedCogroupedKStream::new(cogrouped, self)
    }

    fn divide<K, V, K0, V0>(
        self,
        grouped: &KGroupedStream<K, V, K0, V0>,
    ) -> SessionWindowedKStream<K, V, K0, V0>
    where
        K: Data,
        V: Data,
        K0: Data + OrNull<K>,
        V0: Data + OrNull<V>,
    {
        SessionWindowedKStream::new(grouped, self)
    }
}
