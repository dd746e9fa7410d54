#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::message::Properties;

/// A message as a dead-letter queue of RabbitMQ has it.
fn letter(exchange: &str, key: &str, own: &[(&str, FieldValue)], older: &[Table]) -> Message {
    let death: Table = Table(vec![
        ("count".to_owned(), FieldValue::I64(1)),
        ("reason".to_owned(), "rejected".into()),
        ("queue".to_owned(), "work".into()),
        ("time".to_owned(), FieldValue::Timestamp(1_700_000_000)),
        ("exchange".to_owned(), exchange.into()),
        ("routing-keys".to_owned(), FieldValue::Array(vec![key.into()])),
        ("original-expiration".to_owned(), "60000".into()),
    ]);
    let mut deaths = vec![FieldValue::Table(death)];
    deaths.extend(older.iter().cloned().map(FieldValue::Table));
    let mut headers: Table = own.iter().map(|(name, value)| (*name, value.clone())).collect();
    headers.set("x-death", FieldValue::Array(deaths));
    headers.set("x-first-death-queue", "work");
    headers.set("x-last-death-queue", "work");
    Message {
        exchange: "dlx".to_owned(),
        routing_key: "whatever".to_owned(),
        properties: Properties {
            headers,
            message_id: Some("m-1".to_owned()),
            ..Properties::default()
        },
        body: "{}".into(),
    }
}

#[test]
fn a_nacked_letter_is_what_its_producer_published() {
    let letter = Letter::read(letter("meters", "meter.1", &[("region", "north".into())], &[]));
    assert_eq!(letter.queue.as_deref(), Some("work"));
    assert_eq!((&*letter.message.exchange, &*letter.message.routing_key), ("meters", "meter.1"));
    let headers: Vec<&str> =
        letter.message.properties.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(headers, ["region"]);
    assert_eq!(letter.message.properties.expiration.as_deref(), Some("60000"));
    assert_eq!(letter.digest, report::letter("work", "meters", "meter.1", Some("m-1"), b"{}"));
    assert_eq!((letter.death(), letter.replay_count), (Some("rejected"), 0));
    let report = letter.stand_in();
    assert_eq!(
        (&*report.class, &*report.code, report.failed_at),
        (UNREPORTED, "rejected", 1_700_000_000)
    );
}

#[test]
fn a_retried_or_replayed_letter_is_restored_and_a_forged_one_is_not() {
    let own = [
        (headers::EXCHANGE, "meters".into()),
        (headers::ROUTING_KEY, "meter.1".into()),
        (headers::REPLAY_COUNT, FieldValue::I64(3)),
        (headers::FAILURE_ID, "f-9".into()),
        (headers::CODE, "the attempt before".into()),
    ];
    for exchange in [RETURN_EXCHANGE, REPLAY_EXCHANGE] {
        let letter = Letter::read(letter(exchange, "work", &own, &[]));
        assert_eq!(
            (&*letter.message.exchange, &*letter.message.routing_key),
            ("meters", "meter.1")
        );
        assert_eq!(letter.replay_count, 3);
        assert_eq!(letter.digest, report::letter("work", "meters", "meter.1", Some("m-1"), b"{}"));
        assert_eq!(letter.stand_in().code, "rejected");
    }
    let forged = Letter::read(letter("anybodys", "key", &own, &[]));
    assert_eq!(
        (&*forged.message.exchange, forged.replay_count, forged.failure_id),
        ("anybodys", 0, None)
    );
    assert!(forged.message.properties.headers.is_empty());
}

#[test]
fn deaths_from_before_the_queue_are_kept_for_the_way_back() {
    let older: Table = [("queue", "elsewhere")].into_iter().collect();
    let letter = Letter::read(letter("meters", "meter.1", &[], &[older]));
    assert_eq!(letter.deaths.len(), 2);
    let Some(FieldValue::Array(kept)) = letter.brokers.get("x-death") else { panic!("{letter:?}") };
    assert_eq!(kept.len(), 1);
    assert_eq!(letter.message.properties.headers.get("x-death"), None);
}

#[test]
fn an_annotated_letter_tells_its_reason_and_its_origin() {
    let headers: Table = Table::from_iter([
        (headers::FAILURE_ID, FieldValue::from("f-1")),
        (headers::QUEUE, "work".into()),
        (headers::EXCHANGE, "meters".into()),
        (headers::ROUTING_KEY, "meter.1".into()),
        (headers::CLASS, "reject".into()),
        (headers::CODE, "bad".into()),
        (headers::REPLAY_COUNT, FieldValue::I64(2)),
        ("region", "north".into()),
    ]);
    let properties = Properties { headers, ..Properties::default() };
    let message = Message { exchange: "dlx".to_owned(), properties, ..Message::default() };
    let letter = Letter::read(message);
    assert_eq!(
        (letter.failure_id.as_deref(), letter.queue.as_deref()),
        (Some("f-1"), Some("work"))
    );
    assert_eq!((&*letter.message.exchange, letter.replay_count), ("meters", 2));
    let report = letter.stand_in();
    assert_eq!((&*report.id, &*report.class, &*report.code), ("f-1", "reject", "bad"));
    assert_eq!(letter.message.properties.headers, Table::from_iter([("region", "north")]));
}

#[test]
fn what_somebody_just_put_there_is_a_letter_without_an_origin() {
    let letter = Letter::read(Message { body: "x".into(), ..Message::default() });
    assert_eq!((letter.queue, letter.deaths.len(), &*letter.digest), (None, 0, ""));
}
