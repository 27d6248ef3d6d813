//! The application: orders in, each paid with the service or in the table, receipts out.

use std::process::ExitCode;

use onceflow::Config;
use onceflow::prelude::*;
use onceflow_examples::app;
use onceflow_postgres::PostgresSink;

use crate::arguments::TillArguments;
use crate::model::{Answer, ORDERS, Order, RECEIPTS, Receipt};
use crate::service::Client;

/// Builds the shop.
pub(crate) fn shop(arguments: &TillArguments) -> Result<Topology, Error> {
    let TillArguments {
        common,
        payments,
        postgres,
    } = arguments;
    let (input, output) = (
        format!("{ORDERS}{}", common.run),
        format!("{RECEIPTS}{}", common.run),
    );
    let builder = StreamsBuilder::new();
    let orders = builder.stream(&*input, Consumed::with(utf8(), json::<Order>()));
    let receipts = match postgres {
        None => {
            let service = payments.clone();
            orders.process_values(move || Charge::with(&service), &[])
        }
        Some(connection) => {
            orders.to_external("payments", rows(connection, payments));
            orders.map_values(|order| Receipt {
                order,
                answer: Answer::Charged,
            })
        }
    };
    receipts.to(&output, Produced::with(utf8(), json::<Receipt>()));
    builder.build()
}

/// A row for each order, by its id: written again, it is the same row.
fn rows(connection: &str, table: &str) -> PostgresSink<String, Order> {
    PostgresSink::upsert_at_least_once(connection, table)
        .key("id", |record: &Record<String, Order>| {
            record.value.id.cast_signed()
        })
        .column("cents", |record: &Record<String, Order>| {
            record.value.cents.cast_signed()
        })
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
    let common = &arguments.common;
    let config = Config::builder(&common.application_id, &common.bootstrap_servers)
        // Offsets are committed once the charges are made and the receipts delivered: nothing is
        // lost, and what a crash leaves without its offsets is done again.
        .property("processing.guarantee", "at_least_once")
        .num_stream_threads(2)
        // The name outlives a crash: the next worker is given its partitions at once.
        .instance_id("till")
        .static_membership(true)
        .build();
    app::serve(shop(arguments), config)
}
