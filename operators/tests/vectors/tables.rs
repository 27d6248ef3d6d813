//! Tables and groupings of a case.

use onceflow::prelude::*;
use serde_json::Value;

use crate::build::{AnyStream, Build, Stream, ValueSerde, each, named};
use crate::fields::Fields;
use crate::functions;
use crate::skip::{Skip, skip};
use crate::val::{Kind, Val, ValSerde, View};

#[derive(Clone)]
pub(crate) enum AnyTable {
    Plain(KTable<Val, Val>),
    Counts(KTable<Val, i64>),
}

#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) any: AnyTable,
    pub(crate) key: Kind,
    pub(crate) value: Kind,
}

/// A grouped stream or table, with the kinds of its keys and values.
#[derive(Clone)]
pub(crate) struct AnyGrouped {
    grouped: GroupedAs,
    key: Kind,
    value: Kind,
}

#[derive(Clone)]
enum GroupedAs {
    Plain(KGroupedStream<Val, Val>),
    OfTable(KGroupedStream<Val, Val, Val, Option<Val>>),
    OfCounts(KGroupedStream<Val, i64, Val, Option<i64>>),
    Table(KGroupedTable<Val, Val>),
}

/// Does the same with a table of any type.
macro_rules! each_table {
    ($any:expr, $table:ident => $same:expr) => {
        match $any {
            AnyTable::Plain($table) => $same,
            AnyTable::Counts($table) => $same,
        }
    };
}

/// The op's `mat`, for a table of these types.
fn materialized<V: ValueSerde + 'static>(
    op: &Fields<'_>,
    key: Kind,
    value: Kind,
) -> Result<Option<Materialized<Val, V>>, Skip> {
    let Some(mat) = op.object_or("mat") else {
        return Ok(None);
    };
    for unsupported in ["versioned_ms", "segment_ms", "lru", "retention_ms"] {
        if mat.get(unsupported).is_some() {
            return skip(format!("stores with {unsupported}"));
        }
    }
    let mut materialized = Materialized::with(ValSerde(key), V::serde(value));
    if let Some(store) = mat.text_or("store") {
        materialized = materialized.with_name(store);
    }
    if mat.get("logging").and_then(Value::as_bool) == Some(false) {
        materialized = materialized.with_logging_disabled();
    }
    // Engines and caches change no answer that is compared here.
    mat.text_or("type");
    mat.get("caching");
    mat.done();
    Ok(Some(materialized))
}

impl Build {
    pub(crate) fn table(&mut self, op: &Fields<'_>) -> Result<(), Skip> {
        let (consumed, key, value) = self.consumed(op)?;
        let topic = op.text("topic");
        let table = match materialized(op, key, value)? {
            Some(materialized) => self.builder.table_with(topic, consumed, materialized),
            None => self.builder.table(topic, consumed),
        };
        self.add_table(op, AnyTable::Plain(table), key, value);
        Ok(())
    }

    pub(crate) fn table_of_stream(&mut self, op: &Fields<'_>) -> Result<(), Skip> {
        let Stream { any, key, value } = self.input(op);
        let plain = || materialized::<Val>(op, key, value);
        let plain =
            || Ok(plain()?.unwrap_or_else(|| Materialized::with(ValSerde(key), ValSerde(value))));
        let any = match any {
            AnyStream::Plain(s) => AnyTable::Plain(named!(s, op).to_table(plain()?)),
            AnyStream::OfTable(s) => AnyTable::Plain(named!(s, op).to_table(plain()?)),
            AnyStream::OfCounts(s) => {
                let counts = materialized::<i64>(op, key, value)?;
                let counts = counts.unwrap_or_else(|| Materialized::with(ValSerde(key), i64()));
                AnyTable::Counts(named!(s, op).to_table(counts))
            }
        };
        self.add_table(op, any, key, value);
        Ok(())
    }

    fn add_table(&mut self, op: &Fields<'_>, any: AnyTable, key: Kind, value: Kind) {
        self.tables
            .insert(op.text("id").to_owned(), Table { any, key, value });
    }

    pub(crate) fn on_table(&mut self, op: &Fields<'_>) -> Result<(), Skip> {
        let Table { any, key, value } = self.tables[op.text("in")].clone();
        match op.text("op") {
            "to_stream" => self.stream_of_table(op, any, key, value)?,
            "group_by" => self.group_table(op, any, key, value)?,
            name @ ("filter" | "filter_not") => {
                let keeps = name == "filter";
                let any = match any {
                    AnyTable::Plain(t) => AnyTable::Plain(filter(op, &t, keeps, key, value)?),
                    AnyTable::Counts(t) => AnyTable::Counts(filter(op, &t, keeps, key, value)?),
                };
                self.add_table(op, any, key, value);
            }
            name => {
                let to = Kind::named(op.text_or("as"));
                let table = each_table!(any, t => map_values(op, &t, name, key, to)?);
                self.add_table(op, AnyTable::Plain(table), key, to);
            }
        }
        Ok(())
    }

