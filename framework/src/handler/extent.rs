//! How much is given up when a processor fails and its handler goes on.

use std::fmt;

/// How much is given up when a processor fails at a record, or a punctuation, and
/// [its handler](super) goes on: `processing.exception.scope`.
///
/// | | [`Record`](Self::Record) | [`Node`](Self::Node), as Kafka Streams does |
/// |---|---|---|
/// | given up | the record | the call of the node that failed; it has returned, for the node before it |
/// | outputs and writes before the failure | taken back | stay |
/// | other branches, other records that a `flat_map` made of it | taken back | stay, and those still to come follow |
/// | asked, counted, buried | once a record | once a call that failed |
/// | processors after a failure | made anew | go on with what they have in their fields |
/// | tried again, after [`Retry`](super::Retry) or a pause | yes | refused when built: what stays would be there twice |
/// | a row too large for its changelog | is the record's failure | stops the application |
/// | costs each record that does not fail | a copy of its outputs and of what its writes replace; record caches and the logging of a batch's last values are off | a copy of its bytes, for the handler, and a look at how each node ended |
/// | in instructions, clients left out, of 1138 for a map and 2362 for a count without a handler that goes on | 2070 and 4414 | 1536 and 2782 |
///
/// Both are in the transaction of the record, so both are exactly once, dead letters included. `Record`
/// suits outputs that make sense together only; `Node` suits an application that is moved from Java,
/// steps that do not depend on each other, and whatever needs its cache.
///
/// ```
/// use onceflow_framework::handler::{FailureScope, OnFailedRecord};
/// use onceflow_framework::processor::{Context, Processor};
/// use onceflow_framework::test_driver::TestDriver;
/// use onceflow_framework::topology::{Consumed, Produced, TopologyBuilder};
/// use onceflow_framework::{serde, Error, Fault, Record, Timestamp};
///
/// /// Forwards a number and fails at its double.
/// struct Twice;
///
/// impl Processor for Twice {
///     type KeyIn = String;
///     type ValueIn = i64;
///     type KeyOut = String;
///     type ValueOut = i64;
///
///     fn process(&mut self, r: Record<String, i64>, ctx: &mut Context<String, i64>) -> Result<(), Fault> {
///         ctx.forward(r)?;
///         Err(Fault::message("not twice"))
///     }
/// }
///
/// let left = |scope| {
///     let mut builder = TopologyBuilder::new();
///     let numbers = builder.add_source("in", ["numbers"], Consumed::<String, i64>::new());
///     let twice = builder.add_processor("twice", || Twice, &[&numbers]);
///     builder.add_sink("out", "twice", Produced::new(), &[&twice]);
///     let driver = TestDriver::builder(builder.build()?)
///         .on_failed_record(OnFailedRecord::Continue)
///         .failure_scope(scope)
///         .build()?;
///     let numbers = driver.input_topic("numbers", serde::utf8(), serde::i64());
///     numbers.pipe("n", 1, Timestamp::from_millis(0))?;
///     Ok::<_, Error>(driver.topic_history("twice").len())
/// };
/// assert_eq!(left(FailureScope::Record)?, 0);
/// assert_eq!(left(FailureScope::Node)?, 1);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FailureScope {
    /// The whole record: nothing stays of it.
    #[default]
    Record,
    /// The call of the node: what was written and forwarded before it failed stays.
    Node,
}

impl FailureScope {
    pub(crate) const ALL: [FailureScope; 2] = [FailureScope::Record, FailureScope::Node];
}

/// As `processing.exception.scope` has it.
impl fmt::Display for FailureScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureScope::Record => "record",
            FailureScope::Node => "node",
        })
    }
}

/// What goes with a call that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// All of it: nobody would go on.
    Batch,
    /// What its record has done.
    Record,
    /// Nothing else.
    Call,
}
