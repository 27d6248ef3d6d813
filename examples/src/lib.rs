//! What the examples share: a broker to run on, a worker to crash, topics read back, progress.
//!
//! The examples themselves are beside this crate's `src`, one folder each:
//!
//! ```text
//! cargo run --release --example banking_transfer
//! ```

pub mod clock;
pub mod random;
pub mod text;
pub mod shutdown;
pub mod cluster;
pub mod reader;
pub mod writer;
pub mod worker;
pub mod app;
pub mod logging;
pub mod progress;
pub mod finding;
pub mod report;
pub mod run;
pub mod drill;
pub mod testing;

/// Whatever went wrong, said in a sentence: an example has nobody to match on kinds.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of anything in an example.
pub type Result<T> = std::result::Result<T, Error>;
