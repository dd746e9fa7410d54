//! A line of JSON that holds a whole message, as `dlq export` writes them; or one that is a body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::message::{FieldValue, Message, Properties, Table};

/// The message that a line holds. One without `body` and `body_base64` is a body itself.
///
/// # Errors
/// What is wrong with it.
pub fn message(line: &Value, raw: &[u8]) -> Result<Message, String> {
    let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    let body = match (line.get("body_base64"), line.get("body")) {
        (Some(Value::String(encoded)), _) => {
            let bytes = STANDARD.decode(encoded);
            Bytes::from(bytes.map_err(|error| format!("body_base64 isn't base64: {error}"))?)
        }
        (Some(_), _) => return Err("body_base64 isn't text".to_owned()),
        (None, Some(Value::String(text))) => Bytes::copy_from_slice(text.as_bytes()),
        (None, Some(json)) => Bytes::from(json.to_string()),
        (None, None) => {
            let content_type = Some("application/json".to_owned());
            let properties = Properties { content_type, ..Properties::default() };
            let body = Bytes::copy_from_slice(raw);
            return Ok(Message { properties, body, ..Message::default() });
        }
    };
    Ok(Message {
        exchange: text("exchange").unwrap_or_default(),
        routing_key: text("routing_key").unwrap_or_default(),
        properties: properties(line),
        body,
    })
}

/// A message as such a line.
#[must_use]
pub fn line(message: &Message) -> Value {
    let properties = &message.properties;
    let mut line = json!({
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "message_id": properties.message_id,
        "properties": {
            "content_type": properties.content_type,
            "correlation_id": properties.correlation_id,
            "type": properties.kind,
            "timestamp": properties.timestamp,
            "priority": properties.priority,
        },
        "headers": headers(&properties.headers),
    });
    match (serde_json::from_slice::<Value>(&message.body), std::str::from_utf8(&message.body)) {
        (Ok(json), _) => line["body"] = json,
        (_, Ok(text)) => line["body"] = text.into(),
        _ => line["body_base64"] = STANDARD.encode(&message.body).into(),
    }
    line
}

fn headers(table: &Table) -> Value {
    let shown = |value: &FieldValue| match (value.as_text(), value.as_i64()) {
        (Some(text), _) => text.into(),
        (None, Some(number)) => number.into(),
        (None, None) => serde_json::to_value(value).unwrap_or_default(),
    };
    table.iter().map(|(name, value)| (name.to_owned(), shown(value))).collect()
}

fn properties(line: &Value) -> Properties {
    let of = line.get("properties").unwrap_or(&Value::Null);
    let text = |name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    let id = line.get("message_id").and_then(Value::as_str).filter(|id| !id.is_empty());
    let headers = line.get("headers").and_then(Value::as_object);
    Properties {
        content_type: text("content_type"),
        content_encoding: text("content_encoding"),
        headers: headers.into_iter().flatten().map(|(name, value)| (name, field(value))).collect(),
        delivery_mode: Some(2),
        priority: of.get("priority").and_then(Value::as_u64).and_then(|n| u8::try_from(n).ok()),
        correlation_id: text("correlation_id"),
        reply_to: text("reply_to"),
        expiration: None,
        message_id: id.map(str::to_owned).or_else(|| text("message_id")),
        timestamp: of.get("timestamp").and_then(Value::as_u64),
        kind: text("type"),
        user_id: None,
        app_id: text("app_id"),
        cluster_id: None,
    }
}

fn field(value: &Value) -> FieldValue {
    match value {
        Value::Null => FieldValue::Void,
        Value::Bool(truth) => FieldValue::Bool(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(number) => FieldValue::I64(number),
            None => FieldValue::F64(number.as_f64().unwrap_or(0.0)),
        },
        Value::String(text) => FieldValue::from(text.as_str()),
        Value::Array(items) => FieldValue::Array(items.iter().map(field).collect()),
        Value::Object(fields) => match (fields.len(), fields.get("base64")) {
            (1, Some(Value::String(encoded))) => {
                FieldValue::Bytes(STANDARD.decode(encoded).unwrap_or_default().into())
            }
            _ => FieldValue::Table(Table(
                fields.iter().map(|(name, value)| (name.clone(), field(value))).collect(),
            )),
        },
    }
}

#[cfg(test)]
mod tests;
