//! Operators that take a stream and make one, or end one.

use std::any::Any;

use onceflow::prelude::*;

use super::build::{Applied, Build, named};
use super::fields::Fields;
use super::functions;
use super::handles::{Kinds, Stream};
use super::unplayable::{Unplayable, unplayable};
use super::val::{Kind, Val, View};

pub(super) fn apply(build: &mut Build, op: &Fields<'_>) -> Applied {
    let Some(Stream { any, kinds }) = build.input(op) else {
        return Ok(false);
    };
    let result = match op.text("op") {
        "merge" => {
            let other = build.find::<Stream>(op.text("other"));
            let other = other.ok_or_else(|| Unplayable("merge with what is no stream".into()))?;
            any.merge_with(op, kinds, &*other.any)?
        }
        "split" => {
            let (branches, names) = any.split_into(op, kinds)?;
            build.branches.insert(op.text("id").to_owned(), names);
            for (id, branch) in branches {
                build.keep_as(&id, branch);
            }
            return Ok(true);
        }
        "foreach" | "to" => {
            any.end(op, kinds)?;
            return Ok(true);
        }
        "filter" | "filter_not" | "peek" | "repartition" => any.keep_types(op, kinds)?,
        "map_values" | "flat_map_values" | "map" | "select_key" | "flat_map" => {
            any.change_types(op, kinds)?
        }
        _ => return Ok(false),
    };
    build.keep(op, result);
    Ok(true)
}

/// Branches by id, and all their names.
type Split = (Vec<(String, Stream)>, Vec<String>);

pub(super) trait Stateless {
    fn keep_types(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Stream, Unplayable>;
    fn change_types(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Stream, Unplayable>;
    fn merge_with(
        &self,
        op: &Fields<'_>,
        kinds: Kinds,
        other: &dyn Any,
    ) -> Result<Stream, Unplayable>;
    fn split_into(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Split, Unplayable>;
    fn end(&self, op: &Fields<'_>, kinds: Kinds) -> Result<(), Unplayable>;
}

impl<K: View, V: View> Stateless for KStream<K, V> {
    fn keep_types(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Stream, Unplayable> {
        let stream = named!(self, op);
        let result = match op.text("op") {
            "peek" => stream.peek(|_, _| {}),
            "repartition" => {
                let (keys, values) = (K::serde_of(kinds.key), V::serde_of(kinds.value));
                let options = Repartitioned::with(keys, values);
                stream.repartition(match op.number_or("partitions") {
                    Some(count) => options.with_partitions(i32::try_from(count).expect("a count")),
                    None => options,
                })
            }
            filter => {
                let accepts = functions::predicate(op.text("fn"))?;
                let accepts = move |k: &K, v: &V| accepts(&k.view(), &v.view());
                match filter {
                    "filter" => stream.filter(accepts),
                    _ => stream.filter_not(accepts),
                }
            }
        };
        Ok(Stream::new(result, kinds))
    }

    fn change_types(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Stream, Unplayable> {
        let stream = named!(self, op);
        let result_kind = Kind::named(op.text_or("as"));
        let kinds_of_text = Kinds {
            key: Kind::Text,
            value: Kind::Text,
        };
        Ok(match op.text("op") {
            "map_values" => {
                let map = functions::map(op.text("fn"))?;
                let map = move |k: &K, v: V| result_kind.parse(map(&k.view(), &v.view()));
                let stream = stream.map_values_with_key(map);
                Stream::new(stream, kinds.of_value(result_kind))
            }
            "map" => {
                let keys = functions::map(op.text("kfn"))?;
                let values = functions::map(op.text("vfn"))?;
                let stream = stream.map(move |k, v| {
                    let (k, v) = (k.view(), v.view());
                    (keys(&k, &v), result_kind.parse(values(&k, &v)))
                });
                Stream::new(stream, kinds_of_text.of_value(result_kind))
            }
            "select_key" => {
                let select = functions::map(op.text("fn"))?;
                let stream = stream.select_key(move |k, v| select(&k.view(), &v.view()));
                Stream::new(stream, kinds.of_key(Kind::Text))
            }
            "flat_map" => {
                let map = functions::flat_map(op.text("fn"))?;
                let stream = stream.flat_map(move |k, v| map(&k.view(), &v.view()));
                Stream::new(stream, kinds_of_text)
            }
            _ => {
                let map = functions::flat_map(op.text("fn"))?;
                let stream = stream.flat_map_values_with_key(move |k, v| {
                    let all = map(&k.view(), &v.view()).into_iter();
                    all.map(|(_, v)| v).collect::<Vec<Val>>()
                });
                Stream::new(stream, kinds.of_value(Kind::Text))
            }
        })
    }

    fn merge_with(
        &self,
        op: &Fields<'_>,
        kinds: Kinds,
        other: &dyn Any,
    ) -> Result<Stream, Unplayable> {
        let Some(other) = other.downcast_ref::<KStream<K, V>>() else {
            return unplayable("a merge of streams of different types");
        };
        Ok(Stream::new(named!(self, op).merge(other), kinds))
    }

    fn split_into(&self, op: &Fields<'_>, kinds: Kinds) -> Result<Split, Unplayable> {
        let mut split = named!(self, op).split();
        let (mut made, mut names) = (Vec::new(), Vec::new());
        let branches = op.list("branches").iter();
        let branches = branches.map(|branch| Fields::of("branch", branch));
        for branch in branches.chain(op.object_or("default")) {
            if let Some(name) = branch.text_or("name") {
                split.named(name);
            }
            let stream = match branch.text_or("fn") {
                Some(accepts) => {
                    let accepts = functions::predicate(accepts)?;
                    split.branch(move |k, v| accepts(&k.view(), &v.view()))
                }
                None => split.default_branch(),
            };
            names.push(stream.name().to_owned());
            made.push((branch.text("id").to_owned(), Stream::new(stream, kinds)));
            branch.done();
        }
        names.sort();
        Ok((made, names))
    }

    fn end(&self, op: &Fields<'_>, kinds: Kinds) -> Result<(), Unplayable> {
        let stream = named!(self, op);
        if op.text("op") == "foreach" {
            stream.for_each(|_, _| {});
            return Ok(());
        }
        let produced = Produced::with(K::serde_of(kinds.key), V::serde_of(kinds.value));
        let Some(extract) = op.text_or("topic_fn") else {
            stream.to(op.text("topic"), produced);
            return Ok(());
        };
        let extract = functions::topic(extract)?;
        let extract = move |r: &Record<K, V>| extract(&r.key.view(), &r.value.view());
        stream.to_extracted(extract, produced);
        Ok(())
    }
}
