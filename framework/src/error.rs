//! What can go wrong, where, and what the worker does about it.
//!
//! # Invariants
//!
//! - Nobody matches on the text: the [`ErrorKind`] says what failed, [`Recovery`] what happens next.
//! - An error that concerns a record names the node, the topic-partition and the offset.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;

use crate::record::Position;

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is unknown, malformed or contradicts another.
    Config,
    /// A topology that cannot work.
    Topology,
    /// Bytes of the input that the source's serde cannot read.
    Deserialization,
    /// A key or value that a serde cannot write.
    Serialization,
    /// User code returned an error or panicked.
    Processing,
    /// The broker refused an output record.
    Production,
    /// A system outside Kafka is away, or refuses a row.
    External,
    /// A state store could not be read, written or restored.
    Store,
    /// A topic is missing, or has the wrong number of partitions.
    Topics,
    /// A partition of a task was assigned without its co-partition.
    Assignment,
    /// The broker could not be reached, or not in time.
    Unreachable,
    /// The broker refused a call for a reason that is none of the above.
    Broker,
    /// Another producer with the same transactional id took over, or the transaction timed out.
    Fenced,
    /// A transaction ended in a state that the protocol rules out.
    Transaction,
}

/// What the worker does after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// Nothing happened on the broker: abort and process the retained batch again.
    Replay,
    /// The outcome is unknown, or the producer is lost: a new producer, then ask the group's
    /// offsets which way the batch went.
    Restore,
    /// The tasks belong to somebody else now: drop them and join the group again.
    Rejoin,
    /// A human has to act: the application stops.
    Stop,
}

/// How far it is known which record an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The error names it, or it is about none.
    Said,
    /// One or more of the batch's: the batch was refused when it closed.
    Batch,
    /// It was one of the batch's, and was found.
    Found,
}

/// An error of the framework: what failed, where, why, and what happens next.
///
/// `{:?}` prints the same text as `{}`: it is what `fn main() -> Result<(), Error>` shows.
pub struct Error(Box<Details>);

struct Details {
    kind: ErrorKind,
    recovery: Recovery,
    message: String,
    node: Option<String>,
    position: Option<Position>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// Whether it may pass by itself.
    transient: bool,
    /// Whether a handler has said that the application stops for it.
    settled: bool,
    /// How far it is known which record it is about.
    blame: Blame,
}

