#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::broker::amqp::fields::to_properties;
use lapin::message::Delivery;

fn message(key: &str, id: Option<&str>, header: i32, body: &str) -> Outgoing {
    Outgoing {
        exchange: "x".to_owned(),
        routing_key: key.to_owned(),
        properties: Properties {
            message_id: id.map(str::to_owned),
            headers: [("b", header), ("a", 1)].into_iter().collect(),
            ..Properties::default()
        },
        body: body.to_owned().into(),
    }
}

fn returned(message: &Outgoing) -> BasicReturnMessage {
    let body = message.body.to_vec();
    let mut delivery =
        Delivery::mock(0, "x".into(), message.routing_key.as_str().into(), false, body);
    delivery.properties = to_properties(&message.properties).unwrap().with_delivery_mode(2);
    BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() }
}

fn found(group: &[Outgoing], returns: &[usize]) -> Vec<usize> {
    let open: Vec<usize> = (0..group.len()).collect();
    let returns: Vec<_> = returns.iter().map(|&i| returned(&group[i])).collect();
    let returned = places(group, &open, &returns);
    assert_eq!(returned.strays, 0);
    returned.places
}

#[test]
fn a_message_id_finds_its_message_in_any_order() {
    let group = [
        message("k", Some("1"), 0, "same"),
        message("k", Some("2"), 0, "same"),
        message("k", Some("3"), 0, "same"),
    ];
    assert_eq!(found(&group, &[2, 0]), [2, 0]);
}

#[test]
fn without_ids_headers_and_body_tell_messages_apart() {
    let group =
        [message("k", None, 1, "a"), message("k", None, 2, "a"), message("k", None, 2, "b")];
    assert_eq!(found(&group, &[2, 1]), [2, 1]);
}

#[test]
fn of_equal_messages_each_return_takes_another() {
    let group =
        [message("k", None, 1, "a"), message("k", None, 1, "a"), message("k", None, 1, "a")];
    let mut places = found(&group, &[0, 0]);
    places.dedup();
    assert_eq!(places.len(), 2);
}

#[test]
fn a_return_of_another_group_is_a_stray() {
    let group = [message("k", Some("1"), 0, "a")];
    let stray = returned(&message("k", Some("other"), 0, "a"));
    let result = places(&group, &[0], &[stray]);
    assert_eq!((result.places.len(), result.strays), (0, 1));
}
