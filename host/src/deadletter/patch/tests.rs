#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::json;

use super::*;

fn message(content_type: Option<&str>, body: &[u8]) -> Message {
    let mut message = Message { body: Bytes::copy_from_slice(body), ..Message::default() };
    message.properties.content_type = content_type.map(str::to_owned);
    message
}

#[test]
fn a_list_is_operations_and_an_object_is_merged() {
    let before = message(None, br#"{"unit":"furlong","n":1}"#);
    for patch in [
        r#"[{"op":"replace","path":"/unit","value":"m"},{"op":"remove","path":"/n"}]"#,
        r#"{"unit":"m","n":null}"#,
    ] {
        let after = Patch::parse(patch.as_bytes()).unwrap().apply(&before).unwrap();
        assert_eq!(after, r#"{"unit":"m"}"#);
    }
}

#[test]
fn a_patch_that_changes_nothing_leaves_every_byte() {
    let before = message(None, b"{ \"unit\" : \"m\" }");
    let patch = Patch::parse(br#"{"unit":"m"}"#).unwrap();
    assert_eq!(patch.apply(&before).unwrap(), before.body);
}

#[test]
fn messagepack_stays_messagepack() {
    let body = rmp_serde::to_vec_named(&json!({"unit": "furlong", "kwh": 1.5})).unwrap();
    let before = message(Some("application/msgpack"), &body);
    let after = Patch::parse(br#"{"unit":"m"}"#).unwrap().apply(&before).unwrap();
    let after: Value = rmp_serde::from_slice(&after).unwrap();
    assert_eq!(after, json!({"unit": "m", "kwh": 1.5}));
}

#[test]
fn what_no_patch_fits_is_told() {
    let patch = Patch::parse(br#"[{"op":"test","path":"/unit","value":"m"}]"#).unwrap();
    let other = message(None, br#"{"unit":"km"}"#);
    assert!(patch.apply(&other).unwrap_err().contains("doesn't fit"));
    assert!(patch.apply(&message(None, b"\xff")).unwrap_err().contains("isn't JSON"));
    let mut packed = message(None, b"{}");
    packed.properties.content_encoding = Some("gzip".to_owned());
    assert!(patch.apply(&packed).unwrap_err().contains("gzip"));
    assert!(Patch::parse(b"3").unwrap_err().contains("RFC 6902"));
    assert!(Patch::parse(br#"[{"op":"fly"}]"#).unwrap_err().contains("isn't a JSON patch"));
}
