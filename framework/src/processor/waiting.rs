//! A record that waits in a buffer, on its way out: its failure is its own, not that of the record
//! that lets it go.
//!
//! ```text
//!   record in process ──> release ──> what it leads to ──┬── done ──> it leaves the buffer
//!                                                        └── failed ──> asked, as of the one that waited:
//!                                                              it leaves the buffer │ the batch fails
//! ```
//!
//! # Invariants
//!
//! - What waits is tried once: it leaves the buffer in the transaction of what it leads to, or of its
//!   dead letter.
//! - Where nothing of what fails is to stay, the record in process is taken back with it, and processed
//!   again once it is gone (`runtime/attempt`). The result of an asynchronous call cannot be had again:
//!   there only what fails is left out, as under [`FailureScope::Node`].
//!
//! [`FailureScope::Node`]: crate::handler::FailureScope::Node

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::context::Context;
use super::refusal::{InputCopy, is_of_the_record};
use crate::error::{Error, ErrorKind, Fault, panic_text};
use crate::handler::Isolation;
use crate::record::{Headers, Position, RawRecord};
use crate::state::BufferStore;

/// A record in a buffer: see [`Context::release`].
pub struct WaitingRecord<'a> {
    /// Where it waits.
    pub buffer: &'a BufferStore,
    /// The key of its entry there.
    pub place: &'a [u8],
    /// What a handler is shown of it.
    pub record: RawRecord<'a>,
    /// The input that it came from, if it did: asked when it fails.
    pub position: &'a dyn Fn() -> Option<Position>,
}

impl fmt::Debug for WaitingRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitingRecord({:?} in {:?})", self.record, self.buffer)
    }
}

/// Whom a failure is told of, instead of the record in process.
#[derive(Debug)]
pub(crate) struct Blamed {
    pub(crate) position: Option<Position>,
    pub(crate) input: InputCopy,
}

impl Blamed {
    fn of(waiting: &WaitingRecord<'_>) -> Self {
        let mut input = InputCopy::default();
        input.note(&waiting.record);
        let position = (waiting.position)();
        Blamed { position, input }
    }
}

/// An entry that is in the way of the record in process: it is to go.
#[derive(Debug)]
pub(crate) struct Obstacle {
    buffer: BufferStore,
    place: Vec<u8>,
}

impl Obstacle {
    pub(crate) fn clear_away(&self) -> Result<(), Error> {
        leave(&self.buffer, &self.place)
    }
}

fn leave(buffer: &BufferStore, place: &[u8]) -> Result<(), Error> {
    buffer.put(place, None);
    buffer.log(place, &Headers::new())
}

