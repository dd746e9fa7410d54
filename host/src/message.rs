//! A message as a broker carries it: where it was published, AMQP's basic properties, the body.
//!
//! Plain data, known to every room. Nothing here knows a client library or a plugin.

pub mod blob;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One message, as it was published and as a plugin sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// The exchange it was published to; empty for the default exchange.
    pub exchange: String,
    /// The routing key it was published with, at most 255 bytes.
    pub routing_key: String,
    /// AMQP's basic properties, headers included.
    pub properties: Properties,
    /// The payload. Cheap to clone.
    pub body: Bytes,
}

/// AMQP 0-9-1's basic properties. `None` means that the producer didn't set one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Properties {
    /// MIME type of the body.
    pub content_type: Option<String>,
    /// How the body is encoded: `gzip`, or nothing.
    pub content_encoding: Option<String>,
    /// Application headers.
    pub headers: Table,
    /// 1 is transient, 2 persistent.
    pub delivery_mode: Option<u8>,
    /// 0 to 255; queues honour it up to their `x-max-priority`.
    pub priority: Option<u8>,
    /// What this message belongs to, carried on to whatever follows from it.
    pub correlation_id: Option<String>,
    /// Where an answer is expected.
    pub reply_to: Option<String>,
    /// Time to live in milliseconds, as AMQP has it: a decimal string.
    pub expiration: Option<String>,
    /// The producer's identifier.
    pub message_id: Option<String>,
    /// Seconds since 1970-01-01 UTC.
    pub timestamp: Option<u64>,
    /// Application's name for the kind of message (AMQP calls it `type`).
    pub kind: Option<String>,
    /// The publishing user, verified by the broker.
    pub user_id: Option<String>,
    /// The publishing application.
    pub app_id: Option<String>,
    /// Obsolete in AMQP 0-9-1, carried for completeness.
    pub cluster_id: Option<String>,
}

/// A field table: names and typed values, in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table(pub Vec<(String, FieldValue)>);

/// A value of a field table, of every type that RabbitMQ's AMQP 0-9-1 knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldValue {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: `value / 10^scale`
    Decimal {
        /// Digits after the decimal point.
        scale: u8,
        /// The unscaled value, as AMQP carries it.
        value: u32,
    },
    /// `S`: a long string. Usually UTF-8, but AMQP doesn't promise it.
    Text(#[serde(with = "blob")] Bytes),
    /// `A`
    Array(Vec<FieldValue>),
    /// `T`: seconds since 1970-01-01 UTC.
    Timestamp(u64),
    /// `F`
    Table(Table),
    /// `x`
    Bytes(#[serde(with = "blob")] Bytes),
    /// `V`
    Void,
}

// === impl Table ===

impl Table {
    /// The value of the first field of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The value of that field, where it is UTF-8 text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(FieldValue::as_text)
    }

    /// Sets a field, replacing what has that name.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<FieldValue>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<FieldValue> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(at).1)
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that AMQP 0-9-1 writes it in, its length included.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        4 + self.iter().map(|(name, value)| 1 + name.len() + 1 + value.wire_bytes()).sum::<usize>()
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<N: Into<String>, V: Into<FieldValue>> FromIterator<(N, V)> for Table {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        Self(fields.into_iter().map(|(n, v)| (n.into(), v.into())).collect())
    }
}

// === impl FieldValue ===

impl FieldValue {
    /// The text, where this is a long string of valid UTF-8.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Bytes that AMQP 0-9-1 writes it in, without the octet of its type.
    fn wire_bytes(&self) -> usize {
        match self {
            Self::Void => 0,
            Self::Bool(_) | Self::I8(_) | Self::U8(_) => 1,
            Self::I16(_) | Self::U16(_) => 2,
            Self::I32(_) | Self::U32(_) | Self::F32(_) => 4,
            Self::Decimal { .. } => 5,
            Self::I64(_) | Self::F64(_) | Self::Timestamp(_) => 8,
            Self::Text(bytes) | Self::Bytes(bytes) => 4 + bytes.len(),
            Self::Array(items) => 4 + items.iter().map(|item| 1 + item.wire_bytes()).sum::<usize>(),
            Self::Table(table) => table.wire_bytes(),
        }
    }

    /// The number, where this is an integer of any width.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::I8(n) => Some(n.into()),
            Self::U8(n) => Some(n.into()),
            Self::I16(n) => Some(n.into()),
            Self::U16(n) => Some(n.into()),
            Self::I32(n) => Some(n.into()),
            Self::U32(n) => Some(n.into()),
            Self::I64(n) => Some(n),
            _ => None,
        }
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self::Text(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<bool> for FieldValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for FieldValue {
    fn from(value: i32) -> Self {
        Self::I32(value)
    }
}

impl From<i64> for FieldValue {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<f64> for FieldValue {
    fn from(value: f64) -> Self {
        Self::F64(value)
    }
}
