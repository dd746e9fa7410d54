//! Publishes that fail, confirms that get lost, connections that break: nothing is lost, nothing is
//! acknowledged early, nothing counts twice.

use std::collections::{BTreeMap, BTreeSet};

use sluicegate::topology;

use super::world::{World, copies, json, numbers, order, until};

#[tokio::test]
async fn nothing_is_acknowledged_before_its_outputs_are_confirmed() {
    let world = World::usual().await;
    world.control(sluicegate::admin::Command::Pause("main".to_owned()));
    until("it is paused", || world.state() == sluicegate::admin::PipelineState::Paused).await;
    world.publish((1..=10).map(|id| order(id, "a", "next"))).await;
    world.broker.refuse_publishes(true);
    world.control(sluicegate::admin::Command::Resume("main".to_owned()));

    until("it says why it is paused", || world.figures().paused.is_some()).await;
    assert!(world.figures().paused.expect("a reason").contains("no confirm"));
    until("all ten are in hand", || world.figures().in_flight == 10).await;
    assert_eq!(world.broker.queue_depth("work"), (0, 10), "all in hand, none acknowledged");
    assert_eq!(world.figures().done, 0);

    world.broker.refuse_publishes(false);
    let told = world.take("sink", 10).await;
    assert_eq!(numbers(&told, "n"), (1..=10).collect::<Vec<_>>());
    world.settled("work").await;
    until("it goes on", || world.figures().paused.is_none()).await;
    world.end().await;
}

#[tokio::test]
async fn lost_confirms_lead_to_identical_copies_only() {
    let world = World::usual().await;
    world.broker.lose_confirms(true);
    let mut publisher = sluicegate::broker::Broker::publisher(&*world.broker).await.expect("one");
    let orders = (1..=20).map(|id| order(id, &format!("k{}", id % 3), "emit:2"));
    let group: Vec<_> = orders
        .map(|order| sluicegate::broker::Outgoing {
            exchange: "in".to_owned(),
            routing_key: order.routing_key,
            properties: order.properties,
            body: order.body.to_string().into(),
        })
        .collect();
    // These confirms get lost too, and the messages arrive all the same.
    publisher.publish(&group).await;
    until("confirms were lost", || world.figures().publishes_refused >= 2).await;
    assert_eq!(world.figures().done, 0, "nothing unconfirmed is acknowledged");
    world.broker.lose_confirms(false);
    world.settled("work").await;

    let told = world.rest("sink");
    let mut bodies: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for message in &told {
        let id = message.properties.message_id.clone().expect("an id");
        bodies.entry(id).or_default().insert(message.body.to_vec());
    }
    assert_eq!(bodies.len(), 40, "two outputs of each input, each with an id of its own");
    assert!(bodies.values().all(|bodies| bodies.len() == 1), "{bodies:?}");
    assert!(told.len() > 40, "there were copies");
    assert_eq!(world.figures().done, 20);
    world.end().await;
}

#[tokio::test]
async fn broken_connections_under_load_lose_nothing_and_count_nothing_twice() {
    let world = World::usual().await;
    for round in 0..4_u64 {
        let ids = round * 100..(round + 1) * 100;
        world.publish(ids.map(|id| order(id, &format!("k{}", id % 5), "next"))).await;
        let before = world.figures().done;
        until("some of it is done", || world.figures().done > before).await;
        world.broker.drop_connections();
    }
    world.settled("work").await;
    until("every delivery is accounted for", || world.figures().in_flight == 0).await;
    let told = world.rest("sink");
    assert_eq!(copies(&told).len(), 400, "each on its target at least once");
    let mut counts: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for message in &told {
        let line = json(message);
        let (id, n) = (line["id"].as_u64().expect("id"), line["n"].as_u64().expect("n"));
        counts.entry(id % 5).or_default().insert(n);
    }
    for (key, counts) in counts {
        assert!(counts.into_iter().eq(1..=80), "key {key} counted each message once");
    }
    world.end().await;
}

#[tokio::test]
async fn a_delay_queue_that_somebody_deletes_is_declared_again() {
    let world = World::usual().await;
    let rung = std::time::Duration::from_millis(20);
    let rung = topology::delay_queue("work", topology::DELAY_KIND, rung);
    assert!(world.broker.delete_queue(&rung), "'{rung}' is there");
    world.publish([order(1, "a", "retry_until:2"), order(2, "b", "next")]).await;
    let told = world.take("sink", 2).await;
    assert_eq!(copies(&told).len(), 2);
    world.settled("work").await;
    world.end().await;
}

#[tokio::test]
async fn an_exchange_that_somebody_deletes_is_declared_again() {
    let world = World::usual().await;
    assert!(world.broker.delete_exchange("out"));
    world.publish([order(1, "a", "next")]).await;
    world.take("sink", 1).await;
    world.settled("work").await;
    world.end().await;
}
