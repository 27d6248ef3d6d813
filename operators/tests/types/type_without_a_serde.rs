use onceflow::prelude::*;

#[derive(Clone)]
struct Order;

fn main() {
    let builder = StreamsBuilder::new();
    let orders: KStream<String, Order> = builder.stream("orders", Consumed::new());
    orders.for_each(|_, _| {});
}
