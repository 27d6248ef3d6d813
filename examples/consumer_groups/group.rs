//! One application: its workers, and what Kafka says of them.

use std::time::Duration;

use onceflow::Config;
use onceflow_examples::Result;
use onceflow_examples::app::Running;
use onceflow_examples::run::Run;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::ownership::Owners;
use crate::topology::stamping;

/// What applications are called.
const NAMES: [&str; 9] = [
    "billing", "shipping", "search", "fraud", "mail", "stock", "taxes", "advice", "archive",
];

/// How long the broker may take to describe a group.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The names of an application, and of what it writes.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) output: String,
}

impl Group {
    pub(crate) fn of(run: &Run, number: u16) -> Self {
        let name = NAMES[usize::from(number) % NAMES.len()];
        Group {
            name: name.to_owned(),
            id: run.named(name),
            output: run.named(&format!("{name}-events")),
        }
    }

    /// Starts a worker: an application instance with one thread, here in this process; it could
    /// as well be on another machine.
    pub(crate) fn start_worker(
        &self,
        tokio: &tokio::runtime::Handle,
        run: &Run,
        (events, worker): (&str, &str),
    ) -> Result<Running> {
        let config = Config::builder(&self.id, run.cluster.bootstrap_servers())
            .instance_id(worker)
            // A member learns of a rebalance by its next heartbeat.
            .property("consumer.heartbeat.interval.ms", "200")
            .build()?;
        Running::start(tokio, stamping(events, &self.output, worker)?, config)
    }

    /// Who owns which partition, as the broker tells it; none while the group rebalances.
    pub(crate) fn owners(
        &self,
        broker: &BaseConsumer,
        (events, partitions): (&str, i32),
        workers: usize,
    ) -> Result<Option<Owners>> {
        // A coordinator that is still loading says nothing yet.
        let Ok(list) = broker.fetch_group_list(Some(&self.id), ANSWER_TIMEOUT) else {
            return Ok(None);
        };
        let Some(group) = list.groups().iter().find(|group| group.name() == self.id) else {
            return Ok(None);
        };
        if group.state() != "Stable" || group.members().len() != workers {
            return Ok(None);
        }
        let mut owners = Owners::none(partitions);
        for member in group.members() {
            let assignment = member.assignment().unwrap_or_default();
            if !assignment.is_empty() {
                owners.add(worker_of(member.client_id()), events, assignment)?;
            }
        }
        Ok(Some(owners))
    }
}

/// The worker whose client this is: clients are named `instance-thread-consumer`.
fn worker_of(client: &str) -> &str {
    client.strip_suffix("-0-consumer").unwrap_or(client)
}
