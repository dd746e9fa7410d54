//! The suite on a real RabbitMQ.

use lapin::options::QueueDeleteOptions;
use sluicegate::broker::amqp::AmqpBroker;

use super::World;
use crate::rabbit::node;

async fn world(test: &str) -> World {
    let broker = AmqpBroker::new("contract", node().config());
    World::new(broker, test, |queue| {
        Box::pin(async move {
            let raw = node().raw().await;
            raw.channel
                .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
                .await
                .unwrap_or_else(|e| panic!("deleting queue '{queue}': {e}"));
        })
    })
}

contract_suite!(world);
