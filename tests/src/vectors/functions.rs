//! The functions that cases name, as `name` or `name:arg`.

use std::sync::Arc;

use super::unplayable::{Unplayable, unplayable};
use super::val::Val;

pub(super) type Map = Arc<dyn Fn(&Val, &Val) -> Val + Send + Sync>;
pub(super) type Predicate = Arc<dyn Fn(&Val, &Val) -> bool + Send + Sync>;
pub(super) type FlatMap = Arc<dyn Fn(&Val, &Val) -> Vec<(Val, Val)> + Send + Sync>;
pub(super) type Topic = Arc<dyn Fn(&Val, &Val) -> String + Send + Sync>;
pub(super) type Reduce = Arc<dyn Fn(&Val, &Val) -> Val + Send + Sync>;
pub(super) type Join = Arc<dyn Fn(&Val, &Val, &Val) -> Val + Send + Sync>;
pub(super) type Aggregate = Arc<dyn Fn(&Val, &Val, &Val) -> Val + Send + Sync>;

fn split(spec: &str) -> (&str, String) {
    let (name, arg) = spec.split_once(':').unwrap_or((spec, ""));
    (name, arg.to_owned())
}

/// Null starts with nothing.
fn starts_with(val: &Val, start: &str) -> bool {
    val.as_text().is_some_and(|text| text.starts_with(start))
}

fn number(arg: &str) -> usize {
    arg.parse().expect("a count")
}

/// The first `count` characters.
fn first(text: &str, count: usize) -> String {
    text.chars().take(count).collect()
}

/// A function of the value's text that answers null for null.
fn of_value(f: impl Fn(&str) -> Val + Send + Sync + 'static) -> Map {
    Arc::new(move |_, value| value.as_text().map_or(Val::Null, |text| f(&text)))
}

pub(super) fn map(spec: &str) -> Result<Map, Unplayable> {
    let (name, arg) = split(spec);
    Ok(match name {
        "value" => of_value(|v| Val::text(v)),
        "upper" => of_value(|v| Val::text(v.to_uppercase())),
        "append" => of_value(move |v| Val::text(format!("{v}{arg}"))),
        "prepend" => of_value(move |v| Val::text(format!("{arg}{v}"))),
        "prefix" => of_value(move |v| Val::text(first(v, number(&arg)))),
        "from" => of_value(move |v| Val::text(v.chars().skip(number(&arg)).collect::<String>())),
        "null_if_prefix" => of_value(move |v| match v.starts_with(&*arg) {
            true => Val::Null,
            false => Val::text(v),
        }),
        "prefix1_unless" => of_value(move |v| match v.starts_with(&*arg) {
            true => Val::Null,
            false => Val::text(first(v, 1)),
        }),
        "len" => of_value(|v| Val::text(v.chars().count().to_string())),
        "parse" => of_value(|v| Val::text(digits(v).to_string())),
        "field" => of_value(move |v| {
            let part = v.split(':').nth(number(&arg));
            part.map_or(Val::Null, Val::text)
        }),
        "key" => Arc::new(|k, _| k.as_text().map_or(Val::Null, Val::Text)),
        "key_prefix" => Arc::new(move |k, _| {
            let prefix = k.as_text().map(|k| first(&k, number(&arg)));
            prefix.map_or(Val::Null, Val::Text)
        }),
        "const" => Arc::new(move |_, _| Val::text(&*arg)),
        "null" => Arc::new(|_, _| Val::Null),
        "concat" => Arc::new(|k, v| Val::Text(format!("{}:{}", k.printed(), v.printed()))),
        "null_to" => Arc::new(move |_, v| match v.as_text() {
            Some(text) => Val::Text(text),
            None => Val::text(&*arg),
        }),
        "fail_if_prefix" => of_value(move |v| {
            assert!(!v.starts_with(&*arg), "the case asks for a failure");
            Val::text(v)
        }),
        other => return unplayable(format!("map function {other}")),
    })
}

