//! What meters write.

use serde::Serialize;

use super::meter::Encoding;

/// A reading of the energy register's interval.
#[derive(Serialize)]
pub(super) struct Reading<'a> {
    pub(super) meter: &'a str,
    pub(super) ts: &'a str,
    pub(super) kwh: f64,
    pub(super) voltage: f64,
    pub(super) seq: u64,
    pub(super) region: &'a str,
}

/// Something that happened.
#[derive(Serialize)]
pub(super) struct Event<'a> {
    pub(super) meter: &'a str,
    pub(super) ts: &'a str,
    pub(super) event: &'a str,
    pub(super) seq: u64,
    pub(super) region: &'a str,
    pub(super) transformer: &'a str,
}

/// How the meter itself is.
#[derive(Serialize)]
pub(super) struct Status<'a> {
    pub(super) meter: &'a str,
    pub(super) ts: &'a str,
    pub(super) battery_v: f64,
    pub(super) rssi: i32,
    pub(super) firmware: &'a str,
    pub(super) seq: u64,
    pub(super) region: &'a str,
}

// === impl Encoding ===

impl Encoding {
    /// Its MIME type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
        }
    }

    /// A value's bytes. Plain structs of text and finite numbers always have some.
    pub(super) fn encode(self, value: &impl Serialize) -> Vec<u8> {
        match self {
            Self::Json => serde_json::to_vec(value).unwrap_or_default(),
            Self::MessagePack => rmp_serde::to_vec_named(value).unwrap_or_default(),
        }
    }
}
