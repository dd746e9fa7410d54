//! Channels and connections that break under a consumer and a publisher.

use sluicegate::broker::amqp::AmqpBroker;
use sluicegate::broker::{Broker, BrokerError, Declaration, Published, Settlement};
use sluicegate::config::QueueKind;
use sluicegate::message::FieldValue;
use tokio::time::timeout;

use super::{WAIT, consume, declare, fill, message, next, queue, until};
use crate::rabbit::{disturbed, node, unique};

/// A quorum queue delivers what it got back in the order in which it got it.
#[tokio::test]
async fn what_a_cancelled_consumer_gives_back_comes_again_in_the_order_in_which_it_came() {
    let broker = AmqpBroker::new("givenback", node().config());
    let name = unique("givenback");
    let limit = ("x-delivery-limit".to_owned(), FieldValue::I64(100));
    let mut quorum = queue(&name, &[]);
    quorum.kind = QueueKind::Quorum;
    quorum.arguments = [("x-queue-type".to_owned(), "quorum".into()), limit].into_iter().collect();
    broker.declare(&Declaration::Queue(quorum)).await.unwrap();
    fill(&*broker, &name, 8).await;
    let mut consumer = consume(&*broker, &name, 6).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&mut consumer).await);
    }
    timeout(WAIT, consumer.cancel()).await.unwrap().unwrap();
    while let Some(delivery) = held.pop() {
        delivery.receipt.settle(Settlement::Release);
    }
    consumer.close().await.unwrap();
    let mut consumer = consume(&*broker, &name, 8).await;
    for expected in 0..8 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message.body, expected.to_string());
        delivery.receipt.settle(Settlement::Ack);
    }
    consumer.close().await.unwrap();
}

/// A quorum queue hears no more than 32 settlements of a channel at a time; what waits for its turn when the
/// channel closes is forgotten.
#[tokio::test]
async fn what_is_acknowledged_just_before_a_consumer_closes_stays_acknowledged() {
    const MESSAGES: u16 = 300;
    let broker = AmqpBroker::new("lastacks", node().config());
    let name = unique("lastacks");
    let mut quorum = queue(&name, &[]);
    quorum.kind = QueueKind::Quorum;
    broker.declare(&Declaration::Queue(quorum)).await.unwrap();
    for _ in 0..3 {
        fill(&*broker, &name, usize::from(MESSAGES)).await;
        let mut consumer = consume(&*broker, &name, MESSAGES).await;
        let mut held = Vec::new();
        for _ in 0..MESSAGES {
            held.push(next(&mut consumer).await);
        }
        timeout(WAIT, consumer.cancel()).await.unwrap().unwrap();
        // From the last to the first, so that each acknowledgement is a frame of its own.
        while let Some(delivery) = held.pop() {
            delivery.receipt.settle(Settlement::Ack);
        }
        timeout(WAIT, consumer.close()).await.unwrap().unwrap();
    }
    broker.publisher().await.unwrap().publish(&[message(&name, 4711)]).await;
    let mut consumer = consume(&*broker, &name, MESSAGES).await;
    let first = next(&mut consumer).await;
    assert_eq!((&first.message.body[..], first.redelivered), (&b"4711"[..], false));
    first.receipt.settle(Settlement::Ack);
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_killed_connection_makes_receipts_stale_and_the_next_consumer_goes_on() {
    let node = disturbed().await;
    let broker = AmqpBroker::new("killed", node.config());
    let name = unique("killed");
    declare(&*broker, &name).await;
    fill(&*broker, &name, 10).await;
    let mut consumer = consume(&*broker, &name, 5).await;
    let first = next(&mut consumer).await;
    let second = next(&mut consumer).await;
    assert!(broker.link().consume && broker.link().publish);
    first.receipt.settle(Settlement::Ack);
    // Written before the cut, so that it isn't repeated.
    node.raw().await.await_depth(&name, 4).await;
    node.ctl_alongside(&["close_all_connections", "cut by a test"]).await;
    let error = timeout(WAIT, async {
        loop {
            match consumer.next().await {
                // What was buffered here before the cut.
                Ok(delivery) => delivery.receipt.settle(Settlement::Release),
                Err(error) => return error,
            }
        }
    })
    .await
    .unwrap();
    assert!(matches!(error, BrokerError::Unreachable(_)), "{error:?}");
    assert!(error.to_string().contains("cut by a test"), "{error}");
    assert!(second.receipt.is_stale());
    second.receipt.settle(Settlement::Ack);
    assert!(!broker.link().consume);
    // Asked again it says the same, and a new consumer gets everything that isn't acked.
    assert_eq!(timeout(WAIT, consumer.next()).await.unwrap().unwrap_err(), error);
    let mut consumer = consume(&*broker, &name, 20).await;
    for expected in 1..10 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message.body, expected.to_string());
        delivery.receipt.settle(Settlement::Ack);
    }
    consumer.close().await.unwrap();
    assert_eq!(node.raw().await.depth(&name).await, 0);
    // The publisher that lost its connection publishes again.
    fill(&*broker, &name, 3).await;
    assert_eq!(broker.link().receipts_dropped, 0);
}

