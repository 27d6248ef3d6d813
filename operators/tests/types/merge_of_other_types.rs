use onceflow::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let amounts = builder.stream("amounts", Consumed::with(utf8(), i64()));
    let words = builder.stream("words", Consumed::with(utf8(), utf8()));
    amounts.merge(&words);
}
