//! From what is told to its receiver: a queue of its own for each, tried again with pauses, given up in
//! the end, each fate counted.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::post;
use super::telling::{ALERT_KIND, Telling};
use crate::broker::{Broker, Outgoing, Published, Publisher};
use crate::config::{NotifyExchange, Webhook};
use crate::limits;
use crate::message::Properties;
use crate::pipeline::Backoff;
use crate::telemetry::NotifyMetrics;

/// Where tellings go.
pub(super) enum Receiver {
    Exchange { broker: Arc<dyn Broker>, target: NotifyExchange },
    Webhook(Arc<Webhook>),
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Sent,
    /// It may succeed later.
    Again(String),
    /// It never will.
    Never(String),
}

/// The way to one receiver, for whoever has something to tell.
pub(super) struct Outbox {
    waiting: mpsc::Sender<Telling>,
    metrics: NotifyMetrics,
}

// === impl Outbox ===

impl Outbox {
    /// Hands it on, or drops it where too much waits. Never blocks.
    pub(super) fn send(&self, telling: Telling) {
        if self.waiting.try_send(telling).is_err() {
            self.metrics.dropped("more waits for this receiver than is kept");
        }
    }
}

/// A receiver's queue, and its task to be run.
pub(super) fn open(
    receiver: Receiver,
    host: &str,
    metrics: NotifyMetrics,
) -> (Outbox, impl Future<Output = ()> + Send + use<>) {
    let (waiting, tellings) = mpsc::channel(limits::NOTIFY_WAITING);
    let courier =
        Courier { receiver, publisher: None, host: host.to_owned(), metrics: metrics.clone() };
    (Outbox { waiting, metrics }, courier.run(tellings))
}

struct Courier {
    receiver: Receiver,
    publisher: Option<Box<dyn Publisher>>,
    host: String,
    metrics: NotifyMetrics,
}

// === impl Courier ===

impl Courier {
    async fn run(mut self, mut tellings: mpsc::Receiver<Telling>) {
        while let Some(telling) = tellings.recv().await {
            self.deliver(&telling).await;
        }
    }

    async fn deliver(&mut self, telling: &Telling) {
        let (started, mut backoff) = (Instant::now(), Backoff::default());
        loop {
            match self.attempt(telling).await {
                Attempt::Sent => return self.metrics.sent(),
                Attempt::Never(why) => return self.metrics.dropped(&why),
                Attempt::Again(why) if started.elapsed() >= limits::NOTIFY_TRY_FOR => {
                    return self.metrics.dropped(&why);
                }
                Attempt::Again(why) => self.metrics.retried(&why),
            }
            backoff.wait().await;
        }
    }

    async fn attempt(&mut self, telling: &Telling) -> Attempt {
        match &self.receiver {
            Receiver::Webhook(webhook) => post::post(webhook, telling, &self.host).await,
            Receiver::Exchange { broker, target } => {
                let message = outgoing(target, telling, &self.host);
                let publisher = match &mut self.publisher {
                    Some(publisher) => publisher,
                    none => match broker.publisher().await {
                        Ok(publisher) => none.insert(publisher),
                        Err(error) => return Attempt::Again(error.to_string()),
                    },
                };
                let attempt = fate(publisher.publish(&[message]).await.pop());
                if matches!(attempt, Attempt::Again(_)) {
                    self.publisher = None;
                }
                attempt
            }
        }
    }
}

fn outgoing(target: &NotifyExchange, telling: &Telling, host: &str) -> Outgoing {
    let routing_key = target.routing_key.clone().unwrap_or_else(|| telling.routing_key());
    let properties = Properties {
        content_type: Some("application/json".to_owned()),
        delivery_mode: Some(2),
        message_id: Some(telling.id(host)),
        timestamp: Some(telling.last_s),
        kind: Some(ALERT_KIND.to_owned()),
        ..Properties::default()
    };
    let body = Bytes::from(telling.message(host).to_string());
    Outgoing { exchange: target.name.clone(), routing_key, properties, body }
}

fn fate(published: Option<Published>) -> Attempt {
    match published {
        Some(Published::Confirmed) => Attempt::Sent,
        Some(Published::Unroutable) => {
            Attempt::Never("no queue is bound to the exchange".to_owned())
        }
        Some(Published::Impossible(why)) => Attempt::Never(why),
        Some(Published::NoTarget(why) | Published::Refused(why) | Published::Unknown(why)) => {
            Attempt::Again(why)
        }
        None => Attempt::Again("the broker gave no answer".to_owned()),
    }
}
