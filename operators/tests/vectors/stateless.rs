//! Operators that take a stream and make one.

use onceflow::prelude::*;

use crate::build::{AnyStream, Build, Stream, ValueSerde, each, named};
use crate::fields::Fields;
use crate::functions;
use crate::skip::{Skip, skip};
use crate::val::{Kind, ValSerde, View};

pub(crate) const OPS: [&str; 10] = [
    "filter",
    "filter_not",
    "peek",
    "merge",
    "repartition",
    "map_values",
    "map",
    "select_key",
    "flat_map",
    "flat_map_values",
];

pub(crate) fn apply(build: &Build, op: &Fields<'_>) -> Result<Stream, Skip> {
    let input = build.input(op);
    match op.text("op") {
        "filter" | "filter_not" | "peek" | "merge" | "repartition" => {
            let (key, value) = (input.key, input.value);
            let any = of_same_type(build, op, input)?;
            Ok(Stream { any, key, value })
        }
        _ => of_new_type(op, &input),
    }
}

fn of_same_type(build: &Build, op: &Fields<'_>, input: Stream) -> Result<AnyStream, Skip> {
    let Stream { any, key, value } = input;
    Ok(match op.text("op") {
        "filter" => {
            let accepts = functions::predicate(op.text("fn"))?;
            each!(any, s => named!(s, op).filter(move |k, v| accepts(k, &v.view())).into())
        }
        "filter_not" => {
            let accepts = functions::predicate(op.text("fn"))?;
            each!(any, s => named!(s, op).filter_not(move |k, v| accepts(k, &v.view())).into())
        }
        "peek" => each!(any, s => named!(s, op).peek(|_, _| {}).into()),
        "repartition" => each!(any, s => {
            let options = Repartitioned::with(ValSerde(key), ValueSerde::serde(value));
            let options = match op.number_or("partitions") {
                Some(count) => options.with_partitions(i32::try_from(count).expect("a count")),
                None => options,
            };
            named!(s, op).repartition(options).into()
        }),
        _ => {
            let other = build.streams.get(op.text("other")).expect("a stream");
            match (any, &other.any) {
                (AnyStream::Plain(s), AnyStream::Plain(other)) => named!(s, op).merge(other).into(),
                (AnyStream::OfTable(s), AnyStream::OfTable(other)) => {
                    named!(s, op).merge(other).into()
                }
                (AnyStream::OfCounts(s), AnyStream::OfCounts(other)) => {
                    named!(s, op).merge(other).into()
                }
                _ => return skip("a merge of streams of different types"),
            }
        }
    })
}

fn of_new_type(op: &Fields<'_>, input: &Stream) -> Result<Stream, Skip> {
    let Stream { any, key, .. } = input.clone();
    let text = Kind::Text;
    let (any, key, value) = match op.text("op") {
        "map_values" => {
            let (map, kind) = (
                functions::map(op.text("fn"))?,
                Kind::named(op.text_or("as")),
            );
            let map = each!(any, s => named!(s, op)
                .map_values_with_key(move |k, v| kind.parse(map(k, &v.view()))));
            (map.into(), key, kind)
        }
        "map" => {
            let keys = functions::map(op.text("kfn"))?;
            let values = functions::map(op.text("vfn"))?;
            let kind = Kind::named(op.text_or("as"));
            let map = each!(any, s => named!(s, op).map(move |k, v| {
                let v = v.view();
                (keys(&k, &v), kind.parse(values(&k, &v)))
            }));
            (map.into(), text, kind)
        }
        "select_key" => {
            let select = functions::map(op.text("fn"))?;
            let any = each!(any, s => {
                named!(s, op).select_key(move |k, v| select(k, &v.view())).into()
            });
            (any, text, input.value)
        }
        "flat_map" => {
            let map = functions::flat_map(op.text("fn"))?;
            let map = each!(any, s => named!(s, op).flat_map(move |k, v| map(&k, &v.view())));
            (map.into(), text, text)
        }
        _ => {
            let map = functions::flat_map(op.text("fn"))?;
            let map = each!(any, s => named!(s, op).flat_map_values_with_key(move |k, v| {
                let all = map(k, &v.view()).into_iter();
                all.map(|(_, v)| v).collect::<Vec<_>>()
            }));
            (map.into(), key, text)
        }
    };
    Ok(Stream { any, key, value })
}
