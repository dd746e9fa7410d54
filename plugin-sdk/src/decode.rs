//! Bodies by content type: JSON and MessagePack; rows of reference data.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

/// Content type of what [`crate::Emission::json`] writes.
pub(crate) const JSON: &str = "application/json";
/// Content type of what [`crate::Emission::msgpack`] writes.
pub(crate) const MSGPACK: &str = "application/msgpack";

/// Why a body couldn't be decoded. Turns into a rejection with `?`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Neither JSON nor MessagePack, or no content type at all. Code `content_type`.
    #[error("can't decode {0}: set the content type to application/json or application/msgpack")]
    ContentType(String),
    /// There is no body. Code `empty`.
    #[error("the body is empty")]
    Empty,
    /// The body isn't what its content type says, or not what the plugin expects. Code `malformed`.
    #[error("not the {0} that was expected: {1}")]
    Malformed(&'static str, String),
    /// A row of reference data isn't what the plugin expects. Code `bad_row`.
    #[error("the key's row of table '{0}': {1}")]
    Row(String, String),
}

/// A value that can't be written as JSON or MessagePack, such as a map whose keys are no strings.
/// Turns into a rejection with `?`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("can't encode as {0}: {1}")]
pub struct EncodeError(pub(crate) &'static str, pub(crate) String);

impl DecodeError {
    /// Low-cardinality: `content_type`, `empty`, `malformed` or `bad_row`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ContentType(_) => "content_type",
            Self::Empty => "empty",
            Self::Malformed(..) => "malformed",
            Self::Row(..) => "bad_row",
        }
    }
}

/// Decodes state that the SDK encoded, which is MessagePack: for
/// [`Plugin::migrate`](crate::Plugin::migrate), whose old state is of a type that a plugin had before.
///
/// # Errors
/// Why it isn't a `T`.
pub fn old_state<T: serde::de::DeserializeOwned>(state: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(state).map_err(|error| error.to_string())
}

enum Format {
    Json,
    MessagePack,
}

pub(crate) fn body<'a, T: Deserialize<'a>>(
    content_type: Option<&str>,
    body: &'a [u8],
) -> Result<T, DecodeError> {
    let format = format(content_type)?;
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    match format {
        Format::Json => serde_json::from_slice(body)
            .map_err(|error| DecodeError::Malformed("JSON", error.to_string())),
        Format::MessagePack => rmp_serde::from_slice(body)
            .map_err(|error| DecodeError::Malformed("MessagePack", error.to_string())),
    }
}

fn format(content_type: Option<&str>) -> Result<Format, DecodeError> {
    let Some(given) = content_type else {
        return Err(DecodeError::ContentType("a body without content type".into()));
    };
    // What follows a semicolon are parameters, such as the charset.
    let media = given.split(';').next().unwrap_or(given).trim();
    let is = |name: &str| media.eq_ignore_ascii_case(name);
    if is(JSON) || media.rsplit_once('+').is_some_and(|(_, s)| s.eq_ignore_ascii_case("json")) {
        Ok(Format::Json)
    } else if is(MSGPACK) || is("application/x-msgpack") || is("application/vnd.msgpack") {
        Ok(Format::MessagePack)
    } else {
        Err(DecodeError::ContentType(format!("'{given}'")))
    }
}

/// The row of that table in a key's rows, a MessagePack map.
pub(crate) fn row<'a, T: Deserialize<'a>>(
    rows: Option<&'a [u8]>,
    table: &str,
) -> Result<Option<T>, DecodeError> {
    let Some(rows) = rows else { return Ok(None) };
    rmp_serde::Deserializer::from_read_ref(rows)
        .deserialize_map(RowOf { table, row: PhantomData })
        .map_err(|error| DecodeError::Row(table.to_owned(), error.to_string()))
}

/// Decodes one table's row and passes over the others.
struct RowOf<'t, T> {
    table: &'t str,
    row: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for RowOf<'_, T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from table to row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut rows: A) -> Result<Option<T>, A::Error> {
        let mut found = None;
        while let Some(table) = rows.next_key::<&str>()? {
            if table == self.table {
                found = Some(rows.next_value()?);
            } else {
                rows.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

pub(crate) fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, EncodeError> {
    serde_json::to_vec(value).map_err(|error| EncodeError("JSON", error.to_string()))
}

pub(crate) fn msgpack(value: &impl serde::Serialize) -> Result<Vec<u8>, EncodeError> {
    rmp_serde::to_vec_named(value).map_err(|error| EncodeError("MessagePack", error.to_string()))
}

#[cfg(test)]
mod tests;
