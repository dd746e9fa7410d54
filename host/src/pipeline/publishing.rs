//! Publishes what a batch led to, one group at a time, until every message's fate is known.
//!
//! A refusal that passes (a nack, a timeout, a lost connection, a missing exchange) repeats the same
//! bytes with backoff and spends nobody's attempts. Where it doesn't pass soon it trips the pipeline's
//! breaker, and the group is given up when the consumer is cancelled. A permanent one fails the message. A failure report gets one try.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::address::{Planned, Role};
use super::backoff::Backoff;
use super::breaker::{Breaker, Phase};
use super::shard::Event;
use crate::broker::{Broker, BrokerError, Outgoing, Published, Publisher};
use crate::config::Unroutable;
use crate::fault::{self, Point};
use crate::limits::{PUBLISH_GROUP_MESSAGES, REPORT_TIMEOUT};
use crate::telemetry::PipelineMetrics;
use crate::verdict::{Failure, FailureClass};

/// What became of a planned message.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Confirmed, or dropped where its output allows it.
    Safe,
    /// It can't be published, ever.
    Impossible(Failure),
    /// A failure report that wasn't confirmed in time.
    Untold,
    /// Given up, at a shutdown or for the target's trouble; nobody knows.
    Abandoned,
}

/// A group that was published, and each message's fate in order.
#[derive(Debug)]
pub struct Done {
    /// The messages.
    pub items: Vec<Planned>,
    /// Their fates.
    pub fates: Vec<Fate>,
}

/// A broker that is published to.
#[derive(Clone)]
pub struct Target {
    /// The broker.
    pub broker: Arc<dyn Broker>,
    /// Told when something that should be there may not be.
    pub doubt: mpsc::Sender<()>,
    /// Whether all that the config needs is there, where somebody watches over it.
    pub ready: Option<watch::Receiver<Result<(), String>>>,
}

/// Publishes for one lane.
pub struct Publishing {
    brokers: Arc<[Target]>,
    publishers: Vec<Option<Box<dyn Publisher>>>,
    metrics: PipelineMetrics,
    breaker: Arc<Breaker>,
    abandon: CancellationToken,
}

impl Publishing {
    /// A publisher to those brokers that gives up when told to abandon.
    #[must_use]
    pub fn new(
        brokers: Arc<[Target]>,
        metrics: PipelineMetrics,
        breaker: Arc<Breaker>,
        abandon: CancellationToken,
    ) -> Self {
        let publishers = brokers.iter().map(|_| None).collect();
        Self { brokers, publishers, metrics, breaker, abandon }
    }

    /// Publishes each group it is sent and reports it to the shard, until either end is gone.
    pub async fn run(
        mut self,
        lane: usize,
        mut groups: mpsc::Receiver<Vec<Planned>>,
        shard: mpsc::Sender<Event>,
    ) {
        while let Some(items) = groups.recv().await {
            let fates = self.publish(&items).await;
            if shard.send(Event::Published(lane, Done { items, fates })).await.is_err() {
                return;
            }
        }
    }

    /// The fate of each message, in order.
    pub async fn publish(&mut self, items: &[Planned]) -> Vec<Fate> {
        let mut fates: Vec<Option<Fate>> = vec![None; items.len()];
        self.tell(items, &mut fates).await;
        let mut backoff = Backoff::default();
        let started = Instant::now();
        let mut troubled = false;
        while let Some(trouble) = self.round(items, &mut fates, troubled).await {
            if troubled && matches!(self.breaker.phase(), Phase::Open(_)) {
                break;
            }
            troubled = true;
            self.metrics.paused(Some(&trouble));
            if started.elapsed() >= self.breaker.patience() {
                self.breaker.trip(&trouble);
            }
            let cancelled = tokio::select! {
                biased;
                () = self.abandon.cancelled() => true,
                () = self.breaker.opened() => true,
                () = backoff.wait() => false,
            };
            if cancelled {
                break;
            }
        }
        if fates.iter().all(Option::is_some) {
            if fates.contains(&Some(Fate::Safe)) {
                self.breaker.passed();
            }
            if troubled {
                self.metrics.paused(None);
            }
        }
        fates.into_iter().map(|fate| fate.unwrap_or(Fate::Abandoned)).collect()
    }

    /// Failure reports first, once, and no longer than [`REPORT_TIMEOUT`] altogether: what they are
    /// about is dead-lettered next, told or untold.
    async fn tell(&mut self, items: &[Planned], fates: &mut [Option<Fate>]) {
        let reports: Vec<usize> =
            (0..items.len()).filter(|&at| items[at].role == Role::Report).collect();
        if reports.is_empty() {
            return;
        }
        for &at in &reports {
            fates[at] = Some(Fate::Untold);
        }
        let deadline = Instant::now() + REPORT_TIMEOUT;
        for chunk in reports.chunks(PUBLISH_GROUP_MESSAGES) {
            let broker = items[chunk[0]].broker;
            let left = deadline.saturating_duration_since(Instant::now());
            let told = timeout(left, self.send(broker, items, chunk)).await;
            let Ok(Ok(outcomes)) = told else {
                // A publisher that was interrupted within a group can't be used for another.
                self.publishers[broker] = None;
                continue;
            };
            for (&at, outcome) in chunk.iter().zip(outcomes) {
                if outcome == Published::Confirmed {
                    fates[at] = Some(Fate::Safe);
                }
            }
        }
    }

