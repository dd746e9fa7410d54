#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn lines_are_bodies_or_messages_as_they_are_exported() {
    let body = sample(&json!({ "meter": "m-1", "kwh": 2 }), Some("meter")).unwrap();
    assert_eq!(
        (body.key.as_deref(), &body.body[..]),
        (Some("m-1"), &br#"{"kwh":2,"meter":"m-1"}"#[..])
    );
    assert_eq!(body.properties.content_type.as_deref(), Some("application/json"));
    let line = json!({
        "routing_key": "r", "key": "k", "headers": { "n": 1 }, "body_base64": "/w==",
        "properties": { "content_type": "x/y" },
    });
    let message = sample(&line, None).unwrap();
    assert_eq!((message.routing_key.as_str(), message.key.as_deref()), ("r", Some("k")));
    assert_eq!((&message.body[..], message.properties.headers.text("n")), (&[0xff][..], Some("1")));
    assert_eq!(message.properties.content_type.as_deref(), Some("x/y"));
    assert!(sample(&json!({ "body_base64": "?" }), None).is_err());
}

#[test]
fn generated_messages_have_the_size_that_was_asked_for() {
    for size in [40, 256, 5000] {
        let sample = generated(1234, size);
        assert_eq!(sample.body.len(), size);
        assert!(serde_json::from_slice::<Value>(&sample.body).is_ok());
    }
}

#[test]
fn two_arms_that_are_alike_are_not_apart() {
    let arm = |us| Measured {
        messages: 1000,
        spent: Duration::from_micros(us),
        calls: vec![Duration::from_micros(us)],
        ..Measured::default()
    };
    let row = Row { batch: 1, arms: [arm(900), arm(1100)] };
    assert!((row.apart() - 0.2).abs() < 1e-9);
    assert_eq!(row.whole().calls.len(), 2);
    let said = text(Path::new("p.wasm"), "so", &mut [row]);
    assert!(said.contains("1 000 000      1000"), "{said}");
}
