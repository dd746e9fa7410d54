#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod conservation;

use std::time::Duration;

use super::*;
use crate::broker::{
    BindingDeclaration, ExchangeDeclaration, Outgoing, Published, QueueDeclaration, Settlement,
};
use crate::config::{ExchangeKind, QueueKind};
use crate::message::{FieldValue, Properties, Table};

fn queue(name: &str, arguments: &[(&str, FieldValue)]) -> QueueDeclaration {
    QueueDeclaration {
        name: name.to_owned(),
        kind: QueueKind::Classic,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: arguments.iter().map(|(n, v)| (*n, v.clone())).collect(),
    }
}

async fn declare(broker: &Embedded, queue: QueueDeclaration) {
    broker.declare(&Declaration::Queue(queue)).await.unwrap();
}

/// A queue whose dead letters go to another through the default exchange.
fn leading_to(name: &str, next: &str, more: &[(&str, FieldValue)]) -> QueueDeclaration {
    let mut arguments =
        vec![("x-dead-letter-exchange", "".into()), ("x-dead-letter-routing-key", next.into())];
    arguments.extend_from_slice(more);
    queue(name, &arguments)
}

fn outgoing(exchange: &str, key: &str, body: &'static str) -> Outgoing {
    Outgoing {
        exchange: exchange.to_owned(),
        routing_key: key.to_owned(),
        properties: Properties::default(),
        body: body.into(),
    }
}

async fn publish(broker: &Embedded, message: Outgoing) -> Published {
    broker.publisher().await.unwrap().publish(&[message]).await.remove(0)
}

async fn consume(broker: &Embedded, queue: &str) -> Box<dyn Consumer> {
    broker.consume(request(queue)).await.unwrap()
}

