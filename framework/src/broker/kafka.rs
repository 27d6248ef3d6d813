//! Kafka through librdkafka. Being written.
