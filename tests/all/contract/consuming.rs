//! Deliveries and what settles them.

use sluicegate::broker::Settlement;

use super::World;
use super::world::{body, message, next};

pub(crate) async fn prefetch_bounds_what_is_unsettled(world: &World) {
    let queue = world.queue("q", &[]).await;
    let group: Vec<_> = (0..10).map(|n| message("", &queue, &n.to_string())).collect();
    world.publish_confirmed(&group).await;
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
