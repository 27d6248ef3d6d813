//! Bytes as they are, and numbers as Kafka writes them: big-endian, fixed width.

use ::bytes::Bytes;

use super::{DefaultSerde, Encoded, Serde, SerdeError, SharedSerde};

/// Raw bytes, shared: [`bytes()`].
#[derive(Debug, Clone, Copy, Default)]
pub struct BytesSerde;

/// Raw bytes, owned: [`vec()`].
#[derive(Debug, Clone, Copy, Default)]
pub struct VecSerde;

/// Raw bytes as [`Bytes`], which clone without copying.
#[must_use]
pub fn bytes() -> BytesSerde {
    BytesSerde
}

/// Raw bytes as `Vec<u8>`.
#[must_use]
pub fn vec() -> VecSerde {
    VecSerde
}

impl Serde for BytesSerde {
    type Item = Bytes;

    fn serialize(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        out.extend_from_slice(value);
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Bytes, SerdeError> {
        let bytes = bytes.ok_or_else(|| SerdeError::unexpected_null("a byte string"))?;
        Ok(Bytes::copy_from_slice(bytes))
    }
}

impl Serde for VecSerde {
    type Item = Vec<u8>;

    fn serialize(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
        out.extend_from_slice(value);
        Ok(Encoded::Bytes)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Vec<u8>, SerdeError> {
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| SerdeError::unexpected_null("a byte string"))
    }
}

impl DefaultSerde for Bytes {
    fn default_serde() -> SharedSerde<Self> {
        SharedSerde::new(BytesSerde)
    }
}

impl DefaultSerde for Vec<u8> {
    fn default_serde() -> SharedSerde<Self> {
        SharedSerde::new(VecSerde)
    }
}

macro_rules! number {
    ($name:ident, $make:ident, $type:ident, $java:literal) => {
        #[doc = concat!("`", stringify!($type), "`, big-endian, as Kafka's ", $java, " serde: [`", stringify!($make), "()`].")]
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $name;

        #[doc = concat!("`", stringify!($type), "`, big-endian, as Kafka's ", $java, " serde.")]
        #[must_use]
        pub fn $make() -> $name {
            $name
        }

        impl Serde for $name {
            type Item = $type;

            fn serialize(&self, value: &$type, out: &mut Vec<u8>) -> Result<Encoded, SerdeError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(Encoded::Bytes)
            }

            fn deserialize(&self, bytes: Option<&[u8]>) -> Result<$type, SerdeError> {
                const WIDTH: usize = size_of::<$type>();
                let bytes = bytes
                    .ok_or_else(|| SerdeError::unexpected_null(concat!("an ", stringify!($type))))?;
                let Ok(exact) = <[u8; WIDTH]>::try_from(bytes) else {
                    return Err(SerdeError::new(format!(
                        concat!(stringify!($type), " takes {} bytes, got {}"),
                        WIDTH,
                        bytes.len()
                    )));
                };
                Ok($type::from_be_bytes(exact))
            }
        }

        impl DefaultSerde for $type {
            fn default_serde() -> SharedSerde<Self> {
                SharedSerde::new($name)
            }
        }
    };
}

number!(I16Serde, i16, i16, "Short");
number!(I32Serde, i32, i32, "Integer");
number!(I64Serde, i64, i64, "Long");
number!(F32Serde, f32, f32, "Float");
number!(F64Serde, f64, f64, "Double");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian_and_refuse_any_other_width() {
        let mut out = Vec::new();
        assert_eq!(i32().serialize(&-2, &mut out).unwrap(), Encoded::Bytes);
        assert_eq!(out, [0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(i32().deserialize(Some(&out)).unwrap(), -2);
        for wrong in [&[][..], &[0; 3], &[0; 5]] {
            assert!(i32().deserialize(Some(wrong)).is_err());
        }
        assert_eq!(
            i64().deserialize(Some(&[1, 2, 3])).unwrap_err().to_string(),
            "i64 takes 8 bytes, got 3"
        );
    }

    #[test]
    fn floats_round_trip_bit_by_bit() {
        for value in [0.0, -0.0, 1.5, f64::MIN_POSITIVE, f64::INFINITY] {
            let mut out = Vec::new();
            let _bytes = f64().serialize(&value, &mut out).unwrap();
            assert_eq!(
                f64().deserialize(Some(&out)).unwrap().to_bits(),
                value.to_bits()
            );
        }
    }

    #[test]
    fn null_is_refused_with_the_remedy() {
        let refused = i16().deserialize(None).unwrap_err().to_string();
        assert!(refused.contains("nullable"), "{refused}");
    }
}