fn request(queue: &str) -> ConsumeRequest {
    ConsumeRequest {
        queue: queue.to_owned(),
        declare: Vec::new(),
        prefetch: 10,
        exclusive: false,
        tag: "test".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_consumer_gets_an_expired_message_at_its_very_moment() {
    let broker = Embedded::new();
    declare(&broker, queue("work", &[])).await;
    declare(&broker, leading_to("wait-5s", "work", &[("x-message-ttl", 5000.into())])).await;
    let mut consumer = consume(&broker, "work").await;
    let start = Instant::now();
    publish(&broker, outgoing("", "wait-5s", "a")).await;
    let delivery = consumer.next().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
    delivery.receipt.settle(Settlement::Ack);
    assert_eq!(broker.queue_depth("wait-5s"), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_is_set_while_a_consumer_waits_wakes_it() {
    let broker = Embedded::new();
    declare(&broker, queue("work", &[])).await;
    declare(&broker, leading_to("wait", "work", &[])).await;
    let mut consumer = consume(&broker, "work").await;
    let waiting = tokio::spawn(async move { consumer.next().await.map(|d| d.message.body) });
    tokio::task::yield_now().await;
    // The second is due before the first, in another queue.
    declare(&broker, leading_to("sooner", "work", &[])).await;
    for (queue, millis, body) in [("wait", "9000", "late"), ("sooner", "2000", "soon")] {
        let mut message = outgoing("", queue, body);
        message.properties.expiration = Some(millis.to_owned());
        publish(&broker, message).await;
    }
    let start = Instant::now();
    assert_eq!(&*waiting.await.unwrap().unwrap(), b"soon");
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_due_while_nobody_looked_happened_at_its_own_time() {
    let broker = Embedded::new();
    declare(&broker, queue("end", &[])).await;
    declare(&broker, leading_to("second", "end", &[("x-message-ttl", 3000.into())])).await;
    declare(&broker, leading_to("first", "second", &[("x-message-ttl", 2000.into())])).await;
    publish(&broker, outgoing("", "first", "a")).await;
    tokio::time::advance(Duration::from_secs(100)).await;
    let message = broker.get("end").unwrap();
    let Some(FieldValue::Array(deaths)) = message.properties.headers.get("x-death") else {
        panic!("{message:?}");
    };
    let times: Vec<u64> = deaths
        .iter()
        .map(|death| match death {
            FieldValue::Table(death) => match death.get("time") {
                Some(FieldValue::Timestamp(time)) => *time,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(times[0] - times[1], 3);
}

#[tokio::test(start_paused = true)]
async fn a_far_expiry_that_nobody_would_see_sets_no_alarm() {
    let broker = Embedded::new();
    declare(&broker, queue("reports", &[("x-message-ttl", 604_800_000.into())])).await;
    publish(&broker, outgoing("", "reports", "a")).await;
    assert_eq!(*broker.shared.alarms().borrow(), None);
    tokio::time::advance(Duration::from_secs(604_800)).await;
    assert_eq!(broker.queue_depth("reports"), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_would_go_round_by_itself_is_dropped() {
    let broker = Embedded::new();
    declare(&broker, leading_to("a", "b", &[("x-message-ttl", 1000.into())])).await;
    declare(&broker, leading_to("b", "a", &[("x-message-ttl", 1000.into())])).await;
    publish(&broker, outgoing("", "a", "round")).await;
    tokio::time::advance(Duration::from_millis(1500)).await;
    assert_eq!((broker.queue_depth("a"), broker.queue_depth("b")), ((0, 0), (1, 0)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!((broker.queue_depth("a"), broker.queue_depth("b")), ((0, 0), (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_on_the_way_round_keeps_a_message_alive() {
    let broker = Embedded::new();
    declare(&broker, leading_to("work", "wait", &[])).await;
    declare(&broker, leading_to("wait", "work", &[("x-message-ttl", 1000.into())])).await;
    publish(&broker, outgoing("", "work", "a")).await;
    let mut consumer = consume(&broker, "work").await;
    for lap in 0..3 {
        let delivery = consumer.next().await.unwrap();
        let deaths = match delivery.message.properties.headers.get("x-death") {
            Some(FieldValue::Array(deaths)) => deaths.len(),
            _ => 0,
        };
        assert_eq!(deaths, if lap == 0 { 0 } else { 2 });
        delivery.receipt.settle(Settlement::DeadLetter);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unused_queue_expires_but_not_a_consumed_one() {
    let broker = Embedded::new();
    let object = Declaration::Queue(queue("q", &[("x-expires", 10_000.into())]));
    broker.declare(&object).await.unwrap();
    tokio::time::advance(Duration::from_secs(9)).await;
    broker.declare(&object).await.unwrap();
    tokio::time::advance(Duration::from_secs(9)).await;
    assert_eq!(broker.exists(&object).await, Ok(true), "declaring again is use");
    let consumer = consume(&broker, "q").await;
    tokio::time::advance(Duration::from_secs(100)).await;
    assert_eq!(broker.exists(&object).await, Ok(true), "it has a consumer");
    consumer.close().await.unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(broker.exists(&object).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_releases_everything_and_makes_receipts_stale() {
    let broker = Embedded::new();
    declare(&broker, queue("q", &[])).await;
    for body in ["a", "b"] {
        publish(&broker, outgoing("", "q", body)).await;
    }
    let (mut first, mut second) = (consume(&broker, "q").await, consume(&broker, "q").await);
    let held = first.next().await.unwrap();
    broker.drop_connections();
    for consumer in [&mut first, &mut second] {
        assert!(matches!(consumer.next().await, Err(BrokerError::Unreachable(_))));
    }
    assert!(held.receipt.is_stale());
    assert_eq!(broker.queue_depth("q"), (2, 0));
    held.receipt.settle(Settlement::Ack);
    assert_eq!(broker.queue_depth("q"), (2, 0), "a stale receipt settles nothing");
    assert!(matches!(first.close().await, Err(BrokerError::Unreachable(_))));

    let mut again = consume(&broker, "q").await;
    let delivery = again.next().await.unwrap();
    assert_eq!((&*delivery.message.body, delivery.redelivered), (&b"a"[..], true));
    delivery.receipt.settle(Settlement::Ack);
}

#[tokio::test(start_paused = true)]
async fn outages_make_publishes_unknown_and_calls_fail() {
    let broker = Embedded::new();
    declare(&broker, queue("q", &[])).await;
    let mut publisher = broker.publisher().await.unwrap();
    let group = [outgoing("", "q", "a")];
    broker.refuse_publishes(true);
    assert!(matches!(publisher.publish(&group).await[..], [Published::Unknown(_)]));
    assert_eq!(broker.queue_depth("q"), (0, 0));
    broker.refuse_publishes(false);
    broker.lose_confirms(true);
    assert!(matches!(publisher.publish(&group).await[..], [Published::Unknown(_)]));
    assert_eq!(broker.purge("q"), Some(1), "it arrived all the same");
    broker.lose_confirms(false);
    broker.set_unreachable(true);
    assert!(matches!(publisher.publish(&group).await[..], [Published::Unknown(_)]));
    assert!(matches!(broker.server().await, Err(BrokerError::Unreachable(_))));
    assert!(matches!(broker.consume(request("q")).await, Err(BrokerError::Unreachable(_))));
    assert_eq!(broker.queue_depth("q"), (0, 0));
    broker.set_unreachable(false);
    assert_eq!(publisher.publish(&group).await, [Published::Confirmed]);
    assert_eq!(broker.queue_depth("q"), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn dropped_receipts_are_counted() {
    let broker = Embedded::new();
    declare(&broker, queue("q", &[])).await;
    publish(&broker, outgoing("", "q", "a")).await;
    let mut consumer = consume(&broker, "q").await;
    drop(consumer.next().await.unwrap());
    assert_eq!(broker.receipts_dropped(), 1);
    consumer.next().await.unwrap().receipt.settle(Settlement::Ack);
    assert_eq!((broker.receipts_dropped(), broker.queue_depth("q")), (1, (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn an_exclusive_queue_is_its_consumers_alone_and_goes_with_it() {
    let broker = Embedded::new();
    let mut exclusive = queue("mine", &[]);
    exclusive.exclusive = true;
    let object = Declaration::Queue(exclusive);
    let mut owner = request("mine");
    owner.declare = vec![object.clone()];
    let consumer = broker.consume(owner.clone()).await.unwrap();
    assert!(matches!(broker.consume(owner).await, Err(BrokerError::Locked(_))));
    assert!(matches!(broker.consume(request("mine")).await, Err(BrokerError::Locked(_))));
    assert!(matches!(broker.declare(&object).await, Err(BrokerError::Locked(_))));
    consumer.close().await.unwrap();
    assert_eq!(broker.exists(&object).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_cannot_start_leaves_no_queue_behind() {
    let broker = Embedded::new();
    let mut exclusive = queue("mine", &[]);
    exclusive.exclusive = true;
    let binding = BindingDeclaration {
        source: "missing".to_owned(),
        destination: Destination::Queue("mine".to_owned()),
        key: String::new(),
        arguments: Table::default(),
    };
    let object = Declaration::Queue(exclusive);
    let mut request = request("mine");
    request.declare = vec![object.clone(), Declaration::Binding(binding)];
    assert!(matches!(broker.consume(request).await, Err(BrokerError::NotFound(_))));
    assert_eq!(broker.exists(&object).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let broker = Embedded::new();
    let object = Declaration::Exchange(ExchangeDeclaration {
        name: "x".to_owned(),
        kind: ExchangeKind::Fanout,
        durable: true,
        auto_delete: true,
        internal: false,
        arguments: Table::default(),
    });
    broker.declare(&object).await.unwrap();
    for name in ["a", "b"] {
        declare(&broker, queue(name, &[])).await;
        let binding = BindingDeclaration {
            source: "x".to_owned(),
            destination: Destination::Queue(name.to_owned()),
            key: String::new(),
            arguments: Table::default(),
        };
        broker.declare(&Declaration::Binding(binding)).await.unwrap();
    }
    assert!(broker.delete_queue("a"));
    assert_eq!(broker.exists(&object).await, Ok(true));
    assert!(broker.delete_queue("b"));
    assert_eq!(broker.exists(&object).await, Ok(false));
    assert!(matches!(publish(&broker, outgoing("x", "", "a")).await, Published::NoTarget(_)));
}

#[tokio::test(start_paused = true)]
async fn a_held_receipt_of_a_deleted_queue_does_not_touch_its_successor() {
    let broker = Embedded::new();
    declare(&broker, queue("q", &[])).await;
    publish(&broker, outgoing("", "q", "old")).await;
    let mut consumer = consume(&broker, "q").await;
    let held = consumer.next().await.unwrap();
    consumer.cancel().await.unwrap();
    assert!(broker.delete_queue("q"));
    declare(&broker, queue("q", &[])).await;
    assert!(held.receipt.is_stale());
    held.receipt.settle(Settlement::Release);
    assert_eq!(broker.queue_depth("q"), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn streams_take_messages_and_are_not_consumed() {
    let broker = Embedded::new();
    let mut stream = queue("s", &[]);
    stream.kind = QueueKind::Stream;
    declare(&broker, stream).await;
    assert_eq!(publish(&broker, outgoing("", "s", "a")).await, Published::Confirmed);
    assert!(matches!(broker.consume(request("s")).await, Err(BrokerError::Unsupported(_))));
    assert_eq!(&*broker.get("s").unwrap().body, b"a");
}

#[tokio::test(start_paused = true)]
async fn cc_and_bcc_route_too_and_bcc_stays_hidden() {
    let broker = Embedded::new();
    for name in ["to", "cc", "bcc"] {
        declare(&broker, queue(name, &[])).await;
    }
    let mut message = outgoing("", "to", "a");
    for (header, key) in [("CC", "cc"), ("BCC", "bcc")] {
        message.properties.headers.set(header, FieldValue::Array(vec![key.into()]));
    }
    assert_eq!(publish(&broker, message).await, Published::Confirmed);
    for name in ["to", "cc", "bcc"] {
        let message = broker.get(name).unwrap();
        assert!(message.properties.headers.get("CC").is_some());
        assert_eq!(message.properties.headers.get("BCC"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn names_of_the_brokers_own_are_refused() {
    let broker = Embedded::new();
    let refused = broker.declare(&Declaration::Queue(queue("amq.mine", &[]))).await;
    assert!(matches!(refused, Err(BrokerError::Forbidden(_))));
    assert!(!broker.delete_exchange("amq.topic"));
}
