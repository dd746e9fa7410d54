#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn message(exchange: &str, headers: Vec<(&str, FieldValue)>) -> Message {
    let mut message = Message {
        exchange: exchange.to_owned(),
        routing_key: "work".to_owned(),
        ..Message::default()
    };
    message.properties.headers = headers.into_iter().collect();
    message
}

fn death(queue: &str) -> FieldValue {
    FieldValue::Array(vec![FieldValue::Table([("queue", queue)].into_iter().collect())])
}

#[test]
fn a_copy_from_a_delay_queue_becomes_what_its_producer_published() {
    let mut copy = message(
        "",
        vec![
            ("mine", "kept".into()),
            ("x-death", death("delay")),
            (ATTEMPT, FieldValue::I64(3)),
            (EXCHANGE, "meters".into()),
            (ROUTING_KEY, "meter.1".into()),
            (EXPIRATION, "60000".into()),
            (FIRST_FAILED_AT, FieldValue::I64(77)),
        ],
    );
    let history = restore(&mut copy, "work", |name| name == "delay");
    assert_eq!(history, History { attempt: 3, first_failed_at: 77 });
    assert_eq!((copy.exchange.as_str(), copy.routing_key.as_str()), ("meters", "meter.1"));
    assert_eq!(copy.properties.expiration.as_deref(), Some("60000"));
    assert_eq!(copy.properties.headers.0, [("mine".to_owned(), "kept".into())]);
}

#[test]
fn the_hosts_headers_count_from_nobody_else() {
    for (exchange, died_in) in [("meters", "delay"), ("", "another queue")] {
        let mut forged = message(
            exchange,
            vec![(ATTEMPT, FieldValue::I64(9)), ("x-death", death(died_in)), ("mine", true.into())],
        );
        let history = restore(&mut forged, "work", |name| name == "delay");
        assert_eq!(history.attempt, 1, "{exchange:?}");
        assert!(forged.properties.headers.get(ATTEMPT).is_none());
        assert!(forged.properties.headers.get("mine").is_some());
        assert!(forged.properties.headers.get("x-death").is_some(), "a plugin may read deaths");
    }
}
