//! What the delivery guarantee rests on: settings that have one right value, and why.

/// Why a client's setting cannot have this value, if it cannot.
pub(super) fn refusal(name: &str, value: &str) -> Option<&'static str> {
    let (_, allowed, reason) = BOUND.iter().find(|(bound, _, _)| *bound == name)?;
    (!allowed(value)).then_some(reason)
}

/// What means nothing to a producer that waits for no answer.
pub(super) const ACKNOWLEDGED: &[&str] = &["acks", "enable.idempotence", "retries"];

type Bound = (&'static str, fn(&str) -> bool, &'static str);

const BOUND: &[Bound] = &[
    (
        "enable.auto.commit",
        is_false,
        "offsets are committed with the batch that processed them, never on a timer; the interval \
         is commit.interval.ms",
    ),
    (
        "auto.commit.interval.ms",
        never,
        "nothing is committed on a timer of the client's; set commit.interval.ms",
    ),
    (
        "enable.auto.offset.store",
        is_false,
        "an offset counts once its record is processed, not once it is fetched",
    ),
    (
        "isolation.level",
        |value| value == "read_committed",
        "records of aborted transactions must not be processed, and offsets that a transaction is \
         about to replace must not be resumed from",
    ),
    ("group.id", never, "the group is named by application.id"),
    (
        "group.instance.id",
        never,
        "it must differ from worker to worker; set static.membership=true, and instance.id if \
         you name your processes",
    ),
    (
        "partition.assignment.strategy",
        |value| value == "range",
        "only the range assignor hands partitions of equal number of joined topics to one task",
    ),
    (
        "group.protocol",
        |value| value == "classic",
        "hand-over of tasks rests on the classic protocol's rebalances",
    ),
    (
        "group.protocol.type",
        |value| value == "consumer",
        "it must be consumer",
    ),
    (
        "group.remote.assignor",
        never,
        "it belongs to a group protocol that is not used",
    ),
    (
        "enable.partition.eof",
        never,
        "a restore sets it, and a task that waits for its inputs",
    ),
    (
        "allow.auto.create.topics",
        is_false,
        "a mistyped topic would be created, empty, instead of reported",
    ),
    (
        "transactional.id",
        never,
        "it is made of application.id, instance.id and the worker, so that a restart fences its \
         predecessor",
    ),
    (
        "enable.idempotence",
        |value| value == "true",
        "without it a retry of the client's can write a record twice, or out of order",
    ),
    (
        "acks",
        |value| matches!(value, "all" | "-1"),
        "a record counts as written once all in-sync replicas have it",
    ),
    (
        "max.in.flight.requests.per.connection",
        |value| {
            value
                .parse()
                .is_ok_and(|count: i64| (1..=5).contains(&count))
        },
        "above 5 the broker cannot keep the order of retried requests",
    ),
    (
        "retries",
        |value| value.parse().is_ok_and(|count: i64| count > 0),
        "a producer that keeps order and writes once must be able to retry",
    ),
    (
        "delivery.timeout.ms",
        |value| value != "0",
        "0 is for ever, and a record cannot outlive its transaction",
    ),
    (
        "delivery.report.only.error",
        |value| value == "true",
        "commit waits for a counter, not for a report of every record",
    ),
    (
        "partitioner",
        |value| value == "murmur2_random",
        "keys go where Java's producers put them, or joins miss them; choose partitions where a \
         topic is written: Produced::with_partitioner",
    ),
    (
        "queue.buffering.backpressure.threshold",
        |value| value == "1",
        "an idempotent producer takes no other",
    ),
    (
        "enable.gapless.guarantee",
        is_false,
        "a failed record aborts its transaction, which leaves no gap",
    ),
    (
        "enable.random.seed",
        is_true,
        "records without a key would all go to one partition",
    ),
];

fn never(_: &str) -> bool {
    false
}

fn is_false(value: &str) -> bool {
    value == "false"
}

fn is_true(value: &str) -> bool {
    value == "true"
}

#[cfg(test)]
mod tests {
    use super::super::librdkafka;
    use super::*;

    #[test]
    fn what_is_bound_is_known_by_the_name_that_is_kept() {
        for (name, _, _) in BOUND {
            assert_eq!(
                librdkafka::property(name).map(|property| property.name),
                Some(*name)
            );
        }
    }
}
