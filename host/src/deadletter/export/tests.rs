#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::deadletter::letter::Letter;
use crate::message::Message;

fn found(body: &'static [u8]) -> Found {
    let properties = Properties {
        message_id: Some("m-1".to_owned()),
        priority: Some(3),
        headers: Table(vec![
            ("n".to_owned(), FieldValue::I8(-3)),
            ("raw".to_owned(), FieldValue::Bytes(b"\xff"[..].into())),
            ("list".to_owned(), FieldValue::Array(vec![true.into(), "x".into()])),
        ]),
        ..Properties::default()
    };
    let message = Message { properties, body: body.into(), ..Message::default() };
    let letter = Letter::read(message);
    let report = letter.stand_in();
    Found { letter, report, reported: false, fate: None, place: "dead".to_owned() }
}

#[test]
fn a_line_has_the_body_as_what_it_is() {
    assert_eq!(line(&found(br#"{"a":1}"#))["body"], json!({"a": 1}));
    assert_eq!(line(&found(b"plain"))["body"], json!("plain"));
    let binary = line(&found(b"\xff\x00"));
    assert_eq!((&binary["body_base64"], &binary["body"]), (&json!("/wA="), &Value::Null));
}

#[test]
fn a_line_has_properties_headers_and_a_report_where_there_is_one() {
    let mut found = found(b"x");
    let written = line(&found);
    assert_eq!(written["message_id"], "m-1");
    assert_eq!(written["properties"], json!({"priority": 3}));
    let headers = json!({"n": -3, "raw": {"base64": "/w=="}, "list": [true, "x"]});
    assert_eq!(written["headers"], headers);
    assert_eq!(written.get("report"), None);
    found.reported = true;
    assert_eq!(line(&found)["report"]["class"], "unreported");
}
