//! Deliveries and what settles them.

use sluicegate::broker::{BrokerError, Declaration, Settlement};
use sluicegate::config::QueueKind;

use super::World;
use super::world::{body, eventually, message, next, request, within};

/// Publishes bodies to a queue, in order.
async fn fill(world: &World, queue: &str, bodies: &[&str]) {
    let group: Vec<_> = bodies.iter().map(|body| message("", queue, body)).collect();
    world.publish_confirmed(&group).await;
}

/// Shows that a queue holds nothing: what is published now comes first.
async fn assert_empty(world: &World, queue: &str) {
    fill(world, queue, &["sentinel"]).await;
    assert_eq!(world.drain(queue, 1).await, ["sentinel"]);
}

pub(crate) async fn prefetch_bounds_what_is_unsettled(world: &World) {
    let queue = world.queue("q", &[]).await;
    fill(world, &queue, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]).await;
    let mut consumer = world.consume(&queue, 3).await;
    let mut held = Vec::new();
    for expected in ["0", "1", "2"] {
        let delivery = next(&mut consumer).await;
        assert_eq!(body(&delivery), expected);
        held.push(delivery.receipt);
    }
    assert_eq!(world.ready("q", &[]).await, 7, "three are out");
    held.remove(0).settle(Settlement::Ack);
    let fourth = next(&mut consumer).await;
    assert_eq!(body(&fourth), "3");
    assert_eq!(world.ready("q", &[]).await, 6, "three are out again");
    fourth.receipt.settle(Settlement::Ack);
    for receipt in held {
        receipt.settle(Settlement::Ack);
    }
    for expected in 4..10 {
        let delivery = next(&mut consumer).await;
        assert_eq!(body(&delivery), expected.to_string());
        delivery.receipt.settle(Settlement::Ack);
    }
}

pub(crate) async fn higher_priorities_overtake(world: &World) {
    let queue = world.queue("q", &[("x-max-priority", 4.into())]).await;
    let prioritised = [("a", None), ("b", Some(1)), ("c", Some(4)), ("d", Some(1)), ("e", Some(9))];
    let group: Vec<_> = prioritised
        .iter()
        .map(|(body, priority)| {
            let mut outgoing = message("", &queue, body);
            outgoing.properties.priority = *priority;
            outgoing
        })
        .collect();
    world.publish_confirmed(&group).await;
    // Priorities above the queue's highest count as the highest; equals keep their order.
    assert_eq!(world.drain(&queue, 5).await, ["c", "e", "b", "d", "a"]);
}

pub(crate) async fn a_released_message_comes_back_in_its_place_and_flagged(world: &World) {
    let queue = world.queue("q", &[]).await;
    fill(world, &queue, &["a", "b"]).await;
    let mut consumer = world.consume(&queue, 1).await;
    let first = next(&mut consumer).await;
    assert_eq!((body(&first).as_str(), first.redelivered), ("a", false));
    assert!(!first.receipt.is_stale());
    first.receipt.settle(Settlement::Release);
    for expected in [("a", true), ("b", false)] {
        let delivery = next(&mut consumer).await;
        assert_eq!((body(&delivery).as_str(), delivery.redelivered), expected);
        delivery.receipt.settle(Settlement::Ack);
    }
}

pub(crate) async fn a_dropped_receipt_is_released(world: &World) {
    let queue = world.queue("q", &[]).await;
    fill(world, &queue, &["a"]).await;
    let mut consumer = world.consume(&queue, 1).await;
    drop(next(&mut consumer).await);
    let again = next(&mut consumer).await;
    assert_eq!((body(&again).as_str(), again.redelivered), ("a", true));
    again.receipt.settle(Settlement::Ack);
}

pub(crate) async fn cancelling_releases_what_was_not_handed_out(world: &World) {
    let queue = world.queue("q", &[]).await;
    fill(world, &queue, &["a", "b", "c", "d"]).await;
    let mut first = world.consume(&queue, 4).await;
    let held = next(&mut first).await;
    within(first.cancel()).await.expect("it can be cancelled");
    assert!(within(first.next()).await.is_err(), "a cancelled consumer is over");

    assert!(!held.receipt.is_stale(), "what was handed out can still be settled");
    held.receipt.settle(Settlement::Ack);
    within(first.close()).await.expect("it closes");
    let mut second = world.consume(&queue, 4).await;
    for expected in ["b", "c", "d"] {
        let delivery = next(&mut second).await;
        assert_eq!(body(&delivery), expected);
        delivery.receipt.settle(Settlement::Ack);
    }
    within(second.close()).await.expect("it closes");
    assert_empty(world, &queue).await;
}

