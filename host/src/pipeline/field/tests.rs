#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use serde_json::json;

use super::*;

#[test]
fn fields_of_json_and_messagepack_are_found_alike() {
    let value =
        json!({"a": {"meter": "inner"}, "list": [1, {"x": 2}], "n": 7, "meter": "m-1", "ok": true});
    let json = serde_json::to_vec(&value).unwrap();
    let msgpack = rmp_serde::to_vec(&value).unwrap();
    for (body, content_type) in [
        (&json, Some("application/json; charset=utf-8")),
        (&msgpack, Some("application/msgpack")),
        (&json, None),
        (&msgpack, None),
    ] {
        let found = find(body, content_type, &["meter", "n", "ok", "absent", "a"]);
        let found: Vec<_> = found.iter().map(Option::as_deref).collect();
        assert_eq!(found, [Some("m-1"), Some("7"), Some("true"), None, None], "{content_type:?}");
    }
}

#[test]
fn a_field_before_a_broken_tail_is_found() {
    assert_eq!(find(br#"{"meter":"m-1","kwh":"#, None, &["meter"]), [Some("m-1".to_owned())]);
}

#[test]
fn bodies_that_are_no_map_have_no_fields() {
    for body in [&b""[..], b"[1,2]", b"meter", b"\xff\xff", b"{", b"\x81"] {
        assert_eq!(find(body, None, &["meter"]), [None], "{body:?}");
    }
}

#[test]
fn a_key_longer_than_a_key_may_be_is_none() {
    let body = serde_json::to_vec(&json!({"meter": "x".repeat(KEY_BYTES + 1)})).unwrap();
    assert_eq!(find(&body, None, &["meter"]), [None]);
}
