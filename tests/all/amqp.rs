//! What only RabbitMQ can show: connections that break, channels that the broker closes, memory
//! alarms, arguments that it refuses. What every broker does is in `contract`.

mod breaking;
mod connecting;
mod publishing;

use std::time::Duration;

use sluicegate::broker::{
    Broker, ConsumeRequest, Consumer, Declaration, Delivery, Outgoing, QueueDeclaration,
};
use sluicegate::config::QueueKind;
use sluicegate::message::{FieldValue, Properties, Table};
use tokio::time::timeout;

/// How long any of these tests waits for anything.
const WAIT: Duration = Duration::from_secs(60);

/// A durable classic queue of that name.
fn queue(name: &str, arguments: &[(&str, FieldValue)]) -> QueueDeclaration {
    QueueDeclaration {
        name: name.to_owned(),
        kind: QueueKind::Classic,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: arguments.iter().cloned().collect::<Table>(),
    }
}

/// Declares such a queue.
async fn declare(broker: &dyn Broker, name: &str) {
    broker.declare(&Declaration::Queue(queue(name, &[]))).await.unwrap();
}

/// A message for a queue, by way of the default exchange.
fn message(queue: &str, id: usize) -> Outgoing {
    Outgoing {
        exchange: String::new(),
        routing_key: queue.to_owned(),
        properties: Properties { message_id: Some(id.to_string()), ..Properties::default() },
        body: id.to_string().into(),
    }
}

/// Publishes so many, which must all arrive.
async fn fill(broker: &dyn Broker, queue: &str, count: usize) {
    use sluicegate::broker::Published;
    let group: Vec<Outgoing> = (0..count).map(|id| message(queue, id)).collect();
    let outcomes = broker.publisher().await.unwrap().publish(&group).await;
    assert_eq!(outcomes, vec![Published::Confirmed; count]);
}

async fn consume(broker: &dyn Broker, queue: &str, prefetch: u16) -> Box<dyn Consumer> {
    let request = ConsumeRequest {
        queue: queue.to_owned(),
        declare: Vec::new(),
        prefetch,
        exclusive: false,
        tag: "test".to_owned(),
    };
    broker.consume(request).await.unwrap()
}

/// The next delivery, which must come.
async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    timeout(WAIT, consumer.next()).await.expect("a delivery in time").unwrap()
}

/// Waits, boundedly, until something that no event tells of is so.
async fn until(so: impl Fn() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    timeout(WAIT, async {
        while !so() {
            look.tick().await;
        }
    })
    .await
    .expect("it comes in time");
}
