//! Groups that RabbitMQ answers in ways of its own.

use sluicegate::broker::amqp::AmqpBroker;
use sluicegate::broker::{
    BindingDeclaration, Broker, Declaration, Destination, ExchangeDeclaration, Outgoing, Published,
};
use sluicegate::config::ExchangeKind;
use sluicegate::message::Table;

use super::{declare, message};
use crate::rabbit::{node, unique};

#[tokio::test]
async fn four_thousand_pipelined_publishes_are_judged_right() {
    let broker = AmqpBroker::new("returns", node().config());
    let (exchange, queue) = (unique("returns.x"), unique("returns.q"));
    declare(&*broker, &queue).await;
    let direct = ExchangeDeclaration {
        name: exchange.clone(),
        kind: ExchangeKind::Direct,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Table::default(),
    };
    broker.declare(&Declaration::Exchange(direct)).await.unwrap();
    let binding = BindingDeclaration {
        source: exchange.clone(),
        destination: Destination::Queue(queue.clone()),
        key: "known".to_owned(),
        arguments: Table::default(),
    };
    broker.declare(&Declaration::Binding(binding)).await.unwrap();
    let group: Vec<Outgoing> = (0..4000)
        .map(|id: usize| Outgoing {
            exchange: exchange.clone(),
            routing_key: if id.is_multiple_of(11) { "unknown" } else { "known" }.to_owned(),
            ..message("", id)
        })
        .collect();
    let mut publisher = broker.publisher().await.unwrap();
    let outcomes = publisher.publish(&group).await;
    for (id, outcome) in outcomes.into_iter().enumerate() {
        let right =
            if id.is_multiple_of(11) { Published::Unroutable } else { Published::Confirmed };
        assert_eq!(outcome, right, "message {id}");
    }
    assert_eq!(node().raw().await.depth(&queue).await, 4000 - 364);
}

#[tokio::test]
async fn content_that_closes_the_channel_is_found_and_harms_no_neighbour() {
    let broker = AmqpBroker::new("content", node().config());
    let queue = unique("content");
    declare(&*broker, &queue).await;
    let mut group: Vec<Outgoing> = (0..20).map(|id| message(&queue, id)).collect();
    // The broker wants an array here and closes the channel without naming the message.
    group[7].properties.headers.set("CC", "not an array");
    let outcomes = broker.publisher().await.unwrap().publish(&group).await;
    for (id, outcome) in outcomes.into_iter().enumerate() {
        match id {
            7 => assert!(matches!(outcome, Published::Impossible(_)), "{outcome:?}"),
            _ => assert_eq!(outcome, Published::Confirmed, "message {id}"),
        }
    }
}

#[tokio::test]
async fn another_users_id_does_not_close_the_channel() {
    let broker = AmqpBroker::new("user", node().config());
    let queue = unique("user");
    declare(&*broker, &queue).await;
    let mut group = [message(&queue, 0), message(&queue, 1)];
    group[0].properties.user_id = Some("somebody".to_owned());
    group[1].properties.user_id = Some("guest".to_owned());
    let outcomes = broker.publisher().await.unwrap().publish(&group).await;
    assert_eq!(outcomes, [Published::Confirmed, Published::Confirmed]);
    let raw = node().raw().await;
    let users = [raw.get(&queue).await, raw.get(&queue).await]
        .map(|got| got.unwrap().properties.user_id().as_ref().map(|user| user.to_string()));
    assert_eq!(users, [None, Some("guest".to_owned())]);
}
