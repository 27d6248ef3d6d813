//! Administration: topics, their settings, their ends.

use onceflow_tests::{
    Cluster,
    Isolation::ReadUncommitted,
    admin_options, block_on, offsets, texts, unique,
    wait::{PATIENCE, wait_until},
};
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{
        AdminOptions, AlterConfig, ConfigResource, NewPartitions, NewTopic, ResourceSpecifier,
        TopicReplication,
    },
    consumer::Consumer,
    error::RDKafkaErrorCode,
};

type Answer = Result<(), RDKafkaErrorCode>;

fn create(cluster: &Cluster, topic: &NewTopic<'_>, options: &AdminOptions) -> Answer {
    let answers = block_on(cluster.admin().create_topics([topic], options)).unwrap();
    one(answers)
}

fn delete(cluster: &Cluster, topic: &str) -> Answer {
    one(block_on(cluster.admin().delete_topics(&[topic], &admin_options())).unwrap())
}

fn grow(cluster: &Cluster, topic: &str, partitions: usize) -> Answer {
    let wanted = [NewPartitions::new(topic, partitions)];
    one(block_on(cluster.admin().create_partitions(&wanted, &admin_options())).unwrap())
}

fn one(answers: Vec<Result<String, (String, RDKafkaErrorCode)>>) -> Answer {
    assert_eq!(answers.len(), 1, "one topic, one answer");
    let answer = answers.into_iter().next().unwrap();
    answer.map(drop).map_err(|(_, code)| code)
}

fn settings(cluster: &Cluster, topic: &str) -> ConfigResource {
    let wanted = [ResourceSpecifier::Topic(topic)];
    let answers = block_on(cluster.admin().describe_configs(&wanted, &admin_options())).unwrap();
    answers.into_iter().next().unwrap().unwrap()
}

fn setting(cluster: &Cluster, topic: &str, name: &str) -> Option<String> {
    settings(cluster, topic)
        .get(name)
        .and_then(|entry| entry.value.clone())
}

#[test]
fn a_topic_that_exists_is_not_created_again() {
    let cluster = Cluster::shared();
    let name = cluster.topic("exists", 2);
    let again = NewTopic::new(&name, 5, TopicReplication::Fixed(1));
    let answer = create(cluster, &again, &admin_options());
    assert_eq!(answer, Err(RDKafkaErrorCode::TopicAlreadyExists));
    assert_eq!(cluster.partitions(&name), [0, 1]);
}

#[test]
fn a_topic_that_makes_no_sense_is_refused() {
    let cluster = Cluster::shared();
    let name = unique("nonsense");
    let fixed = TopicReplication::Fixed;
    let attempts = [
        (
            NewTopic::new(&name, 0, fixed(1)),
            RDKafkaErrorCode::InvalidPartitions,
        ),
        (
            NewTopic::new(&name, 1, fixed(3)),
            RDKafkaErrorCode::InvalidReplicationFactor,
        ),
        (
            NewTopic::new("no/slash", 1, fixed(1)),
            RDKafkaErrorCode::InvalidTopic,
        ),
        (
            NewTopic::new(&name, 1, fixed(1)).set("no.such.setting", "1"),
            RDKafkaErrorCode::InvalidConfig,
        ),
        (
            NewTopic::new(&name, 1, fixed(1)).set("retention.ms", "soon"),
            RDKafkaErrorCode::InvalidConfig,
        ),
    ];
    for (topic, code) in attempts {
        assert_eq!(
            create(cluster, &topic, &admin_options()),
            Err(code),
            "{topic:?}"
        );
    }
}

#[test]
fn validation_alone_creates_nothing() {
    let cluster = Cluster::shared();
    let name = unique("validated");
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
    let dry = admin_options().validate_only(true);
    assert_eq!(create(cluster, &topic, &dry), Ok(()));
    assert_eq!(create(cluster, &topic, &dry), Ok(()));
    assert_eq!(create(cluster, &topic, &admin_options()), Ok(()));
}

#[test]
fn a_deleted_topic_is_gone_and_comes_back_empty() {
    let cluster = Cluster::shared();
    let name = cluster.topic("deleted", 2);
    cluster.produce_values(&name, ["gone"]);
    assert_eq!(delete(cluster, &name), Ok(()));
    wait_until("the topic is gone", || cluster.partitions(&name).is_empty());
    assert_eq!(
        delete(cluster, &name),
        Err(RDKafkaErrorCode::UnknownTopicOrPartition)
    );
    cluster.create_topic(&name, 1, &[]);
    assert_eq!(cluster.settled(&name), []);
    assert_eq!(cluster.produce_values(&name, ["fresh"])[0].offset, 0);
}

#[test]
fn deleting_a_topic_deletes_its_committed_offsets() {
    let cluster = Cluster::shared();
    let name = cluster.topic("deleted-offsets", 1);
    let group = unique("deleted-offsets");
    cluster
        .commit_offsets(&group, &offsets(&[(&name, 0, 5, "")]))
        .unwrap();
    assert_eq!(delete(cluster, &name), Ok(()));
    wait_until("the topic is gone", || cluster.partitions(&name).is_empty());
    cluster.create_topic(&name, 1, &[]);
    wait_until("the offsets are gone", || {
        cluster.committed(&group, &name).is_empty()
    });
}

