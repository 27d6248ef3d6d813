//! Windows: groupings divided by time, and what is aggregated in them.

use std::any::Any;
use std::rc::Rc;
use std::time::Duration;

use onceflow::prelude::*;

use super::build::{Applied, Build, named};
use super::fields::Fields;
use super::functions;
use super::handles::{GroupedAs, Kinds, Table};
use super::tables::{materialized, materialized_or_unnamed};
use super::unplayable::{Unplayable, unplayable};
use super::val::{Kind, Val, View};

pub(super) fn apply(build: &mut Build, op: &Fields<'_>) -> Applied {
    if op.text("op") == "window_by" {
        let Some(GroupedAs { any, kinds }) = build.input(op) else {
            return Ok(false);
        };
        build.keep(op, any.windowed(op, kinds)?);
        return Ok(true);
    }
    let Some(WindowedAs { any, kinds }) = build.input(op) else {
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

/// A windowed grouping, with the kinds of its keys and values.
#[derive(Clone)]
pub(super) struct WindowedAs {
    any: Rc<dyn InWindows>,
    kinds: WindowedKinds,
}

/// How keys and values are written, and keys within windows.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowedKinds {
    of: Kinds,
    windowed: Kind,
}

impl WindowedKinds {
    /// Of a table of aggregates.
    fn table(self, value: Kind) -> Kinds {
        self.of.of_key(self.windowed).of_value(value)
    }
}

/// What can be divided into windows.
pub(super) trait Windowable {
    fn windowed(&self, op: &Fields<'_>, kinds: Kinds) -> Result<WindowedAs, Unplayable>;
}

fn millis(fields: &Fields<'_>, name: &str) -> Duration {
    let millis = fields.number_or(name).unwrap_or(0);
    Duration::from_millis(millis.unsigned_abs())
}

/// What an op's `window` says.
pub(super) enum Spec {
    Time(TimeWindows),
    Sliding(SlidingWindows),
    Session(SessionWindows),
    Unlimited(UnlimitedWindows),
}

impl Spec {
    pub(super) fn read(window: &Fields<'_>) -> Result<Self, Unplayable> {
        let grace = millis(window, "grace");
        let spec = match window.text("kind") {
            "time" => {
                let windows = TimeWindows::of_size_and_grace(millis(window, "size"), grace);
                Spec::Time(match window.get("advance") {
                    Some(_) => windows.advance_by(millis(window, "advance")),
                    None => windows,
                })
            }
            "sliding" => {
                let difference = millis(window, "diff");
                Spec::Sliding(SlidingWindows::of_time_difference_and_grace(
                    difference, grace,
                ))
            }
            "session" => {
                let gap = millis(window, "gap");
                Spec::Session(SessionWindows::of_inactivity_gap_and_grace(gap, grace))
            }
            "unlimited" => {
                let start = window.number_or("start").unwrap_or(0);
                Spec::Unlimited(UnlimitedWindows::of().start_on(Timestamp::from_millis(start)))
            }
            other => return unplayable(format!("windows {other}")),
        };
        Ok(spec)
    }

    /// How keys in these windows are written.
    pub(super) fn kind(&self, window: &Fields<'_>) -> Kind {
        match self {
            Spec::Time(_) => Kind::InWindow(millis(window, "size")),
            Spec::Sliding(_) => Kind::InWindow(millis(window, "diff")),
            Spec::Unlimited(_) => Kind::InWindow(Duration::from_millis(i64::MAX.unsigned_abs())),
            Spec::Session(_) => Kind::InSession,
        }
    }
}

pub(super) fn strategy(op: &Fields<'_>) -> Result<EmitStrategy, Unplayable> {
    match op.text_or("emit") {
        None | Some("on_update") => Ok(EmitStrategy::on_window_update()),
        Some("on_close") => Ok(EmitStrategy::on_window_close()),
        Some(other) => unplayable(format!("emission {other}")),
    }
}

impl<K, V, K0, V0> Windowable for KGroupedStream<K, V, K0, V0>
where
    K: View,
    V: View<Row = V>,
    K0: Data + OrNull<K>,
    V0: Data + OrNull<V>,
{
    fn windowed(&self, op: &Fields<'_>, kinds: Kinds) -> Result<WindowedAs, Unplayable> {
        let window = op.object_or("window");
        let window = window.ok_or_else(|| Unplayable("no windows".to_owned()))?;
        let emit = strategy(op)?;
        let spec = Spec::read(&window)?;
        let kinds = WindowedKinds {
            of: kinds,
            windowed: spec.kind(&window),
        };
        window.done();
        // A window within a window would be a type within itself.
        let grouped = (self as &dyn Any).downcast_ref::<KGroupedStream<Val, V, Val, V0>>();
        let grouped = grouped.ok_or_else(|| Unplayable("windows within windows".to_owned()))?;
        let any: Rc<dyn InWindows> = match spec {
            Spec::Time(windows) => Rc::new(grouped.windowed_by(windows).emit_strategy(emit)),
            Spec::Sliding(windows) => Rc::new(grouped.windowed_by(windows).emit_strategy(emit)),
            Spec::Unlimited(windows) => Rc::new(grouped.windowed_by(windows).emit_strategy(emit)),
            Spec::Session(windows) => Rc::new(grouped.windowed_by(windows).emit_strategy(emit)),
        };
        Ok(WindowedAs { any, kinds })
    }
}

impl<K: View, V: View<Row = V>> Windowable for KGroupedTable<K, V> {
    fn windowed(&self, _: &Fields<'_>, _: Kinds) -> Result<WindowedAs, Unplayable> {
        unplayable("windows of a grouped table")
    }
}

/// What can be aggregated in windows.
pub(super) trait InWindows {
    fn counted(&self, op: &Fields<'_>, kinds: WindowedKinds) -> Result<Table, Unplayable>;
    fn reduced(&self, op: &Fields<'_>, kinds: WindowedKinds) -> Result<Table, Unplayable>;
    fn aggregated(&self, op: &Fields<'_>, kinds: WindowedKinds) -> Result<Table, Unplayable>;
}

macro_rules! in_windows {
    ($stream:ident, |$op:ident, $named:ident, $init:ident, $fold:ident, $materialized:ident| $aggregate:expr) => {
        impl<V, V0> InWindows for $stream<Val, V, Val, V0>
        where
            V: View<Row = V>,
            V0: Data + OrNull<V>,
        {
            fn counted(&self, op: &Fields<'_>, kinds: WindowedKinds) -> Result<Table, Unplayable> {
                let table = match materialized(op, kinds.of.of_value(Kind::Int))? {
                    Some(materialized) => named!(self, op).count_with(materialized),
                    None => named!(self, op).count(),
                };
                Ok(Table::new(table, kinds.table(Kind::Int)))
            }

            fn reduced(&self, op: &Fields<'_>, kinds: WindowedKinds) -> Result<Table, Unplayable> {
                let combine = functions::reduce(op.text("fn"))?;
                let combine = move |a: V, b: V| V::from_val(combine(&a.view(), &b.view()));
                let table = match materialized(op, kinds.of)? {
                    Some(materialized) => named!(self, op).reduce_with(combine, materialized),
                    None => named!(self, op).reduce(combine),
                };
                Ok(Table::new(table, kinds.table(kinds.of.value)))
            }

            fn aggregated(
                &self,
                $op: &Fields<'_>,
                kinds: WindowedKinds,
            ) -> Result<Table, Unplayable> {
                let value = Kind::named($op.text_or("as"));
                let init = functions::init($op.text("init"))?;
                let fold = functions::aggregate($op.text("fn"))?;
                let $fold = move |k: &Val, v: V, row: Val| fold(k, &v.view(), &row);
                let $materialized = materialized_or_unnamed($op, kinds.of.of_value(value))?;
                let ($named, $init) = (named!(self, $op), move || init.clone());
                Ok(Table::new($aggregate, kinds.table(value)))
            }
        }
    };
}

in_windows!(
    TimeWindowedKStream,
    |op, windowed, init, fold, materialized| windowed.aggregate(init, fold, materialized)
);
in_windows!(
    SessionWindowedKStream,
    |op, windowed, init, fold, materialized| {
        let merge = functions::merge(op.text("merger"))?;
        let merge = move |_: &Val, one: Val, two: Val| merge(&one, &two);
        windowed.aggregate(init, fold, merge, materialized)
    }
);
