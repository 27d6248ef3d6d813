//! Null as `None`: the serde of `Option<T>` from that of `T`.

use super::{DefaultSerde, Encoded, Serde, SerdeError, SharedSerde};

/// A serde for `Option<T>`: null bytes are `None`, a tombstone.
#[derive(Debug, Clone)]
pub struct Nullable<S>(S);

/// Lets a serde read and write null, as `None`.
///
/// ```
/// use onceflow_framework::serde::{self, Encoded, Serde};
///
/// let names = serde::nullable(serde::utf8());
/// let mut out = Vec::new();
/// assert_eq!(names.serialize(&None, &mut out)?, Encoded::Null);
/// assert_eq!(names.deserialize(None)?, None);
/// assert_eq!(names.deserialize(Some(b"ada"))?, Some("ada".to_owned()));
/// # Ok::<(), onceflow_framework::serde::SerdeError>(())
/// ```
pub fn nullable<S: Serde>(serde: S) -> Nullable<S> {
    Nullable(serde)
}

impl<S: Serde> Serde for Nullable<S> {
    type Item = Option<S::Item>;

    fn serialize(&self, value: &Self::Item, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        match value {
            Some(value) => self.0.serialize(value, out),
            None => Ok(Encoded::Null),
        }
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Self::Item, SerdeError> {
        bytes
            .map(|bytes| self.0.deserialize(Some(bytes)))
            .transpose()
    }

    fn is_null(&self, value: &Self::Item) -> bool {
        value.as_ref().is_none_or(|value| self.0.is_null(value))
    }

    fn type_name(&self) -> &'static str {
        self.0.type_name()
    }
}

impl<T: DefaultSerde> DefaultSerde for Option<T> {
    fn default_serde() -> SharedSerde<Self> {
        SharedSerde::new(nullable(T::default_serde()))
    }
}
