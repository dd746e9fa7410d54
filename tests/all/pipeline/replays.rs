//! Whose word counts: retries and replays come by exchanges of the host's own.

use sluicegate::broker::Outgoing;
use sluicegate::limits::{REPLAY_EXCHANGE, RETURN_EXCHANGE};
use sluicegate::message::FieldValue;

use super::world::{World, numbers, order};

/// Headers as a replay writes them, on a message published with that exchange and routing key.
fn told(exchange: &str, routing_key: &str, id: u64, what: &str, count: i64) -> Outgoing {
    let mut order = order(id, "a", what);
    let headers = &mut order.properties.headers;
    headers.set("sluicegate-attempt", FieldValue::I64(3));
    headers.set("sluicegate-exchange", "in");
    headers.set("sluicegate-routing-key", "order.a");
    headers.set("sluicegate-replay-of", "f-1");
    headers.set("sluicegate-replay-count", FieldValue::I64(count));
    Outgoing {
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
        properties: order.properties,
        body: order.body.to_string().into(),
    }
}

#[tokio::test]
async fn a_replayed_message_runs_again_and_the_same_replay_twice_does_not() {
    let world = World::usual().await;
    let replay = |count| told(REPLAY_EXCHANGE, "work", 1, "next", count);
    world.publish([order(1, "a", "next")]).await;
    world.publish_raw(vec![replay(1), replay(1), replay(2)]).await;
    let lines = world.take("sink", 3).await;
    assert_eq!(numbers(&lines, "n"), [1, 2, 3]);
    assert_eq!(numbers(&lines, "attempt"), [1, 1, 1]);
    let mut ids: Vec<_> = lines.iter().map(|line| line.properties.message_id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "what is downstream tells them apart");
    world.settled("work").await;
    let figures = world.figures();
    assert_eq!((figures.done, figures.duplicates, figures.id_conflicts), (3, 1, 0));
    assert_eq!(figures.forged_headers, 0);
    world.end().await;
}

#[tokio::test]
async fn a_replay_keeps_what_it_is_over_retries_into_its_report_and_its_dead_letter() {
    let world = World::usual().await;
    world.publish_raw(vec![told(REPLAY_EXCHANGE, "work", 1, "retry", 4)]).await;
    let dead = world.take("dead", 1).await.remove(0);
    let headers = &dead.properties.headers;
    assert_eq!(headers.get("sluicegate-replay-count").and_then(FieldValue::as_i64), Some(4));
    assert_eq!(headers.text("sluicegate-replay-of"), Some("f-1"));
    assert_eq!(headers.text("sluicegate-exchange"), Some("in"));
    let report = world.reports().remove(0);
    assert_eq!((&report["attempt"], &report["replay_count"]), (&3.into(), &4.into()));
    assert_eq!(report["replay_of"], "f-1");
    assert_eq!((&report["exchange"], &report["routing_key"]), (&"in".into(), &"order.a".into()));
    world.end().await;
}

#[tokio::test]
async fn headers_of_the_hosts_that_anybody_else_writes_are_taken_off_and_counted() {
    let world = World::usual().await;
    world.publish_raw(vec![told("in", "order.a", 1, "retry", 7)]).await;
    world.take("dead", 1).await;
    let report = world.reports().remove(0);
    assert_eq!(report["attempt"], 3, "its attempts were counted from the first");
    assert_eq!((&report["replay_of"], &report["replay_count"]), (&().into(), &0.into()));
    assert_eq!(world.figures().forged_headers, 1);
    world.end().await;
}

#[tokio::test]
async fn nobody_can_publish_where_retried_messages_come_back() {
    let world = World::usual().await;
    let mut publisher = sluicegate::broker::Broker::publisher(&*world.broker).await.unwrap();
    let outcomes = publisher.publish(&[told(RETURN_EXCHANGE, "work", 1, "next", 1)]).await;
    assert!(matches!(outcomes[..], [sluicegate::broker::Published::NoTarget(_)]), "{outcomes:?}");
    world.end().await;
}