impl<K: Clone + 'static, V: Clone + 'static> Context<K, V> {
    /// Does what a record leads to that has waited in a buffer, and removes it there.
    ///
    /// If that fails, by error or by panic, it is the failure of the record that waited: the error names
    /// its position, the handler is shown its bytes, and if the handler goes on it is gone, and the
    /// record in process takes effect as if it had never waited.
    ///
    /// # Errors
    ///
    /// To be passed on: the record in process is to be taken back, or the batch.
    ///
    /// ```
    /// use onceflow_framework::handler::OnFailedRecord;
    /// use onceflow_framework::processor::{Context, Processor, WaitingRecord};
    /// use onceflow_framework::record::RawRecord;
    /// use onceflow_framework::state::{BufferStore, StoreBuilder};
    /// use onceflow_framework::test_driver::TestDriver;
    /// use onceflow_framework::topology::{Consumed, Produced, TopologyBuilder};
    /// use onceflow_framework::{serde, Error, Fault, Headers, Offset, Record, Timestamp};
    ///
    /// /// Holds a record back until the next one comes.
    /// #[derive(Default)]
    /// struct OneLater(Option<BufferStore>);
    ///
    /// impl Processor for OneLater {
    ///     type KeyIn = String;
    ///     type ValueIn = String;
    ///     type KeyOut = String;
    ///     type ValueOut = String;
    ///
    ///     fn init(&mut self, ctx: &mut Context<String, String>) -> Result<(), Fault> {
    ///         self.0 = Some(ctx.buffer("waiting")?);
    ///         Ok(())
    ///     }
    ///
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, String>,
    ///         ctx: &mut Context<String, String>,
    ///     ) -> Result<(), Fault> {
    ///         let buffer = self.0.as_ref().expect("init ran");
    ///         let (time, headers) = (record.timestamp, Headers::new());
    ///         for entry in buffer.all().collect::<Vec<_>>() {
    ///             let (key, value) = entry?;
    ///             let raw = RawRecord {
    ///                 offset: Offset::new(0),
    ///                 timestamp: time,
    ///                 key: Some(&key),
    ///                 value: Some(&value),
    ///                 headers: &headers,
    ///             };
    ///             let waiting =
    ///                 WaitingRecord { buffer, place: &key, record: raw, position: &|| None };
    ///             let (key, value) = (String::from_utf8(key.to_vec())?, String::from_utf8(value.to_vec())?);
    ///             ctx.release(&waiting, |ctx| match value.as_str() {
    ///                 "bad" => Err(Fault::message("it is bad")),
    ///                 _ => ctx.forward(Record::new(key, value, time)),
    ///             })?;
    ///         }
    ///         buffer.put(record.key.as_bytes(), Some(record.value.as_bytes()));
    ///         Ok(buffer.log(record.key.as_bytes(), &headers)?)
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let input = builder.add_source("in", ["in"], Consumed::<String, String>::new());
    /// let later = builder.add_processor("later", OneLater::default, &[&input]);
    /// builder.add_state_store(StoreBuilder::buffer("waiting"), &["later"]);
    /// builder.add_sink("out", "out", Produced::new(), &[&later]);
    /// let driver = TestDriver::builder(builder.build()?)
    ///     .on_failed_record(OnFailedRecord::Continue)
    ///     .dead_letter_topic("dead")
    ///     .build()?;
    /// let input = driver.input_topic("in", serde::utf8(), serde::utf8());
    /// for (key, value) in [("a", "good"), ("b", "bad"), ("c", "good"), ("d", "good")] {
    ///     input.pipe(key, value, Timestamp::from_millis(0))?;
    /// }
    /// let keys = |topic| {
    ///     let history = driver.topic_history(topic).into_iter();
    ///     history.filter_map(|record| record.key).collect::<Vec<_>>()
    /// };
    /// assert_eq!(keys("out"), ["a", "c"]);
    /// assert_eq!(keys("dead"), ["b"]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn release(
        &mut self,
        waiting: &WaitingRecord<'_>,
        code: impl FnOnce(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.scope().isolation.get() == Isolation::Batch {
            code(self).map_err(|fault| self.blame_waiting(fault, waiting))?;
            return Ok(leave(waiting.buffer, waiting.place)?);
        }
        self.scope().blamed.replace(Some(Blamed::of(waiting)));
        let called = catch_unwind(AssertUnwindSafe(|| code(self)));
        let error = match called {
            Ok(Ok(())) => {
                self.scope().blamed.take();
                return Ok(leave(waiting.buffer, waiting.place)?);
            }
            Ok(Err(fault)) => fault.into_error(self.node()),
            Err(panic) => {
                let message = format!("a processor panicked: {}", panic_text(&*panic));
                let error = Error::new(ErrorKind::Processing, message);
                self.scope().blame_panic(error).at_node(self.node())
            }
        };
        self.release_failed(waiting, error)
    }

    #[cold]
    fn blame_waiting(&self, fault: Fault, waiting: &WaitingRecord<'_>) -> Fault {
        let error = fault.into_error(self.node());
        error.of((waiting.position)()).into()
    }

    #[cold]
    fn release_failed(&mut self, waiting: &WaitingRecord<'_>, error: Error) -> Result<(), Fault> {
        let scope = self.scope();
        let is_taken_back = scope.isolation.get() == Isolation::Record && scope.retries.get();
        if is_taken_back && is_of_the_record(&error) {
            scope.obstacle.replace(Some(Obstacle {
                buffer: waiting.buffer.clone(),
                place: waiting.place.to_vec(),
            }));
            return Err(error.into());
        }
        let given_up = scope.give_up_call(error);
        scope.blamed.take();
        given_up?;
        Ok(leave(waiting.buffer, waiting.place)?)
    }
}