pub(crate) async fn closing_writes_every_acknowledgement(world: &World) {
    let queue = world.queue("q", &[]).await;
    let bodies: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    fill(world, &queue, &bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut consumer = world.consume(&queue, 200).await;
    let mut receipts = Vec::new();
    for _ in 0..bodies.len() {
        receipts.push(next(&mut consumer).await.receipt);
    }
    // Out of order, as batches end.
    for receipt in receipts.drain(..).rev() {
        receipt.settle(Settlement::Ack);
    }
    within(consumer.close()).await.expect("it closes");
    assert_empty(world, &queue).await;
}

pub(crate) async fn what_a_closed_consumer_held_comes_again(world: &World) {
    let queue = world.queue("q", &[]).await;
    fill(world, &queue, &["a", "b"]).await;
    let mut consumer = world.consume(&queue, 2).await;
    let held = next(&mut consumer).await;
    within(consumer.close()).await.expect("it closes");
    assert!(held.receipt.is_stale());
    let mut second = world.consume(&queue, 2).await;
    for expected in ["a", "b"] {
        let delivery = next(&mut second).await;
        assert_eq!(body(&delivery), expected);
        delivery.receipt.settle(Settlement::Ack);
    }
    held.receipt.settle(Settlement::Ack);
}

pub(crate) async fn what_is_left_comes_back_in_its_place_when_its_channel_closes(world: &World) {
    let queue = world.queue("q", &[]).await;
    fill(world, &queue, &["a", "b", "c", "d"]).await;
    let mut consumer = world.consume(&queue, 3).await;
    next(&mut consumer).await.receipt.leave();
    next(&mut consumer).await.receipt.settle(Settlement::Ack);
    next(&mut consumer).await.receipt.leave();
    within(consumer.close()).await.expect("it closes");
    assert_eq!(world.drain(&queue, 3).await, ["a", "c", "d"]);
    assert_eq!(world.broker.link().receipts_dropped, 0);
}

pub(crate) async fn consumers_of_one_queue_share_its_messages(world: &World) {
    let queue = world.queue("q", &[]).await;
    let mut consumers = [world.consume(&queue, 1).await, world.consume(&queue, 1).await];
    fill(world, &queue, &["a", "b"]).await;
    let mut bodies = Vec::new();
    let mut receipts = Vec::new();
    for consumer in &mut consumers {
        let delivery = next(consumer).await;
        bodies.push(body(&delivery));
        receipts.push(delivery.receipt);
    }
    bodies.sort();
    assert_eq!(bodies, ["a", "b"]);
    for receipt in receipts {
        receipt.settle(Settlement::Ack);
    }
}

pub(crate) async fn a_single_active_consumer_leaves_the_next_one_waiting(world: &World) {
    let arguments = [("x-single-active-consumer", true.into())];
    let queue = world.queue("q", &arguments).await;
    let mut active = world.consume(&queue, 1).await;
    let mut standby = world.consume(&queue, 10).await;
    fill(world, &queue, &["a", "b"]).await;
    let held = next(&mut active).await;
    assert_eq!(body(&held), "a");
    assert_eq!(world.ready("q", &arguments).await, 1, "the standby gets nothing");
    held.receipt.settle(Settlement::Ack);
    let held = next(&mut active).await;
    assert_eq!(body(&held), "b");
    held.receipt.settle(Settlement::Release);
    within(active.close()).await.expect("it closes");
    let taken_over = next(&mut standby).await;
    assert_eq!(body(&taken_over), "b");
    taken_over.receipt.settle(Settlement::Ack);
}

pub(crate) async fn an_exclusive_consumer_is_alone(world: &World) {
    let queue = world.queue("q", &[]).await;
    let mut exclusive = request(&queue, 1);
    exclusive.exclusive = true;
    let first = within(world.broker.consume(exclusive.clone())).await.expect("it is the first");
    let second = within(world.broker.consume(request(&queue, 1))).await;
    assert!(matches!(second.err(), Some(BrokerError::Locked(_))), "the queue is taken");
    within(first.close()).await.expect("it closes");

    let shared = eventually(|| async { world.broker.consume(request(&queue, 1)).await.ok() }).await;
    let late = within(world.broker.consume(exclusive)).await;
    assert!(matches!(late.err(), Some(BrokerError::Locked(_))), "the queue is shared");
    within(shared.close()).await.expect("it closes");
}

pub(crate) async fn a_missing_queue_cannot_be_consumed(world: &World) {
    let name = world.name("missing");
    let error = within(world.broker.consume(request(&name, 1))).await.err().expect("no such queue");
    assert!(matches!(error, BrokerError::NotFound(_)), "{error}");
    assert!(error.to_string().contains(&name), "{error}");
}

pub(crate) async fn deleting_a_queue_cancels_its_consumer(world: &World) {
    let queue = world.queue("q", &[]).await;
    fill(world, &queue, &["a"]).await;
    let mut consumer = world.consume(&queue, 1).await;
    let held = next(&mut consumer).await;
    world.delete_queue(&queue).await;
    let error = within(consumer.next()).await.expect_err("its queue is gone");
    assert!(matches!(error, BrokerError::Cancelled(_)), "{error}");
    held.receipt.settle(Settlement::Ack);
}

pub(crate) async fn looking_for_what_is_at_hand_hides_no_end(world: &World) {
    let queue = world.queue("q", &[]).await;
    fill(world, &queue, &["a", "b", "c"]).await;
    let mut consumer = world.consume(&queue, 3).await;
    let mut held = Vec::new();
    for expected in ["a", "b", "c"] {
        let delivery = match consumer.at_hand() {
            Some(delivery) => delivery,
            None => next(&mut consumer).await,
        };
        assert_eq!(body(&delivery), expected);
        held.push(delivery.receipt);
    }
    world.delete_queue(&queue).await;
    let gone = Declaration::Queue(world.queue_declaration("q", QueueKind::Classic, &[]));
    for _ in 0..50 {
        // The end arrives in one of these turns, and is what at_hand comes upon.
        assert!(consumer.at_hand().is_none(), "nothing is left");
        assert!(!world.broker.exists(&gone).await.expect("it can be asked"));
    }
    let error = within(consumer.next()).await.expect_err("its queue is gone");
    assert!(matches!(error, BrokerError::Cancelled(_)), "{error}");
    held.into_iter().for_each(|receipt| receipt.settle(Settlement::Ack));
}

pub(crate) async fn an_auto_delete_queue_goes_with_its_last_consumer(world: &World) {
    let mut queue = world.queue_declaration("q", QueueKind::Classic, &[]);
    queue.auto_delete = true;
    let name = world.declare(Declaration::Queue(queue.clone())).await.name;
    let object = Declaration::Queue(queue);
    let (first, second) = (world.consume(&name, 1).await, world.consume(&name, 1).await);
    within(first.close()).await.expect("it closes");
    assert!(world.broker.exists(&object).await.expect("it can be asked"), "one is left");
    within(second.close()).await.expect("it closes");
    eventually(|| async { (!world.broker.exists(&object).await.ok()?).then_some(()) }).await;
}

pub(crate) async fn a_quorum_queue_counts_deliveries(world: &World) {
    let arguments = [("x-delivery-limit", 5.into())];
    let queue = world.queue_declaration("q", QueueKind::Quorum, &arguments);
    let queue = world.declare(Declaration::Queue(queue)).await.name;
    fill(world, &queue, &["a"]).await;
    let mut count = 0;
    for _ in 0..2 {
        // A consumer that goes away with the message in hand counts everywhere.
        let mut consumer = world.consume(&queue, 1).await;
        let held = next(&mut consumer).await;
        assert_eq!(held.delivery_count.unwrap_or(0), count);
        assert_eq!(held.redelivered, count > 0);
        count += 1;
        within(consumer.close()).await.expect("it closes");
        assert!(held.receipt.is_stale());
        held.receipt.settle(Settlement::Ack);
    }
    let mut consumer = world.consume(&queue, 1).await;
    next(&mut consumer).await.receipt.settle(Settlement::Release);
    count += u32::from(world.counts_releases().await);
    let last = next(&mut consumer).await;
    assert_eq!(last.delivery_count, Some(count));
    assert!(last.redelivered);
    last.receipt.settle(Settlement::Ack);
}
