//! Processors that cannot change the key, so that no repartitioning follows them.

use std::fmt;
use std::time::Duration;

use super::Processor;
use super::context::Context;
use super::punctuation::{Punctuation, PunctuationKind};
use crate::error::{Error, Fault};
use crate::metrics::DropReason;
use crate::record::{Headers, Position, Record, TaskId};
use crate::state::{
    KeyValueStore, SessionStore, TimestampedKeyValueStore, TimestampedWindowStore, WindowStore,
};
use crate::time::Timestamp;

/// A record whose key can be read but not replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedKeyRecord<K, V> {
    key: K,
    /// The value.
    pub value: V,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Side information.
    pub headers: Headers,
}

impl<K, V> FixedKeyRecord<K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// The same record with another value.
    pub fn with_value<V2>(self, value: V2) -> FixedKeyRecord<K, V2> {
        let FixedKeyRecord {
            key,
            timestamp,
            headers,
            ..
        } = self;
        FixedKeyRecord {
            key,
            value,
            timestamp,
            headers,
        }
    }

    fn from_record(record: Record<K, V>) -> Self {
        let Record {
            key,
            value,
            timestamp,
            headers,
        } = record;
        FixedKeyRecord {
            key,
            value,
            timestamp,
            headers,
        }
    }

    fn into_record(self) -> Record<K, V> {
        let FixedKeyRecord {
            key,
            value,
            timestamp,
            headers,
        } = self;
        Record {
            key,
            value,
            timestamp,
            headers,
        }
    }
}

/// As [`Processor`], but the key stays: a downstream aggregation needs no repartitioning.
pub trait FixedKeyProcessor: 'static {
    /// The key type, in and out.
    type Key: Clone + 'static;
    /// The value type it takes.
    type ValueIn: 'static;
    /// The value type it forwards.
    type ValueOut: Clone + 'static;

    /// As [`Processor::init`].
    ///
    /// # Errors
    ///
    /// Stops the application.
    fn init(
        &mut self,
        ctx: &mut FixedKeyContext<'_, Self::Key, Self::ValueOut>,
    ) -> Result<(), Fault> {
        let _ = ctx;
        Ok(())
    }

    /// As [`Processor::process`].
    ///
    /// # Errors
    ///
    /// Aborts the batch and stops the application at this record, as [`Processor::process`].
    fn process(
        &mut self,
        record: FixedKeyRecord<Self::Key, Self::ValueIn>,
        ctx: &mut FixedKeyContext<'_, Self::Key, Self::ValueOut>,
    ) -> Result<(), Fault>;

    /// As [`Processor::punctuate`]; there is no record, so there is no key to forward.
    ///
    /// # Errors
    ///
    /// As [`process`](FixedKeyProcessor::process).
    fn punctuate(
        &mut self,
        punctuation: Punctuation,
        timestamp: Timestamp,
        ctx: &mut FixedKeyContext<'_, Self::Key, Self::ValueOut>,
    ) -> Result<(), Fault> {
        let _ = (punctuation, timestamp, ctx);
        Ok(())
    }

    /// As [`Processor::flush`].
    ///
    /// # Errors
    ///
    /// As [`process`](FixedKeyProcessor::process).
    fn flush(
        &mut self,
        ctx: &mut FixedKeyContext<'_, Self::Key, Self::ValueOut>,
    ) -> Result<(), Fault> {
        let _ = ctx;
        Ok(())
    }

    /// As [`Processor::close`].
    fn close(&mut self) {}
}

/// The surroundings of a fixed-key processor.
pub struct FixedKeyContext<'c, K, V>(&'c mut Context<K, V>);

