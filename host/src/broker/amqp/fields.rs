//! Fields and properties between the client library's types and ours, every type both ways.
//!
//! The library keeps a table sorted by name, so the order of fields isn't kept; nothing else is
//! lost. What it would panic on, a short string of more than 255 bytes, is an error here.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{
    AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString,
};

use crate::limits::SHORT_STRING_BYTES;
use crate::message::{FieldValue, Properties, Table};

#[cfg(test)]
mod tests;

/// A text that AMQP can't carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} has {bytes} bytes; AMQP allows {SHORT_STRING_BYTES}")]
pub(super) struct TooLong {
    what: String,
    bytes: usize,
}

/// A short string, as names, routing keys and most properties are.
pub(super) fn short(what: &str, text: &str) -> Result<ShortString, TooLong> {
    ShortString::try_new(text).map_err(|_| TooLong { what: what.to_owned(), bytes: text.len() })
}

/// Our table as the library's.
pub(super) fn to_table(table: &Table) -> Result<FieldTable, TooLong> {
    let mut out = FieldTable::default();
    for (name, value) in table.iter() {
        out.insert(short("a header's name", name)?, to_value(value)?);
    }
    Ok(out)
}

fn to_value(value: &FieldValue) -> Result<AMQPValue, TooLong> {
    Ok(match value {
        FieldValue::Bool(v) => AMQPValue::Boolean(*v),
        FieldValue::I8(v) => AMQPValue::ShortShortInt(*v),
        FieldValue::U8(v) => AMQPValue::ShortShortUInt(*v),
        FieldValue::I16(v) => AMQPValue::ShortInt(*v),
        FieldValue::U16(v) => AMQPValue::ShortUInt(*v),
        FieldValue::I32(v) => AMQPValue::LongInt(*v),
        FieldValue::U32(v) => AMQPValue::LongUInt(*v),
        FieldValue::I64(v) => AMQPValue::LongLongInt(*v),
        FieldValue::F32(v) => AMQPValue::Float(*v),
        FieldValue::F64(v) => AMQPValue::Double(*v),
        FieldValue::Decimal { scale, value } => {
            AMQPValue::DecimalValue(DecimalValue { scale: *scale, value: *value })
        }
        FieldValue::Text(v) => AMQPValue::LongString(LongString::from(v.to_vec())),
        FieldValue::Array(items) => {
            let items = items.iter().map(to_value).collect::<Result<Vec<_>, _>>()?;
            AMQPValue::FieldArray(FieldArray::from(items))
        }
        FieldValue::Timestamp(v) => AMQPValue::Timestamp(*v),
        FieldValue::Table(v) => AMQPValue::FieldTable(to_table(v)?),
        FieldValue::Bytes(v) => AMQPValue::ByteArray(ByteArray::from(v.to_vec())),
        FieldValue::Void => AMQPValue::Void,
    })
}

/// The library's table as ours.
pub(super) fn from_table(table: &FieldTable) -> Table {
    Table(
        table
            .into_iter()
            .map(|(name, value)| (name.as_str().to_owned(), from_value(value)))
            .collect(),
    )
}

fn from_value(value: &AMQPValue) -> FieldValue {
    match value {
        AMQPValue::Boolean(v) => FieldValue::Bool(*v),
        AMQPValue::ShortShortInt(v) => FieldValue::I8(*v),
        AMQPValue::ShortShortUInt(v) => FieldValue::U8(*v),
        AMQPValue::ShortInt(v) => FieldValue::I16(*v),
        AMQPValue::ShortUInt(v) => FieldValue::U16(*v),
        AMQPValue::LongInt(v) => FieldValue::I32(*v),
        AMQPValue::LongUInt(v) => FieldValue::U32(*v),
        AMQPValue::LongLongInt(v) => FieldValue::I64(*v),
        AMQPValue::Float(v) => FieldValue::F32(*v),
        AMQPValue::Double(v) => FieldValue::F64(*v),
        AMQPValue::DecimalValue(v) => FieldValue::Decimal { scale: v.scale, value: v.value },
        // Never comes over the wire: a field's short string exists in the library alone.
        AMQPValue::ShortString(v) => FieldValue::from(v.as_str()),
        AMQPValue::LongString(v) => FieldValue::Text(Bytes::copy_from_slice(v.as_bytes())),
        AMQPValue::FieldArray(v) => {
            FieldValue::Array(v.as_slice().iter().map(from_value).collect())
        }
        AMQPValue::Timestamp(v) => FieldValue::Timestamp(*v),
        AMQPValue::FieldTable(v) => FieldValue::Table(from_table(v)),
        AMQPValue::ByteArray(v) => FieldValue::Bytes(Bytes::copy_from_slice(v.as_slice())),
        AMQPValue::Void => FieldValue::Void,
    }
}

/// Our properties as the library's.
pub(super) fn to_properties(properties: &Properties) -> Result<BasicProperties, TooLong> {
    let mut out = BasicProperties::default();
    macro_rules! copy {
        ($($field:ident, $with:ident, $what:literal;)*) => {$(
            if let Some(text) = &properties.$field {
                out = out.$with(short($what, text)?);
            }
        )*};
    }
    copy! {
        content_type, with_content_type, "the content type";
        content_encoding, with_content_encoding, "the content encoding";
        correlation_id, with_correlation_id, "the correlation id";
        reply_to, with_reply_to, "reply-to";
        expiration, with_expiration, "the expiration";
        message_id, with_message_id, "the message id";
        kind, with_type, "the type";
        user_id, with_user_id, "the user id";
        app_id, with_app_id, "the app id";
        cluster_id, with_cluster_id, "the cluster id";
    }
    if !properties.headers.is_empty() {
        out = out.with_headers(to_table(&properties.headers)?);
    }
    if let Some(mode) = properties.delivery_mode {
        out = out.with_delivery_mode(mode);
    }
    if let Some(priority) = properties.priority {
        out = out.with_priority(priority);
    }
    if let Some(timestamp) = properties.timestamp {
        out = out.with_timestamp(timestamp);
    }
    Ok(out)
}

/// The library's properties as ours.
pub(super) fn from_properties(properties: &BasicProperties) -> Properties {
    let text = |field: &Option<ShortString>| field.as_ref().map(|text| text.as_str().to_owned());
    Properties {
        content_type: text(properties.content_type()),
        content_encoding: text(properties.content_encoding()),
        headers: properties.headers().as_ref().map(from_table).unwrap_or_default(),
        delivery_mode: *properties.delivery_mode(),
        priority: *properties.priority(),
        correlation_id: text(properties.correlation_id()),
        reply_to: text(properties.reply_to()),
        expiration: text(properties.expiration()),
        message_id: text(properties.message_id()),
        timestamp: *properties.timestamp(),
        kind: text(properties.kind()),
        user_id: text(properties.user_id()),
        app_id: text(properties.app_id()),
        cluster_id: text(properties.cluster_id()),
    }
}

/// Bytes of a content header frame for these properties, at most.
pub(super) fn header_frame_bytes(properties: &Properties) -> usize {
    // Frame 8, class, weight and size 12, flags 2; then each property with its length.
    let texts = [
        &properties.content_type,
        &properties.content_encoding,
        &properties.correlation_id,
        &properties.reply_to,
        &properties.expiration,
        &properties.message_id,
        &properties.kind,
        &properties.user_id,
        &properties.app_id,
        &properties.cluster_id,
    ];
    let texts: usize = texts.into_iter().flatten().map(|text| 1 + text.len()).sum();
    8 + 12 + 2 + 1 + 1 + 8 + texts + properties.headers.wire_bytes()
}
