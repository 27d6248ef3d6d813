//! What goes between the two sides of a foreign-key join, in Kafka Streams' bytes.
//!
//! ```text
//!   subscription   version 01, top bit: no hash ‖ instruction ‖ [hash 16] ‖ key ‖ partition (4)
//!   response       version 00, top bit: no hash ‖ [hash 16] ‖ foreign value, or nothing
//!   store key      length of the foreign key (4) ‖ foreign key ‖ key
//! ```

use onceflow_framework::serde::{Encoded, Serde, SerdeError, SharedSerde};

/// Set in the version byte where there is no hash: the row was deleted.
const NO_HASH: u8 = 0x80;
const SUBSCRIPTION_VERSION: u8 = 1;
const RESPONSE_VERSION: u8 = 0;

/// The hash of a row's value; none of a deleted row.
pub(super) type Hash = Option<[u8; 16]>;

/// What a left row asks of the row that its foreign key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instruction {
    /// Forget the subscription.
    Delete,
    /// Forget it, and answer that there is nothing.
    DeleteAndPropagate,
    /// Subscribe, and answer even if there is no such row.
    PropagateNullIfNone,
    /// Subscribe, and answer if there is such a row.
    PropagateIfPresent,
}

impl Instruction {
    const ALL: [Instruction; 4] = [
        Instruction::Delete,
        Instruction::DeleteAndPropagate,
        Instruction::PropagateNullIfNone,
        Instruction::PropagateIfPresent,
    ];

    pub(super) fn deletes(self) -> bool {
        matches!(self, Instruction::Delete | Instruction::DeleteAndPropagate)
    }
}

/// A left row that wants to know of the changes of a right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscription<K> {
    pub(super) hash: Hash,
    pub(super) instruction: Instruction,
    pub(super) key: K,
    /// Where the left row is.
    pub(super) partition: i32,
}

/// What a left row is told of the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response<V> {
    /// Of the left value that asked.
    pub(super) hash: Hash,
    pub(super) value: Option<V>,
    /// Where the left row is; not written.
    pub(super) partition: i32,
}

/// The place of a subscription: by foreign key, then by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscribed<KO, K> {
    pub(super) foreign: KO,
    pub(super) key: K,
}

fn cut(what: &str) -> SerdeError {
    SerdeError::new(format!("{what} of a foreign-key join is cut short"))
}

fn write_hash(version: u8, hash: &Hash, instruction: Option<Instruction>, out: &mut Vec<u8>) {
    out.push(if hash.is_some() {
        version
    } else {
        version | NO_HASH
    });
    let number = instruction.map(|wanted| Instruction::ALL.iter().position(|i| *i == wanted));
    out.extend(
        number
            .flatten()
            .and_then(|number| u8::try_from(number).ok()),
    );
    out.extend_from_slice(hash.as_ref().map_or(&[], |hash| &hash[..]));
}

/// Whether there is a hash.
fn read_version(byte: u8, version: u8) -> Result<bool, SerdeError> {
    match byte & !NO_HASH {
        known if known == version => Ok(byte & NO_HASH == 0),
        other => Err(SerdeError::new(format!(
            "version {other} of a foreign-key join; is a newer version running beside this one?"
        ))),
    }
}

fn read_hash(has_hash: bool, bytes: &[u8]) -> Option<(Hash, &[u8])> {
    if !has_hash {
        return Some((None, bytes));
    }
    let (hash, rest) = bytes.split_first_chunk::<16>()?;
    Some((Some(*hash), rest))
}

pub(super) struct SubscriptionSerde<K>(pub(super) SharedSerde<K>);

