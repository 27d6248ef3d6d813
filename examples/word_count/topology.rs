//! The application: lines in, the count of each word out.

use onceflow::prelude::*;

/// The topic of lines.
pub(crate) const LINES: &str = "lines";

/// The topic of counts, by word.
pub(crate) const COUNTS: &str = "word-counts";

/// Builds the word count from one topic to another.
///
/// `group_by` changes the key, so words go through a repartition topic to the task that counts
/// them; `count` keeps its state in a store with a changelog topic.
pub(crate) fn word_count([lines, counts]: [&str; 2]) -> Result<Topology, Error> {
    let builder = StreamsBuilder::new();
    builder
        .stream(lines, Consumed::<String, String>::new())
        .flat_map_values(|line| words(&line))
        .group_by(|_, word| word.clone(), Grouped::new().with_name("counts"))
        .count_with(Materialized::as_store("counts"))
        .to_stream()
        .to(counts, Produced::new());
    builder.build()
}

/// The words of a line, in lower case.
pub(crate) fn words(line: &str) -> Vec<String> {
    let words = line.split(|letter: char| !letter.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}
