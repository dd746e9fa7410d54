#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde_json::{Value as Json, json};

use super::{BodyKind, Header, Recipe, Time};
use crate::message::FieldValue;
use crate::publish::record::{Format, Record, Records};
use crate::publish::template::Template;

const HOUSEHOLD: &[u8] =
    b"Date;Time;Global_active_power;Voltage\n16/12/2006;17:24:00;4.216;234.840\n";

fn recipe(body: Option<&str>, body_kind: BodyKind) -> Recipe {
    Recipe {
        exchange: "meters".to_owned(),
        routing_key: Template::text("meter.m-{copy:03}.reading").unwrap(),
        headers: Vec::new(),
        kind: None,
        message_id: Some(Template::text("{line}-{copy}").unwrap()),
        content_type: None,
        priority: None,
        expiration_ms: None,
        persistent: true,
        times: Vec::new(),
        body: body.map(|body| Template::json(body).unwrap()),
        body_kind,
        exported: false,
    }
}

fn first(format: Format, input: &[u8]) -> Record {
    let input = Box::new(std::io::Cursor::new(input.to_vec()));
    let mut records = Records::new(input, format, None, true, Arc::new(AtomicU64::new(0))).unwrap();
    records.next().unwrap().unwrap()
}

fn body(recipe: &Recipe, record: &Record) -> Vec<u8> {
    recipe.message(record, 1, 2, 1).unwrap().body.to_vec()
}

