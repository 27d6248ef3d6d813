use onceflow::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let words = builder.stream("words", Consumed::with(utf8(), utf8()));
    let by_word = words.group_by_key(Grouped::new());
    by_word.count_with(Materialized::with(utf8(), utf8()));
}
