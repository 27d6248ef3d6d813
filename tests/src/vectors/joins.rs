//! Joins, by what the two sides are.

use std::any::Any;

use onceflow::prelude::*;

use super::build::{Applied, Build};
use super::fields::Fields;
use super::functions;
use super::handles::{Kinds, Stream, Table};
use super::unplayable::{Unplayable, unplayable};
use super::val::{Kind, Val, View};

pub(super) fn apply(build: &mut Build, op: &Fields<'_>) -> Applied {
    if op.text("op") != "join" {
        return Ok(false);
    }
    let other = op.text("other");
    match (build.input::<Stream>(op), build.find::<Table>(other)) {
        (Some(stream), Some(table)) => {
            if op.get("grace_ms").is_some() {
                return unplayable("joins with a grace period");
            }
            let joined = stream.any.look_up_in(op, stream.kinds, &*table.any)?;
            build.keep(op, joined);
        }
        _ => return unplayable("joins other than of a stream with a table"),
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
    match op.text("kind") {
        "inner" => {
            let join = move |k: &K, l: V::Row, r: VT| join(&k.view(), &l.view(), &r.view());
            Ok(left.join_table_with_key(right, join, joined))
        }
        "left" => {
            let join = move |k: &K, l: V::Row, r: Option<VT>| {
                let right = r.as_ref().map_or(Val::Null, View::view);
                join(&k.view(), &l.view(), &right)
            };
            Ok(left.left_join_table_with_key(right, join, joined))
        }
        other => unplayable(format!("{other} joins of a stream with a table")),
    }
}
