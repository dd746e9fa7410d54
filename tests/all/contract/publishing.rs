//! What a publisher learns about each message, and what arrives of it.

use std::collections::BTreeSet;

use bytes::Bytes;
use sluicegate::broker::{Declaration, ExchangeDeclaration, Published, Settlement};
use sluicegate::config::ExchangeKind;
use sluicegate::limits::{FRAME_BYTES, PUBLISH_BYTES};
use sluicegate::message::{FieldValue, Properties, Table};

use super::World;
use super::world::{message, next, table};

pub(crate) async fn an_empty_group_has_no_outcome(world: &World) {
    assert_eq!(world.publish(&[]).await, []);
}

pub(crate) async fn unroutable_messages_are_told_from_their_neighbours(world: &World) {
    let exchange = world.exchange("x", ExchangeKind::Direct).await;
    let queue = world.queue("q", &[]).await;
    world.bind(&exchange, &queue, "known").await;
    let key = |n: usize| if n.is_multiple_of(7) { "unknown" } else { "known" };
    let group: Vec<_> = (0..500).map(|n| message(&exchange, key(n), &n.to_string())).collect();
    let mut publisher = world.broker.publisher().await.expect("a publisher opens");
    // More than one group on the same channel, since returns may lag behind their own.
    for _ in 0..3 {
        let outcomes = publisher.publish(&group).await;
        let wrong: Vec<_> = outcomes
            .iter()
            .enumerate()
            .filter(|(n, outcome)| match key(*n) {
                "known" => **outcome != Published::Confirmed,
                _ => **outcome != Published::Unroutable,
            })
            .collect();
        assert_eq!(outcomes.len(), 500);
        assert!(wrong.is_empty(), "{wrong:?}");
    }
    let routed = (0..500).filter(|n| key(*n) == "known").count();
    assert_eq!(world.ready("q", &[]).await as usize, 3 * routed);
}

pub(crate) async fn a_message_without_an_id_can_be_unroutable_too(world: &World) {
    let queue = world.queue("q", &[]).await;
    let missing = world.name("missing");
    let group: Vec<_> = [&queue, &missing, &queue, &missing]
        .iter()
        .map(|key| {
            let mut outgoing = message("", key, "a");
            outgoing.properties.message_id = None;
            outgoing
        })
        .collect();
    let expected =
        [Published::Confirmed, Published::Unroutable, Published::Confirmed, Published::Unroutable];
    assert_eq!(world.publish(&group).await, expected);
}

pub(crate) async fn a_missing_exchange_harms_no_neighbour(world: &World) {
    let queue = world.queue("q", &[]).await;
    let missing = world.name("missing");
    let group: Vec<_> = (0..40)
        .map(|n| match n % 10 {
            3 => message(&missing, &queue, "lost"),
            _ => message("", &queue, &n.to_string()),
        })
        .collect();
    let mut publisher = world.broker.publisher().await.expect("a publisher opens");
    let outcomes = publisher.publish(&group).await;
    let mut bodies = BTreeSet::new();
    for (outgoing, outcome) in group.iter().zip(&outcomes) {
        if outgoing.exchange == missing {
            assert!(matches!(outcome, Published::NoTarget(_)), "{outcome:?}");
        } else {
            assert_eq!(*outcome, Published::Confirmed);
            bodies.insert(outgoing.body.clone());
        }
    }
    // What shared a broken channel may be there twice, but is there.
    let ready = world.ready("q", &[]).await as usize;
    let arrived: BTreeSet<Bytes> =
        world.drain(&queue, ready).await.into_iter().map(Bytes::from).collect();
    assert_eq!(arrived, bodies);
    // The publisher is as good as new.
    assert_eq!(publisher.publish(&group[..1]).await, [Published::Confirmed]);
}

pub(crate) async fn an_internal_exchange_takes_no_publishes(world: &World) {
    let exchange = ExchangeDeclaration {
        name: world.name("internal"),
        kind: ExchangeKind::Fanout,
        durable: true,
        auto_delete: false,
        internal: true,
        arguments: Table::default(),
    };
    world.declare(Declaration::Exchange(exchange.clone())).await;
    let queue = world.queue("q", &[]).await;
    world.bind(&exchange.name, &queue, "").await;
    let group = [message(&exchange.name, "", "a"), message("", &queue, "b")];
    let outcomes = world.publish(&group).await;
    assert!(matches!(outcomes[0], Published::NoTarget(_)), "{outcomes:?}");
    assert_eq!(outcomes[1], Published::Confirmed);
}

pub(crate) async fn a_full_queue_may_refuse(world: &World) {
    let arguments = [("x-max-length", 2.into()), ("x-overflow", "reject-publish".into())];
    let queue = world.queue("q", &arguments).await;
    let group = ["a", "b", "c", "d"].map(|body| message("", &queue, body));
    let outcomes = world.publish(&group).await;
    assert_eq!(outcomes[..2], [Published::Confirmed, Published::Confirmed]);
    for refused in &outcomes[2..] {
        assert!(matches!(refused, Published::Refused(_)), "{outcomes:?}");
    }
    assert_eq!(world.drain(&queue, 2).await, ["a", "b"]);
    world.publish_confirmed(&[message("", &queue, "e")]).await;
    assert_eq!(world.drain(&queue, 1).await, ["e"]);
}