impl<K: 'static> Serde for SubscriptionSerde<K> {
    type Item = Subscription<K>;

    fn serialize(
        &self,
        subscription: &Subscription<K>,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, SerdeError> {
        let Subscription {
            hash, instruction, ..
        } = subscription;
        write_hash(SUBSCRIPTION_VERSION, hash, Some(*instruction), out);
        // A null key writes nothing.
        let _written = self.0.serialize(&subscription.key, out)?;
        out.extend_from_slice(&subscription.partition.to_be_bytes());
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Subscription<K>, SerdeError> {
        let cut = || cut("a subscription");
        let [version, instruction, rest @ ..] = bytes.unwrap_or_default() else {
            return Err(cut());
        };
        let has_hash = read_version(*version, SUBSCRIPTION_VERSION)?;
        let instruction = Instruction::ALL.get(usize::from(*instruction));
        let instruction = *instruction.ok_or_else(|| {
            SerdeError::new("a subscription of a foreign-key join asks for what is unknown")
        })?;
        let (hash, rest) = read_hash(has_hash, rest).ok_or_else(cut)?;
        let (key, partition) = rest.split_last_chunk::<4>().ok_or_else(cut)?;
        Ok(Subscription {
            hash,
            instruction,
            key: self.0.deserialize(Some(key))?,
            partition: i32::from_be_bytes(*partition),
        })
    }
}

pub(super) struct ResponseSerde<V>(pub(super) SharedSerde<V>);

impl<V: 'static> Serde for ResponseSerde<V> {
    type Item = Response<V>;

    fn serialize(&self, response: &Response<V>, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        write_hash(RESPONSE_VERSION, &response.hash, None, out);
        if let Some(value) = &response.value {
            let _written = self.0.serialize(value, out)?;
        }
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Response<V>, SerdeError> {
        let cut = || cut("a response");
        let (version, rest) = bytes.and_then(<[u8]>::split_first).ok_or_else(cut)?;
        let has_hash = read_version(*version, RESPONSE_VERSION)?;
        let (hash, value) = read_hash(has_hash, rest).ok_or_else(cut)?;
        // An empty value is told from none by nothing: both are none, as in Kafka Streams.
        let value = match value {
            [] => None,
            value => Some(self.0.deserialize(Some(value))?),
        };
        Ok(Response {
            hash,
            value,
            partition: 0,
        })
    }
}

pub(super) struct SubscribedSerde<KO, K> {
    pub(super) foreign: SharedSerde<KO>,
    pub(super) key: SharedSerde<K>,
}

impl<KO: 'static, K: 'static> Serde for SubscribedSerde<KO, K> {
    type Item = Subscribed<KO, K>;

    fn serialize(
        &self,
        place: &Subscribed<KO, K>,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, SerdeError> {
        write_prefix(&self.foreign, &place.foreign, out)?;
        let _written = self.key.serialize(&place.key, out)?;
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Subscribed<KO, K>, SerdeError> {
        let cut = || cut("the key of a subscription");
        let split = bytes.unwrap_or_default().split_first_chunk::<4>();
        let (length, rest) = split.ok_or_else(cut)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok();
        let split = length.and_then(|length| rest.split_at_checked(length));
        let (foreign, key) = split.ok_or_else(cut)?;
        Ok(Subscribed {
            foreign: self.foreign.deserialize(Some(foreign))?,
            key: self.key.deserialize(Some(key))?,
        })
    }
}

/// What the places of all subscriptions to a foreign key begin with.
pub(super) fn write_prefix<KO: 'static>(
    serde: &SharedSerde<KO>,
    foreign: &KO,
    out: &mut Vec<u8>,
) -> Result<(), SerdeError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let _written = serde.serialize(foreign, out)?;
    let length = i32::try_from(out.len() - start - 4);
    let length = length.map_err(|error| SerdeError::because("too long", error))?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use onceflow_framework::serde::utf8;
    use proptest::prelude::*;

    use super::*;

    fn text() -> SharedSerde<String> {
        SharedSerde::new(utf8())
    }

    fn subscriptions() -> SharedSerde<Subscription<String>> {
        SharedSerde::new(SubscriptionSerde(text()))
    }

    fn responses() -> SharedSerde<Response<String>> {
        SharedSerde::new(ResponseSerde(text()))
    }

    fn places() -> SharedSerde<Subscribed<String, String>> {
        let (foreign, key) = (text(), text());
        SharedSerde::new(SubscribedSerde { foreign, key })
    }

    #[test]
    fn a_deletion_has_the_bytes_that_java_writes() {
        let subscription = Subscription {
            hash: None,
            instruction: Instruction::DeleteAndPropagate,
            key: "q".to_owned(),
            partition: 0,
        };
        let bytes = subscriptions().to_vec(&subscription).unwrap().unwrap();
        assert_eq!(bytes, b"\x81\x01q\0\0\0\0");
        let place = Subscribed {
            foreign: "x".to_owned(),
            key: "p".to_owned(),
        };
        let bytes = places().to_vec(&place).unwrap().unwrap();
        assert_eq!(bytes, b"\0\0\0\x01xp");
    }

    #[test]
    fn bytes_of_another_version_are_an_error() {
        for bytes in [
            &b""[..],
            b"\x02\x01q\0\0\0\0",
            b"\x81\x04q\0\0\0\0",
            b"\x01\x01q\0\0\0\0",
        ] {
            assert!(
                subscriptions().deserialize(Some(bytes)).is_err(),
                "{bytes:?}"
            );
        }
        for bytes in [&b""[..], b"\x01", b"\0short"] {
            assert!(responses().deserialize(Some(bytes)).is_err(), "{bytes:?}");
        }
        for bytes in [&b"\0\0"[..], b"\0\0\0\x02x", b"\xff\0\0\x02xxx"] {
            assert!(places().deserialize(Some(bytes)).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_between_the_sides_round_trips(
            hash: Hash, which in 0..4usize, key: String, foreign: String, partition: i32,
            value in prop::option::of(".{1,9}"),
        ) {
            let instruction = Instruction::ALL[which];
            let subscription = Subscription { hash, instruction, key: key.clone(), partition };
            let bytes = subscriptions().to_vec(&subscription).unwrap();
            let read = subscriptions().deserialize(bytes.as_deref()).unwrap();
            prop_assert_eq!(read, subscription);
            let response = Response { hash, value, partition: 0 };
            let bytes = responses().to_vec(&response).unwrap();
            prop_assert_eq!(responses().deserialize(bytes.as_deref()).unwrap(), response);
            let place = Subscribed { foreign, key };
            let bytes = places().to_vec(&place).unwrap();
            prop_assert_eq!(places().deserialize(bytes.as_deref()).unwrap(), place);
        }
    }
}