    fn stream_of_table(
        &mut self,
        op: &Fields<'_>,
        any: AnyTable,
        key: Kind,
        value: Kind,
    ) -> Result<(), Skip> {
        let mut stream = Stream {
            any: each_table!(any, t => named!(t, op).to_stream().into()),
            key,
            value,
        };
        if let Some(select) = op.text_or("kfn") {
            let select = functions::map(select)?;
            stream.any =
                each!(stream.any, s => s.select_key(move |k, v| select(k, &v.view())).into());
            stream.key = Kind::Text;
        }
        self.streams.insert(op.text("id").to_owned(), stream);
        Ok(())
    }

    fn group_table(
        &mut self,
        op: &Fields<'_>,
        any: AnyTable,
        _key: Kind,
        value: Kind,
    ) -> Result<(), Skip> {
        let select = functions::map(op.text("fn"))?;
        let map = op.text_or("vfn").map(functions::map).transpose()?;
        let kind = Kind::named(op.text_or("as"));
        let value = if map.is_some() { kind } else { value };
        let grouped = with_name(op, Grouped::with(ValSerde(Kind::Text), ValSerde(value)));
        let grouped = each_table!(any, t => t.group_by(move |k, v| {
            let v = v.view();
            let mapped = match &map {
                Some(map) => kind.parse(map(k, &v)),
                None => v.clone(),
            };
            (select(k, &v), mapped)
        }, grouped));
        let grouped = GroupedAs::Table(grouped);
        self.add_grouped(op, grouped, Kind::Text, value);
        Ok(())
    }

    pub(crate) fn group(&mut self, op: &Fields<'_>) -> Result<(), Skip> {
        let Stream {
            any,
            mut key,
            value,
        } = self.input(op);
        let select = match op.text("op") {
            "group_by" => Some(functions::map(op.text("fn"))?),
            _ => None,
        };
        if select.is_some() {
            key = Kind::Text;
        }
        macro_rules! group {
            ($s:expr, $values:expr) => {{
                let grouped = with_name(op, Grouped::with(ValSerde(key), $values));
                match select {
                    Some(select) => $s.group_by(move |k, v| select(k, &v.view()), grouped),
                    None => $s.group_by_key(grouped),
                }
            }};
        }
        let grouped = match any {
            AnyStream::Plain(s) => GroupedAs::Plain(group!(s, ValSerde(value))),
            AnyStream::OfTable(s) => GroupedAs::OfTable(group!(s, ValSerde(value))),
            AnyStream::OfCounts(s) => GroupedAs::OfCounts(group!(s, i64())),
        };
        self.add_grouped(op, grouped, key, value);
        Ok(())
    }

    fn add_grouped(&mut self, op: &Fields<'_>, grouped: GroupedAs, key: Kind, value: Kind) {
        let grouped = AnyGrouped {
            grouped,
            key,
            value,
        };
        self.grouped.insert(op.text("id").to_owned(), grouped);
    }

    pub(crate) fn aggregation(&mut self, op: &Fields<'_>) -> Result<(), Skip> {
        let input = op.text("in");
        let Some(AnyGrouped {
            grouped,
            key,
            value,
        }) = self.grouped.get(input).cloned()
        else {
            return skip("aggregations of windows and cogroups");
        };
        let (any, value) = match op.text("op") {
            "count" => (AnyTable::Counts(count(op, &grouped, key)?), Kind::Int),
            "reduce" => (reduce(op, &grouped, key, value)?, value),
            _ => {
                let kind = Kind::named(op.text_or("as"));
                (AnyTable::Plain(aggregate(op, &grouped, key, kind)?), kind)
            }
        };
        self.add_table(op, any, key, value);
        Ok(())
    }
}

fn with_name<V: Data>(op: &Fields<'_>, grouped: Grouped<Val, V>) -> Grouped<Val, V> {
    match op.text_or("name") {
        Some(name) => grouped.with_name(name),
        None => grouped,
    }
}

fn filter<V: View + ValueSerde>(
    op: &Fields<'_>,
    table: &KTable<Val, V>,
    keeps: bool,
    key: Kind,
    value: Kind,
) -> Result<KTable<Val, V>, Skip> {
    let accepts = functions::predicate(op.text("fn"))?;
    let accepts = move |k: &Val, v: &V| accepts(k, &v.view());
    let table = named!(table, op);
    Ok(match (materialized(op, key, value)?, keeps) {
        (Some(materialized), true) => table.filter_with(accepts, materialized),
        (Some(materialized), false) => table.filter_not_with(accepts, materialized),
        (None, true) => table.filter(accepts),
        (None, false) => table.filter_not(accepts),
    })
}

