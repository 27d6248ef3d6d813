//! What the examples share: a broker to run on, a worker to crash, topics read back, progress.
//!
//! The examples themselves are beside this crate's `src`, one folder each:
//!
//! | example | guarantee | what it shows |
//! |---|---|---|
//! | `banking_transfer` | exactly once (`--guarantee all`: each) | money moves while the worker is killed; none is lost, none is made |
//! | `monitoring` | at most once | CPU samples averaged while the worker is killed; some are lost, none is counted twice |
//! | `orders` | at least once | orders charged while the worker is killed; some come again, none is paid twice (`--postgres URL`: each is one row) |
//! | `word_count` | exactly once | an application is stopped half way, and the next goes on with its counts |
//! | `consumer_groups` | exactly once | applications and workers share a topic, and partitions move as workers come and go |
//! | `embed_axum` | exactly once | a web service with a topology inside answers from its store, over HTTP |
//!
//! ```text
//! cargo run --release --example banking_transfer
//! ```
//!
//! Each needs no argument and brings its own broker; `--bootstrap-servers` runs it on a real one. Each
//! ends with an audit of what is on the broker: its last line is the verdict, and its exit status too.

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
