//! Keys within windows, as Kafka Streams writes them: `key ‖ start` and `key ‖ end ‖ start`.
//!
//! # Invariants
//!
//! - Times are eight bytes, big-endian, behind the key.
//! - A time window's end is not written: the reader adds the size, capped at the end of time.

use std::time::Duration;

use super::{Encoded, Serde, SerdeError, SharedSerde};
use crate::time::Timestamp;
use crate::window::{Window, Windowed};

/// Reads and writes keys within time windows: [`time_windowed`].
#[derive(Debug, Clone)]
pub struct TimeWindowedSerde<K> {
    key: SharedSerde<K>,
    size: Duration,
}

/// Reads and writes keys within sessions: [`session_windowed`].
#[derive(Debug, Clone)]
pub struct SessionWindowedSerde<K> {
    key: SharedSerde<K>,
}

/// Keys within time windows of one size: tumbling, hopping, sliding.
///
/// A sliding window of difference `d` has size `d`; an unlimited window size
/// `Duration::from_millis(i64::MAX as u64)`.
///
/// ```
/// use std::time::Duration;
///
/// use onceflow_framework::serde::{Serde, time_windowed, utf8};
/// use onceflow_framework::{Timestamp, Window, Windowed};
///
/// let serde = time_windowed(utf8(), Duration::from_millis(10));
/// let at = Timestamp::from_millis;
/// let key = Windowed::new("ada".to_owned(), Window::new(at(20), at(30)));
/// let mut bytes = Vec::new();
/// let _encoded = serde.serialize(&key, &mut bytes)?;
/// assert_eq!(bytes, b"ada\0\0\0\0\0\0\0\x14");
/// assert_eq!(serde.deserialize(Some(&bytes))?, key);
/// # Ok::<(), onceflow_framework::serde::SerdeError>(())
/// ```
pub fn time_windowed<K: 'static>(
    key: impl Serde<Item = K>,
    size: Duration,
) -> TimeWindowedSerde<K> {
    TimeWindowedSerde {
        key: SharedSerde::new(key),
        size,
    }
}

/// Keys within sessions.
///
/// ```
/// use onceflow_framework::serde::{Serde, session_windowed, utf8};
/// use onceflow_framework::{Timestamp, Window, Windowed};
///
/// let serde = session_windowed(utf8());
/// let at = Timestamp::from_millis;
/// let key = Windowed::new("a".to_owned(), Window::new(at(1), at(2)));
/// let mut bytes = Vec::new();
/// let _encoded = serde.serialize(&key, &mut bytes)?;
/// assert_eq!(bytes, b"a\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01");
/// assert_eq!(serde.deserialize(Some(&bytes))?, key);
/// # Ok::<(), onceflow_framework::serde::SerdeError>(())
/// ```
pub fn session_windowed<K: 'static>(key: impl Serde<Item = K>) -> SessionWindowedSerde<K> {
    SessionWindowedSerde {
        key: SharedSerde::new(key),
    }
}

impl<K: 'static> Serde for TimeWindowedSerde<K> {
    type Item = Windowed<K>;

    fn serialize(&self, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        if self.key.serialize(&value.key, out)? == Encoded::Null {
            return Ok(Encoded::Null);
        }
        push_time(out, value.window.start);
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Windowed<K>, SerdeError> {
        let (key, start) = split_time(bytes.unwrap_or_default())?;
        let window = Window::new(start, start + self.size);
        Ok(Windowed::new(self.key.deserialize(Some(key))?, window))
    }

    fn is_null(&self, value: &Windowed<K>) -> bool {
        self.key.is_null(&value.key)
    }
}

impl<K: 'static> Serde for SessionWindowedSerde<K> {
    type Item = Windowed<K>;

    fn serialize(&self, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        if self.key.serialize(&value.key, out)? == Encoded::Null {
            return Ok(Encoded::Null);
        }
        push_time(out, value.window.end);
        push_time(out, value.window.start);
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Windowed<K>, SerdeError> {
        let (rest, start) = split_time(bytes.unwrap_or_default())?;
        let (key, end) = split_time(rest)?;
        let window = Window::new(start, end);
        Ok(Windowed::new(self.key.deserialize(Some(key))?, window))
    }

    fn is_null(&self, value: &Windowed<K>) -> bool {
        self.key.is_null(&value.key)
    }
}

fn push_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.as_millis().to_be_bytes());
}

/// The bytes before the last eight, and the time in those.
fn split_time(bytes: &[u8]) -> Result<(&[u8], Timestamp), SerdeError> {
    let Some((rest, time)) = bytes.split_last_chunk::<8>() else {
        let length = bytes.len();
        let message = format!("{length} bytes are too few for a key within a window");
        return Err(SerdeError::new(message));
    };
    let time = i64::from_be_bytes(*time);
    Ok((rest, Timestamp::from_millis(time)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::utf8;
    use super::*;

    #[test]
    fn the_end_of_an_unlimited_window_is_the_end_of_time() {
        let size = Duration::from_millis(i64::MAX.unsigned_abs());
        let serde = time_windowed(utf8(), size);
        let read = serde.deserialize(Some(b"k\0\0\0\0\0\0\0\x05")).unwrap();
        assert_eq!(read.window.end.as_millis(), i64::MAX);
    }

    #[test]
    fn bytes_without_a_window_are_an_error() {
        let time = time_windowed(utf8(), Duration::from_millis(1));
        for bytes in [None, Some(&b""[..]), Some(b"1234567")] {
            assert!(time.deserialize(bytes).is_err());
            assert!(session_windowed(utf8()).deserialize(bytes).is_err());
        }
        let short = Some(&b"123456789abcdef"[..]);
        assert!(session_windowed(utf8()).deserialize(short).is_err());
    }

    proptest! {
        #[test]
        fn keys_within_sessions_round_trip(key in ".{0,9}", start in 0..i64::MAX, end in 0..i64::MAX) {
            let at = Timestamp::from_millis;
            let key = Windowed::new(key, Window::new(at(start), at(end)));
            let serde = session_windowed(utf8());
            let mut out = Vec::new();
            let _bytes = serde.serialize(&key, &mut out).unwrap();
            prop_assert_eq!(serde.deserialize(Some(&out)).unwrap(), key);
        }
    }
}
