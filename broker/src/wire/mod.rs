//! Frames: bytes to requests, responses to bytes.
//!
//! ```text
//!   length (4) ‖ header: api key, version, correlation id, client id ‖ body
//! ```
//!
//! # Invariants
//!
//! - **Bad bytes are an error, never a panic:** array lengths are checked against the frame before anything
//!   is decoded, because the decoder reserves what a length claims.
//! - **An unknown version of ApiVersions is answered in version 0**, so that any client can find its way.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, RequestHeader, RequestKind, ResponseHeader, ResponseKind,
};
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::ErrorCode;

mod versions;
mod schema;
#[cfg(test)]
mod tests;

pub(crate) use self::versions::{SPOKEN, Spoken, api_key};

/// A request frame, decoded.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: String,
    pub(crate) body: Body,
}

/// What a frame asks for.
#[derive(Debug)]
pub(crate) enum Body {
    Request(Box<RequestKind>),
    /// ApiVersions in a version that is not spoken.
    UnknownApiVersions,
}

/// Why a frame is not answered; the connection closes, as Kafka's does.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("frame is too short for a request header")]
    Truncated,
    #[error("api key {0} is not spoken here")]
    UnknownApi(i16),
    #[error("version {version} of api key {api} is not spoken here")]
    UnknownVersion { api: i16, version: i16 },
    #[error("request of api key {api} version {version} does not fit its schema: {why}")]
    Malformed { api: i16, version: i16, why: String },
    #[error("response in version {version} cannot be encoded: {why}")]
    Unencodable { version: i16, why: String },
}

/// Decodes the bytes after the length field.
pub(crate) fn decode(mut frame: Bytes) -> Result<Frame, WireError> {
    let mut peek = frame.clone();
    let api = peek.try_get_i16().map_err(|_short| WireError::Truncated)?;
    let version = peek.try_get_i16().map_err(|_short| WireError::Truncated)?;
    let correlation_id = peek.try_get_i32().map_err(|_short| WireError::Truncated)?;
    let spoken = versions::of(api).ok_or(WireError::UnknownApi(api))?;
    if !(spoken.min..=spoken.max).contains(&version) {
        if spoken.api == ApiKey::ApiVersions {
            let body = Body::UnknownApiVersions;
            return Ok(Frame {
                version: 0,
                correlation_id,
                client_id: String::new(),
                body,
            });
        }
        return Err(WireError::UnknownVersion { api, version });
    }
    let malformed = |why: String| WireError::Malformed { api, version, why };
    let header = RequestHeader::decode(&mut frame, spoken.api.request_header_version(version))
        .map_err(|error| malformed(error.to_string()))?;
    schema::check(spoken.api, version, &frame).map_err(|why| malformed(why.to_owned()))?;
    let request = RequestKind::decode(spoken.api, &mut frame, version)
        .map_err(|error| malformed(error.to_string()))?;
    let client_id = header
        .client_id
        .map(|id| id.as_str().to_owned())
        .unwrap_or_default();
    Ok(Frame {
        version,
        correlation_id,
        client_id,
        body: Body::Request(Box::new(request)),
    })
}

/// Encodes a response with its length and header.
pub(crate) fn encode(
    response: &ResponseKind,
    correlation_id: i32,
    version: i16,
) -> Result<BytesMut, WireError> {
    let mut frame = BytesMut::with_capacity(256);
    frame.put_i32(0);
    let unencodable = |error: &dyn std::fmt::Display| WireError::Unencodable {
        version,
        why: error.to_string(),
    };
    ResponseHeader::default()
        .with_correlation_id(correlation_id)
        .encode(&mut frame, response.header_version(version))
        .map_err(|error| unencodable(&error))?;
    response
        .encode(&mut frame, version)
        .map_err(|error| unencodable(&error))?;
    let length = i32::try_from(frame.len() - 4).map_err(|error| unencodable(&error))?;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// The answer to an ApiVersions request of a version that is not spoken: which ones are.
pub(crate) fn unknown_api_versions() -> ResponseKind {
    let known = versions::of(ApiKey::ApiVersions as i16).map(|spoken| {
        ApiVersion::default()
            .with_api_key(spoken.api as i16)
            .with_min_version(spoken.min)
            .with_max_version(spoken.max)
    });
    ApiVersionsResponse::default()
        .with_error_code(ErrorCode::UnsupportedVersion.code())
        .with_api_keys(known.into_iter().collect())
        .into()
}
