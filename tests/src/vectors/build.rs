//! From a case's ops to a topology, by the operators of the library.
//!
//! Each op goes to the families in turn, until one knows it. What an op makes is kept under its
//! id as what it is: a family that makes something new brings a type of its own for it.

use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;

use onceflow::TopologyBuilder;
use onceflow::prelude::*;
use serde_json::Value;

use super::cogroups;
use super::fields::Fields;
use super::handles::Stream;
use super::unplayable::{Unplayable, unplayable};
use super::{aggregates, joins, low_level, processor, sources, stateless, tables, windows};

/// Whether the family knows the op; if so, it was applied.
pub(super) type Applied = Result<bool, Unplayable>;

/// Every family, by what applies its ops. The first that knows one takes it.
const FAMILIES: [fn(&mut Build, &Fields<'_>) -> Applied; 9] = [
    sources::apply,
    stateless::apply,
    tables::apply,
    aggregates::apply,
    windows::apply,
    cogroups::apply,
    joins::apply,
    processor::apply,
    low_level::apply,
];

/// A topology in the making.
pub(super) struct Build {
    pub(super) builder: StreamsBuilder,
    /// What is built node by node instead, if anything is.
    pub(super) low_level: Option<TopologyBuilder>,
    /// What ops made, by id.
    made: BTreeMap<String, Rc<dyn Any>>,
    /// By split: the names of its branches.
    pub(super) branches: BTreeMap<String, Vec<String>>,
    /// The timestamp extractor of sources that name none.
    pub(super) extractor: String,
    /// The first thing that the library's types refuse. A program with it does not compile, so that
    /// there is nothing to be built.
    pub(super) refused: Option<String>,
}

/// Names the operator that follows, if the op has a name.
macro_rules! named {
    ($handle:expr, $op:expr) => {
        match $op.text_or("name") {
            Some(name) => $handle.named(name),
            None => $handle.clone(),
        }
    };
}
pub(super) use named;

impl Build {
    pub(super) fn new(extractor: &str) -> Self {
        Build {
            builder: StreamsBuilder::new(),
            low_level: None,
            made: BTreeMap::new(),
            branches: BTreeMap::new(),
            extractor: extractor.to_owned(),
            refused: None,
        }
    }

    /// The topology as far as it was told.
    pub(super) fn finish(self, options: &BuildOptions) -> Result<Topology, Error> {
        match self.low_level {
            Some(nodes) => nodes.build(),
            None => self.builder.build_with(options),
        }
    }

    pub(super) fn apply(&mut self, op: &Value) -> Result<(), Unplayable> {
        let op = &Fields::of("op", op);
        // Known to all, whether an op has a use for them or not.
        for common in ["id", "in", "name"] {
            op.get(common);
        }
        for family in FAMILIES {
            if family(self, op)? {
                op.done();
                return Ok(());
            }
        }
        unplayable(format!("op {}", op.text("op")))
    }

    /// Notes that an op would not compile, and goes on with its input.
    pub(super) fn refuse<T: 'static>(&mut self, op: &Fields<'_>, input: T, reason: &str) {
        self.refused.get_or_insert_with(|| reason.to_owned());
        self.keep(op, input);
    }

    /// Keeps what an op made, under its id.
    pub(super) fn keep<T: 'static>(&mut self, op: &Fields<'_>, made: T) {
        self.keep_as(op.text("id"), made);
    }

    pub(super) fn keep_as<T: 'static>(&mut self, id: &str, made: T) {
        self.made.insert(id.to_owned(), Rc::new(made));
    }

    /// What an op made, if it made one of these.
    pub(super) fn find<T: Clone + 'static>(&self, id: &str) -> Option<T> {
        self.made.get(id)?.downcast_ref().cloned()
    }

    /// The op's input, if it is one of these.
    pub(super) fn input<T: Clone + 'static>(&self, op: &Fields<'_>) -> Option<T> {
        self.find(op.text_or("in")?)
    }

    /// The op's input, which is a stream.
    pub(super) fn stream(&self, op: &Fields<'_>) -> Result<Stream, Unplayable> {
        let stream = self.input(op);
        stream.ok_or_else(|| Unplayable(format!("{} of what is no stream", op.text("op"))))
    }
}
