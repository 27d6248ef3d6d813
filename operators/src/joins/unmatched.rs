//! Records of left and outer joins that have met nobody yet: kept until their window has closed.
//!
//! The bytes are Kafka Streams':
//!
//! ```text
//!   key     time (8) ‖ side (01 left, 00 right) ‖ key          so ordered by time, side, key
//!   value   01 ‖ count (4) ‖ count times: length (4) ‖ side ‖ value
//! ```

use onceflow_framework::Timestamp;
use onceflow_framework::serde::{Encoded, Serde, SerdeError, SharedSerde};

/// A value of one side of a join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sided<L, R> {
    Left(L),
    Right(R),
}

/// Where unmatched records wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WaitingKey<K> {
    pub(super) timestamp: Timestamp,
    pub(super) is_left: bool,
    pub(super) key: K,
}

const LEFT: u8 = 1;
const RIGHT: u8 = 0;
/// Lists whose values have lengths of their own.
const VARIABLE_SIZE: u8 = 1;

pub(super) struct WaitingKeySerde<K>(pub(super) SharedSerde<K>);

impl<K: 'static> Serde for WaitingKeySerde<K> {
    type Item = WaitingKey<K>;

    fn serialize(&self, key: &WaitingKey<K>, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        out.extend_from_slice(&key.timestamp.as_millis().to_be_bytes());
        out.push(if key.is_left { LEFT } else { RIGHT });
        self.0.serialize(&key.key, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<WaitingKey<K>, SerdeError> {
        let split = bytes.unwrap_or_default().split_first_chunk::<8>();
        let split = split.and_then(|(time, rest)| Some((time, rest.split_first()?)));
        let Some((time, (side, key))) = split else {
            return Err(SerdeError::new(
                "the key of an unmatched record is cut short",
            ));
        };
        Ok(WaitingKey {
            timestamp: Timestamp::from_millis(i64::from_be_bytes(*time)),
            is_left: is_left(*side)?,
            key: self.0.deserialize(Some(key))?,
        })
    }
}

fn is_left(side: u8) -> Result<bool, SerdeError> {
    match side {
        LEFT => Ok(true),
        RIGHT => Ok(false),
        other => Err(SerdeError::new(format!("{other} is no side of a join"))),
    }
}

/// Reads and writes the values that wait under one key.
pub(super) struct WaitingSerde<L, R> {
    pub(super) left: SharedSerde<L>,
    pub(super) right: SharedSerde<R>,
}

impl<L: 'static, R: 'static> Serde for WaitingSerde<L, R> {
    type Item = Vec<Sided<L, R>>;

    fn serialize(
        &self,
        values: &Vec<Sided<L, R>>,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, SerdeError> {
        out.push(VARIABLE_SIZE);
        out.extend_from_slice(&length(values.len())?);
        for value in values {
            let (side, bytes) = match value {
                Sided::Left(left) => (LEFT, self.left.to_vec(left)?),
                Sided::Right(right) => (RIGHT, self.right.to_vec(right)?),
            };
            let bytes = bytes.ok_or_else(|| SerdeError::new("an unmatched value is null"))?;
            out.extend_from_slice(&length(bytes.len() + 1)?);
            out.push(side);
            out.extend_from_slice(&bytes);
        }
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Vec<Sided<L, R>>, SerdeError> {
        let cut = || SerdeError::new("a list of unmatched values is cut short");
        let (strategy, rest) = bytes.and_then(<[u8]>::split_first).ok_or_else(cut)?;
        if *strategy != VARIABLE_SIZE {
            let message = format!("a list of unmatched values of unknown kind {strategy}");
            return Err(SerdeError::new(message));
        }
        let (count, mut rest) = split_length(rest).ok_or_else(cut)?;
        let mut values = Vec::new();
        for _ in 0..count {
            let (length, tail) = split_length(rest).ok_or_else(cut)?;
            let (value, tail) = tail.split_at_checked(length).ok_or_else(cut)?;
            let (side, value) = value.split_first().ok_or_else(cut)?;
            values.push(match is_left(*side)? {
                true => Sided::Left(self.left.deserialize(Some(value))?),
                false => Sided::Right(self.right.deserialize(Some(value))?),
            });
            rest = tail;
        }
        Ok(values)
    }
}

fn length(length: usize) -> Result<[u8; 4], SerdeError> {
    let length = i32::try_from(length).map_err(|error| SerdeError::because("too long", error))?;
    Ok(length.to_be_bytes())
}

fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(i32::from_be_bytes(*length)).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use onceflow_framework::serde::{i64, utf8};
    use proptest::prelude::*;

    use super::*;

    fn values() -> SharedSerde<Vec<Sided<String, i64>>> {
        SharedSerde::new(WaitingSerde {
            left: SharedSerde::new(utf8()),
            right: SharedSerde::new(i64()),
        })
    }

    fn keys() -> SharedSerde<WaitingKey<String>> {
        SharedSerde::new(WaitingKeySerde(SharedSerde::new(utf8())))
    }

    #[test]
    fn unmatched_records_have_the_bytes_that_java_writes() {
        let key = WaitingKey {
            timestamp: Timestamp::from_millis(10),
            is_left: true,
            key: "a".to_owned(),
        };
        let bytes = keys().to_vec(&key).unwrap().unwrap();
        assert_eq!(bytes, b"\0\0\0\0\0\0\0\x0a\x01a");
        let list = vec![Sided::Left("p".to_owned()), Sided::Left("q".to_owned())];
        let bytes = values().to_vec(&list).unwrap().unwrap();
        assert_eq!(bytes, b"\x01\0\0\0\x02\0\0\0\x02\x01p\0\0\0\x02\x01q");
    }

    #[test]
    fn bytes_that_are_no_unmatched_records_are_an_error() {
        for bytes in [
            &b""[..],
            b"\x01\0\0",
            b"\x02\0\0\0\0",
            b"\x01\0\0\0\x01\0\0\0\x01\x02",
        ] {
            assert!(values().deserialize(Some(bytes)).is_err(), "{bytes:?}");
        }
        for bytes in [&b"\0\0\0\0\0\0\0\x0a"[..], b"\0\0\0\0\0\0\0\x0a\x02a"] {
            assert!(keys().deserialize(Some(bytes)).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn unmatched_records_round_trip(
            millis: i64, is_left: bool, key: String,
            list in prop::collection::vec((any::<bool>(), any::<String>(), any::<i64>()), 0..4),
        ) {
            let key = WaitingKey { timestamp: Timestamp::from_millis(millis), is_left, key };
            let bytes = keys().to_vec(&key).unwrap();
            prop_assert_eq!(keys().deserialize(bytes.as_deref()).unwrap(), key);
            let sided = |(is_left, text, number)| match is_left {
                true => Sided::Left(text),
                false => Sided::Right(number),
            };
            let list: Vec<_> = list.into_iter().map(sided).collect();
            let bytes = values().to_vec(&list).unwrap();
            prop_assert_eq!(values().deserialize(bytes.as_deref()).unwrap(), list);
        }
    }
}
