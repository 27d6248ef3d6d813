//! What goes wrong on purpose, and what the real client makes of it.

use std::time::Duration;

use onceflow_broker::{ApiKey, Coordinator, EmbeddedBroker, ErrorCode, Memory};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};

use crate::support::{
    PATIENCE, assigned, config, member, payloads, poll_until, producer, read, reader, send,
    send_all, take, transactional,
};

fn broker() -> EmbeddedBroker {
    EmbeddedBroker::builder().topic("t", 1).start().unwrap()
}

fn idempotent(broker: &EmbeddedBroker) -> BaseProducer {
    config(broker)
        .set("enable.idempotence", "true")
        .set("linger.ms", "1")
        .create()
        .unwrap()
}

#[test]
fn a_commit_whose_answer_is_lost_can_be_resumed() {
    let broker = broker();
    let producer = transactional(&broker, "tx");
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["once"]);
    let fault = broker.faults().on(ApiKey::EndTxn).times(1).lose_answer();
    while let Err(error) = producer.commit_transaction(Duration::from_secs(2)) {
        let KafkaError::Transaction(error) = error else {
            panic!("{error:?}")
        };
        assert!(error.is_retriable(), "{error:?}");
    }
    assert_eq!(broker.faults().hits(fault), 1);
    assert_eq!(read(&broker, "t", "read_committed", 1), ["once"]);
    assert_eq!(broker.offsets("t", 0), Some((0, 2, 2)), "one marker");
}

#[test]
fn a_produce_whose_answer_is_lost_is_not_doubled_by_an_idempotent_producer() {
    let broker = broker();
    broker.faults().on(ApiKey::Produce).times(1).lose_answer();
    send_all(&idempotent(&broker), "t", &["once"]);
    assert_eq!(broker.requests_received(ApiKey::Produce), 2);
    assert_eq!(read(&broker, "t", "read_committed", 1), ["once"]);
}

#[test]
fn a_lost_request_is_sent_again() {
    let broker = broker();
    let fault = broker.faults().on(ApiKey::Produce).times(2).lose_request();
    send_all(&idempotent(&broker), "t", &["once"]);
    assert!(broker.faults().wait_for_hits(fault, 2, PATIENCE));
    assert_eq!(read(&broker, "t", "read_committed", 1), ["once"]);
}

#[test]
fn errors_are_given_out_as_told_and_only_to_whom() {
    let broker = broker();
    let spared = broker
        .faults()
        .on(ApiKey::Produce)
        .from_client("somebody else")
        .fail(ErrorCode::NotLeaderOrFollower);
    let struck = broker
        .faults()
        .on(ApiKey::Produce)
        .after(1)
        .times(1)
        .fail(ErrorCode::NotEnoughReplicas);
    let doubled = broker
        .faults()
        .on(ApiKey::Produce)
        .after(1)
        .times(1)
        .fail_after_effect(ErrorCode::RequestTimedOut);
    let producer = idempotent(&broker);
    for value in ["a", "b", "c"] {
        send_all(&producer, "t", &[value]);
    }
    let hits = [spared, struck, doubled].map(|fault| broker.faults().hits(fault));
    assert_eq!(hits, [0, 1, 1]);
    assert_eq!(read(&broker, "t", "read_committed", 3), ["a", "b", "c"]);
}

#[test]
fn delays_hold_up_the_request_or_its_answer() {
    let broker = broker();
    let producer = producer(&broker);
    send_all(&producer, "t", &["warm"]);
    let delay = Duration::from_millis(300);
    for before in [true, false] {
        let rule = broker.faults().on(ApiKey::Produce).times(1);
        let fault = if before {
            rule.delay(delay)
        } else {
            rule.delay_answer(delay)
        };
        let end = broker.offsets("t", 0).unwrap().2;
        send(&producer, "t", 0, "slow");
        producer.poll(Duration::from_millis(20));
        assert!(broker.faults().wait_for_hits(fault, 1, PATIENCE));
        let during = broker.offsets("t", 0).unwrap().2;
        assert_eq!(during - end, i64::from(!before));
        producer.flush(PATIENCE).unwrap();
        assert_eq!(broker.offsets("t", 0).unwrap().2, end + 1);
    }
}

#[test]
fn cut_connections_are_made_again() {
    let broker = broker();
    let producer = idempotent(&broker);
    let consumer = reader(&broker, "t", "read_committed");
    for value in ["a", "b", "c"] {
        send_all(&producer, "t", &[value]);
        assert_eq!(payloads(&take(&consumer, 1)), [value]);
        broker.faults().close_connections();
    }
}

