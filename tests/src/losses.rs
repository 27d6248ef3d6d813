//! Requests and answers that get lost on their way: asked of the embedded broker itself, or of the
//! proxy before Apache Kafka.
//!
//! # Invariants
//!
//! - **Only one client suffers**: a loss names the `client.id` it strikes, so a shared broker stays
//!   whole for everybody else.
//! - **A loss is taken back** when its handle is dropped.

use std::fmt;

use onceflow_broker::{ApiKey, FaultId};

use crate::{
    cluster::{Broker, Cluster},
    proxy::{Loss, Rule},
    wait::wait_until,
};

/// What is lost of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The request: it has no effect.
    Request,
    /// The answer: the request has its effect.
    Answer,
}

/// A loss that strikes until it is used up or dropped.
pub struct Losses<'c> {
    cluster: &'c Cluster,
    rule: Installed,
}

enum Installed {
    Embedded(FaultId),
    Proxied(u64),
}

impl Cluster {
    /// Where clients connect whose requests may get lost.
    #[must_use]
    pub fn lossy_servers(&self) -> String {
        match &self.broker {
            Broker::Embedded(broker) => broker.bootstrap_servers().to_owned(),
            Broker::Apache(kafka) => kafka.proxy().address().to_string(),
        }
    }

    /// Loses requests of this API that come from this client, or their answers: so many times, or
    /// every time.
    #[must_use]
    pub fn lose(&self, lost: Lost, api: ApiKey, client_id: &str, times: Option<u64>) -> Losses<'_> {
        let rule = match &self.broker {
            Broker::Embedded(broker) => {
                let rule = broker.faults().on(api).from_client(client_id);
                let rule = match times {
                    Some(times) => rule.times(times),
                    None => rule,
                };
                Installed::Embedded(match lost {
                    Lost::Request => rule.lose_request(),
                    Lost::Answer => rule.lose_answer(),
                })
            }
            Broker::Apache(kafka) => Installed::Proxied(kafka.proxy().add(Rule {
                api_key: api as i16,
                client_id: client_id.to_owned(),
                loss: match lost {
                    Lost::Request => Loss::Request,
                    Lost::Answer => Loss::Answer,
                },
                left: times,
            })),
        };
        Losses {
            cluster: self,
            rule,
        }
    }

    /// Cuts all connections to [`lossy_servers`](Self::lossy_servers); clients may come back at
    /// once. On the embedded broker these are all connections.
    pub fn cut_connections(&self) {
        match &self.broker {
            Broker::Embedded(broker) => broker.faults().close_connections(),
            Broker::Apache(kafka) => kafka.proxy().cut(),
        }
    }
}

impl Losses<'_> {
    /// How often it has struck.
    ///
    /// # Panics
    ///
    /// When that is more than can be counted.
    #[must_use]
    pub fn hits(&self) -> u64 {
        match (&self.cluster.broker, &self.rule) {
            (Broker::Embedded(broker), Installed::Embedded(id)) => broker.faults().hits(*id),
            (Broker::Apache(kafka), Installed::Proxied(id)) => {
                u64::try_from(kafka.proxy().hits(*id)).expect("losses can be counted")
            }
            _ => unreachable!("a cluster keeps its broker"),
        }
    }

    /// Waits until it has struck.
    pub fn wait_for_hit(&self) {
        wait_until("the loss strikes", || self.hits() > 0);
    }
}

impl Drop for Losses<'_> {
    fn drop(&mut self) {
        match (&self.cluster.broker, &self.rule) {
            (Broker::Embedded(broker), Installed::Embedded(id)) => broker.faults().remove(*id),
            (Broker::Apache(kafka), Installed::Proxied(id)) => kafka.proxy().remove(*id),
            _ => unreachable!("a cluster keeps its broker"),
        }
    }
}

impl fmt::Debug for Losses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Losses({} so far)", self.hits())
    }
}
