//! Placeholder.
use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
pub(super) fn check(_api: ApiKey, _version: i16, _frame: &Bytes) -> Result<(), &'static str> {
    Ok(())
}
