//! What a contract test works with: a broker, unique names, short words for what every test does.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sluicegate::broker::{
    BindingDeclaration, Broker, ConsumeRequest, Consumer, Declaration, Declared, Delivery,
    Destination, ExchangeDeclaration, Outgoing, Published, QueueDeclaration, Settlement, Version,
};
use sluicegate::config::{ExchangeKind, QueueKind};
use sluicegate::message::{FieldValue, Message, Properties, Table};

/// How long any test waits for anything. Generous: a busy machine is no failure.
const WAIT: Duration = Duration::from_secs(60);

/// How often [`eventually`] asks.
const ATTEMPTS: u32 = 100_000;

/// A broker for one test.
pub(crate) struct World {
    pub(crate) broker: Arc<dyn Broker>,
    scope: String,
    delete_queue: Box<dyn Fn(String) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// Awaits something that must come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(WAIT, future).await.expect("it comes in time")
}

/// Asks again until there is an answer. For what a broker does a moment after it said so; bounded in
/// time, and in attempts where time stands still.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let asking = async {
        for _ in 0..ATTEMPTS {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
        panic!("no answer after {ATTEMPTS} attempts");
    };
    within(asking).await
}

// === impl World ===

impl World {
    /// A world on a broker that other tests use too; `delete_queue` deletes one by its full name.
    pub(crate) fn new(
        broker: Arc<dyn Broker>,
        test: &str,
        delete_queue: impl Fn(String) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        // Names have 255 bytes at most; the test's own is for people who look at the node.
        let test: String = test.chars().take(60).collect();
        let scope = format!("{test}.{:016x}", fastrand::u64(..));
        Self { broker, scope, delete_queue: Box::new(delete_queue) }
    }

    /// Whether a quorum queue counts a message that was given back (`basic.nack`, requeue): RabbitMQ
    /// 4.3 and later count only those whose consumer went away.
    pub(crate) async fn counts_releases(&self) -> bool {
        let server = within(self.broker.server()).await.expect("it says what it is");
        server.product != "RabbitMQ" || server.version < Version { major: 4, minor: 3, patch: 0 }
    }

    /// A name that only this test uses.
    pub(crate) fn name(&self, word: &str) -> String {
        format!("{word}.{}", self.scope)
    }

    pub(crate) async fn delete_queue(&self, name: &str) {
        (self.delete_queue)(name.to_owned()).await;
    }

    /// Declares an exchange and gives its name.
    pub(crate) async fn exchange(&self, word: &str, kind: ExchangeKind) -> String {
        self.exchange_with(word, kind, &[]).await
    }

    /// Declares an exchange with arguments and gives its name.
    pub(crate) async fn exchange_with(
        &self,
        word: &str,
        kind: ExchangeKind,
        arguments: &[(&str, FieldValue)],
    ) -> String {
        let exchange = ExchangeDeclaration {
            name: self.name(word),
            kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: table(arguments),
        };
        self.declare(Declaration::Exchange(exchange.clone())).await;
        exchange.name
    }

    /// Declares a durable classic queue with arguments and gives its name.
    pub(crate) async fn queue(&self, word: &str, arguments: &[(&str, FieldValue)]) -> String {
        let queue = self.queue_declaration(word, QueueKind::Classic, arguments);
        self.declare(Declaration::Queue(queue)).await.name
    }

    /// A durable queue's declaration.
    pub(crate) fn queue_declaration(
        &self,
        word: &str,
        kind: QueueKind,
        arguments: &[(&str, FieldValue)],
    ) -> QueueDeclaration {
        QueueDeclaration {
            name: self.name(word),
            kind,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: table(arguments),
        }
    }

    /// Binds a queue to an exchange.
    pub(crate) async fn bind(&self, exchange: &str, queue: &str, key: &str) {
        self.bind_with(exchange, Destination::Queue(queue.to_owned()), key, &[]).await;
    }

    /// Binds anything to an exchange.
    pub(crate) async fn bind_with(
        &self,
        exchange: &str,
        destination: Destination,
        key: &str,
        arguments: &[(&str, FieldValue)],
    ) {
        let binding = BindingDeclaration {
            source: exchange.to_owned(),
            destination,
            key: key.to_owned(),
            arguments: table(arguments),
        };
        self.declare(Declaration::Binding(binding)).await;
    }

    pub(crate) async fn declare(&self, object: Declaration) -> Declared {
        self.broker.declare(&object).await.expect("the declaration is accepted")
    }

    /// Publishes a group and gives its outcomes.
    pub(crate) async fn publish(&self, group: &[Outgoing]) -> Vec<Published> {
        let mut publisher = self.broker.publisher().await.expect("a publisher opens");
        let outcomes = publisher.publish(group).await;
        assert_eq!(outcomes.len(), group.len(), "one outcome a message");
        outcomes
    }

    /// Publishes a group that must be confirmed as a whole.
    pub(crate) async fn publish_confirmed(&self, group: &[Outgoing]) {
        for (outgoing, outcome) in group.iter().zip(self.publish(group).await) {
            assert_eq!(outcome, Published::Confirmed, "{outgoing:?}");
        }
    }

    /// Consumes a queue.
    pub(crate) async fn consume(&self, queue: &str, prefetch: u16) -> Box<dyn Consumer> {
        self.broker.consume(request(queue, prefetch)).await.expect("the queue can be consumed")
    }

    /// Ready messages of a classic queue, declared as [`World::queue`] does.
    pub(crate) async fn ready(&self, word: &str, arguments: &[(&str, FieldValue)]) -> u32 {
        let queue = self.queue_declaration(word, QueueKind::Classic, arguments);
        self.declare(Declaration::Queue(queue)).await.messages
    }

    /// Takes the next `count` bodies from a queue, acknowledged.
    pub(crate) async fn drain(&self, queue: &str, count: usize) -> Vec<String> {
        let mut consumer = self.consume(queue, 100).await;
        let mut bodies = Vec::new();
        for _ in 0..count {
            let delivery = next(&mut consumer).await;
            bodies.push(body(&delivery));
            delivery.receipt.settle(Settlement::Ack);
        }
        consumer.close().await.expect("the consumer closes");
        bodies
    }
}

/// A consumer's next delivery, which must come.
pub(crate) async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    within(consumer.next()).await.expect("the consumer lives")
}

/// A request without a declaration.
pub(crate) fn request(queue: &str, prefetch: u16) -> ConsumeRequest {
    ConsumeRequest {
        queue: queue.to_owned(),
        declare: Vec::new(),
        prefetch,
        exclusive: false,
        tag: format!("contract.{:016x}", fastrand::u64(..)),
    }
}

/// A message without properties.
pub(crate) fn message(exchange: &str, routing_key: &str, body: &str) -> Outgoing {
    let id = format!("{:016x}", fastrand::u64(..));
    Outgoing {
        exchange: exchange.to_owned(),
        routing_key: routing_key.to_owned(),
        properties: Properties { message_id: Some(id), ..Properties::default() },
        body: body.to_owned().into(),
    }
}

/// A delivery's body as text.
pub(crate) fn body(delivery: &Delivery) -> String {
    text(&delivery.message)
}

/// A message's body as text.
pub(crate) fn text(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).expect("the body is text")
}

/// A field table.
pub(crate) fn table(fields: &[(&str, FieldValue)]) -> Table {
    fields.iter().map(|(name, value)| (*name, value.clone())).collect()
}
