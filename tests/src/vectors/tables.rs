//! Operators that take a table, and those that make one of a stream.

use std::any::Any;
use std::time::Duration;

use onceflow::Overflow;
use onceflow::prelude::*;
use serde_json::Value;

use super::build::{Applied, Build, named};
use super::fields::Fields;
use super::functions;
use super::handles::{GroupedAs, Kinds, Stream, Table};
use super::unplayable::Unplayable;
use super::val::{Kind, Val, ValSerde, View};

pub(super) fn apply(build: &mut Build, op: &Fields<'_>) -> Applied {
    if let Some(Table { any, kinds }) = build.input(op) {
        match op.text("op") {
            "filter" | "filter_not" => build.keep(op, any.filtered(op, kinds)?),
            "map_values" | "transform_values" => build.keep(op, any.mapped(op, kinds)?),
            "to_stream" => build.keep(op, any.streamed(op, kinds)?),
            "group_by" => build.keep(op, any.grouped(op, kinds)?),
            "suppress" => match any.suppressed(op, kinds)? {
                Some(suppressed) => build.keep(op, suppressed),
                // `Suppressed::until_window_closes` is there for keys within windows only.
                None => {
                    let reason = "a table without windows waits for them to close";
                    build.refuse(op, Table { any, kinds }, reason);
                }
            },
            _ => return Ok(false),
        }
        return Ok(true);
    }
    if op.text("op") == "to_table" {
        let Stream { any, kinds } = build.stream(op)?;
        build.keep(op, any.tabled(op, kinds)?);
        return Ok(true);
    }
    Ok(false)
}

/// The op's `mat`, for a table of these types.
pub(super) fn materialized<K: View, V: View>(
    op: &Fields<'_>,
    kinds: Kinds,
) -> Result<Option<Materialized<K, V>>, Unplayable> {
    let Some(mat) = op.object_or("mat") else {
        return Ok(None);
    };
    let mut materialized = Materialized::with(K::serde_of(kinds.key), V::serde_of(kinds.value));
    if let Some(store) = mat.text_or("store") {
        materialized = match mat.number_or("versioned_ms") {
            Some(millis) => {
                materialized.with_versions(store, Duration::from_millis(millis.unsigned_abs()))
            }
            None => materialized.with_name(store),
        };
    }
    if mat.get("logging").and_then(Value::as_bool) == Some(false) {
        materialized = materialized.with_logging_disabled();
    }
    if let Some(millis) = mat.number_or("retention_ms") {
        materialized = materialized.with_retention(Duration::from_millis(millis.unsigned_abs()));
    }
    if let Some(entries) = mat.number_or("lru") {
        let entries = usize::try_from(entries).expect("a number of entries");
        materialized = materialized.with_lru_entries_max(entries);
    }
    if mat.get("caching").and_then(Value::as_bool) == Some(false) {
        materialized = materialized.with_caching_disabled();
    }
    materialized = match mat.text_or("type") {
        Some("rocks") => materialized.with_store_type(StoreType::RocksDb),
        Some("mem") => materialized.with_store_type(StoreType::InMemory),
        _ => materialized,
    };
    // Segments change no answer that is compared.
    mat.get("segment_ms");
    mat.done();
    Ok(Some(materialized))
}

/// The options of an op's `buffer`.
fn bounded<K: View, V: View>(
    suppressed: Suppressed<K, V>,
    buffer: Option<Fields<'_>>,
) -> Suppressed<K, V> {
    let Some(buffer) = buffer else {
        return suppressed;
    };
    let mut suppressed = suppressed;
    if let Some(records) = buffer.number_or("max_records") {
        suppressed = suppressed.with_records_max(records.unsigned_abs());
    }
    if let Some(bytes) = buffer.number_or("max_bytes") {
        suppressed = suppressed.with_bytes_max(bytes.unsigned_abs());
    }
    if buffer.text_or("full") == Some("shut_down") {
        suppressed = suppressed.with_overflow(Overflow::ShutDown);
    }
    if buffer.get("logging").and_then(Value::as_bool) == Some(false) {
        suppressed = suppressed.with_logging_disabled();
    }
    buffer.done();
    suppressed
}

/// As [`materialized`], with the serdes alone if the op has no `mat`.
pub(super) fn materialized_or_unnamed<K: View, V: View>(
    op: &Fields<'_>,
    kinds: Kinds,
) -> Result<Materialized<K, V>, Unplayable> {
    let given = materialized(op, kinds)?;
    Ok(given
        .unwrap_or_else(|| Materialized::with(K::serde_of(kinds.key), V::serde_of(kinds.value))))
}

