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
