//! Names as Kafka Streams generates them: one counter for nodes, stores and topics.
//!
//! # Invariants
//!
//! - Indices are taken when an operator is called, named or not: a name given to one node does
//!   not shift the names of the others.

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) const SOURCE: &str = "KSTREAM-SOURCE-";
pub(crate) const SINK: &str = "KSTREAM-SINK-";
pub(crate) const FILTER: &str = "KSTREAM-FILTER-";
pub(crate) const STREAM_AGGREGATE: &str = "KSTREAM-AGGREGATE-";
pub(crate) const STREAM_REDUCE: &str = "KSTREAM-REDUCE-";
pub(crate) const TABLE_AGGREGATE: &str = "KTABLE-AGGREGATE-";

/// Digits of the index at the end of a generated name.
const INDEX_DIGITS: usize = 10;

/// Longest name that Kafka Streams accepts: it may become part of a topic's name.
const NAME_CHARS_MAX: usize = 249;

/// A name for the node of the operator that follows: Kafka Streams' `Named`.
///
/// Every `named` takes one, and a string is one too.
///
/// ```
/// use onceflow::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let amounts = builder.stream("amounts", Consumed::with(utf8(), i64()));
/// let large = amounts.named(Named::new("large")).filter(|_, cents| *cents > 100_000);
/// assert_eq!(large.name(), "large");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named(Arc<str>);

impl Named {
    /// A name: ASCII letters, digits, `.`, `_` and `-`, at most 249. Any other is reported when
    /// the topology is built.
    ///
    /// ```
    /// use onceflow::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders: KStream<String, i64> = builder.stream("orders", Consumed::new());
    /// let error = orders.named(Named::new("no blanks"));
    /// error.filter(|_, _| true);
    /// assert!(builder.build().unwrap_err().to_string().contains("no blanks"));
    /// ```
    pub fn new(name: impl AsRef<str>) -> Self {
        Named(Arc::from(name.as_ref()))
    }

    pub(crate) fn into_name(self) -> Arc<str> {
        self.0
    }
}

impl<N: AsRef<str>> From<N> for Named {
    fn from(name: N) -> Self {
        Named::new(name)
    }
}

/// The counter.
#[derive(Debug, Default)]
pub(crate) struct Names {
    next: usize,
    generated: BTreeSet<Arc<str>>,
}

impl Names {
    /// The next name with this prefix, which ends in a dash.
    pub(crate) fn generate(&mut self, prefix: &str) -> Arc<str> {
        let index = self.next;
        self.next += 1;
        let name: Arc<str> = Arc::from(format!("{prefix}{index:0INDEX_DIGITS$}"));
        self.generated.insert(Arc::clone(&name));
        name
    }

    /// Whether the name was generated: it changes with the topology.
    pub(crate) fn is_of_these(&self, name: &str) -> bool {
        self.generated.contains(name)
    }

    /// The next name of a store with this prefix.
    pub(crate) fn generate_store(&mut self, prefix: &str) -> Arc<str> {
        self.generate(&format!("{prefix}STATE-STORE-"))
    }
}

/// Whether a repartition topic of this prefix has generated node names.
pub(crate) fn is_generated(prefix: &str) -> bool {
    let Some(split) = prefix.len().checked_sub(INDEX_DIGITS) else {
        return false;
    };
    let (Some(head), Some(index)) = (prefix.get(..split), prefix.get(split..)) else {
        return false;
    };
    head.starts_with("KSTREAM")
        && head.ends_with('-')
        && index.bytes().all(|byte| byte.is_ascii_digit())
}

/// Why a name cannot be used, if it cannot.
pub(crate) fn problem_with(name: &str) -> Option<String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return Some("a name is empty".to_owned());
    }
    if name == "." || name == ".." {
        return Some(format!("the name {name:?} stands for a directory"));
    }
    if name.len() > NAME_CHARS_MAX {
        let length = name.len();
        return Some(format!(
            "the name {name:?} has {length} characters; {NAME_CHARS_MAX} are allowed"
        ));
    }
    if !name.chars().all(legal) {
        return Some(format!(
            "the name {name:?} has characters other than ASCII letters, digits, '.', '_' and '-'"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_prefixes_are_told_from_given_ones() {
        assert!(is_generated("KSTREAM-REPARTITION-0000000003"));
        assert!(is_generated("KSTREAM-AGGREGATE-STATE-STORE-0000000003"));
        for given in [
            "KSTREAM-x-003",
            "counts",
            "KTABLE-X-0000000003",
            "",
            "grün-0000000003",
        ] {
            assert!(!is_generated(given), "{given}");
        }
    }

    #[test]
    fn names_are_what_kafka_allows_in_topics() {
        assert_eq!(problem_with("a.b_C-9"), None);
        for bad in ["", ".", "..", "a b", "a/b", "grün", &"x".repeat(250)] {
            assert!(problem_with(bad).is_some(), "{bad}");
        }
    }
}
