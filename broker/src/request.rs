//! What goes into the machine and what comes out: requests and replies by connection.
//!
//! # Invariants
//!
//! - **One request in flight a connection:** the next one comes after the reply to the last,
//!   so a connection names the request that a reply answers.

use kafka_protocol::messages::{RequestKind, ResponseKind};

/// Whoever asks: a TCP connection, or a client of a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// One request, decoded.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asks and waits for the reply.
    pub connection: ConnectionId,
    /// The version of the API that the client speaks.
    pub version: i16,
    /// What the client calls itself; member ids begin with it.
    pub client_id: String,
    /// Where the client is, as group descriptions show it.
    pub client_host: String,
    /// The request.
    pub body: RequestKind,
}

/// What becomes of a connection's request.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Whose request this answers.
    pub connection: ConnectionId,
    /// The answer.
    pub outcome: Outcome,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Send this response.
    Answer(Box<ResponseKind>),
    /// Send nothing and read the next request: a produce with `acks=0` that went well.
    Silence,
    /// Close the connection: the answer is lost, or the request was one that Kafka closes over.
    Close,
}

/// A request that waits in the machine: whom to answer, and in which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) connection: ConnectionId,
    pub(crate) version: i16,
}

/// The circumstances of the request that is being handled.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) now_ms: i64,
    pub(crate) waiter: Waiter,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
}

impl Context {
    pub(crate) fn version(&self) -> i16 {
        self.waiter.version
    }
}

/// What a handler made of its request.
#[derive(Debug)]
pub(crate) enum Handled {
    Answer(Box<ResponseKind>),
    Silence,
    Close,
    /// The answer comes from a later step.
    Parked,
}

impl Handled {
    pub(crate) fn answer(response: impl Into<ResponseKind>) -> Self {
        Self::Answer(Box::new(response.into()))
    }
}
