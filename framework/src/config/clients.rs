//! Settings of librdkafka's clients: which client gets which, and what contradicts what.
//!
//! # Invariants
//!
//! - A setting for one kind of client wins over the same for several, whatever their order.
//! - What the guarantee binds is refused here, with the reason; the clients bind it once more.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::bound;
use super::build::Build;
use super::librdkafka::{ClientProperty, Scope};
use super::{Config, Guarantee};

/// For whom a setting was made; later ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// Every client that knows it.
    Plain,
    /// The consumers of inputs and of changelogs.
    Consumer,
    MainConsumer,
    RestoreConsumer,
    Producer,
    Admin,
}

impl Layer {
    fn prefix(self) -> &'static str {
        match self {
            Layer::Plain => "",
            Layer::Consumer => "consumer.",
            Layer::MainConsumer => "main.consumer.",
            Layer::RestoreConsumer => "restore.consumer.",
            Layer::Producer => "producer.",
            Layer::Admin => "admin.",
        }
    }
}

/// What the user set, by layer and name.
#[derive(Clone, Default)]
pub(super) struct ClientOverrides(BTreeMap<(Layer, &'static str), (Scope, String)>);

impl ClientOverrides {
    /// Keeps a setting, unless the guarantee depends on another value.
    pub(super) fn set(
        &mut self,
        layer: Layer,
        property: ClientProperty,
        value: &str,
    ) -> Result<(), String> {
        property.check(value)?;
        if let Some(reason) = bound::refusal(property.name, value) {
            return Err(reason.to_owned());
        }
        if let Some(lacking) = Build::THIS.lacks(property.name, value) {
            return Err(lacking.to_owned());
        }
        self.0
            .insert((layer, property.name), (property.scope, value.to_owned()));
        Ok(())
    }

    /// What a client is to be made with, of these layers and of this scope.
    fn of(&self, layers: &[Layer], scope: Option<Scope>) -> Properties {
        let theirs = self.0.iter().filter(|((layer, _), (of, _))| {
            layers.contains(layer) && (*of == Scope::Any || Some(*of) == scope)
        });
        theirs
            .map(|((_, name), (_, value))| ((*name).to_owned(), value.clone()))
            .collect()
    }
}

impl fmt::Debug for ClientOverrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|((layer, name), (_, value))| {
            (format!("{}{name}", layer.prefix()), shown(name, value))
        });
        f.debug_map().entries(shown).finish()
    }
}

type Properties = BTreeMap<String, String>;

/// The users' settings of each kind of client, by librdkafka's names. Not to be printed: there
/// are passwords among them.
#[derive(Clone, Default)]
pub(crate) struct ClientProperties {
    pub(crate) consumer: Properties,
    pub(crate) producer: Properties,
    pub(crate) restore_consumer: Properties,
    pub(crate) admin: Properties,
    /// Whether the name of a worker is its static member id.
    pub(crate) static_membership: bool,
    /// Whether a member is told when it has reached the end of a partition.
    pub(crate) tells_ends: bool,
    /// Decides what a producer waits for.
    pub(crate) guarantee: Guarantee,
}

/// A value as it may be printed.
pub(super) fn shown<'v>(name: &str, value: &'v str) -> &'v str {
    const SECRET: [&str; 6] = [
        "password",
        "secret",
        "passphrase",
        "key.pem",
        "oauthbearer.config",
        "private",
    ];
    if SECRET.iter().any(|part| name.contains(part)) {
        "(hidden)"
    } else {
        value
    }
}

impl Config {
    /// What the clients are to be made with: the user's settings, and who we are.
    ///
    /// Defaults that differ from librdkafka's, and what the guarantee binds, are added where the
    /// clients are made; so are transactional ids and the names of members.
    pub(crate) fn client_properties(&self) -> ClientProperties {
        ClientProperties {
            consumer: self.consumer_properties(),
            producer: self.producer_properties(),
            restore_consumer: self.restore_consumer_properties(),
            admin: self.admin_properties(),
            static_membership: self.static_membership,
            tells_ends: false,
            guarantee: self.guarantee,
        }
    }

    /// Of the members of the group.
    pub(crate) fn consumer_properties(&self) -> Properties {
        let layers = [Layer::Plain, Layer::Consumer, Layer::MainConsumer];
        let mut properties = self.properties_of(&layers, Some(Scope::Consumer));
        properties.insert("group.id".to_owned(), self.application_id.clone());
        properties
    }