fn map_values<V: View>(
    op: &Fields<'_>,
    table: &KTable<Val, V>,
    name: &str,
    key: Kind,
    to: Kind,
) -> Result<KTable<Val, Val>, Skip> {
    let map = functions::map(op.text("fn"))?;
    let map = move |k: &Val, v: Val| Val::from_val(to.parse(map(k, &v)));
    let table = named!(table, op);
    Ok(match (name, materialized::<Val>(op, key, to)?) {
        ("map_values", Some(m)) => table.filter_map_values_with(move |k, v| map(k, v.view()), m),
        ("map_values", None) => table.filter_map_values(move |k, v| map(k, v.view())),
        (_, Some(m)) => table.transform_values_with(move |k, v| map(k, v.view()), m),
        (_, None) => table.transform_values(move |k, v| map(k, v.view())),
    })
}

/// Does the same with a grouping of any type.
macro_rules! each_grouped {
    ($any:expr, $grouped:ident => $same:expr) => {
        match $any {
            GroupedAs::Plain($grouped) => $same,
            GroupedAs::OfTable($grouped) => $same,
            GroupedAs::OfCounts($grouped) => $same,
            GroupedAs::Table($grouped) => $same,
        }
    };
}

fn count(op: &Fields<'_>, grouped: &GroupedAs, key: Kind) -> Result<KTable<Val, i64>, Skip> {
    let materialized = materialized::<i64>(op, key, Kind::Int)?;
    Ok(each_grouped!(grouped, g => match materialized {
        Some(materialized) => named!(g, op).count_with(materialized),
        None => named!(g, op).count(),
    }))
}

fn reduce(op: &Fields<'_>, grouped: &GroupedAs, key: Kind, value: Kind) -> Result<AnyTable, Skip> {
    let combine = functions::reduce(op.text("fn"))?;
    macro_rules! reduce {
        ($g:expr, $type:ty, $table:path) => {{
            let combine =
                move |a: $type, b: $type| <$type>::from_val(combine(&a.view(), &b.view()));
            let grouped = named!($g, op);
            $table(match materialized::<$type>(op, key, value)? {
                Some(materialized) => grouped.reduce_with(combine, materialized),
                None => grouped.reduce(combine),
            })
        }};
    }
    Ok(match grouped {
        GroupedAs::Plain(g) => reduce!(g, Val, AnyTable::Plain),
        GroupedAs::OfTable(g) => reduce!(g, Val, AnyTable::Plain),
        GroupedAs::OfCounts(g) => reduce!(g, i64, AnyTable::Counts),
        GroupedAs::Table(g) => {
            let subtract = functions::reduce(op.text("sub"))?;
            let add = move |a: Val, b: Val| combine(&a, &b);
            let subtract = move |a: Val, b: Val| subtract(&a, &b);
            let grouped = named!(g, op);
            AnyTable::Plain(match materialized::<Val>(op, key, value)? {
                Some(materialized) => grouped.reduce_with(add, subtract, materialized),
                None => grouped.reduce(add, subtract),
            })
        }
    })
}

fn aggregate(
    op: &Fields<'_>,
    grouped: &GroupedAs,
    key: Kind,
    value: Kind,
) -> Result<KTable<Val, Val>, Skip> {
    let (init, fold) = (
        functions::init(op.text("init"))?,
        functions::aggregate(op.text("fn"))?,
    );
    let materialized = materialized::<Val>(op, key, value)?;
    let materialized =
        materialized.unwrap_or_else(|| Materialized::with(ValSerde(key), ValSerde(value)));
    let init = move || init.clone();
    macro_rules! fold {
        ($g:expr) => {{
            let fold = move |k: &Val, v, row: Val| fold(k, &View::view(&v), &row);
            named!($g, op).aggregate(init, fold, materialized)
        }};
    }
    Ok(match grouped {
        GroupedAs::Plain(g) => fold!(g),
        GroupedAs::OfTable(g) => fold!(g),
        GroupedAs::OfCounts(g) => fold!(g),
        GroupedAs::Table(g) => {
            let subtract = functions::aggregate(op.text("sub"))?;
            let add = move |k: &Val, v: Val, row: Val| fold(k, &v, &row);
            let subtract = move |k: &Val, v: Val, row: Val| subtract(k, &v, &row);
            named!(g, op).aggregate(init, add, subtract, materialized)
        }
    })
}
