//! Cogroups: several groupings, each with a fold of its own, in windows or without.

use std::any::Any;

use onceflow::prelude::*;

use super::build::{Applied, Build, named};
use super::fields::Fields;
use super::functions::{self, Aggregate};
use super::handles::{GroupedAs, Kinds, Table};
use super::tables::materialized_or_unnamed;
use super::unplayable::{Unplayable, unplayable};
use super::val::{Kind, Val, View};
use super::windows::Spec;

pub(super) fn apply(build: &mut Build, op: &Fields<'_>) -> Applied {
    match op.text("op") {
        "cogroup" => cogroup(build, op)?,
        "window_by" => {
            let Some(Cogrouped(cogrouped, kinds)) = build.input(op) else {
                return Ok(false);
            };
            let windowed = windowed(op, &cogrouped, kinds)?;
            build.keep(op, windowed);
        }
        "aggregate" => {
            if let Some(Cogrouped(cogrouped, kinds)) = build.input(op) {
                let kinds = kinds.of_value(Kind::named(op.text_or("as")));
                let init = functions::init(op.text("init"))?;
                let materialized = materialized_or_unnamed(op, kinds)?;
                let cogrouped = named!(cogrouped, op);
                let table = cogrouped.aggregate(move || init.clone(), materialized);
                build.keep(op, Table::new(table, kinds));
            } else if let Some(windowed) = build.input::<InWindows>(op) {
                let table = windowed.aggregated(op)?;
                build.keep(op, table);
            } else {
                return Ok(false);
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Cogrouped streams.
#[derive(Clone)]
struct Cogrouped(CogroupedKStream<Val, Val>, Kinds);

/// Cogrouped streams in windows, with the kind of their keys within windows.
#[derive(Clone)]
struct InWindows {
    windowed: AnyWindows,
    kinds: Kinds,
    key: Kind,
}

#[derive(Clone)]
enum AnyWindows {
    Time(TimeWindowedCogroupedKStream<Val, Val>),
    Session(SessionWindowedCogroupedKStream<Val, Val>),
}

fn cogroup(build: &mut Build, op: &Fields<'_>) -> Result<(), Unplayable> {
    let mut all: Option<Cogrouped> = None;
    for input in op.list("inputs") {
        let input = Fields::of("input", input);
        let fold = functions::aggregate(input.text("fn"))?;
        let grouped: Option<GroupedAs> = build.find(input.text("in"));
        let grouped = grouped.ok_or_else(|| Unplayable("a cogroup of no grouping".to_owned()))?;
        let (before, kinds) = match all {
            Some(Cogrouped(before, kinds)) => (Some(before), kinds),
            None => (None, grouped.kinds),
        };
        all = Some(Cogrouped(grouped.any.cogrouped(before, fold)?, kinds));
        input.done();
    }
    let all = all.ok_or_else(|| Unplayable("a cogroup of nothing".to_owned()))?;
    build.keep(op, all);
    Ok(())
}

fn windowed(
    op: &Fields<'_>,
    cogrouped: &CogroupedKStream<Val, Val>,
    kinds: Kinds,
) -> Result<InWindows, Unplayable> {
    let window = op.object_or("window");
    let window = window.ok_or_else(|| Unplayable("no windows".to_owned()))?;
    let spec = Spec::read(&window)?;
    let key = spec.kind(&window);
    window.done();
    let windowed = match spec {
        Spec::Time(windows) => AnyWindows::Time(cogrouped.windowed_by(windows)),
        Spec::Sliding(windows) => AnyWindows::Time(cogrouped.windowed_by(windows)),
        Spec::Unlimited(windows) => AnyWindows::Time(cogrouped.windowed_by(windows)),
        Spec::Session(windows) => AnyWindows::Session(cogrouped.windowed_by(windows)),
    };
    Ok(InWindows {
        windowed,
        kinds,
        key,
    })
}

impl InWindows {
    fn aggregated(&self, op: &Fields<'_>) -> Result<Table, Unplayable> {
        let kinds = self.kinds.of_value(Kind::named(op.text_or("as")));
        let init = functions::init(op.text("init"))?;
        let init = move || init.clone();
        let materialized = materialized_or_unnamed(op, kinds)?;
        let table = match &self.windowed {
            AnyWindows::Time(windowed) => named!(windowed, op).aggregate(init, materialized),
            AnyWindows::Session(windowed) => {
                let merge = functions::merge(op.text("merger"))?;
                let merge = move |_: &Val, one: Val, two: Val| merge(&one, &two);
                named!(windowed, op).aggregate(init, merge, materialized)
            }
        };
        Ok(Table::new(table, kinds.of_key(self.key)))
    }
}

/// What can be a part of a cogroup.
pub(super) trait Cogroupable {
    fn cogrouped(
        &self,
        before: Option<CogroupedKStream<Val, Val>>,
        fold: Aggregate,
    ) -> Result<CogroupedKStream<Val, Val>, Unplayable>;
}

impl<K, V, K0, V0> Cogroupable for KGroupedStream<K, V, K0, V0>
where
    K: View,
    V: View<Row = V>,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    fn cogrouped(
        &self,
        before: Option<CogroupedKStream<Val, Val>>,
        fold: Aggregate,
    ) -> Result<CogroupedKStream<Val, Val>, Unplayable> {
        let grouped = (self as &dyn Any).downcast_ref::<KGroupedStream<Val, V, Val, V0>>();
        let grouped = grouped.ok_or_else(|| Unplayable("cogroups by windows".to_owned()))?;
        let fold = move |k: &Val, v: V, row: Val| fold(k, &v.view(), &row);
        Ok(match before {
            Some(before) => before.cogroup(grouped, fold),
            None => grouped.cogroup(fold),
        })
    }
}

impl<K: View, V: View<Row = V>> Cogroupable for KGroupedTable<K, V> {
    fn cogrouped(
        &self,
        _: Option<CogroupedKStream<Val, Val>>,
        _: Aggregate,
    ) -> Result<CogroupedKStream<Val, Val>, Unplayable> {
        unplayable("a cogroup of a grouped table")
    }
}
