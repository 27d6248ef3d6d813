//! Streams, tables and groupings of any types, behind one face each.
//!
//! A family adds operators by a trait of its own, implemented once for all types, and a line in
//! the face that it belongs to.

use std::any::Any;
use std::rc::Rc;

use onceflow::prelude::*;

use super::aggregates::{Aggregated, Groupable};
use super::cogroups::Cogroupable;
use super::joins::{JoinedStream, JoinedTable};
use super::processor::Processed;
use super::stateless::Stateless;
use super::tables::{IntoTable, Tabular};
use super::val::{Kind, Val, View};
use super::windows::Windowable;

/// What can be done with a stream.
pub(super) trait AnyStream:
    Any + Stateless + IntoTable + Groupable + JoinedStream + Processed
{
}

impl<K: View, V: View> AnyStream for KStream<K, V> {}

/// What can be done with a table.
pub(super) trait AnyTable: Any + Tabular + JoinedTable {}

impl<K: View, V: View<Row = V>> AnyTable for KTable<K, V> {}

/// What can be done with a grouped stream or table.
pub(super) trait AnyGrouped: Any + Aggregated + Cogroupable + Windowable {}

impl<K, V, K0, V0> AnyGrouped for KGroupedStream<K, V, K0, V0>
where
    K: View,
    V: View<Row = V>,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
}

impl<K: View, V: View<Row = V>> AnyGrouped for KGroupedTable<K, V> {}

/// A stream, with the kinds of its keys and values.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) any: Rc<dyn AnyStream>,
    pub(super) kinds: Kinds,
}

/// A table.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) any: Rc<dyn AnyTable>,
    pub(super) kinds: Kinds,
}

/// A global table, with the kind of its keys.
#[derive(Clone)]
pub(super) struct Global {
    pub(super) table: GlobalKTable<Val, Val>,
    pub(super) key: Kind,
}

/// A grouped stream or table.
#[derive(Clone)]
pub(super) struct GroupedAs {
    pub(super) any: Rc<dyn AnyGrouped>,
    pub(super) kinds: Kinds,
}

/// How keys and values are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kinds {
    pub(super) key: Kind,
    pub(super) value: Kind,
}

impl Kinds {
    pub(super) fn of_value(self, value: Kind) -> Self {
        Kinds { value, ..self }
    }

    pub(super) fn of_key(self, key: Kind) -> Self {
        Kinds { key, ..self }
    }
}

impl Stream {
    pub(super) fn new<K: View, V: View>(stream: KStream<K, V>, kinds: Kinds) -> Self {
        let any = Rc::new(stream);
        Stream { any, kinds }
    }
}

impl Table {
    pub(super) fn new<K: View, V: View<Row = V>>(table: KTable<K, V>, kinds: Kinds) -> Self {
        let any = Rc::new(table);
        Table { any, kinds }
    }
}

impl GroupedAs {
    pub(super) fn new(grouped: impl AnyGrouped, kinds: Kinds) -> Self {
        let any = Rc::new(grouped);
        GroupedAs { any, kinds }
    }
}