#[test]
fn settings_come_back_as_given_and_others_by_default() {
    let cluster = Cluster::shared();
    let given = [("cleanup.policy", "compact"), ("retention.ms", "12345")];
    let name = cluster.topic_with("configured", 1, &given);
    let settings = settings(cluster, &name);
    for (key, value) in given {
        let entry = settings.get(key).unwrap();
        assert_eq!(entry.value.as_deref(), Some(value));
        assert!(!entry.is_default, "{key} was given");
    }
    let default = settings.get("max.message.bytes").unwrap();
    assert_eq!(default.value.as_deref(), Some("1048588"));
    assert!(default.is_default);
}

/// The broker answers with an error that the wrapper drops: what is left is an empty list.
#[test]
fn an_unknown_topic_has_no_settings() {
    let cluster = Cluster::shared();
    assert!(settings(cluster, &unique("nowhere")).entries.is_empty());
}

#[test]
fn altering_settings_replaces_all_that_were_given() {
    let cluster = Cluster::shared();
    let name = cluster.topic_with(
        "altered",
        1,
        &[("retention.ms", "1000"), ("cleanup.policy", "compact")],
    );
    let change = AlterConfig::new(ResourceSpecifier::Topic(&name)).set("retention.ms", "2000");
    let answers = block_on(cluster.admin().alter_configs([&change], &admin_options())).unwrap();
    assert!(answers[0].is_ok(), "{answers:?}");
    wait_until("the change is visible", || {
        setting(cluster, &name, "retention.ms").as_deref() == Some("2000")
    });
    assert_eq!(
        setting(cluster, &name, "cleanup.policy").as_deref(),
        Some("delete")
    );
}

#[test]
fn partitions_are_added_and_never_removed() {
    let cluster = Cluster::shared();
    let name = cluster.topic("grown", 2);
    cluster.produce_values(&name, ["kept"]);
    assert_eq!(grow(cluster, &name, 4), Ok(()));
    wait_until("the partitions are there", || {
        cluster.partitions(&name).len() == 4
    });
    assert_eq!(
        grow(cluster, &name, 4),
        Err(RDKafkaErrorCode::InvalidPartitions)
    );
    assert_eq!(
        grow(cluster, &name, 3),
        Err(RDKafkaErrorCode::InvalidPartitions)
    );
    assert_eq!(texts(&cluster.settled(&name)), ["kept"]);
    assert_eq!(
        grow(cluster, &unique("nowhere"), 3),
        Err(RDKafkaErrorCode::UnknownTopicOrPartition)
    );
}

#[test]
fn deleted_records_move_the_low_end() {
    let cluster = Cluster::shared();
    let name = cluster.topic("trimmed", 1);
    cluster.produce_values(&name, ["0", "1", "2", "3"]);
    assert_eq!(trim(cluster, &name, Offset::Offset(3)), Ok(3));
    assert_eq!(cluster.watermarks(&name, 0, ReadUncommitted), (3, 4));
    assert_eq!(texts(&cluster.settled(&name)), ["3"]);
    assert_eq!(
        trim(cluster, &name, Offset::Offset(9)),
        Err(RDKafkaErrorCode::OffsetOutOfRange)
    );
    assert_eq!(trim(cluster, &name, Offset::End), Ok(4));
    assert_eq!(cluster.settled(&name), []);
    assert_eq!(cluster.produce_values(&name, ["4"])[0].offset, 4);
}

fn trim(cluster: &Cluster, topic: &str, before: Offset) -> Result<i64, RDKafkaErrorCode> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, before).unwrap();
    let answer = block_on(cluster.admin().delete_records(&list, &admin_options())).unwrap();
    let element = answer.find_partition(topic, 0).unwrap();
    match element.error() {
        Ok(()) => Ok(element.offset().to_raw().unwrap()),
        Err(error) => Err(error.rdkafka_error_code().unwrap()),
    }
}

#[test]
fn metadata_names_the_broker_and_every_topic() {
    let cluster = Cluster::shared();
    let names = [cluster.topic("listed", 1), cluster.topic("listed", 3)];
    let metadata = cluster
        .admin()
        .inner()
        .fetch_metadata(None, PATIENCE)
        .unwrap();
    assert_eq!(metadata.brokers().len(), 1);
    let broker = &metadata.brokers()[0];
    assert_eq!(
        format!("{}:{}", broker.host(), broker.port()),
        cluster.bootstrap_servers()
    );
    for (name, partitions) in names.iter().zip([1, 3]) {
        let topic = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == name)
            .unwrap();
        assert_eq!(topic.partitions().len(), partitions);
        assert!(topic.partitions().iter().all(|p| p.leader() == broker.id()));
    }
    assert!(cluster.admin().inner().fetch_cluster_id(PATIENCE).is_some());
}

#[test]
fn metadata_of_an_unknown_topic_says_so_and_creates_nothing() {
    let cluster = Cluster::shared();
    let name = unique("nowhere");
    for _ in 0..2 {
        let consumer = cluster.consumer(&unique("asking"), ReadUncommitted);
        let metadata = consumer.fetch_metadata(Some(&name), PATIENCE).unwrap();
        let error = metadata.topics()[0].error().map(RDKafkaErrorCode::from);
        assert_eq!(error, Some(RDKafkaErrorCode::UnknownTopicOrPartition));
    }
}