#[tokio::test]
async fn an_acknowledgement_that_takes_too_long_ends_its_consumer_and_no_other() {
    let node = disturbed().await;
    let broker = AmqpBroker::new("late", node.config());
    let (slow, other) = (unique("slow"), unique("other"));
    for name in [&slow, &other] {
        // The only kind that every version watches.
        let arguments = [("x-queue-type", FieldValue::from("quorum"))];
        let mut quorum = queue(name, &arguments);
        quorum.kind = QueueKind::Quorum;
        broker.declare(&Declaration::Queue(quorum)).await.unwrap();
        fill(&*broker, name, 1).await;
    }
    // Read by a channel when it opens, so that the bystander keeps the default.
    let timeouts = |ms: u64| {
        format!(
            "application:set_env(rabbit, consumer_timeout, {ms}), \
             application:set_env(rabbit, channel_tick_interval, 200)."
        )
    };
    let mut bystander = consume(&*broker, &other, 1).await;
    node.ctl_alongside(&["eval", &timeouts(3000)]).await;
    let mut consumer = consume(&*broker, &slow, 1).await;
    let held = next(&mut consumer).await;
    let error = timeout(WAIT, consumer.next()).await.unwrap().unwrap_err();
    node.ctl_alongside(&["eval", &timeouts(1_800_000)]).await;
    if !node.cancels_late_consumers().await {
        assert!(matches!(error, BrokerError::ChannelClosed(_)), "{error:?}");
        assert!(error.to_string().contains("delivery acknowledgement"), "{error}");
        assert!(held.receipt.is_stale());
    } else {
        assert!(matches!(error, BrokerError::Cancelled(_)), "{error:?}");
    }
    held.receipt.settle(Settlement::Ack);
    let delivery = next(&mut bystander).await;
    assert!(!delivery.receipt.is_stale());
    delivery.receipt.settle(Settlement::Ack);
    bystander.close().await.unwrap();
    let mut consumer = consume(&*broker, &slow, 1).await;
    let again = next(&mut consumer).await;
    assert!(again.redelivered);
    again.receipt.settle(Settlement::Ack);
    consumer.close().await.unwrap();
    assert_eq!(node.raw().await.depth(&slow).await, 0);
}

#[tokio::test]
async fn a_memory_alarm_is_waited_for_and_stops_no_acknowledgement() {
    let node = disturbed().await;
    let broker = AmqpBroker::new("alarm", node.config());
    let name = unique("alarm");
    declare(&*broker, &name).await;
    fill(&*broker, &name, 2).await;
    let mut consumer = consume(&*broker, &name, 1).await;
    let mut publisher = broker.publisher().await.unwrap();
    node.ctl_alongside(&["set_vm_memory_high_watermark", "0.000001"]).await;
    let publishing = tokio::spawn({
        let group = [message(&name, 2)];
        async move { publisher.publish(&group).await }
    });
    until(|| broker.link().blocked.is_some_and(|reason| reason.contains("memory"))).await;
    // Consuming and acknowledging go on meanwhile.
    next(&mut consumer).await.receipt.settle(Settlement::Ack);
    next(&mut consumer).await.receipt.settle(Settlement::Ack);
    assert!(!publishing.is_finished());
    node.ctl_alongside(&["set_vm_memory_high_watermark", "0.8"]).await;
    let outcomes = timeout(WAIT, publishing).await.unwrap().unwrap();
    assert_eq!(outcomes, [Published::Confirmed]);
    assert_eq!(next(&mut consumer).await.message.body, "2");
    assert_eq!(broker.link().blocked, None);
}

#[tokio::test]
async fn a_node_that_is_killed_gives_back_what_was_not_acked() {
    let node = disturbed().await;
    let broker = AmqpBroker::new("power-loss", node.config());
    let name = unique("power-loss");
    declare(&*broker, &name).await;
    fill(&*broker, &name, 50).await;
    // A node writes down that a queue is there some time after it has said so.
    node.ctl_alongside(&["eval", "mnesia:sync_log()."]).await;
    let mut consumer = consume(&*broker, &name, 10).await;
    let held = next(&mut consumer).await;
    node.kill9();
    let error = timeout(WAIT, async {
        loop {
            match consumer.next().await {
                Ok(delivery) => delivery.receipt.settle(Settlement::Ack),
                Err(error) => return error,
            }
        }
    })
    .await
    .unwrap();
    assert!(matches!(error, BrokerError::Unreachable(_)), "{error:?}");
    assert!(held.receipt.is_stale());
    held.receipt.settle(Settlement::Ack);
    until(|| !broker.link().publish).await;
    let error = broker.publisher().await.err().expect("nobody is there");
    assert!(matches!(error, BrokerError::Unreachable(_)), "{error:?}");
    assert!(broker.link().last_error.is_some());
    node.restart();
    let mut consumer = consume(&*broker, &name, 100).await;
    for expected in 0..50 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.message.body, expected.to_string());
        delivery.receipt.settle(Settlement::Ack);
    }
    consumer.close().await.unwrap();
    assert_eq!(broker.link().last_error, None);
}
