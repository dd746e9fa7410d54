#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn published(topic: &str) -> Published {
    Published { topic: topic.to_owned(), packet_id: Some(1), ..Published::default() }
}

#[test]
fn nothing_of_a_message_is_lost() {
    let mut it = published("a/b");
    it.retained = true;
    it.content_type = Some("application/json".to_owned());
    it.response_topic = Some("answers/ğ".to_owned());
    it.correlation = Some(Bytes::from_static(b"c-1"));
    it.expiry = Some(90);
    it.payload = Bytes::from_static(b"{}");
    it.user =
        [("unit", "V"), ("content-encoding", "gzip"), ("message-id", "m-1"), ("mqtt-topic", "x")]
            .into_iter()
            .chain([("type", "event"), ("priority", "4"), ("priority", "high")])
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
    let (message, unfit) = of(&it, '/');
    assert_eq!(unfit, None);
    let properties = &message.properties;
    assert_eq!(properties.content_type.as_deref(), Some("application/json"));
    assert_eq!(properties.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(properties.correlation_id.as_deref(), Some("c-1"));
    assert_eq!(properties.reply_to.as_deref(), Some("answers/ğ"));
    assert_eq!(properties.message_id.as_deref(), Some("m-1"));
    assert_eq!(properties.expiration.as_deref(), Some("90000"));
    assert_eq!((properties.kind.as_deref(), properties.priority), (Some("event"), Some(4)));
    let headers = &properties.headers;
    assert_eq!(headers.text(TOPIC), Some("a/b"), "nobody else's word");
    assert_eq!(headers.text("unit"), Some("V"));
    assert_eq!(headers.text("priority"), Some("high"), "what is no priority stays what it is");
    assert_eq!(headers.get(RETAINED), Some(&FieldValue::Bool(true)));
    assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("mqtt", "a.b"));
}

#[test]
fn what_fits_no_property_is_a_header() {
    let mut it = published("a");
    it.content_type = Some("x".repeat(300));
    it.correlation = Some(Bytes::from_static(&[0xff, 0xfe]));
    it.response_topic = Some("y".repeat(300));
    let (message, unfit) = of(&it, '/');
    assert_eq!(unfit, None);
    let properties = &message.properties;
    assert_eq!((&properties.content_type, &properties.reply_to), (&None, &None));
    assert_eq!(properties.headers.text(CONTENT_TYPE), it.content_type.as_deref());
    assert_eq!(properties.headers.text(RESPONSE_TOPIC), it.response_topic.as_deref());
    let data = FieldValue::Bytes(Bytes::from_static(&[0xff, 0xfe]));
    assert_eq!(properties.headers.get(CORRELATION), Some(&data));
}

#[test]
fn properties_that_no_header_holds_are_told() {
    let mut it = published("a");
    it.user = vec![("n".repeat(256), String::new())];
    assert_eq!(of(&it, '/').1.unwrap().code, "property_name");
    it.user = (0..10).map(|n| (n.to_string(), "v".repeat(60_000))).collect();
    let (message, unfit) = of(&it, '/');
    assert_eq!(unfit.unwrap().code, "properties_too_large");
    assert_eq!(message.properties.headers.text(TOPIC), Some("a"), "the rest is there");
}

#[test]
fn a_topic_past_every_bound_is_whole_in_its_header() {
    let topic = "ş/".repeat(20_000);
    let (message, unfit) = of(&published(&topic), '/');
    assert_eq!(unfit, None);
    assert_eq!(message.properties.headers.text(TOPIC), Some(topic.as_str()));
    assert!(message.routing_key.len() <= SHORT_STRING_BYTES);
}
