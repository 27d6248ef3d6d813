//! Structs and enums, through serde: JSON text, or compact bincode.

use std::marker::PhantomData;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

use super::{Encoded, Serde, SerdeError};

/// JSON text: [`json()`].
#[derive(Debug)]
pub struct Json<T>(PhantomData<fn() -> T>);

/// JSON text of any type that serde knows.
///
/// ```
/// use onceflow_framework::serde::{self, Serde};
///
/// let list = serde::json::<Vec<u32>>();
/// assert_eq!(list.deserialize(Some(b"[1,2]"))?, [1, 2]);
/// # Ok::<(), onceflow_framework::serde::SerdeError>(())
/// ```
#[must_use]
pub fn json<T: Serialize + DeserializeOwned + 'static>() -> Json<T> {
    Json(PhantomData)
}

impl<T: Serialize + DeserializeOwned + 'static> Serde for Json<T> {
    type Item = T;

    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        let written = serde_json::to_writer(out, value);
        written.map_err(|error| SerdeError::because("cannot be written as JSON", error))?;
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError> {
        let bytes = bytes.ok_or_else(|| SerdeError::unexpected_null("JSON text"))?;
        serde_json::from_slice(bytes).map_err(|error| {
            SerdeError::because(
                format!("not JSON of a {}", std::any::type_name::<T>()),
                error,
            )
        })
    }
}

/// The most bytes a value read by [`bincode()`] may claim: 1 MiB, Kafka's default record size.
pub const BINCODE_BYTES_MAX: usize = 1 << 20;

/// bincode 2 with a bound on what a value may claim: [`bincode()`].
///
/// `LIMIT` is in bytes.
#[derive(Debug)]
pub struct Bincode<T, const LIMIT: usize = BINCODE_BYTES_MAX>(PhantomData<fn() -> T>);

/// Compact binary form of any type that serde knows, at most [`BINCODE_BYTES_MAX`] bytes.
///
/// ```
/// use onceflow_framework::serde::{self, Serde};
///
/// let pairs = serde::bincode::<(u8, String)>();
/// let mut out = Vec::new();
/// pairs.serialize(&(7, "seven".to_owned()), &mut out)?;
/// assert_eq!(pairs.deserialize(Some(&out))?, (7, "seven".to_owned()));
/// out.push(0);
/// assert!(pairs.deserialize(Some(&out)).is_err()); // trailing bytes are not ignored
/// # Ok::<(), onceflow_framework::serde::SerdeError>(())
/// ```
#[must_use]
pub fn bincode<T: Serialize + DeserializeOwned + 'static>() -> Bincode<T> {
    Bincode(PhantomData)
}

/// As [`bincode()`], with a bound of your own, in bytes.
#[must_use]
pub fn bincode_with_limit<T: Serialize + DeserializeOwned + 'static, const LIMIT: usize>()
-> Bincode<T, LIMIT> {
    Bincode(PhantomData)
}

impl<T: Serialize + DeserializeOwned + 'static, const LIMIT: usize> Serde for Bincode<T, LIMIT> {
    type Item = T;

    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        let config = ::bincode::config::standard().with_limit::<LIMIT>();
        let before = out.len();
        let written = ::bincode::serde::encode_into_std_write(value, out, config);
        written.map_err(|error| SerdeError::because("cannot be written as bincode", error))?;
        // Refused here, not by every reader for ever.
        if out.len() - before > LIMIT {
            return Err(SerdeError::new(format!(
                "{} bytes of bincode exceed the limit of {LIMIT}",
                out.len() - before
            )));
        }
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<T, SerdeError> {
        let bytes = bytes.ok_or_else(|| SerdeError::unexpected_null("bincode"))?;
        let config = ::bincode::config::standard().with_limit::<LIMIT>();
        let (value, consumed) = ::bincode::serde::decode_from_slice(bytes, config)
            .map_err(|error| SerdeError::because("not bincode of this type", error))?;
        if consumed != bytes.len() {
            return Err(SerdeError::new(format!(
                "{} bytes are left over after the value",
                bytes.len() - consumed
            )));
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_lies_is_refused_without_allocating_it() {
        // A length prefix that claims 2^60 bytes.
        let lie = [253, 0, 0, 0, 0, 0, 0, 0, 16];
        assert!(bincode::<String>().deserialize(Some(&lie)).is_err());
        assert!(bincode::<Vec<u64>>().deserialize(Some(&lie)).is_err());
    }

    #[test]
    fn a_value_over_the_limit_is_refused_when_written() {
        let small = bincode_with_limit::<Vec<u8>, 8>();
        assert!(small.serialize(&vec![1; 9], &mut Vec::new()).is_err());
        assert!(small.serialize(&vec![1; 7], &mut Vec::new()).is_ok());
    }

    #[test]
    fn json_that_does_not_fit_names_the_type() {
        let error = json::<Vec<u32>>().deserialize(Some(b"{}")).unwrap_err();
        assert!(error.to_string().contains("Vec<u32>"), "{error}");
    }
}
