#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::json;

use super::*;

fn read(line: &Value) -> Result<Message, String> {
    message(line, line.to_string().as_bytes())
}

#[test]
fn an_exported_letter_becomes_the_message_that_it_was() {
    let line = json!({
        "exchange": "meters", "routing_key": "meter.7", "message_id": "m-1", "queue": "q",
        "properties": { "type": "reading", "priority": 3, "timestamp": 1_700_000_000 },
        "headers": { "region": "north", "raw": { "base64": "/w==" }, "n": 3 },
        "body_base64": "gaFhAQ==",
    });
    let message = read(&line).unwrap();
    assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("meters", "meter.7"));
    assert_eq!(message.body, &b"\x81\xa1a\x01"[..]);
    let properties = message.properties;
    assert_eq!(properties.kind.as_deref(), Some("reading"));
    assert_eq!((properties.priority, properties.timestamp), (Some(3), Some(1_700_000_000)));
    assert_eq!(properties.headers.get("raw"), Some(&FieldValue::Bytes(vec![255].into())));
    assert_eq!(properties.headers.get("n"), Some(&FieldValue::I64(3)));
}

#[test]
fn a_line_without_a_body_is_one_and_one_that_is_broken_is_told() {
    let line = json!({ "meter": "7", "kw": 3 });
    assert_eq!(read(&line).unwrap().body, line.to_string());
    let error = read(&json!({ "body_base64": "!" })).unwrap_err();
    assert!(error.contains("isn't base64"), "{error}");
    assert!(read(&json!({ "body_base64": 7 })).is_err());
}
