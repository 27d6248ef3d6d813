//! What the real client may rely on, one claim a test, true of Apache Kafka 4.3.1 and of the
//! embedded broker alike.

mod produce;
