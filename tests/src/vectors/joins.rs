//! Joins, by what the two sides are.

use std::any::Any;
use std::time::Duration;

use onceflow::prelude::*;
use serde_json::Value;

use super::build::{Applied, Build, named};
use super::fields::Fields;
use super::functions;
use super::handles::{Global, Kinds, Stream, Table};
use super::tables::{materialized, materialized_or_unnamed};
use super::unplayable::{Unplayable, unplayable};
use super::val::{Kind, Val, ValSerde, View};

pub(super) fn apply(build: &mut Build, op: &Fields<'_>) -> Applied {
    if op.text("op") != "join" {
        return Ok(false);
    }
    let other = op.text("other");
    match (build.input::<Stream>(op), build.find::<Table>(other)) {
        (Some(stream), Some(table)) => {
            let joined = stream.any.look_up_in(op, stream.kinds, &*table.any)?;
            build.keep(op, joined);
        }
        (Some(left), None) => {
            if let Some(global) = build.find::<Global>(other) {
                let joined = left.any.look_up_globally(op, left.kinds, &global)?;
                build.keep(op, joined);
                return Ok(true);
            }
            let Some(right) = build.find::<Stream>(other) else {
                return unplayable("joins of a stream with neither a stream nor a table");
            };
            let joined = left.any.met(op, (left.kinds, right.kinds), &*right.any)?;
            build.keep(op, joined);
        }
        _ => match (build.input::<Table>(op), build.find::<Table>(other)) {
            (Some(left), Some(right)) if op.get("fk").is_some() => {
                let kinds = (left.kinds, right.kinds);
                let joined = left.any.joined_by_foreign_key(op, kinds, &*right.any)?;
                build.keep(op, joined);
            }
            (Some(left), Some(right)) => {
                let joined = left.any.joined(op, left.kinds, &*right.any)?;
                build.keep(op, joined);
            }
            _ => return unplayable("joins other than with a table of the same key"),
        },
    }
    Ok(true)
}

/// A stream as the left side of joins.
pub(super) trait JoinedStream {
    fn look_up_in(
        &self,
        op: &Fields<'_>,
        kinds: Kinds,
        table: &dyn Any,
    ) -> Result<Stream, Unplayable>;

    fn look_up_globally(
        &self,
        op: &Fields<'_>,
        kinds: Kinds,
        table: &Global,
    ) -> Result<Stream, Unplayable>;

    /// Joins with a stream; the kinds are those of both.
    fn met(
        &self,
        op: &Fields<'_>,
        kinds: (Kinds, Kinds),
        other: &dyn Any,
    ) -> Result<Stream, Unplayable>;
}

impl<K: View, V: View> JoinedStream for KStream<K, V> {
    fn look_up_in(
        &self,
        op: &Fields<'_>,
        kinds: Kinds,
        table: &dyn Any,
    ) -> Result<Stream, Unplayable> {
        let joined = if let Some(table) = table.downcast_ref::<KTable<K::Row, Val>>() {
            look_up(op, kinds, self, table)?
        } else if let Some(table) = table.downcast_ref::<KTable<K::Row, i64>>() {
            look_up(op, kinds, self, table)?
        } else {
            return unplayable("a join of a stream and a table of other keys");
        };
        Ok(Stream::new(joined, kinds.of_value(Kind::Text)))
    }

    fn look_up_globally(
        &self,
        op: &Fields<'_>,
        kinds: Kinds,
        Global { table, key }: &Global,
    ) -> Result<Stream, Unplayable> {
        let select = functions::map(op.text("kfn"))?;
        let select = move |k: &K, v: &V| select(&k.view(), &v.view());
        let join = functions::join(op.text_or("fn"))?;
        let joined = Joined::with(ValSerde(*key), <V::Row as View>::serde_of(kinds.value));
        let joined = match op.text_or("name") {
            Some(name) => joined.with_name(name),
            None => joined,
        };
        let joined = match op.text("kind") {
            "inner" => {
                let join = move |k: &K, l: V::Row, r: Val| join(&k.view(), &l.view(), &r);
                self.join_global(table, select, join, joined)
            }
            "left" => {
                let join = move |k: &K, l: V::Row, r: Option<Val>| {
                    join(&k.view(), &l.view(), &of_option(r))
                };
                self.left_join_global(table, select, join, joined)
            }
            other => return unplayable(format!("{other} joins with a global table")),
        };
        Ok(Stream::new(joined, kinds.of_value(Kind::Text)))
    }

