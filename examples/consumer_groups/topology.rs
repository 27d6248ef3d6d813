//! The application: events in, the same events out, stamped with who processed them.

use onceflow::prelude::*;
use serde::{Deserialize, Serialize};

/// The topic that everybody reads.
pub(crate) const EVENTS: &str = "events";

/// An event that was processed: by whom, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamped {
    pub(crate) event: u64,
    pub(crate) worker: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

/// Builds the application as one of its workers runs it.
pub(crate) fn stamping(events: &str, output: &str, worker: &str) -> Result<Topology, Error> {
    let worker = worker.to_owned();
    let builder = StreamsBuilder::new();
    builder
        .stream(events, Consumed::<String, String>::new())
        .process(
            move || Stamp {
                worker: worker.clone(),
            },
            &[],
        )
        .to(output, Produced::with(utf8(), json::<Stamped>()));
    builder.build()
}

/// Says who processed an event.
struct Stamp {
    worker: String,
}

impl Processor for Stamp {
    type KeyIn = String;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = Stamped;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<String, Stamped>,
    ) -> Result<(), Fault> {
        let position = ctx.position().expect("a record that was read has one");
        let event = record.value.parse();
        let event =
            event.map_err(|error| Fault::message(format!("an event has no number: {error}")))?;
        let stamped = Stamped {
            event,
            worker: self.worker.clone(),
            partition: position.topic_partition.partition,
            offset: position.offset.get(),
        };
        ctx.forward(record.with_value(stamped))
    }
}
