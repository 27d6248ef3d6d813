//! How a stream is joined with a table: `Joined`.

use std::fmt;
use std::sync::Arc;

use onceflow_framework::serde::{DefaultSerde, Serde, SharedSerde};

/// How a stream is joined with a table: the serdes of the stream, and a name.
///
/// The serdes are for the repartition topic that is made if the stream's key was changed; the name
/// is that of the topic, `<application>-<name>-repartition`, and of the join.
///
/// ```
/// use onceflow::prelude::*;
///
/// let by_serdes = Joined::with(utf8(), i64()).with_name("with-customer");
/// let same_types: Joined<String, i64> = Joined::new();
/// # let _ = (by_serdes, same_types);
/// ```
pub struct Joined<K, V> {
    pub(crate) key: SharedSerde<K>,
    pub(crate) value: SharedSerde<V>,
    pub(crate) name: Option<Arc<str>>,
}

impl<K: 'static, V: 'static> Joined<K, V> {
    /// With the default serdes of the types.
    #[must_use]
    pub fn new() -> Self
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        Joined::with(K::default_serde(), V::default_serde())
    }

    /// With these serdes.
    pub fn with(key: impl Serde<Item = K>, value: impl Serde<Item = V>) -> Self {
        Joined {
            key: SharedSerde::new(key),
            value: SharedSerde::new(value),
            name: None,
        }
    }

    /// Names the join (`Joined.as` in Java).
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Arc::from(name.into()));
        self
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Joined<K, V> {
    fn default() -> Self {
        Joined::new()
    }
}

impl<K, V> Clone for Joined<K, V> {
    fn clone(&self) -> Self {
        Joined {
            key: self.key.clone(),
            value: self.value.clone(),
            name: self.name.clone(),
        }
    }
}

impl<K, V> fmt::Debug for Joined<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("key", &self.key)
            .field("value", &self.value)
            .field("name", &self.name)
            .finish()
    }
}
