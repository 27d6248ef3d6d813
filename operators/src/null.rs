//! Where a value that may be null becomes one that is not.

use onceflow_framework::serde::{Serde, SharedSerde, nullable};

/// A `T`, or an `Option<T>`: what may be grouped, or made a table, by a serde for `T`.
///
/// Grouping takes the null out of the types: a `KStream<Option<String>, Option<i64>>` that is
/// grouped by `Grouped::with(utf8(), i64())` aggregates `String` and `i64`; records whose key or
/// value is null are dropped and counted, as in Kafka Streams. In windows, where it aggregates null
/// values, a null is what the serde reads for it, if it reads one. Nobody needs to implement this.
///
/// For a stream of `Option`s the compiler cannot guess whether the `Option` is to be taken off
/// or kept, so the type is written out: `Grouped::<String, i64>::new()`.
///
/// ```
/// use onceflow::OrNull;
///
/// assert_eq!(OrNull::<i64>::into_option(5), Some(5));
/// assert_eq!(OrNull::<i64>::into_option(None::<i64>), None);
/// ```
#[diagnostic::on_unimplemented(
    message = "a serde for `{T}` cannot handle `{Self}`",
    label = "this stream carries `{Self}`",
    note = "name the serde of `{Self}`, or of what is inside it if it is an `Option`"
)]
pub trait OrNull<T>: Sized {
    /// The value, unless it is null.
    fn into_option(self) -> Option<T>;

    /// The value where it is, unless it is null.
    fn as_option(&self) -> Option<&T>;

    /// The serde of this type, from that of `T`.
    fn serde(plain: SharedSerde<T>) -> SharedSerde<Self>;
}

impl<T: 'static> OrNull<T> for T {
    fn into_option(self) -> Option<T> {
        Some(self)
    }

    fn as_option(&self) -> Option<&T> {
        Some(self)
    }

    fn serde(plain: SharedSerde<T>) -> SharedSerde<T> {
        plain
    }
}

impl<T: 'static> OrNull<T> for Option<T> {
    fn into_option(self) -> Option<T> {
        self
    }

    fn as_option(&self) -> Option<&T> {
        self.as_ref()
    }

    fn serde(plain: SharedSerde<T>) -> SharedSerde<Self> {
        SharedSerde::new(nullable(plain))
    }
}

/// The value, unless it is null: by its type, or to its serde.
pub(crate) fn present<T: 'static>(value: impl OrNull<T>, serde: &SharedSerde<T>) -> Option<T> {
    value.into_option().filter(|value| !serde.is_null(value))
}

/// The value where it is, unless it is null: by its type, or to its serde.
pub(crate) fn present_in<'v, T: 'static>(
    value: &'v impl OrNull<T>,
    serde: &SharedSerde<T>,
) -> Option<&'v T> {
    value.as_option().filter(|value| !serde.is_null(value))
}

/// The value; a null as what the serde reads for it, which is what it is behind a repartition
/// topic. None if a `T` cannot be null.
pub(crate) fn value_or_null<T: 'static>(
    value: impl OrNull<T>,
    serde: &SharedSerde<T>,
) -> Option<T> {
    let null = || serde.deserialize(None).ok();
    value.into_option().or_else(null)
}
