//! The one type of keys and values in the runner: null, text or an int64.

use std::time::Duration;

use onceflow::prelude::*;
use onceflow::serde::{Encoded, SerdeError, SharedSerde};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Val {
    Null,
    Text(String),
    Int(i64),
}

/// How values of a stream are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Int,
    /// A text within a window of that size.
    InWindow(Duration),
    /// A text within a session.
    InSession,
}

impl Kind {
    pub(super) fn named(name: Option<&str>) -> Self {
        match name {
            None | Some("str") => Kind::Text,
            Some("i64") => Kind::Int,
            Some(other) => panic!("unknown type {other}"),
        }
    }

    /// The result of a function, which is text, as this kind.
    pub(super) fn parse(self, text: Val) -> Val {
        match (self, text) {
            (Kind::Int, Val::Text(text)) => Val::Int(text.parse().expect("a decimal")),
            (_, val) => val,
        }
    }
}

/// A type of keys or values in a topology: what functions see of it, and how it is written.
pub(super) trait View: Data + OrNull<<Self as View>::Row> {
    /// The same without null: what tables hold.
    type Row: View<Row = Self::Row>;

    /// Text, or null.
    fn view(&self) -> Val;

    /// The value again; none for null.
    fn from_val(val: Val) -> Option<Self>;

    fn serde_of(kind: Kind) -> SharedSerde<Self>;
}

impl View for Val {
    type Row = Val;

    fn view(&self) -> Val {
        self.clone()
    }

    fn from_val(val: Val) -> Option<Self> {
        (val != Val::Null).then_some(val)
    }

    fn serde_of(kind: Kind) -> SharedSerde<Val> {
        SharedSerde::new(ValSerde(kind))
    }
}

impl View for i64 {
    type Row = i64;

    fn view(&self) -> Val {
        Val::Int(*self)
    }

    fn from_val(val: Val) -> Option<Self> {
        match val {
            Val::Int(number) => Some(number),
            _ => None,
        }
    }

    fn serde_of(_kind: Kind) -> SharedSerde<i64> {
        SharedSerde::new(i64())
    }
}

impl View for Windowed<Val> {
    type Row = Windowed<Val>;

    fn view(&self) -> Val {
        let (key, Window { start, end }) = (self.key.printed(), self.window);
        Val::Text(format!("{key}@{start}/{end}"))
    }

    fn from_val(_: Val) -> Option<Self> {
        unreachable!("no function makes a key within a window")
    }

    fn serde_of(kind: Kind) -> SharedSerde<Self> {
        match kind {
            Kind::InWindow(size) => SharedSerde::new(time_windowed(ValSerde(Kind::Text), size)),
            _ => SharedSerde::new(session_windowed(ValSerde(Kind::Text))),
        }
    }
}

impl<V: View<Row = V>> View for Option<V> {
    type Row = V;

    fn view(&self) -> Val {
        self.as_ref().map_or(Val::Null, View::view)
    }

    fn from_val(val: Val) -> Option<Self> {
        V::from_val(val).map(Some)
    }

    fn serde_of(kind: Kind) -> SharedSerde<Self> {
        SharedSerde::new(nullable(<V as View>::serde_of(kind)))
    }
}

impl Val {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Val::Text(text.into())
    }

    /// The text view; none for null.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Val::Null => None,
            Val::Text(text) => Some(text.clone()),
            Val::Int(number) => Some(number.to_string()),
        }
    }

    /// The text view as a value.
    pub(super) fn to_text(&self) -> Self {
        self.as_text().map_or(Val::Null, Val::Text)
    }

    /// The text view, `null` for null.
    pub(super) fn printed(&self) -> String {
        self.as_text().unwrap_or_else(|| "null".to_owned())
    }
}

/// Reads and writes values of a kind, null included.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValSerde(pub(super) Kind);

impl Serde for ValSerde {
    type Item = Val;

    fn serialize(&self, value: &Val, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        match (self.0, value) {
            (_, Val::Null) => return Ok(Encoded::Null),
            (Kind::Text, Val::Text(text)) => out.extend_from_slice(text.as_bytes()),
            (Kind::Int, Val::Int(number)) => out.extend_from_slice(&number.to_be_bytes()),
            (kind, val) => return Err(SerdeError::new(format!("{val:?} is not {kind:?}"))),
        }
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Val, SerdeError> {
        let Some(bytes) = bytes else {
            return Ok(Val::Null);
        };
        match self.0 {
            Kind::InWindow(_) | Kind::InSession => {
                Err(SerdeError::new("a key within a window is no value"))
            }
            // Java's String serde replaces what is not UTF-8.
            Kind::Text => Ok(Val::Text(String::from_utf8_lossy(bytes).into_owned())),
            Kind::Int => onceflow::serde::i64()
                .deserialize(Some(bytes))
                .map(Val::Int),
        }
    }

    fn is_null(&self, value: &Val) -> bool {
        *value == Val::Null
    }
}
