//! The way from a store to its changelog topic, as far as a store knows it.

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::record::{Headers, Position};
use crate::time::Timestamp;

/// Most changelog records carry none.
pub(crate) static NO_HEADERS: Headers = Headers::new();

/// Takes the writes of one store; what a task hands to its stores.
pub(crate) trait Changelog {
    /// The store's name.
    fn store(&self) -> &str;

    /// The record in process, to blame in errors.
    fn position(&self) -> Option<Position>;

    /// Whether a write can be part of a batch now, if it is to be logged later.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Sends a changelog record, if the store is logged; `timestamp` defaults to the record's.
    fn send(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: Option<Timestamp>,
    ) -> Result<(), Error> {
        self.send_with(key, value, timestamp, &NO_HEADERS)
    }

    /// As [`send`](Self::send), with headers: of a record that is kept with what came with it.
    fn send_with(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp: Option<Timestamp>,
        headers: &Headers,
    ) -> Result<(), Error>;

    /// Counts a write that the store does not keep because it is past its retention.
    fn refused(&self);

    /// An error that names the store and the record in process.
    fn error(&self, message: &str) -> Error {
        let error = Error::new(
            ErrorKind::Store,
            format!("store {}: {message}", self.store()),
        );
        match self.position() {
            Some(position) => error.at(position),
            None => error,
        }
    }
}

impl fmt::Debug for dyn Changelog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Changelog({})", self.store())
    }
}