    fn met(
        &self,
        op: &Fields<'_>,
        kinds: (Kinds, Kinds),
        other: &dyn Any,
    ) -> Result<Stream, Unplayable> {
        let joined = if let Some(other) = other.downcast_ref::<KStream<K, Val>>() {
            meet(op, kinds, self, other)?
        } else if let Some(other) = other.downcast_ref::<KStream<K, Option<Val>>>() {
            meet(op, kinds, self, other)?
        } else if let Some(other) = other.downcast_ref::<KStream<K, Option<i64>>>() {
            meet(op, kinds, self, other)?
        } else {
            return unplayable("a join of streams of different keys");
        };
        Ok(Stream::new(joined, kinds.0.of_value(Kind::Text)))
    }
}

/// The op's `window`.
fn windows(op: &Fields<'_>) -> JoinWindows {
    let window = Fields::of("window", op.value("window"));
    let millis = |name| window.number_or(name).unwrap_or(0);
    let windows = JoinWindows::between_millis(-millis("before"), millis("after"));
    let windows = windows.grace(Duration::from_millis(millis("grace").unsigned_abs()));
    window.done();
    windows
}

fn meet<K: View, V: View, V2: View>(
    op: &Fields<'_>,
    kinds: (Kinds, Kinds),
    left: &KStream<K, V>,
    right: &KStream<K, V2>,
) -> Result<KStream<K, Val>, Unplayable> {
    let mut joined = StreamJoined::with(
        <K::Row as View>::serde_of(kinds.0.key),
        <V::Row as View>::serde_of(kinds.0.value),
        <V2::Row as View>::serde_of(kinds.1.value),
    );
    if let Some(name) = op.text_or("name") {
        joined = joined.with_name(name);
    }
    if let Some(store) = op.text_or("store") {
        joined = joined.with_store_name(store);
    }
    if op.get("logging").and_then(Value::as_bool) == Some(false) {
        joined = joined.with_logging_disabled();
    }
    // The engine of the stores changes no answer.
    op.get("type");
    let (windows, join) = (windows(op), functions::join(op.text_or("fn"))?);
    Ok(match op.text("kind") {
        "inner" => {
            let join = move |k: &K, l: V::Row, r: V2::Row| join(&k.view(), &l.view(), &r.view());
            left.join_with_key(right, join, windows, joined)
        }
        "left" => {
            let join = move |k: &K, l: V::Row, r: Option<V2::Row>| {
                join(&k.view(), &l.view(), &of_option(r))
            };
            left.left_join_with_key(right, join, windows, joined)
        }
        "outer" => {
            let join = move |k: &K, l: Option<V::Row>, r: Option<V2::Row>| {
                join(&k.view(), &of_option(l), &of_option(r))
            };
            left.outer_join_with_key(right, join, windows, joined)
        }
        other => return unplayable(format!("{other} joins of streams")),
    })
}

fn look_up<K: View, V: View, VT: View>(
    op: &Fields<'_>,
    kinds: Kinds,
    left: &KStream<K, V>,
    right: &KTable<K::Row, VT>,
) -> Result<KStream<K, Val>, Unplayable> {
    let join = functions::join(op.text_or("fn"))?;
    let keys = <K::Row as View>::serde_of(kinds.key);
    let joined = Joined::with(keys, <V::Row as View>::serde_of(kinds.value));
    let joined = match op.text_or("name") {
        Some(name) => joined.with_name(name),
        None => joined,
    };
    let joined = match op.number_or("grace_ms") {
        Some(millis) => joined.with_grace_period(Duration::from_millis(millis.unsigned_abs())),
        None => joined,
    };
    match op.text("kind") {
        "inner" => {
            let join = move |k: &K, l: V::Row, r: VT| join(&k.view(), &l.view(), &r.view());
            Ok(left.join_table_with_key(right, join, joined))
        }
        "left" => {
            let join =
                move |k: &K, l: V::Row, r: Option<VT>| join(&k.view(), &l.view(), &of_option(r));
            Ok(left.left_join_table_with_key(right, join, joined))
        }
        other => unplayable(format!("{other} joins of a stream with a table")),
    }
}

