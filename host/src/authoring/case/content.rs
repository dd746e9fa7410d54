//! Bytes as a case has them: a body, a state.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CaseError;
use crate::digest;

/// Bytes, in the form that says most: `body.json = { celsius = 71.5 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A value, as JSON.
    Json(Value),
    /// A value, as MessagePack.
    Msgpack(Value),
    /// Text.
    Text(String),
    /// Hexadecimal digits.
    Hex(String),
    /// Base64.
    Base64(String),
}

const JSON: &str = "application/json";
const MSGPACK: &str = "application/msgpack";

/// Reads bytes as one form, where they are of it.
type Form = fn(&[u8]) -> Option<Content>;

impl Content {
    /// The bytes.
    ///
    /// # Errors
    /// What can't be read or written in that form.
    pub fn bytes(&self) -> Result<Vec<u8>, CaseError> {
        let failed = |form: &str, error: String| CaseError(format!("{form}: {error}"));
        match self {
            Self::Json(value) => {
                serde_json::to_vec(value).map_err(|error| failed("json", error.to_string()))
            }
            Self::Msgpack(value) => {
                rmp_serde::to_vec_named(value).map_err(|error| failed("msgpack", error.to_string()))
            }
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Hex(digits) => hex(digits),
            Self::Base64(text) => STANDARD
                .decode(text.split_ascii_whitespace().collect::<String>())
                .map_err(|error| failed("base64", error.to_string())),
        }
    }

    /// The content type that it has where none is given.
    #[must_use]
    pub fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) => Some(JSON),
            Self::Msgpack(_) => Some(MSGPACK),
            _ => None,
        }
    }

    /// Bytes of that content type, in the form that says most and gives the same bytes again.
    #[must_use]
    pub fn of(bytes: &[u8], content_type: Option<&str>) -> Self {
        let is = |media: &str| content_type.is_some_and(|given| given.starts_with(media));
        let forms: [Form; 3] = match () {
            () if is(MSGPACK) => [Self::packed, Self::text, |_| None],
            () if is(JSON) => [Self::value, Self::text, |_| None],
            () => [Self::text, |_| None, |_| None],
        };
        let found = forms.iter().find_map(|form| form(bytes));
        found.unwrap_or_else(|| Self::Hex(digest::hex(bytes)))
    }

    /// A state's bytes, which are MessagePack as the SDK writes them, or an author's own.
    #[must_use]
    pub fn of_state(bytes: &[u8]) -> Self {
        Self::packed(bytes).unwrap_or_else(|| Self::Hex(digest::hex(bytes)))
    }

    fn value(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        (!has_null(&value)).then_some(Self::Json(value))
    }

    fn packed(bytes: &[u8]) -> Option<Self> {
        let value: Value = rmp_serde::from_slice(bytes).ok()?;
        let again = rmp_serde::to_vec_named(&value).ok()?;
        (again == bytes && !has_null(&value)).then_some(Self::Msgpack(value))
    }

    fn text(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let plain = text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
        plain.then(|| Self::Text(text.to_owned()))
    }

    /// Whether those bytes say the same; how they are spaced doesn't matter.
    ///
    /// # Errors
    /// What can't be read in that form.
    pub fn says(&self, bytes: &[u8]) -> Result<bool, CaseError> {
        let value = match self {
            Self::Json(value) => serde_json::from_slice(bytes).map(|found| (value, found)).ok(),
            Self::Msgpack(value) => rmp_serde::from_slice(bytes).map(|found| (value, found)).ok(),
            _ => return Ok(self.bytes()? == bytes),
        };
        Ok(value.is_some_and(|(value, found)| same(value, &found)))
    }

    /// Bytes in this form, to be shown beside it.
    #[must_use]
    pub fn like(&self, bytes: &[u8]) -> Self {
        let form: Option<Self> = match self {
            Self::Json(_) => serde_json::from_slice(bytes).ok().map(Self::Json),
            Self::Msgpack(_) => rmp_serde::from_slice(bytes).ok().map(Self::Msgpack),
            Self::Base64(_) => Some(Self::Base64(STANDARD.encode(bytes))),
            Self::Text(_) => Self::text(bytes),
            Self::Hex(_) => None,
        };
        form.unwrap_or_else(|| Self::Hex(digest::hex(bytes)))
    }
}

impl std::fmt::Display for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Json(value) => write!(f, "json {value}"),
            Self::Msgpack(value) => write!(f, "msgpack {value}"),
            Self::Text(text) => write!(f, "text {text:?}"),
            Self::Hex(digits) => write!(f, "hex {digits}"),
            Self::Base64(text) => write!(f, "base64 {text}"),
        }
    }
}

/// Whether two values say the same: 1 and 1.0 do, for TOML and JSON write numbers as they like.
pub(in crate::authoring) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}

/// TOML has no null, so what has one is written in another form.
fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(fields) => fields.values().any(has_null),
        _ => false,
    }
}

pub(super) fn hex(text: &str) -> Result<Vec<u8>, CaseError> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).ok_or_else(|| CaseError(format!("hex: '{c}' is no digit"))))
        .collect::<Result<_, _>>()?;
    if !digits.len().is_multiple_of(2) {
        return Err(CaseError("hex: an odd number of digits".to_owned()));
    }
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap_or_default();
    Ok(digits.chunks_exact(2).map(byte).collect())
}
