//! The suite on the embedded broker, with a paused clock.

use sluicegate::broker::embedded::Embedded;

use super::World;

async fn world(test: &str) -> World {
    let broker = Embedded::new();
    World::new(broker.clone(), test, move |queue| {
        let deleted = broker.delete_queue(&queue);
        Box::pin(async move { assert!(deleted, "no queue '{queue}' to delete") })
    })
}

contract_suite!(world, start_paused = true);
