use onceflow::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let amounts = builder.stream("amounts", Consumed::with(utf8(), i64()));
    amounts.to("out", Produced::with(utf8(), utf8()));
}
