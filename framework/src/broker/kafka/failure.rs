//! What librdkafka answers to a call that failed, and what that means for the worker.
//!
//! # Invariants
//!
//! - For transactional calls librdkafka itself says whether the error is fatal, asks for an abort
//!   or may be retried, and is believed in this order; none of them is taken as fatal.
//! - For all other calls a closed list of passing codes may be retried; anything else is refused,
//!   with what to do where we know it.

use std::fmt;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::native;
use crate::broker::{BrokerError, Verdict};

/// What librdkafka says an error leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Fatal,
    Abortable,
    Retriable,
    /// Nothing was said.
    Plain,
}

/// An error of librdkafka, or of the broker through it.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) code: Code,
    /// Kafka's name of the code; those of the client itself start with an underscore.
    pub(super) name: String,
    pub(super) text: String,
    pub(super) severity: Severity,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.name)
    }
}

impl Failure {
    /// An error of our own making.
    pub(super) fn plain(code: Code, text: &str) -> Self {
        Failure {
            code,
            name: native::name(code),
            text: text.to_owned(),
            severity: Severity::Plain,
        }
    }

    /// The answer to a transactional call.
    pub(super) fn transactional(self, tried: &str) -> BrokerError {
        let verdict = match self.severity {
            _ if is_fenced(self.code) => Verdict::Fenced,
            Severity::Abortable => Verdict::Abortable,
            Severity::Retriable => Verdict::Retriable,
            Severity::Fatal | Severity::Plain if is_refusal(self.code) => Verdict::Refused,
            Severity::Fatal | Severity::Plain => Verdict::Fatal,
        };
        self.with(verdict, tried)
    }

    /// The answer to any other call: look-ups, subscriptions, offsets.
    pub(super) fn ordinary(self, tried: &str) -> BrokerError {
        let verdict = if self.is_passing() {
            Verdict::Retriable
        } else {
            Verdict::Refused
        };
        self.with(verdict, tried)
    }

    /// Why a record was not delivered: once it failed, its transaction can only be aborted.
    pub(super) fn undelivered(self, tried: &str) -> BrokerError {
        let refused = is_refusal(self.code)
            || matches!(
                self.code,
                Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition
            );
        let verdict = match refused {
            true => Verdict::Refused,
            false if is_fenced(self.code) => Verdict::Fenced,
            false => Verdict::Abortable,
        };
        self.with(verdict, tried)
    }

    pub(super) fn with(self, verdict: Verdict, tried: &str) -> BrokerError {
        let advice = advice(self.code).map_or(String::new(), |advice| format!("; {advice}"));
        BrokerError {
            verdict,
            code: self.name,
            message: format!("{tried}: {}{advice}", self.text),
        }
    }

    /// Whether no broker has said this, but the client in the absence of an answer.
    pub(super) fn is_of_the_client(&self) -> bool {
        // librdkafka's own codes; -1 is a broker's.
        (-200..-100).contains(&(self.code as i32))
    }

    /// Whether the broker, or the network, may simply need time.
    pub(super) fn is_passing(&self) -> bool {
        self.severity == Severity::Retriable
            || matches!(
                self.code,
                Code::BrokerTransportFailure
                    | Code::AllBrokersDown
                    | Code::Resolve
                    | Code::OperationTimedOut
                    | Code::TimedOutQueue
                    | Code::WaitingForCoordinator
                    | Code::InProgress
                    | Code::PreviousInProgress
                    | Code::LeaderNotAvailable
                    | Code::NotLeaderForPartition
                    | Code::RequestTimedOut
                    | Code::BrokerNotAvailable
                    | Code::ReplicaNotAvailable
                    | Code::NetworkException
                    | Code::CoordinatorLoadInProgress
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::NotEnoughReplicas
                    | Code::NotEnoughReplicasAfterAppend
                    | Code::RebalanceInProgress
                    | Code::ConcurrentTransactions
                    | Code::KafkaStorageError
                    | Code::FencedLeaderEpoch
                    | Code::UnknownLeaderEpoch
                    | Code::OffsetNotAvailable
                    | Code::PreferredLeaderNotAvailable
                    | Code::UnstableOffsetCommit
                    | Code::ThrottlingQuotaExceeded
            )
    }
}

fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch
    )
}

/// What no repetition and no new client can change.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::PolicyViolation
            | Code::InvalidTopic
            | Code::InvalidTransactionTimeout
            | Code::UnsupportedVersion
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedFeature
            | Code::InvalidArgument
    )
}

/// What a person does about it.
fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::TopicAuthorizationFailed => "grant the principal access to the topic",
        Code::GroupAuthorizationFailed => "grant the principal access to the consumer group",
        Code::ClusterAuthorizationFailed => "grant the principal access to the cluster",
        Code::TransactionalIdAuthorizationFailed => {
            "grant the principal access to the transactional id"
        }
        Code::SaslAuthenticationFailed | Code::Authentication => "check the sasl.* settings",
        Code::InvalidSessionTimeout => {
            "set session.timeout.ms between the broker's group.min.session.timeout.ms and \
             group.max.session.timeout.ms"
        }
        Code::InvalidTransactionTimeout => {
            "set transaction.timeout.ms to at most the broker's transaction.max.timeout.ms"
        }
        Code::FencedInstanceId => {
            "another client joined under the same group.instance.id: give every process its own"
        }
        Code::GroupMaxSizeReached => "raise the broker's group.max.size or run fewer workers",
        Code::InconsistentGroupProtocol => {
            "other members of the group use another assignor or protocol: do not share the \
             application id with other programs"
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            "raise message.max.bytes of the producer and max.message.bytes of the topic"
        }
        Code::InvalidReplicationFactor => {
            "set a replication factor that the number of brokers allows"
        }
        Code::ConcurrentTransactions => "an earlier transaction of this id is still being ended",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transactional_error_is_judged_fenced_then_fatal_then_abortable_then_retriable() {
        let rows = [
            (Code::Fenced, Severity::Fatal, Verdict::Fenced),
            (
                Code::InvalidProducerEpoch,
                Severity::Abortable,
                Verdict::Fenced,
            ),
            (
                Code::InvalidTransactionalState,
                Severity::Fatal,
                Verdict::Fatal,
            ),
            (Code::Inconsistent, Severity::Abortable, Verdict::Abortable),
            (
                Code::IllegalGeneration,
                Severity::Abortable,
                Verdict::Abortable,
            ),
            (
                Code::OperationTimedOut,
                Severity::Retriable,
                Verdict::Retriable,
            ),
            (Code::Conflict, Severity::Plain, Verdict::Fatal),
            (Code::State, Severity::Plain, Verdict::Fatal),
            (
                Code::TransactionalIdAuthorizationFailed,
                Severity::Fatal,
                Verdict::Refused,
            ),
        ];
        for (code, severity, verdict) in rows {
            let failure = Failure {
                severity,
                ..Failure::plain(code, "x")
            };
            assert_eq!(failure.transactional("x").verdict, verdict, "{code:?}");
        }
    }

    #[test]
    fn an_ordinary_error_passes_or_is_refused_with_advice() {
        let passing = Failure::plain(Code::CoordinatorLoadInProgress, "loading");
        assert_eq!(passing.ordinary("x").verdict, Verdict::Retriable);
        let refused =
            Failure::plain(Code::InvalidSessionTimeout, "not in range").ordinary("joining");
        assert_eq!(refused.verdict, Verdict::Refused);
        let message = refused.message;
        assert!(
            message.starts_with("joining: not in range; set session.timeout.ms"),
            "{message}"
        );
    }
}
