//! The macro comparison: all contenders on one broker, in turn, several rounds.

pub mod kafka;
pub mod contender;
pub mod plan;
pub mod rounds;
pub mod latency;
pub mod idle;
pub mod results;
pub mod table;
pub mod plot;
