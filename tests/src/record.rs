//! Records as tests write them and as tests read them back.

use rdkafka::{
    Message,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::BaseRecord,
};

/// A header: a name and perhaps a value. Names may repeat and order counts.
pub type HeaderPair = (String, Option<Vec<u8>>);

/// A record to send; without a partition the client's partitioner decides by key.
///
/// ```
/// use onceflow_tests::Outgoing;
///
/// let record = Outgoing::value("10").key("a").partition(0).timestamp(5);
/// assert_eq!(record.key.as_deref(), Some(&b"a"[..]));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The partition, or `None` for the partitioner's choice.
    pub partition: Option<i32>,
    /// The key, or `None` for no key.
    pub key: Option<Vec<u8>>,
    /// The value, or `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Milliseconds since the epoch, or `None` for the client's clock.
    pub timestamp: Option<i64>,
    /// Headers in order.
    pub headers: Vec<HeaderPair>,
}

impl Outgoing {
    /// A record with this value.
    #[must_use]
    pub fn value(value: impl AsRef<[u8]>) -> Self {
        Self {
            value: Some(value.as_ref().to_vec()),
            ..Self::default()
        }
    }

    /// A record with this key and no value.
    #[must_use]
    pub fn tombstone(key: impl AsRef<[u8]>) -> Self {
        Self::default().key(key)
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl AsRef<[u8]>) -> Self {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// Sets the partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the timestamp, in milliseconds since the epoch.
    #[must_use]
    pub fn timestamp(mut self, millis: i64) -> Self {
        self.timestamp = Some(millis);
        self
    }

    /// Appends a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = Some(value.as_ref().to_vec());
        self.headers.push((name.to_owned(), value));
        self
    }

    /// Appends a header without a value.
    #[must_use]
    pub fn null_header(mut self, name: &str) -> Self {
        self.headers.push((name.to_owned(), None));
        self
    }

    /// The record as the client library takes it.
    pub(crate) fn to<'a, O: rdkafka::util::IntoOpaque>(
        &'a self,
        topic: &'a str,
        opaque: O,
    ) -> BaseRecord<'a, [u8], [u8], O> {
        let mut record = BaseRecord::with_opaque_to(topic, opaque);
        record.partition = self.partition;
        record.key = self.key.as_deref();
        record.payload = self.value.as_deref();
        record.timestamp = self.timestamp;
        if !self.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(self.headers.len());
            record.headers = Some(self.headers.iter().fold(headers, |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: value.as_ref(),
                })
            }));
        }
        record
    }
}

/// A record as a broker returned it, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic it was read from.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The key, or `None` for no key.
    pub key: Option<Vec<u8>>,
    /// The value, or `None` for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// Headers in order.
    pub headers: Vec<HeaderPair>,
}

impl Record {
    /// The value as text; empty for a tombstone.
    #[must_use]
    pub fn text(&self) -> String {
        text(self.value.as_deref())
    }

    /// The key as text; empty for no key.
    #[must_use]
    pub fn key_text(&self) -> String {
        text(self.key.as_deref())
    }
}

impl From<&BorrowedMessage<'_>> for Record {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            timestamp: message.timestamp().to_millis(),
            headers: message.headers().map_or_else(Vec::new, |headers| {
                headers
                    .iter()
                    .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                    .collect()
            }),
        }
    }
}

/// The values of records as text, in the order given: most claims are about these.
pub fn texts<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<String> {
    records.into_iter().map(Record::text).collect()
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}
