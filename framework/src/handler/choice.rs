//! The handlers that come with the framework: stop, or go on and leave a dead letter if there is a
//! topic for it. They are what the settings by Kafka's names choose from.

use super::{ErrorContext, ExceptionHandler, Response};

/// What to do with bytes that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadRecord {
    /// Stop at it: the error names topic, partition and offset.
    #[default]
    Fail,
    /// Drop it and count it; its bytes go to the topic of dead letters, if there is one.
    Continue,
}

/// What to do when a processor fails, or panics, at a record or a punctuation (KIP-1033).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailedRecord {
    /// Stop at it: the error names node, topic, partition and offset.
    #[default]
    Fail,
    /// Take back what it has led to, count it and go on. The record's bytes go to the topic of
    /// dead letters, if there is one.
    ///
    /// Unlike in Kafka Streams nothing of the record stays: no output, no write to a store. To that
    /// end every record's outputs and writes are held back until it is done, which costs a copy of
    /// them, the processors of the task are built anew after a failure, and a record cache has no
    /// effect. [`FailureScope::Node`](super::FailureScope::Node) is Kafka Streams' way, and spares
    /// all that.
    Continue,
}

/// What to do with an output record that cannot be written as bytes, or is refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRefusedOutput {
    /// Stop at the input record that it came from. A value that cannot be serialized, or is too large
    /// for the client, is the record's own failure first: [`OnFailedRecord::Continue`] gives the
    /// whole record up for it.
    #[default]
    Fail,
    /// Go on without that output, and count it; other outputs of the same input record are sent. The
    /// input record's bytes go to the topic of dead letters, if there is one.
    ///
    /// It costs what [`OnFailedRecord::Continue`] does. An output that the broker refuses, not the client,
    /// costs some aborted transactions besides: the batch is processed again in halves, and the last
    /// records with each output waiting for the one before, to find out which one it was.
    ///
    /// A changelog record that the broker refuses has no output to leave out: its input is given up,
    /// if [`OnFailedRecord::Continue`] says so. What the broker refuses of a punctuation and of dead
    /// letters stops the application all the same: the first has no input record by which the next
    /// attempt would know it, and a record that is not buried is lost.
    Continue,
}

/// Goes on, with Kafka's dead letter if there is a topic for it.
fn go_on(failure: &ErrorContext<'_>) -> Response {
    let topic = failure.dead_letter_topic();
    Response::resume_with(topic.and_then(|topic| failure.dead_letter(topic)))
}

macro_rules! choices {
    ($($choice:ident)*) => {
        $(impl ExceptionHandler for $choice {
            fn handle(&self, failure: &ErrorContext<'_>) -> Response {
                match self {
                    $choice::Fail => Response::Fail,
                    $choice::Continue => go_on(failure),
                }
            }

            fn only_fails(&self) -> bool {
                *self == $choice::Fail
            }

            fn name(&self) -> &str {
                match self {
                    $choice::Fail => "fail",
                    $choice::Continue => "continue",
                }
            }
        })*
    };
}

choices! { OnBadRecord OnFailedRecord OnRefusedOutput }
