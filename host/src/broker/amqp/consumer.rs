//! A consumer on a channel of its own.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::Channel;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::time::{sleep, timeout};

use super::declare::{answered, declare, depth, unsupported};
use super::errors;
use super::fields::{from_properties, short};
use super::link::Link;
use super::settle::{ChannelSettler, Written};
use crate::broker::{
    BrokerError, ConsumeRequest, Consumer, Declaration, Delivery, Destination, Receipt, Settlement,
    Settler,
};
use crate::limits::{ACKS_HEARD, ACKS_HEARD_LOOK, BROKER_ANSWER};
use crate::message::{FieldValue, Message};

/// Deliveries of one queue.
pub(super) struct AmqpConsumer {
    queue: String,
    channel: Channel,
    stream: lapin::Consumer,
    settler: Arc<ChannelSettler>,
    /// Why there are no more deliveries.
    over: Option<BrokerError>,
}

impl AmqpConsumer {
    /// Declares what the request names, then consumes.
    pub(super) async fn start(
        link: &Link,
        request: &ConsumeRequest,
        dropped: Arc<AtomicU64>,
    ) -> Result<Self, BrokerError> {
        let channel = link.channel().await?;
        let queue = prepare(&channel, request).await?;
        let what = format!("queue '{queue}'");
        let qos = channel.basic_qos(request.prefetch.max(1), BasicQosOptions::default());
        answered(qos, &what).await?;
        // Before the first delivery, so that none is without it.
        let settler = ChannelSettler::start(&channel, request.prefetch.max(1), &queue, dropped);
        let options =
            BasicConsumeOptions { exclusive: request.exclusive, ..BasicConsumeOptions::default() };
        let name = short(&what, &queue).map_err(unsupported)?;
        let tag = short("the consumer tag", &request.tag).map_err(unsupported)?;
        let consuming = channel.basic_consume(name, tag, options, FieldTable::default());
        let stream = answered(consuming, &what).await?;
        Ok(Self { queue, channel, stream, settler, over: None })
    }

    fn hand_out(&self, delivery: lapin::message::Delivery) -> Delivery {
        let properties = from_properties(&delivery.properties);
        let delivery_count = properties
            .headers
            .get("x-delivery-count")
            .and_then(FieldValue::as_i64)
            .and_then(|count| u32::try_from(count).ok());
        let settler: Arc<dyn Settler> = Arc::clone(&self.settler) as _;
        Delivery {
            message: Message {
                exchange: delivery.exchange.into(),
                routing_key: delivery.routing_key.into(),
                properties,
                body: Bytes::from(delivery.data),
            },
            redelivered: delivery.redelivered,
            delivery_count,
            unfit: None,
            receipt: Receipt::new(settler, delivery.delivery_tag),
        }
    }

    /// Waits until the queue has heard every settlement. A channel of RabbitMQ keeps those of a quorum
    /// queue to itself while many before them aren't applied, and a channel that closes then forgets them:
    /// they would be delivered again. A cancelled consumer counts among the queue's for as long as it
    /// holds anything, which tells when all is heard, unless others consume from the queue as well.
    async fn await_heard(&self) {
        let heard = async {
            // Where the queue can't be asked it is gone, or the channel is.
            while depth(&self.channel, &self.queue).await.is_ok_and(|depth| depth.consumers > 0) {
                sleep(ACKS_HEARD_LOOK).await;
            }
        };
        let _not_alone = timeout(ACKS_HEARD, heard).await;
    }

    /// The delivery in what the stream brought, if there is one to hand out. The stream tells its end once and is
    /// silent from then on, so whoever looks at it keeps the reason in `over`.
    fn take(&mut self, came: Option<lapin::Result<lapin::message::Delivery>>) -> Option<Delivery> {
        let stale = self.settler.is_stale();
        let what = || format!("consumer of queue '{}'", self.queue);
        let over = match came {
            // What was buffered when the channel broke will be delivered again elsewhere.
            Some(Ok(_)) if stale => return None,
            Some(Ok(delivery)) => return Some(self.hand_out(delivery)),
            Some(Err(error)) => errors::of_channel(&error, &what()),
            None if stale => BrokerError::ChannelClosed(what()),
            None => {
                let why = format!("queue '{}' was deleted, or its leader moved", self.queue);
                BrokerError::Cancelled(why)
            }
        };
        self.over = Some(over);
        None
    }
}

#[async_trait]
impl Consumer for AmqpConsumer {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        loop {
            if let Some(error) = &self.over {
                return Err(error.clone());
            }
            let came = self.stream.next().await;
            if let Some(delivery) = self.take(came) {
                return Ok(delivery);
            }
        }
    }

    fn at_hand(&mut self) -> Option<Delivery> {
        loop {
            if self.over.is_some() {
                return None;
            }
            let came = self.stream.next().now_or_never()?;
            if let Some(delivery) = self.take(came) {
                return Some(delivery);
            }
        }
    }

    async fn cancel(&mut self) -> Result<(), BrokerError> {
        if self.over.is_some() {
            return Ok(());
        }
        let what = format!("cancelling the consumer of queue '{}'", self.queue);
        let cancelling =
            self.channel.basic_cancel(self.stream.tag(), BasicCancelOptions::default());
        answered(cancelling, &what).await?;
        self.settler.gather();
        // The broker's answer came behind the last delivery; the stream ends with it.
        let buffered = async {
            while let Some(Ok(delivery)) = self.stream.next().await {
                self.settler.settle(delivery.delivery_tag, Settlement::Release);
            }
        };
        let drained = timeout(BROKER_ANSWER, buffered).await.is_ok();
        let why = format!("consumer of queue '{}' by sluicegate itself", self.queue);
        self.over = Some(BrokerError::Cancelled(why));
        if drained { Ok(()) } else { Err(BrokerError::ChannelClosed(what)) }
    }

    async fn close(self: Box<Self>) -> Result<(), BrokerError> {
        let what = format!("closing the consumer of queue '{}'", self.queue);
        let flushed = timeout(BROKER_ANSWER, self.settler.flush()).await;
        let held_back = matches!(flushed, Ok(Some(Ok(Written::MaybeHeldBack))));
        if held_back && self.over.is_some() {
            self.await_heard().await;
        }
        self.settler.close();
        let closed = answered(self.channel.close(200, "done".into()), &what).await;
        match flushed {
            Ok(Some(Ok(_))) => closed,
            Ok(Some(Err(error))) => Err(errors::of_channel(&error, &what)),
            Ok(None) => Err(BrokerError::ChannelClosed(what)),
            Err(_) => Err(BrokerError::Unreachable(what)),
        }
    }
}

/// Declares what the consumer's own connection must hold, and returns the queue's name.
async fn prepare(channel: &Channel, request: &ConsumeRequest) -> Result<String, BrokerError> {
    let mut queue = request.queue.clone();
    for object in &request.declare {
        match object {
            Declaration::Queue(_) => queue = declare(channel, object).await?.name,
            Declaration::Binding(binding)
                if binding.destination == Destination::Queue(String::new()) =>
            {
                let mut named = binding.clone();
                named.destination = Destination::Queue(queue.clone());
                declare(channel, &Declaration::Binding(named)).await?;
            }
            Declaration::Binding(_) | Declaration::Exchange(_) => {
                declare(channel, object).await?;
            }
        }
    }
    Ok(queue)
}
