//! The benchmark's own connection: queues declared, filled, looked at.

use std::collections::VecDeque;

use anyhow::Context as _;
use futures_util::future::join_all;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind,
    PublisherConfirm,
};

use crate::sample::Sample;

/// Messages that are published together.
const GROUP: usize = 500;
/// Such groups that wait for their confirms.
const GROUPS: usize = 16;
/// AMQP's mark of a message that outlasts the broker.
const PERSISTENT: u8 = 2;

/// A connection with a channel in confirm mode.
pub struct Wire {
    connection: Connection,
    /// Its channel.
    pub channel: Channel,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// It can't.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel })
    }

    /// Another channel on the connection.
    ///
    /// # Errors
    /// It broke.
    pub async fn channel(&self) -> anyhow::Result<Channel> {
        Ok(self.connection.create_channel().await?)
    }

    /// A durable queue of that kind, as the host declares one.
    ///
    /// # Errors
    /// It is there and differs.
    pub async fn queue(&self, name: &str, kind: Kind) -> anyhow::Result<()> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(name.into(), options, kind.arguments()).await?;
        Ok(())
    }

    /// A fanout exchange that feeds those queues.
    ///
    /// # Errors
    /// It is there and differs.
    pub async fn fanout(&self, name: &str, queues: &[String]) -> anyhow::Result<()> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let kind = ExchangeKind::Fanout;
        self.channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await?;
        for queue in queues {
            let (options, none) = (QueueBindOptions::default(), FieldTable::default());
            let (queue, name) = (queue.as_str().into(), name.into());
            self.channel.queue_bind(queue, name, "".into(), options, none).await?;
        }
        Ok(())
    }

    /// Publishes all of them, persistent, and waits for every confirm.
    ///
    /// # Errors
    /// One wasn't taken.
    pub async fn fill(&self, exchange: &str, samples: &[Sample]) -> anyhow::Result<()> {
        let mut waiting: VecDeque<Vec<lapin::Result<PublisherConfirm>>> = VecDeque::new();
        for group in samples.chunks(GROUP) {
            let publishes = join_all(group.iter().map(|sample| {
                let options = BasicPublishOptions::default();
                let key = sample.routing_key.as_str().into();
                let properties = properties(sample);
                self.channel.basic_publish(exchange.into(), key, options, &sample.body, properties)
            }));
            waiting.push_back(publishes.await);
            if waiting.len() >= GROUPS {
                confirmed(waiting.pop_front()).await?;
            }
        }
        while !waiting.is_empty() {
            confirmed(waiting.pop_front()).await?;
        }
        Ok(())
    }

    /// How many messages are ready there, and how many consumers it has.
    ///
    /// # Errors
    /// There is no such queue.
    pub async fn depth(&self, queue: &str) -> anyhow::Result<(u32, u32)> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(queue.into(), options, FieldTable::default());
        let queue = declared.await.with_context(|| format!("look at the queue {queue}"))?;
        Ok((queue.message_count(), queue.consumer_count()))
    }

    /// Empties a queue; how many messages were ready.
    ///
    /// # Errors
    /// There is no such queue.
    pub async fn purge(&self, queue: &str) -> anyhow::Result<u32> {
        Ok(self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await?)
    }
}

async fn confirmed(group: Option<Vec<lapin::Result<PublisherConfirm>>>) -> anyhow::Result<()> {
    for confirm in group.into_iter().flatten() {
        let confirmed = matches!(confirm?.await?, Confirmation::Ack(_));
        anyhow::ensure!(confirmed, "the broker refused a message");
    }
    Ok(())
}

/// A message's properties as a producer sets them.
#[must_use]
pub fn properties(sample: &Sample) -> BasicProperties {
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    if let Some(content_type) = &sample.properties.content_type {
        properties = properties.with_content_type(content_type.as_str().into());
    }
    if let Some(id) = &sample.properties.message_id {
        properties = properties.with_message_id(id.as_str().into());
    }
    properties
}

/// A kind of queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Classic.
    Classic,
    /// Quorum.
    Quorum,
}

impl Kind {
    /// Its name in a config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }

    fn arguments(self) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(self.as_str().into()));
        if self == Self::Quorum {
            let limit = i64::from(sluicegate::limits::DELIVERY_LIMIT);
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(limit));
        }
        arguments
    }
}