impl<K: Clone + 'static, V: Clone + 'static> FixedKeyContext<'_, K, V> {
    /// As [`Context::forward`].
    ///
    /// # Errors
    ///
    /// Whatever failed downstream; pass it on with `?`.
    pub fn forward(&mut self, record: FixedKeyRecord<K, V>) -> Result<(), Fault> {
        self.0.forward(record.into_record())
    }

    /// As [`Context::forward_to`].
    ///
    /// # Errors
    ///
    /// When there is no child of that name, and whatever failed downstream.
    pub fn forward_to(&mut self, child: &str, record: FixedKeyRecord<K, V>) -> Result<(), Fault> {
        self.0.forward_to(child, record.into_record())
    }

    /// As [`Context::key_value_store`].
    ///
    /// # Errors
    ///
    /// When the topology connects no such store of these types.
    pub fn key_value_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<KeyValueStore<SK, SV>, Error> {
        self.0.key_value_store(name)
    }

    /// As [`Context::timestamped_key_value_store`].
    ///
    /// # Errors
    ///
    /// When the topology connects no such store of these types.
    pub fn timestamped_key_value_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<TimestampedKeyValueStore<SK, SV>, Error> {
        self.0.timestamped_key_value_store(name)
    }

    /// As [`Context::window_store`].
    ///
    /// # Errors
    ///
    /// As [`Context::key_value_store`].
    pub fn window_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<WindowStore<SK, SV>, Error> {
        self.0.window_store(name)
    }

    /// As [`Context::timestamped_window_store`].
    ///
    /// # Errors
    ///
    /// As [`Context::key_value_store`].
    pub fn timestamped_window_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<TimestampedWindowStore<SK, SV>, Error> {
        self.0.timestamped_window_store(name)
    }

    /// As [`Context::session_store`].
    ///
    /// # Errors
    ///
    /// As [`Context::key_value_store`].
    pub fn session_store<SK: 'static, SV: 'static>(
        &self,
        name: &str,
    ) -> Result<SessionStore<SK, SV>, Error> {
        self.0.session_store(name)
    }

    /// As [`Context::schedule`].
    ///
    /// # Panics
    ///
    /// When the interval is below a millisecond.
    pub fn schedule(&mut self, interval: Duration, kind: PunctuationKind) -> Punctuation {
        self.0.schedule(interval, kind)
    }

    /// As [`Context::cancel`].
    pub fn cancel(&mut self, punctuation: Punctuation) {
        self.0.cancel(punctuation);
    }

    /// As [`Context::stream_time`].
    #[must_use]
    pub fn stream_time(&self) -> Timestamp {
        self.0.stream_time()
    }

    /// As [`Context::wall_clock_time`].
    #[must_use]
    pub fn wall_clock_time(&self) -> Timestamp {
        self.0.wall_clock_time()
    }

    /// As [`Context::position`].
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.0.position()
    }

    /// As [`Context::task_id`].
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        self.0.task_id()
    }

    /// As [`Context::dropped`].
    pub fn dropped(&self, reason: DropReason) {
        self.0.dropped(reason);
    }
}

impl<K, V> fmt::Debug for FixedKeyContext<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Runs a fixed-key processor as a processor.
pub(crate) struct FixedKeyAdapter<P>(pub(crate) P);

impl<P: FixedKeyProcessor> Processor for FixedKeyAdapter<P> {
    type KeyIn = P::Key;
    type ValueIn = P::ValueIn;
    type KeyOut = P::Key;
    type ValueOut = P::ValueOut;

    fn init(&mut self, ctx: &mut Context<P::Key, P::ValueOut>) -> Result<(), Fault> {
        self.0.init(&mut FixedKeyContext(ctx))
    }

    fn process(
        &mut self,
        record: Record<P::Key, P::ValueIn>,
        ctx: &mut Context<P::Key, P::ValueOut>,
    ) -> Result<(), Fault> {
        self.0.process(
            FixedKeyRecord::from_record(record),
            &mut FixedKeyContext(ctx),
        )
    }

    fn punctuate(
        &mut self,
        punctuation: Punctuation,
        timestamp: Timestamp,
        ctx: &mut Context<P::Key, P::ValueOut>,
    ) -> Result<(), Fault> {
        self.0
            .punctuate(punctuation, timestamp, &mut FixedKeyContext(ctx))
    }

    fn flush(&mut self, ctx: &mut Context<P::Key, P::ValueOut>) -> Result<(), Fault> {
        self.0.flush(&mut FixedKeyContext(ctx))
    }

    fn close(&mut self) {
        self.0.close();
    }
}
