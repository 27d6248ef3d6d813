//! The application: visits in, how many each page has had in a store.

use onceflow::prelude::*;

/// The topic of visits, by page; and the store of their counts.
pub(crate) const VISITS: &str = "visits";

/// Counts the visits of each page.
///
/// They are keyed by page already, so a page's visits are in one partition, and its count is in the
/// store of the task that reads it: a query for the page asks just that one.
pub(crate) fn visits_by_page(topic: &str) -> Result<Topology, Error> {
    let builder = StreamsBuilder::new();
    builder
        .stream(topic, Consumed::<String, String>::new())
        .group_by_key(Grouped::new())
        .count_with(Materialized::as_store(VISITS));
    builder.build()
}
