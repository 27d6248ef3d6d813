//! Interactive queries: stores of a running application, read from outside its workers.
//!
//! [`App::store`](crate::App::store) and its neighbours make a handle, to be cloned and kept, for a
//! web service say; a question to it goes to the worker that has the partition, and is answered
//! there between two turns of its loop.
//!
//! ```no_run
//! use onceflow_framework::query::QueryError;
//!
//! # async fn program(app: onceflow_framework::App) -> Result<(), onceflow_framework::Error> {
//! let counts = app.store::<String, i64>("counts")?;
//! match counts.get(&"be".to_owned()).await {
//!     Ok(count) => println!("{count:?}"),
//!     Err(QueryError::PartitionElsewhere { .. }) => println!("ask another instance"),
//!     Err(error) => println!("later, perhaps: {error}"),
//! }
//! let mut all = counts.all();
//! while let Some((word, count)) = all.next().await? {
//!     println!("{word}: {count}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is answered:
//!
//! - **What is committed, and no more.** The open batch is not seen, as no `read_committed`
//!   reader sees its outputs. (Kafka Streams' handles show writes that may be aborted yet.)
//! - **Of this process.** A key's partition follows from Kafka's default partitioner, and the
//!   partition may be in another process: the error says so. Kafka Streams knows there which
//!   (`queryMetadataForKey`), from the user data of its own assignor, which librdkafka has none
//!   of: a router in front, or asking each instance, finds it.
//! - **As of the moment of each answer.** A scan is answered slice by slice, and its slices may
//!   be batches apart: it shows each key at most once, and each value was committed.
//! - **Soon.** An idle worker answers at once, a busy one after the turn of a task (about 10 ms),
//!   or the commit, that it is at; whatever holds up a commit holds up queries, too: a broker that
//!   does not answer, an external system, asynchronous calls of the batch.
//! - A worker that has lost its partitions and does not know yet answers from what it had.
//!
//! The first range that is asked of a store in memory sorts its keys, on the worker's thread: its
//! records wait for that, long in a store of millions. Each new key costs a little more from then
//! on. (Gets and windows of a key need no sorting.)

mod error;
mod ask;
mod pages;
mod key_value;
mod windows;

pub use error::QueryError;
pub use key_value::{Entries, ReadOnlyKeyValueStore};
pub use windows::{ReadOnlySessionStore, ReadOnlyWindowStore};

pub(crate) use ask::Door;
