#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use super::*;

type Map = BTreeMap<String, u32>;

#[test]
fn the_content_type_tells_how_to_decode() {
    let map = Map::from([("a".to_owned(), 1)]);
    let (json, packed) = (json(&map).unwrap(), msgpack(&map).unwrap());
    for given in ["application/json", "Application/JSON; charset=utf-8", "application/vnd.x+json"] {
        assert_eq!(body::<Map>(Some(given), &json), Ok(map.clone()), "{given}");
    }
    for given in ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"] {
        assert_eq!(body::<Map>(Some(given), &packed), Ok(map.clone()), "{given}");
    }
}

#[test]
fn other_content_types_are_refused_by_name() {
    let refused = |given| body::<Map>(given, b"{}").unwrap_err();
    let message = refused(Some("text/csv")).to_string();
    assert!(message.starts_with("can't decode 'text/csv'"), "{message}");
    assert!(refused(None).to_string().starts_with("can't decode a body without content type"));
    assert_eq!(refused(Some("json")).code(), "content_type");
}

#[test]
fn a_body_that_is_empty_or_broken_says_so() {
    let refused = |bytes| body::<Map>(Some(JSON), bytes).unwrap_err();
    assert_eq!(refused(b"").code(), "empty");
    assert_eq!(refused(b"{\"a\":").code(), "malformed");
    let message = refused(b"{\"a\": \"b\"}").to_string();
    assert!(message.contains("invalid type: string \"b\", expected u32"), "{message}");
}
