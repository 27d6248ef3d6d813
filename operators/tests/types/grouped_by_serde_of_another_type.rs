use onceflow::prelude::*;

fn main() {
    let builder = StreamsBuilder::new();
    let amounts = builder.stream("amounts", Consumed::with(utf8(), i64()));
    amounts.group_by_key(Grouped::with(i64(), i64())).count();
}
