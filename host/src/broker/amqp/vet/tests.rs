#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::limits::FRAME_BYTES;
use crate::message::FieldValue;

const FRAME_MAX: usize = 131_072;

fn message() -> Outgoing {
    Outgoing {
        exchange: "x".to_owned(),
        routing_key: "k".to_owned(),
        properties: Properties::default(),
        body: "body".into(),
    }
}

fn refused(message: &Outgoing) -> String {
    encode(message, FRAME_MAX, "guest").err().unwrap()
}

#[test]
fn what_fits_is_persistent_unless_it_says_otherwise() {
    let encoded = encode(&message(), FRAME_MAX, "guest").unwrap();
    assert_eq!(*encoded.properties.delivery_mode(), Some(2));
    let mut transient = message();
    transient.properties.delivery_mode = Some(1);
    let encoded = encode(&transient, FRAME_MAX, "guest").unwrap();
    assert_eq!(*encoded.properties.delivery_mode(), Some(1));
}

#[test]
fn another_users_id_is_left_out() {
    let mut foreign = message();
    foreign.properties.user_id = Some("somebody".to_owned());
    assert_eq!(*encode(&foreign, FRAME_MAX, "guest").unwrap().properties.user_id(), None);
    let own = encode(&foreign, FRAME_MAX, "somebody").unwrap();
    assert!(own.properties.user_id().is_some());
}

#[test]
fn what_would_close_the_channel_or_panic_is_refused_with_its_reason() {
    let mut long_key = message();
    long_key.routing_key = "k".repeat(256);
    assert!(refused(&long_key).contains("routing key"));
    let mut large = message();
    large.body = vec![0; PUBLISH_BYTES + 1].into();
    assert!(refused(&large).contains("body"));
    let mut headers = message();
    headers.properties.headers.set("h", FieldValue::Text(vec![0; FRAME_BYTES].into()));
    assert!(refused(&headers).contains("headers"));
    let mut late = message();
    late.properties.expiration = Some("soon".to_owned());
    assert!(refused(&late).contains("soon"));
    let mut small_frames = message();
    small_frames.properties.headers.set("h", FieldValue::Text(vec![0; 5000].into()));
    assert!(encode(&small_frames, 4096, "guest").err().unwrap().contains("frame_max"));
}