#[test]
fn a_hanging_broker_comes_back_with_everything_done() {
    let broker = broker();
    let producer = transactional(&broker, "tx");
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["a"]);
    broker.faults().hang(Duration::from_millis(700));
    let refused = producer
        .commit_transaction(Duration::from_millis(200))
        .unwrap_err();
    let KafkaError::Transaction(error) = refused else {
        panic!("{refused:?}")
    };
    assert!(error.is_retriable());
    producer.commit_transaction(PATIENCE).unwrap();
    assert_eq!(read(&broker, "t", "read_committed", 1), ["a"]);
}

#[test]
fn a_producer_can_be_fenced_and_a_transaction_expired_at_will() {
    let broker = broker();
    for expire in [true, false] {
        let producer = transactional(&broker, "tx");
        producer.begin_transaction().unwrap();
        send_all(&producer, "t", &["gone"]);
        let faults = broker.faults();
        assert!(if expire {
            faults.expire_transaction("tx")
        } else {
            faults.fence_producer("tx")
        });
        let KafkaError::Transaction(error) = producer.commit_transaction(PATIENCE).unwrap_err()
        else {
            panic!()
        };
        assert_eq!(
            (error.code(), error.is_fatal()),
            (RDKafkaErrorCode::Fenced, true)
        );
    }
    assert!(!broker.faults().expire_transaction("tx"), "nothing is open");
    assert!(!broker.faults().fence_producer("unknown"));
    assert!(read(&broker, "t", "read_committed", 0).is_empty());
}

#[test]
fn clients_wait_for_coordinators_that_move_or_load() {
    let broker = broker();
    let away = Duration::from_millis(300);
    broker
        .faults()
        .move_coordinator(Coordinator::Transaction, away);
    let producer = transactional(&broker, "tx");
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["a"]);
    broker
        .faults()
        .load_coordinator(Coordinator::Transaction, away);
    producer.commit_transaction(PATIENCE).unwrap();
    broker.faults().move_coordinator(Coordinator::Group, away);
    let member = member(&broker, "g", &[]);
    member.subscribe(&["t"]).unwrap();
    let messages = poll_until(&[&member], |_, messages| !messages.is_empty());
    assert_eq!(payloads(&messages), ["a"]);
}

#[test]
fn a_restart_with_memory_loses_nothing() {
    let broker = EmbeddedBroker::builder().topic("t", 2).start().unwrap();
    let consumer = member(&broker, "g", &[]);
    consumer.subscribe(&["t"]).unwrap();
    poll_until(&[&consumer], |members, _| assigned(members[0]) == 2);
    let producer = transactional(&broker, "tx");
    producer.begin_transaction().unwrap();
    send_all(&producer, "t", &["before"]);
    broker.kill();
    assert!(
        producer
            .commit_transaction(Duration::from_millis(300))
            .is_err()
    );
    broker.revive(Memory::Kept);
    while let Err(error) = producer.commit_transaction(PATIENCE) {
        let KafkaError::Transaction(error) = error else {
            panic!("{error:?}")
        };
        assert!(error.is_retriable(), "{error:?}");
    }
    let messages = poll_until(&[&consumer], |_, messages| !messages.is_empty());
    assert_eq!(payloads(&messages), ["before"]);
}

#[test]
fn a_restart_without_memory_is_a_new_broker_on_the_old_port() {
    let broker = broker();
    send_all(&producer(&broker), "t", &["before"]);
    let port = broker.port();
    broker.restart(Memory::Lost);
    assert_eq!(broker.port(), port);
    assert_eq!(
        broker.topics(),
        ["t"],
        "the topics of the builder are there again"
    );
    send_all(&producer(&broker), "t", &["after"]);
    assert_eq!(read(&broker, "t", "read_committed", 1), ["after"]);
}

#[test]
fn a_dropped_broker_is_gone_at_once() {
    let broker = broker();
    let consumer = reader(&broker, "t", "read_committed");
    assert!(consumer.poll(Duration::from_millis(200)).is_none());
    let address = broker.bootstrap_servers().to_owned();
    drop(broker);
    assert!(std::net::TcpStream::connect(&address).is_err());
    let again = EmbeddedBroker::builder()
        .port(address.rsplit_once(':').unwrap().1.parse().unwrap())
        .start();
    assert_eq!(
        again.unwrap().bootstrap_servers(),
        address,
        "the port is free again"
    );
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let broker = broker();
    let error = EmbeddedBroker::builder()
        .port(broker.port())
        .start()
        .unwrap_err();
    assert!(
        error.to_string().contains(broker.bootstrap_servers()),
        "{error}"
    );
}
