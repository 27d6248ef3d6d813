//! The macro comparison: all contenders on one broker, in turn, several rounds.

pub mod kafka;
pub mod embedded;
pub mod contender;
pub mod plan;
pub mod rounds;
pub mod latency;
pub mod curve;
pub mod idle;
pub mod results;
pub mod targets;
pub mod table;
pub mod plot;
pub mod curve_plot;
