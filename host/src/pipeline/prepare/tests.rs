#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write as _;

use super::super::fixture;
use super::*;

fn reading(key: Option<KeySource>, id: IdSource) -> Reading {
    Reading {
        salt: Reading::salt("readings"),
        key,
        key_required: false,
        content_type: None,
        kind: None,
        separator: '/',
        id,
        nonce: [7; 16],
    }
}

fn message() -> Message {
    let mut message = Message {
        exchange: "meters".to_owned(),
        routing_key: "meter.north.m-1.reading".to_owned(),
        body: Bytes::from_static(br#"{"meter":"m-1","n":4}"#),
        ..Message::default()
    };
    message.properties.message_id = Some("id-1".to_owned());
    message.properties.headers.set("meter-id", "h-1");
    message.properties.headers.set("number", 12);
    message
}

fn prepare(reading: &Reading, message: Message, sequence: u64) -> Job {
    let (delivery, received) = (fixture::delivery(message), Instant::now());
    reading.prepare(Arrival { delivery, received, consumer: 1, sequence })
}

#[test]
fn what_a_message_does_not_say_its_pipeline_says() {
    let mut of = reading(None, IdSource::None);
    of.content_type = Some(ContentType::Detected);
    of.kind = Some(KindSource::TopicLevel(3));
    let said = |of: &Reading, message: Message| {
        let properties = &prepare(of, message, 1).message.properties;
        (properties.content_type.clone(), properties.kind.clone())
    };
    let both = |content_type: &str, kind: &str| (Some(content_type.into()), Some(kind.into()));
    assert_eq!(said(&of, message()), both("application/json", "reading"));
    let mut packed = message();
    packed.body = Bytes::from_static(&[0x81, 0xa1, b'n', 4]);
    packed.properties.headers.set("mqtt-topic", "meter/no.rth/m-1/event");
    assert_eq!(said(&of, packed), both("application/msgpack", "event"));
    let mut zipped = message();
    zipped.body = gzip(br#"{"n":4}"#);
    zipped.properties.content_encoding = Some("gzip".to_owned());
    assert_eq!(said(&of, zipped), both("application/json", "reading"));
    let mut text = message();
    (text.body, text.routing_key) = (Bytes::from_static(b"48,2"), "meter".to_owned());
    assert_eq!(said(&of, text), (None, None));
    let mut own = message();
    own.properties.content_type = Some("text/csv".to_owned());
    own.properties.kind = Some("status".to_owned());
    of.kind = Some(KindSource::Is("event".to_owned()));
    assert_eq!(said(&of, own), both("text/csv", "status"));
    assert_eq!(said(&of, message()), both("application/json", "event"));
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

#[tokio::test]
async fn the_key_is_found_wherever_the_config_says() {
    for (source, expected) in [
        (KeySource::Header("meter-id".to_owned()), Some("h-1")),
        (KeySource::Header("number".to_owned()), Some("12")),
        (KeySource::Header("absent".to_owned()), None),
        (KeySource::RoutingKeySegment(2), Some("m-1")),
        (KeySource::RoutingKeySegment(9), None),
        (KeySource::RoutingKey, Some("meter.north.m-1.reading")),
        (KeySource::BodyField("meter".to_owned()), Some("m-1")),
    ] {
        let job = prepare(&reading(Some(source.clone()), IdSource::Property), message(), 0);
        assert_eq!(job.key.as_deref(), expected, "{source:?}");
        assert_eq!(job.unfit, None);
    }
}

#[tokio::test]
async fn a_required_key_that_is_missing_makes_the_message_unfit() {
    let mut reading = reading(Some(KeySource::Header("absent".to_owned())), IdSource::Property);
    reading.key_required = true;
    let failure = prepare(&reading, message(), 0).unfit.take().unwrap();
    assert_eq!(failure.code, "no_key");
    assert!(failure.text.contains("header 'absent'"), "{}", failure.text);
}

#[tokio::test]
async fn the_same_message_has_the_same_identity_and_seed_each_time() {
    for id in [
        IdSource::Property,
        IdSource::Header("meter-id".to_owned()),
        IdSource::BodyFields(vec!["meter".to_owned(), "n".to_owned()]),
        IdSource::Hash,
    ] {
        let reading = reading(None, id.clone());
        let (first, again) = (prepare(&reading, message(), 0), prepare(&reading, message(), 1));
        assert!(first.identity.is_some(), "{id:?}");
        assert_eq!((first.identity, first.seed), (again.identity, again.seed), "{id:?}");
    }
}

#[tokio::test]
async fn messages_without_identity_never_share_a_seed() {
    let reading = reading(None, IdSource::None);
    assert_ne!(prepare(&reading, message(), 0).seed, prepare(&reading, message(), 1).seed);
}

#[tokio::test]
async fn gzip_is_decoded_within_its_limit_and_other_encodings_are_refused_by_name() {
    let reading = reading(Some(KeySource::BodyField("meter".to_owned())), IdSource::Property);
    let encoded = |encoding: &str, body: Bytes| {
        let mut message = message();
        message.properties.content_encoding = Some(encoding.to_owned());
        message.body = body;
        prepare(&reading, message, 0)
    };
    let job = encoded("gzip", gzip(br#"{"meter":"zipped"}"#));
    assert_eq!(
        (job.key.as_deref(), &job.body()[..]),
        (Some("zipped"), &br#"{"meter":"zipped"}"#[..])
    );

    let code = |mut job: Job| job.unfit.take().unwrap().code;
    assert_eq!(code(encoded("gzip", Bytes::from_static(b"plain"))), "gzip");
    assert_eq!(code(encoded("gzip", gzip(&vec![0; DECODED_BODY_BYTES + 1]))), "decoded_too_large");
    let failure = encoded("br", Bytes::new()).unfit.take().unwrap();
    assert_eq!(failure.code, "content_encoding");
    assert!(failure.text.contains("'br'"), "{}", failure.text);
}