pub(super) trait Tabular {
    /// None if the types have no such suppression.
    fn suppressed(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Option<Table>, Unplayable>;
    fn filtered(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable>;
    fn mapped(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable>;
    fn streamed(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Stream, Unplayable>;
    fn grouped(&self, op: &Fields<'_>, kinds: Kinds) -> Result<GroupedAs, Unplayable>;
}

impl<K: View, V: View<Row = V>> Tabular for KTable<K, V> {
    fn suppressed(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Option<Table>, Unplayable> {
        let (key, value) = (K::serde_of(kinds.key), V::serde_of(kinds.value));
        let buffer = op.object_or("buffer");
        if op.text("until") == "time_limit" {
            let limit = op.number_or("limit_ms").unwrap_or(0).unsigned_abs();
            let limit = Duration::from_millis(limit);
            let suppressed = bounded(Suppressed::until_time_limit(limit, key, value), buffer);
            let table = named!(self, op).suppress(suppressed);
            return Ok(Some(Table::new(table, kinds)));
        }
        let Some(table) = (self as &dyn Any).downcast_ref::<KTable<Windowed<Val>, V>>() else {
            return Ok(None);
        };
        let (key, value) = (
            <Windowed<Val>>::serde_of(kinds.key),
            V::serde_of(kinds.value),
        );
        let suppressed = bounded(Suppressed::until_window_closes(key, value), buffer);
        let table = named!(table, op).suppress(suppressed);
        Ok(Some(Table::new(table, kinds)))
    }

    fn filtered(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable> {
        let accepts = functions::predicate(op.text("fn"))?;
        let accepts = move |k: &K, v: &V| accepts(&k.view(), &v.view());
        let table = named!(self, op);
        let keeps = op.text("op") == "filter";
        let table = match (materialized(op, kinds)?, keeps) {
            (Some(materialized), true) => table.filter_with(accepts, materialized),
            (Some(materialized), false) => table.filter_not_with(accepts, materialized),
            (None, true) => table.filter(accepts),
            (None, false) => table.filter_not(accepts),
        };
        Ok(Table::new(table, kinds))
    }

    fn mapped(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable> {
        let to = Kind::named(op.text_or("as"));
        let kinds = kinds.of_value(to);
        let map = functions::map(op.text("fn"))?;
        let map = move |k: &K, v: Val| Val::from_val(to.parse(map(&k.view(), &v)));
        let table = named!(self, op);
        let materialized = materialized::<K, Val>(op, kinds)?;
        let table = match (op.text("op"), materialized) {
            ("map_values", Some(m)) => {
                table.filter_map_values_with(move |k, v| map(k, v.view()), m)
            }
            ("map_values", None) => table.filter_map_values(move |k, v| map(k, v.view())),
            (_, Some(m)) => table.transform_values_with(move |k, v| map(k, v.view()), m),
            (_, None) => table.transform_values(move |k, v| map(k, v.view())),
        };
        Ok(Table::new(table, kinds))
    }

    fn streamed(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Stream, Unplayable> {
        let stream = named!(self, op).to_stream();
        let Some(select) = op.text_or("kfn") else {
            return Ok(Stream::new(stream, kinds));
        };
        let select = functions::map(select)?;
        let stream = stream.select_key(move |k, v| select(&k.view(), &v.view()));
        Ok(Stream::new(stream, kinds.of_key(Kind::Text)))
    }

    fn grouped(&self, op: &Fields<'_>, kinds: Kinds) -> Result<GroupedAs, Unplayable> {
        let select = functions::map(op.text("fn"))?;
        let map = op.text_or("vfn").map(functions::map).transpose()?;
        let kind = Kind::named(op.text_or("as"));
        let value = if map.is_some() { kind } else { kinds.value };
        let grouped = Grouped::with(ValSerde(Kind::Text), ValSerde(value));
        let grouped = self.group_by(
            move |k, v| {
                let (k, v) = (k.view(), v.view());
                let mapped = match &map {
                    Some(map) => kind.parse(map(&k, &v)),
                    None => v.clone(),
                };
                (select(&k, &v), mapped)
            },
            with_name(op, grouped),
        );
        let key = Kind::Text;
        Ok(GroupedAs::new(grouped, Kinds { key, value }))
    }
}

/// What becomes a table.
pub(super) trait IntoTable {
    fn tabled(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable>;
}

impl<K: View, V: View> IntoTable for KStream<K, V> {
    fn tabled(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable> {
        let materialized = materialized_or_unnamed::<K::Row, V::Row>(op, kinds)?;
        Ok(Table::new(named!(self, op).to_table(materialized), kinds))
    }
}

/// The grouping under the op's name, if it has one.
pub(super) fn with_name<K: Data, V: Data>(
    op: &Fields<'_>,
    grouped: Grouped<K, V>,
) -> Grouped<K, V> {
    match op.text_or("name") {
        Some(name) => grouped.with_name(name),
        None => grouped,
    }
}
