//! Joins of a case, by what the two sides are.

use onceflow::prelude::*;

use crate::build::{AnyStream, Build, Stream, ValueSerde};
use crate::fields::Fields;
use crate::functions;
use crate::skip::{Skip, skip};
use crate::tables::{AnyTable, Table};
use crate::val::{Kind, Val, ValSerde, View};

impl Build {
    pub(crate) fn join(&mut self, op: &Fields<'_>) -> Result<(), Skip> {
        let (left, right) = (op.text("in"), op.text("other"));
        match (self.streams.get(left), self.tables.get(right)) {
            (Some(stream), Some(table)) => {
                let joined = stream_table(op, stream, table)?;
                self.streams.insert(op.text("id").to_owned(), joined);
                Ok(())
            }
            _ => skip("joins other than of a stream with a table"),
        }
    }
}

fn stream_table(op: &Fields<'_>, stream: &Stream, table: &Table) -> Result<Stream, Skip> {
    if op.get("grace_ms").is_some() {
        return skip("joins with a grace period");
    }
    let any = match (&stream.any, &table.any) {
        (AnyStream::Plain(s), AnyTable::Plain(t)) => look_up(op, stream, s, t)?,
        (AnyStream::Plain(s), AnyTable::Counts(t)) => look_up(op, stream, s, t)?,
        (AnyStream::OfTable(s), AnyTable::Plain(t)) => look_up(op, stream, s, t)?,
        (AnyStream::OfTable(s), AnyTable::Counts(t)) => look_up(op, stream, s, t)?,
        (AnyStream::OfCounts(s), AnyTable::Plain(t)) => look_up(op, stream, s, t)?,
        (AnyStream::OfCounts(s), AnyTable::Counts(t)) => look_up(op, stream, s, t)?,
    };
    let (key, value) = (stream.key, Kind::Text);
    let any = AnyStream::Plain(any);
    Ok(Stream { any, key, value })
}

fn look_up<V: View + ValueSerde, VT: View>(
    op: &Fields<'_>,
    stream: &Stream,
    left: &KStream<Val, V>,
    right: &KTable<Val, VT>,
) -> Result<KStream<Val, Val>, Skip> {
    let join = functions::join(op.text_or("fn"))?;
    let joined = Joined::with(ValSerde(stream.key), V::serde(stream.value));
    let joined = match op.text_or("name") {
        Some(name) => joined.with_name(name),
        None => joined,
    };
    match op.text("kind") {
        "inner" => {
            let join = move |k: &Val, l: V, r: VT| join(k, &l.view(), &r.view());
            Ok(left.join_table_with_key(right, join, joined))
        }
        "left" => {
            let join = move |k: &Val, l: V, r: Option<VT>| join(k, &l.view(), &r.view());
            Ok(left.left_join_table_with_key(right, join, joined))
        }
        other => skip(format!("{other} joins of a stream with a table")),
    }
}
