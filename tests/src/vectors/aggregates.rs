//! Groupings, and what is aggregated over all time.

use onceflow::prelude::*;

use super::build::{Applied, Build, named};
use super::fields::Fields;
use super::functions;
use super::handles::{GroupedAs, Kinds, Stream, Table};
use super::tables::{materialized, materialized_or_unnamed, with_name};
use super::unplayable::Unplayable;
use super::val::{Kind, Val, View};

pub(super) fn apply(build: &mut Build, op: &Fields<'_>) -> Applied {
    if let Some(Stream { any, kinds }) = build.input(op) {
        return match op.text("op") {
            "group_by_key" | "group_by" => {
                build.keep(op, any.grouped(op, kinds)?);
                Ok(true)
            }
            _ => Ok(false),
        };
    }
    let Some(GroupedAs { any, kinds }) = build.input(op) else {
        return Ok(false);
    };
    let table = match op.text("op") {
        "count" => any.counted(op, kinds)?,
        "reduce" => any.reduced(op, kinds)?,
        "aggregate" => any.aggregated(op, kinds)?,
        _ => return Ok(false),
    };
    build.keep(op, table);
    Ok(true)
}

/// What begins an aggregation.
pub(super) trait Groupable {
    fn grouped(&self, op: &Fields<'_>, kinds: Kinds) -> Result<GroupedAs, Unplayable>;
}

impl<K: View, V: View> Groupable for KStream<K, V> {
    fn grouped(&self, op: &Fields<'_>, kinds: Kinds) -> Result<GroupedAs, Unplayable> {
        let values = <V::Row as View>::serde_of(kinds.value);
        if op.text("op") == "group_by_key" {
            let grouped = Grouped::with(<K::Row as View>::serde_of(kinds.key), values);
            return Ok(GroupedAs::new(
                self.group_by_key(with_name(op, grouped)),
                kinds,
            ));
        }
        let select = functions::map(op.text("fn"))?;
        let kinds = kinds.of_key(Kind::Text);
        let grouped = Grouped::with(<Val as View>::serde_of(kinds.key), values);
        let select = move |k: &K, v: &V| select(&k.view(), &v.view());
        Ok(GroupedAs::new(
            self.group_by(select, with_name(op, grouped)),
            kinds,
        ))
    }
}

pub(super) trait Aggregated {
    fn counted(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable>;
    fn reduced(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable>;
    fn aggregated(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable>;
}

impl<K, V, K0, V0> Aggregated for KGroupedStream<K, V, K0, V0>
where
    K: View,
    V: View<Row = V>,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    fn counted(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable> {
        let kinds = kinds.of_value(Kind::Int);
        let table = match materialized(op, kinds)? {
            Some(materialized) => named!(self, op).count_with(materialized),
            None => named!(self, op).count(),
        };
        Ok(Table::new(table, kinds))
    }

    fn reduced(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable> {
        let combine = functions::reduce(op.text("fn"))?;
        let combine = move |a: V, b: V| V::from_val(combine(&a.view(), &b.view()));
        let table = match materialized(op, kinds)? {
            Some(materialized) => named!(self, op).reduce_with(combine, materialized),
            None => named!(self, op).reduce(combine),
        };
        Ok(Table::new(table, kinds))
    }

    fn aggregated(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable> {
        let kinds = kinds.of_value(Kind::named(op.text_or("as")));
        let init = functions::init(op.text("init"))?;
        let fold = functions::aggregate(op.text("fn"))?;
        let fold = move |k: &K, v: V, row: Val| fold(&k.view(), &v.view(), &row);
        let materialized = materialized_or_unnamed(op, kinds)?;
        let table = named!(self, op).aggregate(move || init.clone(), fold, materialized);
        Ok(Table::new(table, kinds))
    }
}

impl<K: View, V: View<Row = V>> Aggregated for KGroupedTable<K, V> {
    fn counted(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable> {
        let kinds = kinds.of_value(Kind::Int);
        let table = match materialized(op, kinds)? {
            Some(materialized) => named!(self, op).count_with(materialized),
            None => named!(self, op).count(),
        };
        Ok(Table::new(table, kinds))
    }

    fn reduced(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable> {
        let add = functions::reduce(op.text("fn"))?;
        let add = move |a: V, b: V| V::from_val(add(&a.view(), &b.view()));
        let subtract = functions::reduce(op.text("sub"))?;
        let subtract = move |a: V, b: V| V::from_val(subtract(&a.view(), &b.view()));
        let table = match materialized(op, kinds)? {
            Some(materialized) => named!(self, op).reduce_with(add, subtract, materialized),
            None => named!(self, op).reduce(add, subtract),
        };
        Ok(Table::new(table, kinds))
    }

    fn aggregated(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Table, Unplayable> {
        let kinds = kinds.of_value(Kind::named(op.text_or("as")));
        let init = functions::init(op.text("init"))?;
        let add = functions::aggregate(op.text("fn"))?;
        let add = move |k: &K, v: V, row: Val| add(&k.view(), &v.view(), &row);
        let subtract = functions::aggregate(op.text("sub"))?;
        let subtract = move |k: &K, v: V, row: Val| subtract(&k.view(), &v.view(), &row);
        let materialized = materialized_or_unnamed(op, kinds)?;
        let table = named!(self, op).aggregate(move || init.clone(), add, subtract, materialized);
        Ok(Table::new(table, kinds))
    }
}