impl Error {
    /// An error that stops the application unless told otherwise.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Details {
            kind,
            recovery: Recovery::Stop,
            message: message.into(),
            node: None,
            position: None,
            source: None,
            transient: false,
            settled: false,
            blame: Blame::Said,
        }))
    }

    /// An error that tells several problems, a line each; a single one stays on the line.
    ///
    /// ```
    /// use onceflow_framework::{Error, ErrorKind};
    ///
    /// let problems = ["no source".to_owned(), "no sink".to_owned()];
    /// let error = Error::listing(ErrorKind::Topology, "invalid topology", &problems);
    /// assert_eq!(error.to_string(), "invalid topology:\n  no source\n  no sink");
    /// ```
    #[must_use]
    pub fn listing(kind: ErrorKind, what: &str, problems: &[String]) -> Self {
        let message = match problems {
            [single] => format!("{what}: {single}"),
            many => format!("{what}:\n  {}", many.join("\n  ")),
        };
        Error::new(kind, message)
    }

    /// Names the node, unless one nearer to the cause was named already.
    #[must_use]
    pub fn at_node(mut self, node: &str) -> Self {
        // Who happens to be at work when a batch is refused has no part in it.
        if self.0.blame != Blame::Batch {
            self.0.node.get_or_insert_with(|| node.to_owned());
        }
        self
    }

    /// Names the record, unless one nearer to the cause was named already.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        if self.0.blame != Blame::Batch {
            self.0.position.get_or_insert(position);
        }
        self
    }

    /// Names another record than the one in process, if there is one to name.
    pub(crate) fn of(mut self, position: Option<Position>) -> Self {
        self.0.position = position.or(self.0.position);
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says what the worker does about it.
    #[must_use]
    pub fn recover_by(mut self, recovery: Recovery) -> Self {
        self.0.recovery = recovery;
        self
    }

    /// Says that it may pass by itself: the record is processed again, as often as
    /// [`Retry`](crate::handler::Retry) allows, before a handler is asked.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.0.transient = true;
        self
    }

    /// Whether it may pass by itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.transient
    }

    /// Says that a handler has decided: nobody else is asked.
    pub(crate) fn settled(mut self) -> Self {
        self.0.settled = true;
        self.0.transient = false;
        self
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.0.settled
    }

    /// Says how far it is known which record it is about.
    pub(crate) fn blaming(mut self, blame: Blame) -> Self {
        self.0.blame = blame;
        self
    }

    /// If it was found, it was among all of the batch's.
    pub(crate) fn of_batch(self) -> Self {
        match self.0.blame {
            Blame::Found => self.blaming(Blame::Batch),
            Blame::Batch | Blame::Said => self,
        }
    }

    pub(crate) fn blame(&self) -> Blame {
        self.0.blame
    }

    /// Tells what went wrong about it besides, and keeps the rest.
    pub(crate) fn told_with(mut self, what: &str) -> Self {
        self.0.message = format!("{what}, at this error: {}", self.0.message);
        self
    }

    /// The same error for one more reader; its cause becomes text.
    pub(crate) fn duplicate(&self) -> Self {
        let details = &self.0;
        Error(Box::new(Details {
            kind: details.kind,
            recovery: details.recovery,
            message: details.message.clone(),
            node: details.node.clone(),
            position: details.position.clone(),
            source: self.causes().map(Into::into),
            transient: details.transient,
            settled: details.settled,
            blame: details.blame,
        }))
    }

    /// The chain of causes on one line.
    fn causes(&self) -> Option<String> {
        let mut causes = Vec::new();
        let mut source = self.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        (!causes.is_empty()).then(|| causes.join(": "))
    }

    /// What failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What the worker does about it.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.0.recovery
    }

    /// The node at which it failed.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.0.node.as_deref()
    }

    /// The input record at which it failed.
    #[must_use]
    pub fn position(&self) -> Option<&Position> {
        self.0.position.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match (&self.0.node, &self.0.position) {
            (Some(node), Some(position)) => write!(f, " (node {node}, {position})")?,
            (Some(node), None) => write!(f, " (node {node})")?,
            (None, Some(position)) => write!(f, " ({position})")?,
            (None, None) => {}
        }
        // The whole chain on one line: logs and `main` print only the top error.
        match self.causes() {
            Some(causes) => write!(f, ": {causes}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// What a processor returns when it cannot go on: any error of the user's, or the framework's.
///
/// Every `std::error::Error` turns into one with `?`. It implements no `Error` itself (the
/// conversion would be ambiguous), like the error of other catch-all crates.
pub struct Fault(Box<FaultKind>);

enum FaultKind {
    Framework(Error),
    User(Box<dyn StdError + Send + Sync>),
    /// A user's error that may pass by itself.
    Transient(Box<dyn StdError + Send + Sync>),
}

impl From<FaultKind> for Fault {
    /// Boxed: a result that is passed from node to node is one word.
    fn from(kind: FaultKind) -> Self {
        Fault(Box::new(kind))
    }
}

impl Fault {
    /// A fault that is only a sentence.
    pub fn message(message: impl Into<String>) -> Self {
        FaultKind::User(message.into().into()).into()
    }

    /// A fault that may pass by itself, such as a service that does not answer: the record is
    /// processed again, as often as [`Retry`](crate::handler::Retry) allows, before a handler is asked.
    ///
    /// ```
    /// use onceflow_framework::Fault;
    ///
    /// fn look_up() -> Result<u32, std::io::Error> {
    ///     Err(std::io::ErrorKind::TimedOut.into())
    /// }
    ///
    /// fn process() -> Result<(), Fault> {
    ///     let _price = look_up().map_err(Fault::transient)?;
    ///     Ok(())
    /// }
    /// # assert!(process().is_err());
    /// ```
    pub fn transient(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        FaultKind::Transient(cause.into()).into()
    }

    /// The framework's error, with the node named if it is not yet.
    pub(crate) fn into_error(self, node: &str) -> Error {
        self.into_error_saying(|| "a processor failed".to_owned())
            .at_node(node)
    }

    /// The framework's error; one of the user's says this.
    pub(crate) fn into_error_saying(self, what: impl FnOnce() -> String) -> Error {
        let failed = |source| Error::new(ErrorKind::Processing, what()).because(source);
        match *self.0 {
            FaultKind::Framework(error) => error,
            FaultKind::User(source) => failed(source),
            FaultKind::Transient(source) => failed(source).transient(),
        }
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        // A framework error stays what it is, so that its recovery survives user code's `?`.
        let boxed: Box<dyn StdError + Send + Sync> = Box::new(error);
        match boxed.downcast::<Error>() {
            Ok(error) => FaultKind::Framework(*error).into(),
            Err(user) => FaultKind::User(user).into(),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            FaultKind::Framework(error) => fmt::Debug::fmt(error, f),
            FaultKind::User(error) | FaultKind::Transient(error) => fmt::Debug::fmt(error, f),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            FaultKind::Framework(error) => fmt::Display::fmt(error, f),
            FaultKind::User(error) | FaultKind::Transient(error) => fmt::Display::fmt(error, f),
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Offset, TopicPartition};

    #[test]
    fn an_error_prints_what_where_and_why_on_one_line() {
        let error = Error::new(ErrorKind::Deserialization, "cannot read the value")
            .at_node("SOURCE-0")
            .at(Position {
                topic_partition: TopicPartition::new("orders", 2),
                offset: Offset::new(17),
            })
            .because("expected 8 bytes, got 3");
        assert_eq!(
            error.to_string(),
            "cannot read the value (node SOURCE-0, orders-2 at offset 17): expected 8 bytes, got 3"
        );
    }

    #[test]
    fn the_node_nearest_to_the_cause_stays() {
        let error = Error::new(ErrorKind::Processing, "x")
            .at_node("inner")
            .at_node("outer");
        assert_eq!(error.node(), Some("inner"));
    }

    #[test]
    fn a_framework_error_passes_through_user_code_unchanged() {
        let inner = Error::new(ErrorKind::Production, "queue").recover_by(Recovery::Replay);
        let outer = Fault::from(inner).into_error("node");
        assert_eq!(
            (outer.kind(), outer.recovery()),
            (ErrorKind::Production, Recovery::Replay)
        );
    }

    #[test]
    fn a_user_error_becomes_a_processing_error_that_keeps_its_cause() {
        let cause = std::io::Error::other("database away");
        let error = Fault::from(cause).into_error("LOOKUP");
        assert_eq!(error.kind(), ErrorKind::Processing);
        assert_eq!(
            error.to_string(),
            "a processor failed (node LOOKUP): database away"
        );
    }
}
