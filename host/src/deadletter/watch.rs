//! Dead-letter queues looked at from time to time: how much they hold, how old it is, how near that is
//! to what they may hold. Depths are asked for without touching a message. Ages come from a look at the
//! oldest message, on classic queues alone, where taking and releasing it changes nothing but its mark
//! of having been delivered; a quorum queue counts deliveries, so there nobody looks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::letter::Letter;
use super::places::places;
use crate::broker::{Broker, BrokerError, ConsumeRequest, Settlement};
use crate::clock::Clock;
use crate::config::{Config, QueueKind};
use crate::limits;
use crate::message::Message;
use crate::notice::ConditionKind;
use crate::report::FAILURE_KIND;
use crate::telemetry::Telemetry;

/// A queue that is looked at, and what it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its name.
    pub queue: String,
    /// Whether its oldest message may be looked at.
    pub peek: bool,
    /// Most messages.
    pub max_length: Option<u64>,
    /// How long it keeps one.
    pub ttl: Option<Duration>,
}

/// The dead-letter queues of a broker, and its queue of failure reports.
#[must_use]
pub fn watched(config: &Config, broker: &str) -> Vec<Watched> {
    let mut all: Vec<Watched> = places(config, broker)
        .into_iter()
        .map(|place| {
            let known = config.queues.iter().find(|q| q.broker == broker && q.name == place.queue);
            // An archive's queue is on its way to files.
            let archive = place.queue.starts_with(limits::ARCHIVE_PREFIX);
            Watched {
                peek: place.kind == Some(QueueKind::Classic) && !archive,
                max_length: known.and_then(|queue| queue.max_length),
                ttl: known.and_then(|queue| queue.message_ttl),
                queue: place.queue,
            }
        })
        .collect();
    let failures = &config.failures;
    let own = config.queues.iter().any(|q| q.broker == broker && q.name == failures.exchange);
    if !own && config.pipelines.iter().any(|pipeline| pipeline.broker == broker) {
        all.push(Watched {
            queue: failures.exchange.clone(),
            peek: true,
            max_length: Some(failures.max_length),
            ttl: Some(failures.ttl),
        });
    }
    all
}

/// Looks for as long as it is polled; not while the broker is away.
pub async fn run(
    name: String,
    broker: Arc<dyn Broker>,
    queues: Vec<Watched>,
    mut ready: watch::Receiver<Result<(), String>>,
    telemetry: Telemetry,
) {
    let metrics: BTreeMap<&str, _> = queues
        .iter()
        .map(|it| (it.queue.as_str(), telemetry.dead_letters(&name, &it.queue)))
        .collect();
    let mut ticks = tokio::time::interval(limits::DEAD_LETTERS_LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if ready.wait_for(Result::is_ok).await.is_err() {
            // The host is stopping.
            return;
        }
        for queue in &queues {
            let look = match look(&broker, queue, telemetry.clock()).await {
                Ok(look) => look,
                Err(error) => {
                    tracing::debug!(queue = queue.queue, %error, "can't be looked at");
                    continue;
                }
            };
            let near = near(queue, look.messages, look.age);
            if let Some(metrics) = metrics.get(queue.queue.as_str()) {
                metrics.looked(look.messages, look.age, near.as_ref().map_or(0.0, |it| it.share));
            }
            let why = near.filter(|near| near.share >= limits::DEAD_LETTERS_NEAR_SHARE);
            let why = why.map(|near| near.text);
            let kind = ConditionKind::DeadLettersNearLimit;
            telemetry.condition(kind, &queue.queue, why.as_deref());
        }
    }
}

/// What a look showed.
#[derive(Clone, Copy, Debug)]
struct Look {
    messages: u32,
    /// How long its oldest message has been there, where that is known.
    age: Option<Duration>,
}

async fn look(
    broker: &Arc<dyn Broker>,
    watched: &Watched,
    clock: &Clock,
) -> Result<Look, BrokerError> {
    let depth = broker.depth(&watched.queue).await?;
    let mut age = (watched.peek && depth.messages == 0).then_some(Duration::ZERO);
    if watched.peek && depth.messages > 0 && depth.consumers == 0 {
        let peek =
            tokio::time::timeout(limits::DEAD_LETTERS_PEEK, peek(broker, &watched.queue, clock));
        age = peek.await.ok().and_then(Result::ok).flatten();
    }
    Ok(Look { messages: depth.messages, age })
}

/// How long the oldest message has been there, by what it says itself.
async fn peek(
    broker: &Arc<dyn Broker>,
    queue: &str,
    clock: &Clock,
) -> Result<Option<Duration>, BrokerError> {
    let request = ConsumeRequest {
        queue: queue.to_owned(),
        declare: Vec::new(),
        prefetch: 1,
        exclusive: false,
        tag: format!("sluicegate.look.{}", std::process::id()),
    };
    let mut consumer = broker.consume(request).await?;
    let delivery = consumer.next().await?;
    let since = since(&delivery.message);
    consumer.cancel().await?;
    delivery.receipt.settle(Settlement::Release);
    consumer.close().await?;
    Ok(since.map(|since| Duration::from_secs(clock.now_s().saturating_sub(since))))
}

/// When it came there, in seconds since 1970.
fn since(message: &Message) -> Option<u64> {
    if message.properties.kind.as_deref() == Some(FAILURE_KIND) {
        return message.properties.timestamp;
    }
    let failed_at = Letter::read(message.clone()).stand_in().failed_at;
    (failed_at > 0).then_some(failed_at)
}

/// The limit that is nearest.
#[derive(Clone, Debug, PartialEq)]
struct Near {
    share: f64,
    text: String,
}

fn near(watched: &Watched, messages: u32, age: Option<Duration>) -> Option<Near> {
    let length = watched.max_length.map(|max| Near {
        share: f64::from(messages) / (max.max(1) as f64),
        text: format!("{messages} of at most {max} messages"),
    });
    let ttl = watched.ttl.zip(age).map(|(ttl, age)| Near {
        share: age.as_secs_f64() / ttl.as_secs_f64().max(1.0),
        text: format!("its oldest message is {} of at most {} s old", age.as_secs(), ttl.as_secs()),
    });
    length.into_iter().chain(ttl).max_by(|a, b| a.share.total_cmp(&b.share))
}

#[cfg(test)]
mod tests;
