//! The application: orders in, each charged with the service, receipts out.

use std::process::ExitCode;

use onceflow::Config;
use onceflow::prelude::*;
use onceflow_examples::app;

use crate::arguments::TillArguments;
use crate::model::{ORDERS, Order, RECEIPTS, Receipt};
use crate::service::Client;

/// Builds the shop; `run` is what the names of its topics end in.
pub(crate) fn shop(run: &str, service: &str) -> Result<Topology, Error> {
    let service = service.to_owned();
    let builder = StreamsBuilder::new();
    builder
        .stream(
            &*format!("{ORDERS}{run}"),
            Consumed::with(utf8(), json::<Order>()),
        )
        .process_values(move || Charge::with(&service), &[])
        .to(
            &format!("{RECEIPTS}{run}"),
            Produced::with(utf8(), json::<Receipt>()),
        );
    builder.build()
}

/// Charges each order. What happens outside of Kafka happens again when the batch does: that is
/// what the order's id is for.
struct Charge {
    service: String,
    client: Option<Client>,
}

impl Charge {
    fn with(service: &str) -> Self {
        Charge {
            service: service.to_owned(),
            client: None,
        }
    }
}

impl FixedKeyProcessor for Charge {
    type Key = String;
    type ValueIn = Order;
    type ValueOut = Receipt;

    fn init(&mut self, _ctx: &mut FixedKeyContext<'_, String, Receipt>) -> Result<(), Fault> {
        let client = Client::connect(&self.service);
        self.client = Some(client.map_err(|error| away(&*error))?);
        Ok(())
    }

    fn process(
        &mut self,
        record: FixedKeyRecord<String, Order>,
        ctx: &mut FixedKeyContext<'_, String, Receipt>,
    ) -> Result<(), Fault> {
        let client = self.client.as_mut().expect("init connected it");
        let order = record.value.clone();
        let answer = client.charge(&order).map_err(|error| away(&*error))?;
        ctx.forward(record.with_value(Receipt { order, answer }))
    }
}

fn away(error: &dyn std::error::Error) -> Fault {
    Fault::message(format!("the payment service does not answer: {error}"))
}

/// Runs the shop until it is told to end, or fails.
pub(crate) fn work(arguments: &TillArguments) -> ExitCode {
    let TillArguments { common, service } = arguments;
    let config = Config::builder(&common.application_id, &common.bootstrap_servers)
        // Offsets are committed once the charges are made and the receipts delivered: nothing is
        // lost, and what a crash leaves without its offsets is done again.
        .property("processing.guarantee", "at_least_once")
        .num_stream_threads(2)
        // The name outlives a crash: the next worker is given its partitions at once.
        .instance_id("till")
        .static_membership(true)
        .build();
    app::serve(shop(&common.run, service), config)
}
