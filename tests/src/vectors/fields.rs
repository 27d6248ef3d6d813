//! A JSON object whose every field must be known: what is not asked for is an error.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The fields of an object, and which of them were asked for.
pub(super) struct Fields<'j> {
    what: String,
    fields: &'j Map<String, Value>,
    asked: RefCell<BTreeSet<String>>,
}

impl<'j> Fields<'j> {
    pub(super) fn of(what: &str, value: &'j Value) -> Self {
        let fields = value.as_object();
        Fields {
            what: what.to_owned(),
            fields: fields.unwrap_or_else(|| panic!("{what} is no object: {value}")),
            asked: RefCell::default(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'j Value> {
        self.asked.borrow_mut().insert(name.to_owned());
        self.fields.get(name)
    }

    pub(super) fn value(&self, name: &str) -> &'j Value {
        let what = &self.what;
        self.get(name)
            .unwrap_or_else(|| panic!("{what} has no {name}"))
    }

    pub(super) fn text(&self, name: &str) -> &'j str {
        let text = self.value(name).as_str();
        text.unwrap_or_else(|| panic!("{name} of {} is no text", self.what))
    }

    pub(super) fn text_or(&self, name: &str) -> Option<&'j str> {
        self.get(name).and_then(Value::as_str)
    }

    pub(super) fn number_or(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(Value::as_i64)
    }

    pub(super) fn list(&self, name: &str) -> &'j [Value] {
        self.get(name)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    pub(super) fn object_or(&self, name: &str) -> Option<Fields<'j>> {
        self.get(name).map(|value| Fields::of(name, value))
    }

    /// All of them were asked for.
    pub(super) fn done(&self) {
        let asked = self.asked.borrow();
        let unknown: Vec<_> = self
            .fields
            .keys()
            .filter(|name| !asked.contains(*name))
            .collect();
        assert!(
            unknown.is_empty(),
            "{} has unknown fields {unknown:?}",
            self.what
        );
    }
}