pub(crate) async fn what_is_too_large_is_impossible_and_harms_no_neighbour(world: &World) {
    let queue = world.queue("q", &[]).await;
    let mut body = message("", &queue, "");
    body.body = vec![0; PUBLISH_BYTES + 1].into();
    let mut headers = message("", &queue, "");
    headers.properties.headers.set("large", "x".repeat(FRAME_BYTES));
    let mut key = message("", &queue, "");
    key.routing_key = "k".repeat(256);
    let group = [message("", &queue, "a"), body, headers, key, message("", &queue, "b")];
    let outcomes = world.publish(&group).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match n {
            1..=3 => assert!(matches!(outcome, Published::Impossible(_)), "{n}: {outcome:?}"),
            _ => assert_eq!(*outcome, Published::Confirmed, "{n}"),
        }
    }
    assert_eq!(world.drain(&queue, 2).await, ["a", "b"]);
}

/// A value of every type that AMQP 0-9-1 has, by name in alphabetical order.
fn every_type() -> Table {
    let nested = table(&[("a", 1.into()), ("b", FieldValue::Void)]);
    table(&[
        (
            "array",
            FieldValue::Array(vec![1.into(), "two".into(), FieldValue::Table(nested.clone())]),
        ),
        ("bool", true.into()),
        ("bytes", FieldValue::Bytes(Bytes::from_static(&[0, 255, 7]))),
        ("decimal", FieldValue::Decimal { scale: 2, value: 12345 }),
        ("f32", FieldValue::F32(1.5)),
        ("f64", FieldValue::F64(-2.25)),
        ("i16", FieldValue::I16(-300)),
        ("i32", FieldValue::I32(i32::MIN)),
        ("i64", FieldValue::I64(i64::MIN)),
        ("i8", FieldValue::I8(-8)),
        ("not utf-8", FieldValue::Text(Bytes::from_static(&[0xff, 0xfe]))),
        ("table", FieldValue::Table(nested)),
        ("text", "Zähler".into()),
        ("time", FieldValue::Timestamp(1_700_000_000)),
        ("u16", FieldValue::U16(u16::MAX)),
        ("u32", FieldValue::U32(u32::MAX)),
        ("u8", FieldValue::U8(u8::MAX)),
        ("void", FieldValue::Void),
    ])
}

/// The fields by name: client libraries may reorder them.
fn sorted(table: &Table) -> Table {
    let mut fields = table.0.clone();
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    Table(fields)
}

pub(crate) async fn every_property_and_header_type_survives(world: &World) {
    let queue = world.queue("q", &[]).await;
    let mut outgoing = message("", &queue, "");
    let text = |text: &str| Some(text.to_owned());
    outgoing.properties = Properties {
        content_type: text("application/json"),
        content_encoding: text("gzip"),
        headers: every_type(),
        delivery_mode: Some(1),
        priority: Some(7),
        correlation_id: text("c-1"),
        reply_to: text("answers"),
        expiration: text("3600000"),
        message_id: text("m-1"),
        timestamp: Some(1_700_000_000),
        kind: text("reading"),
        user_id: text("guest"),
        app_id: text("meters"),
        cluster_id: text("north"),
    };
    outgoing.body = (0..=255).cycle().take(300_000).collect::<Vec<u8>>().into();
    world.publish_confirmed(std::slice::from_ref(&outgoing)).await;
    let mut consumer = world.consume(&queue, 1).await;
    let delivery = next(&mut consumer).await;
    let mut found = delivery.message.properties.clone();
    found.headers = sorted(&found.headers);
    assert_eq!(found, outgoing.properties);
    assert_eq!(delivery.message.body, outgoing.body);
    assert_eq!(delivery.message.exchange, "");
    assert_eq!(delivery.message.routing_key, queue);
    delivery.receipt.settle(Settlement::Ack);
}

pub(crate) async fn what_is_unset_stays_unset_but_messages_are_persistent(world: &World) {
    let queue = world.queue("q", &[]).await;
    let mut outgoing = message("", &queue, "");
    outgoing.properties = Properties::default();
    world.publish_confirmed(&[outgoing]).await;
    let mut consumer = world.consume(&queue, 1).await;
    let delivery = next(&mut consumer).await;
    let mut found = delivery.message.properties.clone();
    assert_eq!(found.delivery_mode, Some(2));
    found.delivery_mode = None;
    // Where a message has no id, one that tells returns apart may have been given to it.
    found.message_id = None;
    assert_eq!(found, Properties::default());
    assert!(delivery.message.body.is_empty());
    delivery.receipt.settle(Settlement::Ack);
}
