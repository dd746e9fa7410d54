//! A message of MQTT in AMQP's words. Nothing is lost: what has no property becomes a header, and what
//! fits in neither says so.

use bytes::Bytes;

use super::frames::Oversize;
use super::wire::Published;
use crate::broker::Unfit;
use crate::limits::{COPY_HEADERS_BYTES, SHORT_STRING_BYTES};
use crate::message::{FieldValue, Message, Properties, Table};
use crate::topic::{TOPIC, routing_key_of};

#[cfg(test)]
mod tests;

/// What stands in the place of an exchange.
const EXCHANGE: &str = "mqtt";
/// Names of headers that say what MQTT said.
const OWN: &str = "mqtt-";
/// The QoS that it came with, 0 or 1.
const QOS: &str = "mqtt-qos";
/// It was retained: published before anybody subscribed.
const RETAINED: &str = "mqtt-retained";
/// What belongs together, where it is no short text.
const CORRELATION: &str = "mqtt-correlation-data";
/// Where an answer is expected: a topic.
const RESPONSE_TOPIC: &str = "mqtt-response-topic";
/// What the payload is, where that is no short text.
const CONTENT_TYPE: &str = "mqtt-content-type";
/// User properties that say what AMQP has a property for.
const ENCODING: &str = "content-encoding";
const MESSAGE_ID: &str = "message-id";
const KIND: &str = "type";
const PRIORITY: &str = "priority";

/// The message, and why it can't be taken in, where its properties are too large.
pub(super) fn of(published: &Published, separator: char) -> (Message, Option<Unfit>) {
    let mut properties = Properties::default();
    let headers = &mut properties.headers;
    headers.set(TOPIC, published.topic.as_str());
    headers.set(QOS, i64::from(published.packet_id.is_some()));
    if published.retained {
        headers.set(RETAINED, true);
    }
    if let Some(topic) = &published.response_topic {
        headers.set(RESPONSE_TOPIC, topic.as_str());
        properties.reply_to = short(topic);
    }
    if let Some(kind) = &published.content_type {
        properties.content_type = short(kind);
        if properties.content_type.is_none() {
            properties.headers.set(CONTENT_TYPE, kind.as_str());
        }
    }
    if let Some(data) = &published.correlation {
        properties.correlation_id = std::str::from_utf8(data).ok().and_then(short);
        if properties.correlation_id.is_none() {
            properties.headers.set(CORRELATION, FieldValue::Bytes(data.clone()));
        }
    }
    let in_ms = |seconds: u32| (u64::from(seconds) * 1000).to_string();
    properties.expiration = published.expiry.map(in_ms);
    let unfit = user(published, &mut properties).err();
    let message = Message {
        exchange: EXCHANGE.to_owned(),
        routing_key: routing_key_of(&published.topic, separator),
        properties,
        body: published.payload.clone(),
    };
    (message, unfit)
}

/// Why a payload that was too large isn't here.
pub(super) fn too_large(oversize: &Oversize, allowed: usize) -> Unfit {
    let where_it_is = match &oversize.kept {
        Ok(kept) if kept.cut => format!("its beginning is in {}", kept.path.display()),
        Ok(kept) => format!("it is in {}", kept.path.display()),
        Err(why) => format!("it couldn't be kept: {why}"),
    };
    let bytes = oversize.bytes;
    let text = format!(
        "{bytes} bytes are more than the {allowed} that `max_payload` allows; {where_it_is}"
    );
    Unfit { code: "payload_too_large", text }
}

/// User properties become headers; one that is there several times, an array.
fn user(published: &Published, properties: &mut Properties) -> Result<(), Unfit> {
    let mut own = Table::default();
    for (name, value) in &published.user {
        match name.as_str() {
            ENCODING if properties.content_encoding.is_none() => {
                properties.content_encoding = short(value);
            }
            MESSAGE_ID if properties.message_id.is_none() => properties.message_id = short(value),
            KIND if properties.kind.is_none() && value.len() <= SHORT_STRING_BYTES => {
                properties.kind = Some(value.clone());
            }
            PRIORITY if properties.priority.is_none() && value.parse::<u8>().is_ok() => {
                properties.priority = value.parse().ok();
            }
            _ if name.starts_with(OWN) => {}
            _ if name.len() > SHORT_STRING_BYTES => {
                return Err(Unfit {
                    code: "property_name",
                    text: format!("a user property's name has {} bytes; 255 fit", name.len()),
                });
            }
            _ => add(&mut own, name, value),
        }
    }
    let bytes = properties.headers.wire_bytes() + own.wire_bytes();
    if bytes > COPY_HEADERS_BYTES {
        return Err(Unfit {
            code: "properties_too_large",
            text: format!("its properties have {bytes} bytes; {COPY_HEADERS_BYTES} fit"),
        });
    }
    properties.headers.0.extend(own.0);
    Ok(())
}

fn add(table: &mut Table, name: &str, value: &str) {
    let value = FieldValue::Text(Bytes::copy_from_slice(value.as_bytes()));
    match table.0.iter_mut().find(|(there, _)| there == name) {
        None => table.0.push((name.to_owned(), value)),
        Some((_, FieldValue::Array(values))) => values.push(value),
        Some((_, first)) => {
            let first_value = std::mem::replace(first, FieldValue::Void);
            *first = FieldValue::Array(vec![first_value, value]);
        }
    }
}

/// The text, where AMQP's short strings hold it.
fn short(text: &str) -> Option<String> {
    (text.len() <= SHORT_STRING_BYTES).then(|| text.to_owned())
}
