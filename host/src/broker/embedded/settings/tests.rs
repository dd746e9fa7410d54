#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;

fn declaration(kind: QueueKind, arguments: &[(&str, FieldValue)]) -> QueueDeclaration {
    QueueDeclaration {
        name: "orders".to_owned(),
        kind,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: arguments.iter().map(|(n, v)| (*n, v.clone())).collect(),
    }
}

#[test]
fn arguments_that_no_broker_takes_are_refused_by_name() {
    use QueueKind::{Classic, Quorum, Stream};
    let refused: [(QueueKind, &str, FieldValue); 13] = [
        (Classic, "x-max-priority", 256.into()),
        (Classic, "x-max-length", (-1).into()),
        (Classic, "x-max-length", "10".into()),
        (Classic, "x-message-ttl", 1.5.into()),
        (Classic, "x-expires", 0.into()),
        (Classic, "x-overflow", "drop-tail".into()),
        (Classic, "x-dead-letter-routing-key", "dead".into()),
        (Classic, "x-delivery-limit", 3.into()),
        (Classic, "x-dead-letter-strategy", "at-least-once".into()),
        (Quorum, "x-max-priority", 4.into()),
        (Stream, "x-message-ttl", 1.into()),
        (Stream, "x-dead-letter-exchange", "dlx".into()),
        (Classic, "x-single-active-consumer", "yes".into()),
    ];
    for (kind, argument, value) in refused {
        let error = Settings::of(&declaration(kind, &[(argument, value.clone())])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(argument) && text.contains("orders"), "{argument} {value:?}: {text}");
    }
}

#[test]
fn replicated_kinds_are_durable_and_shared() {
    let changes: [fn(&mut QueueDeclaration); 3] =
        [|q| q.durable = false, |q| q.exclusive = true, |q| q.auto_delete = true];
    for kind in [QueueKind::Quorum, QueueKind::Stream] {
        assert!(Settings::of(&declaration(kind, &[])).is_ok());
        for change in changes {
            let mut wrong = declaration(kind, &[]);
            change(&mut wrong);
            assert!(matches!(Settings::of(&wrong), Err(BrokerError::Unsupported(_))));
        }
    }
}

#[test]
fn an_argument_that_nobody_knows_is_ignored_and_not_compared() {
    let with = declaration(QueueKind::Classic, &[("x-colour", "red".into())]);
    let without = declaration(QueueKind::Classic, &[]);
    assert!(Settings::of(&with).is_ok());
    assert_eq!(queue_mismatch(&with, &without), None);
}

#[test]
fn equal_numbers_of_another_width_are_no_mismatch() {
    let narrow = declaration(QueueKind::Classic, &[("x-max-length", 10.into())]);
    let wide = declaration(QueueKind::Classic, &[("x-max-length", FieldValue::I64(10))]);
    assert_eq!(queue_mismatch(&narrow, &wide), None);
}

#[test]
fn another_kind_of_queue_is_a_mismatch() {
    let classic = declaration(QueueKind::Classic, &[]);
    let quorum = declaration(QueueKind::Quorum, &[]);
    let expected = BrokerError::Mismatch {
        object: "queue 'orders'".to_owned(),
        argument: "x-queue-type".to_owned(),
        wanted: "quorum".to_owned(),
        found: "classic".to_owned(),
    };
    assert_eq!(queue_mismatch(&classic, &quorum), Some(expected));
}
