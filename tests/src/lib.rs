//! What the tests that cross crates stand on: a broker under test, and words to make claims
//! about it.
//!
//! ```text
//!   Cluster::shared()  one broker a process, chosen by ONCEFLOW_TEST_BROKER
//!     ├─ topics        a topic of its own for every test
//!     ├─ produce       records in, with where each went
//!     ├─ transactions  a transactional producer, driven by the book
//!     ├─ history       records out: what is visible now, what is settled
//!     ├─ offsets       what a group committed
//!     └─ members       consumers of a group, polled in turn
//!   wait               conditions under a deadline; no bare sleeps
//!
//!   ledger             an application whose every record can be accounted for
//!     ├─ punctual      another, driven by time, on the same topics
//!     ├─ worker        it in a process of its own, to be crashed, killed, paused
//!     └─ program       it in this process, to be observed and tampered with
//!
//!   vectors            cases that Kafka Streams has answered, played on the test driver
//! ```
//!
//! # Running
//!
//! ```sh
//! cargo test -p onceflow-tests                              # on the embedded broker
//! ONCEFLOW_TEST_BROKER=apache cargo test -p onceflow-tests  # on Apache Kafka
//! ```
//!
//! Apache Kafka needs Java 17 or later and, once, Maven; both missing is an error that says so.
//! Tests mostly wait: `RUST_TEST_THREADS=8` runs the suite in a third of the time of two threads.
//!
//! # Writing
//!
//! ```no_run
//! use onceflow_tests::{Cluster, texts};
//!
//! let cluster = Cluster::shared();
//! let topic = cluster.topic("orders", 1);
//! cluster.produce_values(&topic, ["a", "b"]);
//! assert_eq!(texts(&cluster.settled(&topic)), ["a", "b"]);
//! ```
//!
//! A test that kills or pauses its broker starts its own with [`Cluster::start`]; faults that only
//! the embedded broker can inject are behind [`Cluster::embedded`].
//!
//! Functions for tests panic with the reason where a test has nothing better to do than to
//! fail; what tests make claims about (transactions, commits) returns the client's own error.

pub mod wait;
pub mod ledger;
pub mod punctual;
pub mod naming;
pub mod poisoned;
pub mod refused;
pub mod worker;
pub mod postgres;
pub mod rows;
pub mod vectors;

mod error;
mod dice;
mod proxy;
mod apache;
mod cluster;
mod record;
mod clients;
mod topics;
mod produce;
mod history;
mod offsets;
mod transactions;
mod members;
mod tail;
mod letters;
mod losses;
mod program;

pub use apache::ApacheKafka;
pub use clients::{Isolation, admin_options};
pub use cluster::{BROKER_VARIABLE, BrokerKind, Cluster, unique};
pub use dice::Dice;
pub use error::HarnessError;
pub use futures::executor::block_on;
pub use losses::{Losses, Lost};
pub use members::{Member, poll_until};
pub use offsets::{Committed, offsets};
pub use produce::{Delivered, Delivery, drain, send_all};
pub use program::Program;
pub use record::{HeaderPair, Outgoing, Record, texts};
pub use tail::Tail;
pub use transactions::{TransactionalProducer, Verdict, refusal, verdict};