/// A table as the left side of joins.
pub(super) trait JoinedTable {
    fn joined(&self, op: &Fields<'_>, kinds: Kinds, other: &dyn Any) -> Result<Table, Unplayable>;

    /// The kinds are those of both.
    fn joined_by_foreign_key(
        &self,
        op: &Fields<'_>,
        kinds: (Kinds, Kinds),
        other: &dyn Any,
    ) -> Result<Table, Unplayable>;
}

impl<K: View, V: View<Row = V>> JoinedTable for KTable<K, V> {
    fn joined(&self, op: &Fields<'_>, kinds: Kinds, other: &dyn Any) -> Result<Table, Unplayable> {
        let kinds = kinds.of_value(Kind::Text);
        let joined = if let Some(other) = other.downcast_ref::<KTable<K, Val>>() {
            rows(op, kinds, self, other)?
        } else if let Some(other) = other.downcast_ref::<KTable<K, i64>>() {
            rows(op, kinds, self, other)?
        } else {
            return unplayable("a join of tables of different keys");
        };
        Ok(Table::new(joined, kinds))
    }

    fn joined_by_foreign_key(
        &self,
        op: &Fields<'_>,
        (kinds, others): (Kinds, Kinds),
        other: &dyn Any,
    ) -> Result<Table, Unplayable> {
        let Some(other) = other.downcast_ref::<KTable<Val, Val>>() else {
            return unplayable("a foreign-key join with a table of other types");
        };
        let extract = functions::map(op.text("fk"))?;
        let join = functions::join(op.text_or("fn"))?;
        let join = move |l: &Val, r: &Val| Val::from_val(join(&Val::Null, l, r));
        let left = (K::serde_of(kinds.key), V::serde_of(kinds.value));
        let right = (Val::serde_of(others.key), Val::serde_of(others.value));
        let mut joined = TableJoined::with(left, right);
        if let Some(name) = op.text_or("name") {
            joined = joined.with_name(name);
        }
        let extract = move |k: &K, v: &V| Val::from_val(extract(&k.view(), &v.view()));
        let by_foreign_key = self.on_foreign_key(other, extract, joined);
        let kinds = kinds.of_value(Kind::Text);
        let inner = join.clone();
        let inner = move |l: V, r: Val| inner(&l.view(), &r);
        let lefts = move |l: V, r: Option<Val>| join(&l.view(), &of_option(r));
        let materialized = materialized_or_unnamed::<K, Val>(op, kinds)?;
        let joined = match op.text("kind") {
            "inner" => by_foreign_key.join(inner, materialized),
            "left" => by_foreign_key.left_join(lefts, materialized),
            other => return unplayable(format!("{other} joins of tables by a foreign key")),
        };
        Ok(Table::new(joined, kinds))
    }
}

fn rows<K: View, V: View, V2: View>(
    op: &Fields<'_>,
    kinds: Kinds,
    left: &KTable<K, V>,
    right: &KTable<K, V2>,
) -> Result<KTable<K, Val>, Unplayable> {
    let join = functions::join(op.text_or("fn"))?;
    let join = move |l: &Val, r: &Val| Val::from_val(join(&Val::Null, l, r));
    let (inner, lefts) = (join.clone(), join.clone());
    let inner = move |l: V, r: V2| inner(&l.view(), &r.view());
    let lefts = move |l: V, r: Option<V2>| lefts(&l.view(), &of_option(r));
    let outer = move |l: Option<V>, r: Option<V2>| join(&of_option(l), &of_option(r));
    let (left, materialized) = (named!(left, op), materialized::<K, Val>(op, kinds)?);
    Ok(match (op.text("kind"), materialized) {
        ("inner", None) => left.join(right, inner),
        ("inner", Some(m)) => left.join_with(right, inner, m),
        ("left", None) => left.left_join(right, lefts),
        ("left", Some(m)) => left.left_join_with(right, lefts, m),
        ("outer", None) => left.outer_join(right, outer),
        ("outer", Some(m)) => left.outer_join_with(right, outer, m),
        (other, _) => return unplayable(format!("{other} joins of tables")),
    })
}

fn of_option<V: View>(side: Option<V>) -> Val {
    side.as_ref().map_or(Val::Null, View::view)
}
