//! Operators that look at one record at a time.
//!
//! Those that can change the key only mark the stream; the repartition topic is made by the next
//! operator that needs records of a key in one place.

mod filter;
mod map;
mod map_values;
mod flat_map;
mod flat_map_values;
mod select_key;
mod set_header;
mod peek;
mod for_each;
mod print;
mod merge;
mod split;
mod repartition;
mod group_by_key;
mod group_by;
mod process;
mod process_values;
mod to;
mod to_extracted;
mod to_external;

pub use print::Printed;
pub use split::BranchedKStream;