    /// Of the workers' producers.
    pub(crate) fn producer_properties(&self) -> Properties {
        let mut properties =
            self.properties_of(&[Layer::Plain, Layer::Producer], Some(Scope::Producer));
        let timeout = self.transaction_timeout.as_millis().to_string();
        properties.insert("transaction.timeout.ms".to_owned(), timeout);
        properties
    }

    /// Of the readers of changelogs.
    pub(crate) fn restore_consumer_properties(&self) -> Properties {
        let layers = [Layer::Plain, Layer::Consumer, Layer::RestoreConsumer];
        self.properties_of(&layers, Some(Scope::Consumer))
    }

    /// Of the clients that look up and create topics.
    pub(crate) fn admin_properties(&self) -> Properties {
        self.properties_of(&[Layer::Plain, Layer::Admin], None)
    }

    fn properties_of(&self, layers: &[Layer], scope: Option<Scope>) -> Properties {
        let mut properties = self.clients.of(layers, scope);
        properties.insert(
            "bootstrap.servers".to_owned(),
            self.bootstrap_servers.clone(),
        );
        if let Some(client_id) = &self.client_id {
            properties.insert("client.id".to_owned(), client_id.clone());
        }
        properties
    }

    /// What librdkafka would refuse when a client is made, or the broker once it runs.
    pub(super) fn client_problems(&self) -> Vec<String> {
        let consumer = self.consumer_properties();
        let producer = self.producer_properties();
        let session = span(&consumer, "session.timeout.ms", 45_000);
        let checks = [
            Order {
                lesser: (
                    "heartbeat.interval.ms",
                    span(&consumer, "heartbeat.interval.ms", 500),
                ),
                greater: ("session.timeout.ms", session),
                why: "a member that sends no heartbeat in time is thrown out of the group",
            },
            Order {
                lesser: ("session.timeout.ms", session),
                greater: (
                    "max.poll.interval.ms",
                    span(&consumer, "max.poll.interval.ms", 300_000) + millis(1),
                ),
                why: "librdkafka refuses a session that is longer",
            },
            Order {
                lesser: ("transaction.timeout.ms", self.transaction_timeout),
                greater: (
                    "max.poll.interval.ms",
                    span(&consumer, "max.poll.interval.ms", 300_000),
                ),
                why: "a worker that ends a transaction must still be in the group",
            },
            Order {
                lesser: (
                    "delivery.timeout.ms",
                    span(&producer, "delivery.timeout.ms", 1),
                ),
                greater: (
                    "transaction.timeout.ms",
                    self.transaction_timeout + millis(1),
                ),
                why: "a record cannot outlive its transaction",
            },
            Order {
                lesser: ("socket.timeout.ms", span(&producer, "socket.timeout.ms", 0)),
                greater: (
                    "transaction.timeout.ms",
                    self.transaction_timeout + millis(101),
                ),
                why: "a request cannot outlive its transaction",
            },
        ];
        let mut problems: Vec<String> = checks.iter().filter_map(Order::problem).collect();
        if self.guarantee == Guarantee::AtMostOnce {
            let contradicting = bound::ACKNOWLEDGED.iter();
            let contradicting = contradicting.filter(|name| producer.contains_key(**name));
            problems.extend(contradicting.map(|name| {
                format!("{name} cannot be set at most once: nothing is acknowledged or sent again")
            }));
        }
        let sasl = |properties: &Properties| {
            let protocol = properties.get("security.protocol");
            protocol.is_some_and(|protocol| protocol.to_ascii_lowercase().starts_with("sasl"))
                && !properties.contains_key("sasl.mechanism")
        };
        if !Build::THIS.has_default_mechanism() && (sasl(&consumer) || sasl(&producer)) {
            problems.push("security.protocol needs sasl.mechanism, such as PLAIN".to_owned());
        }
        problems
    }
}

/// Two spans of which one must be below the other.
struct Order {
    lesser: (&'static str, Duration),
    greater: (&'static str, Duration),
    why: &'static str,
}

impl Order {
    fn problem(&self) -> Option<String> {
        let ((lesser, short), (greater, long)) = (self.lesser, self.greater);
        (short >= long).then(|| {
            let why = self.why;
            format!(
                "{lesser} ({} ms) is too long for {greater}: {why}",
                short.as_millis()
            )
        })
    }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A span that was set, or the default; what is no number is refused by the client itself.
fn span(properties: &Properties, name: &str, default_ms: u64) -> Duration {
    let set = properties.get(name).and_then(|value| value.parse().ok());
    millis(set.unwrap_or(default_ms))
}
