//! Text, and UUIDs written as text.

use ::uuid::Uuid;

use super::{DefaultSerde, Encoded, Serde, SerdeError, SharedSerde};

/// UTF-8 text: [`utf8()`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8;

/// UTF-8 text, as Kafka's String serde; bytes that are not UTF-8 are an error, not replaced.
#[must_use]
pub fn utf8() -> Utf8 {
    Utf8
}

impl Serde for Utf8 {
    type Item = String;

    fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<String, SerdeError> {
        let bytes = bytes.ok_or_else(|| SerdeError::unexpected_null("text"))?;
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned)
            .map_err(|error| SerdeError::because("not UTF-8 text", error))
    }
}

impl DefaultSerde for String {
    fn default_serde() -> SharedSerde<Self> {
        SharedSerde::new(Utf8)
    }
}

/// A UUID as 36 characters of text: [`uuid()`].
#[derive(Debug, Clone, Copy, Default)]
pub struct UuidText;

/// A UUID as 36 characters of text, as Kafka's UUID serde.
#[must_use]
pub fn uuid() -> UuidText {
    UuidText
}

impl Serde for UuidText {
    type Item = Uuid;

    fn serialize(&self, value: &Uuid, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        let mut text = Uuid::encode_buffer();
        out.extend_from_slice(value.hyphenated().encode_lower(&mut text).as_bytes());
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Uuid, SerdeError> {
        let bytes = bytes.ok_or_else(|| SerdeError::unexpected_null("a UUID"))?;
        Uuid::try_parse_ascii(bytes).map_err(|error| SerdeError::because("not a UUID", error))
    }
}

impl DefaultSerde for Uuid {
    fn default_serde() -> SharedSerde<Self> {
        SharedSerde::new(UuidText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_utf8_is_an_error() {
        assert!(utf8().deserialize(Some(&[0xff, 0xfe])).is_err());
        assert_eq!(utf8().deserialize(Some("grün".as_bytes())).unwrap(), "grün");
    }

    #[test]
    fn a_uuid_is_its_lower_case_text() {
        let id = Uuid::from_u128(0x67e5_5044_10b1_426f_9247_bb68_0e5f_e0c8);
        let mut out = Vec::new();
        assert_eq!(uuid().serialize(&id, &mut out).unwrap(), Encoded::Bytes);
        assert_eq!(out, b"67e55044-10b1-426f-9247-bb680e5fe0c8");
        assert_eq!(uuid().deserialize(Some(&out)).unwrap(), id);
        assert!(uuid().deserialize(Some(b"67e5")).is_err());
    }
}