#[test]
fn a_row_of_the_household_becomes_a_reading() {
    let mut recipe = recipe(
        Some(
            r#"{"meter":"m-{copy:03}","ts":"{ts}","kwh":{Global_active_power},"voltage":{Voltage}}"#,
        ),
        BodyKind::Json,
    );
    recipe.times = vec![Time {
        name: "ts".to_owned(),
        source: Template::text("{Date} {Time}").unwrap(),
        format: "%d/%m/%Y %H:%M:%S".to_owned(),
    }];
    let message = recipe.message(&first(Format::Csv, HOUSEHOLD), 1, 2, 1).unwrap();
    assert_eq!(
        serde_json::from_slice::<Json>(&message.body).unwrap(),
        json!({"meter": "m-002", "ts": "2006-12-16T17:24:00Z", "kwh": 4.216, "voltage": 234.84})
    );
    assert_eq!(message.routing_key, "meter.m-002.reading");
    assert_eq!(message.properties.message_id.as_deref(), Some("2-2"));
    assert_eq!(message.properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(message.properties.delivery_mode, Some(2));
}

#[test]
fn records_become_json_or_messagepack() {
    let row = first(Format::Csv, b"a,b\n1,x\n");
    assert_eq!(body(&recipe(None, BodyKind::Json), &row), br#"{"a":1,"b":"x"}"#);
    let packed = body(&recipe(None, BodyKind::Msgpack), &row);
    assert_eq!(rmp_serde::from_slice::<Json>(&packed).unwrap(), json!({"a": 1, "b": "x"}));
    let value = first(Format::Msgpack, &packed);
    assert_eq!(body(&recipe(None, BodyKind::Msgpack), &value), packed);
    assert_eq!(body(&recipe(None, BodyKind::Json), &value), br#"{"a":1,"b":"x"}"#);
    let line = first(Format::Jsonl, b"{ \"b\": 1 }");
    assert_eq!(body(&recipe(None, BodyKind::Json), &line), b"{ \"b\": 1 }");
    let text = first(Format::Lines, b"{cut \xff");
    assert_eq!(body(&recipe(None, BodyKind::Text), &text), b"{cut \xff");
}

#[test]
fn headers_are_text_unless_their_type_is_wanted() {
    let header = |name: &str, source: &str, typed| Header {
        name: name.to_owned(),
        value: Template::text(source).unwrap(),
        typed,
    };
    let mut recipe = recipe(None, BodyKind::Json);
    recipe.headers =
        vec![header("n", "{a}", true), header("t", "{a}", false), header("x", "{b}", true)];
    let headers =
        recipe.message(&first(Format::Csv, b"a,b\n1,x\n"), 1, 1, 1).unwrap().properties.headers;
    assert_eq!(headers.get("n"), Some(&FieldValue::I64(1)));
    assert_eq!(headers.text("t"), Some("1"));
    assert_eq!(headers.text("x"), Some("x"));
}

#[test]
fn what_a_record_lacks_is_told_with_its_line_and_option() {
    let mut recipe = recipe(None, BodyKind::Json);
    recipe.kind = Some(Template::text("{typ}").unwrap());
    let error = recipe.message(&first(Format::Csv, HOUSEHOLD), 1, 1, 1).unwrap_err().to_string();
    assert!(
        error.starts_with("line 2: --type: no field 'typ'; this record has: Date, Time"),
        "{error}"
    );
}

#[test]
fn a_time_that_is_written_otherwise_is_told() {
    let mut recipe = recipe(None, BodyKind::Json);
    recipe.times = vec![Time {
        name: "ts".to_owned(),
        source: Template::text("{Date}").unwrap(),
        format: "%Y-%m-%d %H:%M".to_owned(),
    }];
    let error = recipe.message(&first(Format::Csv, HOUSEHOLD), 1, 1, 1).unwrap_err().to_string();
    assert!(error.starts_with("line 2: --time ts: '16/12/2006' isn't written as"), "{error}");
}

#[test]
fn a_routing_key_longer_than_amqp_allows_is_told() {
    let mut recipe = recipe(None, BodyKind::Text);
    recipe.routing_key = Template::text("{text}").unwrap();
    let record = first(Format::Lines, "k".repeat(256).as_bytes());
    let error = recipe.message(&record, 1, 1, 1).unwrap_err().to_string();
    assert_eq!(error, "line 1: --routing-key gives 256 bytes; AMQP allows 255");
}

#[test]
fn records_are_decoded_only_where_somebody_looks_into_them() {
    assert!(!recipe(None, BodyKind::Msgpack).needs_fields(Format::Msgpack));
    assert!(recipe(None, BodyKind::Json).needs_fields(Format::Msgpack));
    assert!(recipe(Some(r#"{"a":{b}}"#), BodyKind::Msgpack).needs_fields(Format::Msgpack));
}

#[test]
fn an_exported_message_is_published_as_it_was_but_for_what_is_said() {
    let line = json!({
        "exchange": "meters", "routing_key": "meter.7.reading", "message_id": "m-1",
        "properties": { "content_type": "application/msgpack", "type": "reading", "priority": 3 },
        "headers": { "meter-id": "7", "tries": 2 },
        "body_base64": "gaFhAQ==", "report": { "code": "bad" },
    });
    let record = first(Format::Jsonl, line.to_string().as_bytes());
    let plain = Template::text("").unwrap();
    let whole = Recipe {
        exported: true,
        routing_key: plain,
        message_id: None,
        headers: vec![Header {
            name: "again".to_owned(),
            value: Template::text("yes").unwrap(),
            typed: false,
        }],
        ..recipe(None, BodyKind::Json)
    };
    let message = whole.message(&record, 1, 1, 1).unwrap();
    assert_eq!((&*message.body, &*message.routing_key), (&b"\x81\xa1a\x01"[..], "meter.7.reading"));
    let properties = &message.properties;
    assert_eq!(properties.message_id.as_deref(), Some("m-1"));
    assert_eq!(properties.content_type.as_deref(), Some("application/msgpack"));
    assert_eq!((properties.kind.as_deref(), properties.priority), (Some("reading"), Some(3)));
    let names: Vec<&str> = properties.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["meter-id", "tries", "again"]);
    let other =
        Recipe { routing_key: Template::text("again").unwrap(), priority: Some(0), ..whole };
    let message = other.message(&record, 1, 1, 1).unwrap();
    assert_eq!((&*message.routing_key, message.properties.priority), ("again", Some(0)));
    let broken = first(Format::Jsonl, br#"{ "body_base64": "!" }"#);
    assert!(other.message(&broken, 1, 1, 1).unwrap_err().to_string().contains("base64"));
}