/// The digits of a text as a decimal, 0 if there are none.
fn digits(text: &str) -> i64 {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

pub(super) fn predicate(spec: &str) -> Result<Predicate, Unplayable> {
    let (name, arg) = split(spec);
    let of_text = |f: Box<dyn Fn(&str) -> bool + Send + Sync>| -> Predicate {
        Arc::new(move |_, v| v.as_text().is_some_and(|v| f(&v)))
    };
    Ok(match name {
        "true" => Arc::new(|_, _| true),
        "false" => Arc::new(|_, _| false),
        "value_starts" => of_text(Box::new(move |v| v.starts_with(&*arg))),
        "value_is" => of_text(Box::new(move |v| v == arg)),
        "value_not_null" => Arc::new(|_, v| *v != Val::Null),
        "key_not_null" => Arc::new(|k, _| *k != Val::Null),
        "key_is" => Arc::new(move |k, _| k.as_text().is_some_and(|k| k == arg)),
        "len_gt" => of_text(Box::new(move |v| v.chars().count() > number(&arg))),
        "i64_ge" => of_text(Box::new(move |v| digits_signed(v) >= digits_signed(&arg))),
        "i64_even" => of_text(Box::new(|v| digits_signed(v) % 2 == 0)),
        "fail_if_prefix" => Arc::new(move |_, v| {
            let fails = v.as_text().is_some_and(|v| v.starts_with(&*arg));
            assert!(!fails, "the case asks for a failure");
            true
        }),
        other => return unplayable(format!("predicate {other}")),
    })
}

fn digits_signed(text: &str) -> i64 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no number"))
}

/// Sees texts and makes texts.
pub(super) fn flat_map(spec: &str) -> Result<FlatMap, Unplayable> {
    let map = flat_map_of_texts(spec)?;
    Ok(Arc::new(move |k, v| map(&k.to_text(), &v.to_text())))
}

fn flat_map_of_texts(spec: &str) -> Result<FlatMap, Unplayable> {
    let (name, _) = split(spec);
    let parts = |v: &Val| -> Vec<Val> {
        let parts = v.as_text().map(|v| v.split(',').map(Val::text).collect());
        parts.unwrap_or_default()
    };
    Ok(match name {
        "none" => Arc::new(|_, _| Vec::new()),
        "twice" => Arc::new(|k, v| {
            let again = v
                .as_text()
                .map_or(Val::Null, |v| Val::Text(format!("{v}'")));
            vec![(k.clone(), v.clone()), (k.clone(), again)]
        }),
        "swap" => Arc::new(|k, v| vec![(v.clone(), k.clone())]),
        "split" => Arc::new(move |k, v| {
            let parts = parts(v).into_iter();
            parts.map(|part| (k.clone(), part)).collect()
        }),
        "explode" => Arc::new(move |_, v| {
            let parts = parts(v).into_iter();
            parts.map(|part| (part, v.clone())).collect()
        }),
        other => return unplayable(format!("flat function {other}")),
    })
}

/// An int64 side of a reduction; null counts 0.
fn int(val: &Val) -> i64 {
    match val {
        Val::Int(number) => *number,
        other => panic!("{other:?} is no int64"),
    }
}

pub(super) fn reduce(spec: &str) -> Result<Reduce, Unplayable> {
    let (name, arg) = split(spec);
    let joined =
        |a: &Val, sign: &str, b: &Val| Val::Text(format!("{}{sign}{}", a.printed(), b.printed()));
    Ok(match name {
        "concat" => Arc::new(move |a, b| joined(a, "+", b)),
        "sub_concat" => Arc::new(move |a, b| joined(a, "-", b)),
        "last" => Arc::new(|_, b| b.clone()),
        "first" => Arc::new(|a, _| a.clone()),
        "max" => Arc::new(|a, b| a.max(b).clone()),
        "null_if" => Arc::new(move |a, b| match starts_with(b, &arg) {
            true => Val::Null,
            false => joined(a, "+", b),
        }),
        "sum" => Arc::new(|a, b| Val::Int(int(a) + int(b))),
        "minus" => Arc::new(|a, b| Val::Int(int(a) - int(b))),
        other => return unplayable(format!("reduce function {other}")),
    })
}

