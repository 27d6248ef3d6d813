//! How keys and values become bytes and back.
//!
//! A [`Serde`] is handed to the operators that cross a topic or a store. Null is a case of its
//! own: a serde for `T` refuses it, [`nullable`] makes one for `Option<T>` that maps it to `None`.
//!
//! # Invariants
//!
//! - `deserialize(serialize(x)) == x`, and null is written exactly for values that
//!   [`is_null`](Serde::is_null) names.
//! - Bytes from outside never panic and never allocate more than they are long.

mod primitive;
mod text;
mod structured;
mod null;
mod windowed;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

pub use null::{Nullable, nullable};
pub use primitive::{
    BytesSerde, F32Serde, F64Serde, I16Serde, I32Serde, I64Serde, VecSerde, bytes, f32, f64, i16,
    i32, i64, vec,
};
pub use structured::{BINCODE_BYTES_MAX, Bincode, Json, bincode, bincode_with_limit, json};
pub use text::{Utf8, UuidText, utf8, uuid};
pub use windowed::{SessionWindowedSerde, TimeWindowedSerde, session_windowed, time_windowed};

/// Whether a value was written, or is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "null and empty bytes are different things to Kafka"]
pub enum Encoded {
    /// The bytes that were appended are the value.
    Bytes,
    /// The value is null: nothing was appended.
    Null,
}

/// Turns values into bytes and bytes into values.
///
/// ```
/// use onceflow_framework::serde::{self, Serde};
///
/// let mut bytes = Vec::new();
/// serde::i64().serialize(&258, &mut bytes)?;
/// assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 1, 2]); // big-endian, as Kafka's
/// assert_eq!(serde::i64().deserialize(Some(&bytes))?, 258);
/// # Ok::<(), onceflow_framework::serde::SerdeError>(())
/// ```
pub trait Serde: Send + Sync + 'static {
    /// The type it reads and writes.
    type Item;

    /// Appends the bytes of `value` to `out`, which may hold other bytes already.
    ///
    /// # Errors
    ///
    /// When the value has no representation; `out` is then in an unspecified state.
    fn serialize(&self, value: &Self::Item, out: &mut Vec<u8>) -> Result<Encoded, SerdeError>;

    /// Reads a value from all of `bytes`; `None` is null.
    ///
    /// # Errors
    ///
    /// When the bytes are not what [`serialize`](Serde::serialize) writes.
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Self::Item, SerdeError>;

    /// Whether `value` is null to Kafka: null keys and values are dropped, and counted, by the
    /// operators that need them.
    fn is_null(&self, value: &Self::Item) -> bool {
        let _ = value;
        false
    }

    /// The name of its type, by which two sources of one topic are told to read it alike; a serde
    /// that wraps another answers with that one's.
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// A serde behind a reference count: what options and nodes hold.
pub struct SharedSerde<T>(Arc<dyn Serde<Item = T>>);

impl<T: 'static> SharedSerde<T> {
    /// Shares a serde.
    pub fn new(serde: impl Serde<Item = T>) -> Self {
        SharedSerde(Arc::new(serde))
    }

    /// The bytes of `value` in a vector of its own, or `None` for null.
    ///
    /// # Errors
    ///
    /// As [`Serde::serialize`].
    pub fn to_vec(&self, value: &T) -> Result<Option<Vec<u8>>, SerdeError> {
        let mut out = Vec::new();
        Ok(match self.serialize(value, &mut out)? {
            Encoded::Bytes => Some(out),
            Encoded::Null => None,
        })
    }
}

impl<T: 'static> Serde for SharedSerde<T> {
    type Item = T;

    #[inline]
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        self.0.serialize(value, out)
    }

    #[inline]
    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError> {
        self.0.deserialize(bytes)
    }

    #[inline]
    fn is_null(&self, value: &T) -> bool {
        self.0.is_null(value)
    }

    fn type_name(&self) -> &'static str {
        self.0.type_name()
    }
}

impl<T> Clone for SharedSerde<T> {
    fn clone(&self) -> Self {
        SharedSerde(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for SharedSerde<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSerde<{}>", std::any::type_name::<T>())
    }
}

/// A type with one obvious serde, so that options can be built without naming it.
///
/// Implemented for the types that Kafka ships serdes for, and for `Option` of them. Implement
/// it for your own types to write `Consumed::new()` instead of `Consumed::with(..)`:
///
/// ```
/// use onceflow_framework::serde::{DefaultSerde, SharedSerde, json};
/// use onceflow_framework::topology::Consumed;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Order {
///     cents: i64,
/// }
///
/// impl DefaultSerde for Order {
///     fn default_serde() -> SharedSerde<Self> {
///         SharedSerde::new(json())
///     }
/// }
///
/// let orders: Consumed<String, Order> = Consumed::new();
/// # let _ = orders;
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default serde",
    note = "name a serde, as in `Consumed::with(utf8(), json())`, or implement `DefaultSerde`"
)]
pub trait DefaultSerde: Sized + 'static {
    /// The serde to use where none is named.
    fn default_serde() -> SharedSerde<Self>;
}

/// Why bytes are not a value, or a value has no bytes.
#[derive(Debug)]
pub struct SerdeError {
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl SerdeError {
    /// An error that is only a sentence.
    pub fn new(message: impl Into<String>) -> Self {
        SerdeError {
            message: message.into(),
            source: None,
        }
    }

    /// An error with a cause.
    pub fn because(
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        SerdeError {
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// The error of a serde that was given null and has no value for it.
    pub(crate) fn unexpected_null(expected: &str) -> Self {
        SerdeError::new(format!(
            "null where {expected} is required; use `nullable` for values that may be null"
        ))
    }
}

impl fmt::Display for SerdeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for SerdeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