    /// Publishes what has no fate yet. What is still in the way, if anything. A group that was in
    /// trouble before is `troubled`, and given up with the breaker.
    async fn round(
        &mut self,
        items: &[Planned],
        fates: &mut [Option<Fate>],
        troubled: bool,
    ) -> Option<String> {
        let mut troubles = None;
        for broker in 0..self.brokers.len() {
            let waiting: Vec<usize> = (0..items.len())
                .filter(|&at| fates[at].is_none() && items[at].broker == broker)
                .collect();
            let mut trouble = None;
            for chunk in waiting.chunks(PUBLISH_GROUP_MESSAGES) {
                let started = Instant::now();
                let mut watched = self.brokers[broker].ready.clone();
                let unready =
                    watched.as_mut().and_then(|ready| ready.borrow_and_update().clone().err());
                let (abandon, breaker) = (self.abandon.clone(), Arc::clone(&self.breaker));
                let sent = tokio::select! {
                    // First, so that nothing overtakes what was given up before it.
                    biased;
                    () = abandon.cancelled() => {
                        self.publishers[broker] = None;
                        return Some("abandoned".to_owned());
                    }
                    () = breaker.opened(), if troubled => {
                        self.publishers[broker] = None;
                        return Some("given up".to_owned());
                    }
                    sent = self.send(broker, items, chunk) => sent,
                };
                match sent {
                    Err(error) => {
                        self.doubt(broker);
                        trouble = Some(error.to_string());
                    }
                    Ok(outcomes) => {
                        let bodies = || chunk.iter().map(|&at| &*items[at].message.body);
                        fault::point(Point::PostConfirm, bodies);
                        self.metrics.published(chunk.len(), started.elapsed());
                        let unready = unready.or_else(|| put_right(watched.as_ref()));
                        for (&at, outcome) in chunk.iter().zip(outcomes) {
                            // An exchange that is declared again has its bindings a moment later.
                            if let (Published::Unroutable, Some(why)) = (&outcome, &unready) {
                                trouble = Some(why.clone());
                                continue;
                            }
                            match self.judge(&items[at], outcome) {
                                Ok(fate) => fates[at] = Some(fate),
                                Err(reason) => trouble = Some(reason),
                            }
                        }
                    }
                }
                if trouble.is_some() {
                    // What follows must not overtake what has to be sent again.
                    break;
                }
            }
            troubles = troubles.or(trouble);
        }
        troubles
    }

    async fn send(
        &mut self,
        broker: usize,
        items: &[Planned],
        which: &[usize],
    ) -> Result<Vec<Published>, BrokerError> {
        let publisher = match &mut self.publishers[broker] {
            Some(publisher) => publisher,
            none => none.insert(self.brokers[broker].broker.publisher().await?),
        };
        let group: Vec<Outgoing> = which.iter().map(|&at| items[at].message.clone()).collect();
        Ok(publisher.publish(&group).await)
    }

    /// Has somebody look whether all that should be there is.
    fn doubt(&self, broker: usize) {
        // One doubt that waits is as good as two.
        let _ = self.brokers[broker].doubt.try_send(());
    }

    /// The fate that an outcome means, or why the message must be published again.
    fn judge(&self, item: &Planned, outcome: Published) -> Result<Fate, String> {
        let target = &item.message.exchange;
        match (outcome, &item.role) {
            (Published::Confirmed, role) => {
                if let Role::Output { name, .. } = role {
                    self.metrics.emitted(name);
                }
                Ok(Fate::Safe)
            }
            (Published::Unroutable, Role::Output { unroutable: Unroutable::Drop, .. }) => {
                Ok(Fate::Safe)
            }
            (Published::Unroutable, Role::Output { name, .. }) => Ok(Fate::Impossible(failure(
                "unroutable",
                format!(
                    "output '{name}': exchange '{target}' routes '{}' to no queue; bind one, or set unroutable = \"drop\"",
                    item.message.routing_key
                ),
            ))),
            (Published::Impossible(text), _) => Ok(Fate::Impossible(failure("too_large", text))),
            (Published::Unroutable, _) => {
                self.metrics.publish_refused("unroutable_copy");
                self.doubt(item.broker);
                Err(format!("'{}' routes copies nowhere", item.message.routing_key))
            }
            (Published::NoTarget(text), _) => {
                self.metrics.publish_refused("no_target");
                self.doubt(item.broker);
                Err(text)
            }
            (Published::Refused(text), _) => {
                self.metrics.publish_refused("refused");
                Err(text)
            }
            (Published::Unknown(text), _) => {
                self.metrics.publish_refused("unknown");
                Err(text)
            }
        }
    }
}

/// Why the broker may have lacked something since this was last looked at, however it is now.
fn put_right(ready: Option<&watch::Receiver<Result<(), String>>>) -> Option<String> {
    let ready = ready?;
    // A supervisor that is gone puts nothing right.
    let moved = ready.has_changed().unwrap_or(false);
    let meanwhile = || "the broker was being put right meanwhile".to_owned();
    moved.then(|| ready.borrow().clone().err().unwrap_or_else(meanwhile))
}

fn failure(code: &str, text: String) -> Failure {
    Failure {
        class: FailureClass::Publish,
        code: code.to_owned(),
        text,
        stage: None,
        backtrace: Vec::new(),
        retry_after: None,
    }
}

#[cfg(test)]
mod tests;
