//! Which queues a message reaches.

use sluicegate::broker::Destination;
use sluicegate::config::ExchangeKind;
use sluicegate::message::FieldValue;

use super::World;
use super::world::{message, table};

/// Publishes bodies under routing keys of one exchange.
async fn publish_keys(world: &World, exchange: &str, keys_and_bodies: &[(&str, &str)]) {
    let group: Vec<_> =
        keys_and_bodies.iter().map(|(key, body)| message(exchange, key, body)).collect();
    world.publish_confirmed(&group).await;
}

pub(crate) async fn a_direct_exchange_routes_by_equal_keys(world: &World) {
    let exchange = world.exchange("x", ExchangeKind::Direct).await;
    let (faults, all) = (world.queue("faults", &[]).await, world.queue("all", &[]).await);
    world.bind(&exchange, &faults, "fault").await;
    world.bind(&exchange, &all, "fault").await;
    world.bind(&exchange, &all, "reading").await;
    publish_keys(world, &exchange, &[("reading", "r1"), ("fault", "f1"), ("reading", "r2")]).await;
    assert_eq!(world.ready("faults", &[]).await, 1);
    assert_eq!(world.drain(&faults, 1).await, ["f1"]);
    assert_eq!(world.drain(&all, 3).await, ["r1", "f1", "r2"]);
}

pub(crate) async fn a_topic_exchange_routes_by_patterns(world: &World) {
    let exchange = world.exchange("x", ExchangeKind::Topic).await;
    let one = world.queue("one", &[]).await;
    let many = world.queue("many", &[]).await;
    world.bind(&exchange, &one, "meter.*.reading").await;
    world.bind(&exchange, &many, "meter.#").await;
    let keys = [
        ("meter.7.reading", "a"),
        ("meter.7.8.reading", "b"),
        ("meter", "c"),
        ("meter..reading", "d"),
    ];
    publish_keys(world, &exchange, &keys).await;
    assert_eq!(world.ready("one", &[]).await, 2);
    assert_eq!(world.drain(&one, 2).await, ["a", "d"]);
    assert_eq!(world.drain(&many, 4).await, ["a", "b", "c", "d"]);
}

pub(crate) async fn a_fanout_exchange_routes_to_every_binding(world: &World) {
    let exchange = world.exchange("x", ExchangeKind::Fanout).await;
    let (left, right) = (world.queue("left", &[]).await, world.queue("right", &[]).await);
    world.bind(&exchange, &left, "ignored").await;
    world.bind(&exchange, &right, "").await;
    publish_keys(world, &exchange, &[("any", "a"), ("", "b")]).await;
    assert_eq!(world.drain(&left, 2).await, ["a", "b"]);
    assert_eq!(world.drain(&right, 2).await, ["a", "b"]);
}

pub(crate) async fn a_headers_exchange_routes_by_all_or_any_of_the_headers(world: &World) {
    let exchange = world.exchange("x", ExchangeKind::Headers).await;
    let (all, any) = (world.queue("all", &[]).await, world.queue("any", &[]).await);
    let wanted = [("severity", FieldValue::from("high")), ("region", FieldValue::I32(4))];
    for (queue, how) in [(&all, "all"), (&any, "any")] {
        let mut arguments = wanted.to_vec();
        arguments.push(("x-match", how.into()));
        world.bind_with(&exchange, Destination::Queue(queue.clone()), "", &arguments).await;
    }
    let mut both = message(&exchange, "", "both");
    both.properties.headers = table(&wanted);
    let mut one = message(&exchange, "", "one");
    // Another width of integer, the same number.
    one.properties.headers = table(&[("region", FieldValue::I64(4))]);
    world.publish_confirmed(&[both, one]).await;
    assert_eq!(world.ready("all", &[]).await, 1);
    assert_eq!(world.drain(&all, 1).await, ["both"]);
    assert_eq!(world.drain(&any, 2).await, ["both", "one"]);
}

pub(crate) async fn the_default_exchange_routes_to_the_queue_of_that_name(world: &World) {
    let queue = world.queue("q", &[]).await;
    publish_keys(world, "", &[(&queue, "a")]).await;
    assert_eq!(world.drain(&queue, 1).await, ["a"]);
}

pub(crate) async fn a_message_that_matches_twice_arrives_once(world: &World) {
    let exchange = world.exchange("x", ExchangeKind::Topic).await;
    let queue = world.queue("q", &[]).await;
    world.bind(&exchange, &queue, "a.*").await;
    world.bind(&exchange, &queue, "*.b").await;
    publish_keys(world, &exchange, &[("a.b", "once")]).await;
    assert_eq!(world.ready("q", &[]).await, 1);
}

pub(crate) async fn exchanges_feed_each_other_and_a_circle_ends(world: &World) {
    let front = world.exchange("front", ExchangeKind::Topic).await;
    let back = world.exchange("back", ExchangeKind::Fanout).await;
    let queue = world.queue("q", &[]).await;
    world.bind_with(&front, Destination::Exchange(back.clone()), "meter.#", &[]).await;
    world.bind_with(&back, Destination::Exchange(front.clone()), "", &[]).await;
    world.bind(&back, &queue, "").await;
    world.bind(&front, &queue, "#").await;
    publish_keys(world, &front, &[("meter.7", "a"), ("other", "b")]).await;
    assert_eq!(world.ready("q", &[]).await, 2);
    assert_eq!(world.drain(&queue, 2).await, ["a", "b"]);
}

pub(crate) async fn an_alternate_exchange_takes_what_no_binding_takes(world: &World) {
    let spare = world.exchange("spare", ExchangeKind::Fanout).await;
    let alternate = [("alternate-exchange", spare.as_str().into())];
    let exchange = world.exchange_with("x", ExchangeKind::Direct, &alternate).await;
    let (known, unknown) = (world.queue("known", &[]).await, world.queue("unknown", &[]).await);
    world.bind(&exchange, &known, "known").await;
    world.bind(&spare, &unknown, "").await;
    publish_keys(world, &exchange, &[("known", "a"), ("stray", "b")]).await;
    assert_eq!(world.ready("known", &[]).await, 1);
    assert_eq!(world.drain(&known, 1).await, ["a"]);
    assert_eq!(world.drain(&unknown, 1).await, ["b"]);
}

pub(crate) async fn the_predeclared_exchanges_are_there(world: &World) {
    let queue = world.queue("q", &[]).await;
    let key = world.name("key");
    let exchanges = ["amq.direct", "amq.topic", "amq.fanout"];
    for exchange in exchanges {
        world.bind(exchange, &queue, &key).await;
    }
    let mine = [("contract", FieldValue::from(key.as_str()))];
    for exchange in ["amq.headers", "amq.match"] {
        world.bind_with(exchange, Destination::Queue(queue.clone()), "", &mine).await;
    }
    publish_keys(world, "amq.direct", &[(&key, "direct")]).await;
    publish_keys(world, "amq.topic", &[(&key, "topic")]).await;
    let group = ["amq.headers", "amq.match"].map(|exchange| {
        let mut outgoing = message(exchange, "", exchange);
        outgoing.properties.headers = table(&mine);
        outgoing
    });
    world.publish_confirmed(&group).await;
    let expected = ["direct", "topic", "amq.headers", "amq.match"];
    assert_eq!(world.drain(&queue, 4).await, expected);
}
