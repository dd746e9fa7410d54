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

/// All that a host or an operator may say of a message.
fn told(exchange: &str) -> Message {
    let before: Table = [("x-death", "before")].into_iter().collect();
    message(
        exchange,
        vec![
            ("mine", "kept".into()),
            ("x-death", "of the delay queue".into()),
            (ATTEMPT, FieldValue::I64(3)),
            (EXCHANGE, "meters".into()),
            (ROUTING_KEY, "meter.1".into()),
            (EXPIRATION, "60000".into()),
            (USER_ID, "guest".into()),
            (FIRST_FAILED_AT, FieldValue::I64(77)),
            (REPLAY_OF, "f-1".into()),
            (REPLAY_COUNT, FieldValue::I32(2)),
            (BROKERS, FieldValue::Table(before)),
        ],
    )
}

fn assert_is_original(message: &Message) {
    assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("meters", "meter.1"));
    assert_eq!(message.properties.expiration.as_deref(), Some("60000"));
    assert_eq!(message.properties.user_id.as_deref(), Some("guest"));
    let expected = [("mine".to_owned(), "kept".into()), ("x-death".to_owned(), "before".into())];
    assert_eq!(message.properties.headers.0, expected);
}

#[test]
fn a_copy_from_a_delay_queue_becomes_what_its_producer_published() {
    let mut copy = told(RETURN_EXCHANGE);
    assert!(!are_forged(&copy));
    let history = restore(&mut copy);
    let replay_of = Some("f-1".to_owned());
    assert_eq!(history, History { attempt: 3, first_failed_at: 77, replay_of, replay_count: 2 });
    assert_is_original(&copy);
}

#[test]
fn a_replayed_message_becomes_what_its_producer_published_at_its_first_attempt() {
    let mut copy = told(REPLAY_EXCHANGE);
    assert!(!are_forged(&copy));
    let history = restore(&mut copy);
    let replay_of = Some("f-1".to_owned());
    assert_eq!(history, History { attempt: 1, first_failed_at: 0, replay_of, replay_count: 2 });
    assert_is_original(&copy);
}

#[test]
fn a_replay_that_says_nothing_of_itself_is_one_all_the_same() {
    let mut copy = message(REPLAY_EXCHANGE, vec![("mine", true.into())]);
    assert_eq!(restore(&mut copy).replay_count, 1);
    assert_eq!((copy.exchange.as_str(), copy.routing_key.as_str()), (REPLAY_EXCHANGE, "work"));
}

#[test]
fn the_hosts_headers_count_from_nobody_else() {
    for exchange in ["", "meters", "sluicegate.failures"] {
        let mut forged = told(exchange);
        assert!(are_forged(&forged));
        assert_eq!(restore(&mut forged), History::default(), "{exchange:?}");
        assert_eq!((forged.exchange.as_str(), forged.routing_key.as_str()), (exchange, "work"));
        let names: Vec<&str> = forged.properties.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["mine", "x-death"], "a plugin may read deaths");
        assert!(!are_forged(&forged));
    }
}

#[test]
fn what_is_too_large_for_a_frame_gives_up_the_failures_text_then_what_brokers_said() {
    let brokers: Table = [("x-death", "d".repeat(2000))].into_iter().collect();
    let copy = |producers: usize| -> Table {
        let mut headers: Table = [("mine", "m".repeat(producers))].into_iter().collect();
        headers.set(ATTEMPT, 2);
        headers.set(CODE, "c".repeat(100));
        headers.set(TEXT, "é".repeat(500));
        headers.set(BROKERS, FieldValue::Table(brokers.clone()));
        headers
    };
    let room = COPY_HEADERS_BYTES - copy(0).wire_bytes();
    let fitted = |over: usize| {
        let mut headers = copy(room + over);
        let fits = fit(&mut headers);
        assert_eq!(headers.text("mine").map(str::len), Some(room + over), "the producer's stays");
        assert!(headers.get(ATTEMPT).is_some());
        assert_eq!(fits, headers.wire_bytes() <= COPY_HEADERS_BYTES);
        let kept = [BROKERS, CODE].map(|name| headers.get(name).is_some());
        (fits, headers.text(TEXT).map(str::len), kept)
    };
    assert_eq!(fitted(0), (true, Some(1000), [true, true]));
    assert_eq!(fitted(1), (true, Some(998), [true, true]), "cut at a character's boundary");
    assert_eq!(fitted(1010), (true, None, [true, true]));
    assert_eq!(fitted(1100), (true, None, [false, true]));
    assert_eq!(fitted(3100), (true, None, [false, false]));
    assert_eq!(fitted(5000), (false, None, [false, false]));
}