/// Gets key, left and right value.
pub(super) fn join(spec: Option<&str>) -> Result<Join, Unplayable> {
    let (name, arg) = split(spec.unwrap_or("pair"));
    let pair = |l: &Val, r: &Val| format!("[{},{}]", l.printed(), r.printed());
    Ok(match name {
        "pair" => Arc::new(move |_, l, r| Val::Text(pair(l, r))),
        "key_pair" => Arc::new(move |k, l, r| Val::Text(k.printed() + &pair(l, r))),
        "left" => Arc::new(|_, l, _| l.clone()),
        "right" => Arc::new(|_, _, r| r.clone()),
        "null_if_right" => Arc::new(move |_, l, r| match starts_with(r, &arg) {
            true => Val::Null,
            false => Val::Text(pair(l, r)),
        }),
        other => return unplayable(format!("join function {other}")),
    })
}

/// The first value of an aggregate.
pub(super) fn init(spec: &str) -> Result<Val, Unplayable> {
    let (name, arg) = split(spec);
    Ok(match name {
        "empty" => Val::text(""),
        "null" => Val::Null,
        "const" => Val::Text(arg),
        "i64" => Val::Int(arg.parse().expect("an int64")),
        other => return unplayable(format!("initial value {other}")),
    })
}

/// Gets key, value and aggregate.
pub(super) fn aggregate(spec: &str) -> Result<Aggregate, Unplayable> {
    let (name, arg) = split(spec);
    let sum = |g: &Val| match g {
        Val::Null => 0,
        other => int(other),
    };
    let length = |v: &Val| {
        let length = v.as_text().map_or(0, |v| v.chars().count());
        i64::try_from(length).expect("a short text")
    };
    let parsed = |v: &Val| v.as_text().map_or(0, |v| digits(&v));
    Ok(match name {
        "concat" => Arc::new(|_, v, g| Val::Text(format!("{}+{}", g.printed(), v.printed()))),
        "sub_concat" => Arc::new(|_, v, g| Val::Text(format!("{}-{}", g.printed(), v.printed()))),
        "keyed" => Arc::new(|k, v, g| {
            let (k, v, g) = (k.printed(), v.printed(), g.printed());
            Val::Text(format!("{g}+{k}={v}"))
        }),
        "last" => Arc::new(|_, v, _| v.clone()),
        "null_if" => Arc::new(move |_, v, g| match starts_with(v, &arg) {
            true => Val::Null,
            false => Val::Text(format!("{}+{}", g.printed(), v.printed())),
        }),
        "sum_len" => Arc::new(move |_, v, g| Val::Int(sum(g) + length(v))),
        "minus_len" => Arc::new(move |_, v, g| Val::Int(sum(g) - length(v))),
        "sum" => Arc::new(move |_, v, g| Val::Int(sum(g) + parsed(v))),
        "minus" => Arc::new(move |_, v, g| Val::Int(sum(g) - parsed(v))),
        other => return unplayable(format!("aggregate function {other}")),
    })
}

/// Makes one aggregate of two.
pub(super) fn merge(spec: &str) -> Result<Reduce, Unplayable> {
    Ok(match spec {
        "paren" => Arc::new(|a, b| Val::Text(format!("({}|{})", a.printed(), b.printed()))),
        "last" => Arc::new(|_, b| b.clone()),
        "sum" => Arc::new(|a, b| Val::Int(int(a) + int(b))),
        other => return unplayable(format!("merge function {other}")),
    })
}

/// The topic of a record, from its key and value.
pub(super) fn topic(spec: &str) -> Result<Topic, Unplayable> {
    let (name, arg) = split(spec);
    Ok(match name {
        "by_key" => Arc::new(move |k, _| format!("{arg}{}", k.printed())),
        "by_value1" => Arc::new(move |_, v| {
            let first = v
                .as_text()
                .map_or_else(|| "null".to_owned(), |v| first(&v, 1));
            format!("{arg}{first}")
        }),
        other => return unplayable(format!("topic function {other}")),
    })
}
