//! RabbitMQ over AMQP 0-9-1, 3.10 to 4.x, by way of lapin.
//!
//! Consuming, publishing and declaring each have a connection of their own, opened when first
//! needed: a broker short of memory blocks every write of a connection that publishes, acks
//! included, and some refused declarations break the connection they came on. lapin's own recovery
//! stays off: after a broken channel its consumers neither end nor deliver. What breaks here is
//! reported, and whoever uses it starts again.
//!
//! | file | what it does |
//! |---|---|
//! | `address`, `link`, `handshake` | where and as whom; one connection; who answers |
//! | `declare`, `errors` | declarations; the broker's replies in our words |
//! | `consumer`, `settle`, `ack` | deliveries; the task that settles them; which acks to write |
//! | `publisher`, `round`, `vet`, `returns` | groups; one attempt; what can't be sent; what came back |
//! | `fields` | field tables and properties, both ways |

mod ack;
mod address;
mod consumer;
mod declare;
mod errors;
mod fields;
mod handshake;
mod link;
mod publisher;
mod returns;
mod round;
mod settle;
mod vet;

#[cfg(test)]
pub(crate) use self::ack::{Coalescer, Frame};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::RwLock;
use tokio::time::sleep;

use self::address::Address;
use self::consumer::AmqpConsumer;
use self::link::{LastError, Link};
use self::publisher::AmqpPublisher;
use super::{
    Broker, BrokerError, ConsumeRequest, Consumer, Declaration, Declared, Depth, LinkState,
    Publisher, Server, Uses, tls,
};
use crate::config::Amqp;
use crate::limits::SETUP_LINGER;

/// A RabbitMQ.
pub struct AmqpBroker {
    config: Arc<Amqp>,
    consume: Arc<Link>,
    publish: Arc<Link>,
    setup: Arc<Setup>,
    last_error: LastError,
    dropped: Arc<AtomicU64>,
}

/// The connection for declarations, closed when nobody declares for a while.
struct Setup {
    link: Arc<Link>,
    /// Read while the connection is used, written to close it.
    in_use: RwLock<()>,
    uses: AtomicU64,
}

impl AmqpBroker {
    /// A broker of that name, not connected yet.
    #[must_use]
    pub fn new(name: &str, config: Amqp) -> Arc<Self> {
        let config = Arc::new(config);
        let last_error = LastError::default();
        let link = |purpose| Link::new(name, purpose, Arc::clone(&config), last_error.clone());
        Arc::new(Self {
            consume: link("consume"),
            publish: link("publish"),
            setup: Arc::new(Setup {
                link: link("setup"),
                in_use: RwLock::new(()),
                uses: AtomicU64::new(0),
            }),
            config,
            last_error,
            dropped: Arc::new(AtomicU64::new(0)),
        })
    }
}

impl AmqpBroker {
    /// Deletes a classic queue, in one step with the broker's own look whether it is empty and unused;
    /// false where it isn't. No host does this: it is for tools.
    ///
    /// # Errors
    /// When the broker can't be reached, the user may not, or the queue isn't classic: RabbitMQ
    /// deletes no other kind under a condition.
    pub async fn delete_if_empty(&self, queue: &str) -> Result<bool, BrokerError> {
        self.setup.channel(async |channel| declare::delete_if_empty(&channel, queue).await).await
    }
}

#[async_trait]
impl Broker for AmqpBroker {
    async fn connect(&self, Uses { consumes, publishes }: Uses) {
        let links = [consumes.then_some(&self.consume), publishes.then_some(&self.publish)];
        let opening = links.into_iter().flatten().map(|link| link.connection());
        // Who uses it opens it again, and is told then.
        let _opened = join_all(opening).await;
    }

    async fn server(&self) -> Result<Server, BrokerError> {
        if let Some(version) = &self.config.version {
            let version = handshake::parse_version(version).ok_or_else(|| {
                BrokerError::Unsupported(format!(
                    "the broker's `version` {version:?} is no version; write it like \"3.13.7\""
                ))
            })?;
            return Ok(Server { product: "RabbitMQ".to_owned(), version });
        }
        // Logging in is part of the question: the greeting alone comes before it.
        self.setup.channel(async |_| Ok(())).await?;
        let tls = Arc::new(tls::read(&self.config.tls)?);
        let mut failures = Vec::new();
        for url in &self.config.urls {
            let address = Address::parse(url)?;
            let shown = address.to_string();
            let tls = Arc::clone(&tls);
            match tokio::task::spawn_blocking(move || handshake::greet(&address, &tls)).await {
                Ok(Ok(server)) => return Ok(server),
                Ok(Err(error)) => failures.push(format!("{shown}: {error}")),
                Err(error) => failures.push(format!("{shown}: {error}")),
            }
        }
        Err(BrokerError::Unreachable(failures.join("; ")))
    }

    async fn declare(&self, object: &Declaration) -> Result<Declared, BrokerError> {
        self.setup.channel(async |channel| declare::declare(&channel, object).await).await
    }

    async fn exists(&self, object: &Declaration) -> Result<bool, BrokerError> {
        self.setup.channel(async |channel| declare::exists(&channel, object).await).await
    }

    async fn depth(&self, queue: &str) -> Result<Depth, BrokerError> {
        self.setup.channel(async |channel| declare::depth(&channel, queue).await).await
    }

    async fn consume(&self, request: ConsumeRequest) -> Result<Box<dyn Consumer>, BrokerError> {
        let dropped = Arc::clone(&self.dropped);
        Ok(Box::new(AmqpConsumer::start(&self.consume, &request, dropped).await?))
    }

    async fn publisher(&self) -> Result<Box<dyn Publisher>, BrokerError> {
        Ok(Box::new(AmqpPublisher::open(Arc::clone(&self.publish)).await?))
    }

    fn link(&self) -> LinkState {
        LinkState {
            consume: self.consume.is_connected(),
            publish: self.publish.is_connected(),
            broken: self.consume.is_broken() || self.publish.is_broken(),
            blocked: self.publish.blocked(),
            last_error: self.last_error.get(),
            receipts_dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    async fn close(&self) {
        self.consume.close().await;
        self.publish.close().await;
        self.setup.link.close().await;
    }
}

impl Setup {
    /// Does something on a channel of its own: an error closes it.
    async fn channel<T>(
        self: &Arc<Self>,
        act: impl AsyncFnOnce(lapin::Channel) -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        let done = {
            let _open = self.in_use.read().await;
            match self.link.channel().await {
                Ok(channel) => act(channel).await,
                Err(error) => Err(error),
            }
        };
        self.close_when_idle();
        done
    }

    fn close_when_idle(self: &Arc<Self>) {
        let use_number = self.uses.fetch_add(1, Ordering::AcqRel) + 1;
        let setup = Arc::clone(self);
        tokio::spawn(async move {
            sleep(SETUP_LINGER).await;
            let _alone = setup.in_use.write().await;
            if setup.uses.load(Ordering::Acquire) == use_number {
                setup.link.close().await;
            }
        });
    }
}
