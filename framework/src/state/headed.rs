//! Values that a store keeps with the headers that came with them.
//!
//! ```text
//!   stored   headers ‖ value          changelog record   its headers, the value
//!   headers  count (4) ‖ each: length (4) ‖ name ‖ length (4) ‖ value; a length of -1 is null
//! ```

use crate::record::Headers;
use crate::serde::{Encoded, Serde, SerdeError, SharedSerde};

const NULL: i32 = -1;

/// Appends what goes before a value: its headers.
pub(super) fn write_headers(headers: &Headers, out: &mut Vec<u8>) {
    out.extend_from_slice(&length(headers.len()).to_be_bytes());
    for header in headers {
        write_bytes(Some(header.key.as_bytes()), out);
        write_bytes(header.value.as_deref(), out);
    }
}

/// The headers before a value, and the value; none if they are cut short.
pub(super) fn split_headers(stored: &[u8]) -> Option<(Headers, &[u8])> {
    let (mut headers, rest) = (Headers::new(), &mut &*stored);
    for _ in 0..read_length(rest)? {
        let name = read_bytes(rest)??;
        let value = read_bytes(rest)?;
        headers.push(std::str::from_utf8(name).ok()?, value);
    }
    Some((headers, rest))
}

/// Reads the value behind the headers. It writes the value alone: whoever stores it puts the
/// headers before it.
pub(super) struct HeadedSerde<V>(pub(super) SharedSerde<V>);

impl<V: 'static> Serde for HeadedSerde<V> {
    type Item = V;

    fn serialize(&self, value: &V, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        self.0.serialize(value, out)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<V, SerdeError> {
        let value = skip_headers(bytes.unwrap_or_default());
        let value = value.ok_or_else(|| SerdeError::new("a stored value has no headers"))?;
        self.0.deserialize(Some(value))
    }

    fn is_null(&self, value: &V) -> bool {
        self.0.is_null(value)
    }
}

fn skip_headers(stored: &[u8]) -> Option<&[u8]> {
    let rest = &mut &*stored;
    for _ in 0..read_length(rest)? {
        let _name = read_bytes(rest)??;
        let _value = read_bytes(rest)?;
    }
    Some(rest)
}

fn length(of: usize) -> i32 {
    i32::try_from(of).expect("a record fits into 2 GiB")
}

fn write_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    let length = bytes.map_or(NULL, |bytes| length(bytes.len()));
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn read_length(rest: &mut &[u8]) -> Option<i32> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*length))
}

/// Bytes, or null; none if they are cut short.
fn read_bytes<'b>(rest: &mut &'b [u8]) -> Option<Option<&'b [u8]>> {
    let length = read_length(rest)?;
    if length == NULL {
        return Some(None);
    }
    let (bytes, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(Some(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::serde::vec;

    proptest! {
        #[test]
        fn headers_and_value_come_back(
            pairs in prop::collection::vec((".{0,3}", prop::option::of(any::<[u8; 2]>())), 0..4),
            value in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut headers = Headers::new();
            for (name, value) in &pairs {
                headers.push(name, value.as_ref().map(|value| &value[..]));
            }
            let mut stored = Vec::new();
            write_headers(&headers, &mut stored);
            stored.extend_from_slice(&value);
            prop_assert_eq!(split_headers(&stored), Some((headers, &value[..])));
            let serde = HeadedSerde(SharedSerde::new(vec()));
            prop_assert_eq!(serde.deserialize(Some(&stored)).unwrap(), value);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let is_read = split_headers(&bytes).is_some();
            let serde = HeadedSerde(SharedSerde::new(vec()));
            prop_assert!(is_read <= serde.deserialize(Some(&bytes)).is_ok());
        }
    }
}
