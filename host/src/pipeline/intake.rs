//! Intake: consumes a pipeline's queue and deals its messages to the shards, for as long as it is wanted.
//!
//! A consumer that ends is replaced after a pause; before its successor's first delivery enters,
//! every shard forgets what the old one had handed out, for the broker delivers it again. While the
//! pipeline is paused or its broker isn't ready nothing is consumed and nothing held.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::flight::InFlight;
use super::headers;
use super::prepare::{Arrival, Reading};
use super::shard::Event;
use crate::broker::{Broker, BrokerError, ConsumeRequest, Consumer, Delivery};
use crate::limits::{PARTITIONS, RELEASE_TIMEOUT};
use crate::telemetry::PipelineMetrics;

/// What a pipeline should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Consume.
    Run,
    /// Hold nothing until told otherwise.
    Pause,
    /// Finish what is in hand and end.
    Stop,
}

/// What a pipeline does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Consuming.
    Running,
    /// Not consuming, for this reason; it tries again by itself.
    Waiting(String),
    /// Not consuming, as told.
    Paused,
    /// Finishing what is in hand.
    Draining,
    /// Ended.
    Stopped,
}

/// What is known of a broker's readiness, and how to have it looked at again.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// `Ok` once all that the config needs is there; else why not.
    pub ready: watch::Receiver<Result<(), String>>,
    /// Told when something that should be there isn't.
    pub doubt: mpsc::Sender<()>,
}

/// One pipeline's intake.
pub struct Intake {
    /// Its place in the host's list.
    pub lane: usize,
    /// The broker that it consumes from.
    pub broker: Arc<dyn Broker>,
    /// Whether that broker is ready.
    pub readiness: Readiness,
    /// What to consume, and how.
    pub request: ConsumeRequest,
    /// How its messages are read.
    pub reading: Reading,
    /// Where they go.
    pub shards: Vec<mpsc::Sender<Event>>,
    /// How many it holds.
    pub in_flight: Arc<InFlight>,
    /// What it tells.
    pub metrics: PipelineMetrics,
    /// What it should do.
    pub want: watch::Receiver<Want>,
    /// What it does, for all to see.
    pub state: Arc<Mutex<State>>,
    /// Given up on: what is held is released at once.
    pub abandon: CancellationToken,
}

/// Counts over all of a pipeline's consumers.
#[derive(Default)]
struct Counts {
    consumers: u64,
    deliveries: u64,
}

impl Intake {
    /// Consumes until it is told to stop.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut counts = Counts::default();
        loop {
            let want = *self.want.borrow_and_update();
            match want {
                Want::Stop => break,
                Want::Pause => {
                    self.enter(State::Paused);
                    if self.want.changed().await.is_err() {
                        break;
                    }
                    continue;
                }
                Want::Run => {}
            }
            if !self.broker_ready().await {
                continue;
            }
            let error = match self.broker.consume(self.request.clone()).await {
                Ok(consumer) => {
                    backoff.reset();
                    self.enter(State::Running);
                    counts.consumers += 1;
                    match self.feed(consumer, &mut counts).await {
                        Ok(()) => continue,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            self.enter(State::Waiting(error.to_string()));
            tracing::warn!(queue = self.request.queue, %error, "not consuming; trying again");
            // One doubt that waits is as good as two.
            let _ = self.readiness.doubt.try_send(());
            tokio::select! {
                biased;
                () = backoff.wait() => {}
                _ = self.want.changed() => self.want.mark_changed(),
            }
        }
        self.enter(State::Stopped);
    }

    fn enter(&self, state: State) {
        let mut now = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *now != state {
            tracing::info!(queue = self.request.queue, ?state, "pipeline");
            *now = state;
        }
    }

    /// Waits until the broker is ready; false if something else was wanted before.
    async fn broker_ready(&mut self) -> bool {
        loop {
            let ready = self.readiness.ready.borrow_and_update().clone();
            match ready {
                Ok(()) => return true,
                Err(why) => self.enter(State::Waiting(why)),
            }
            tokio::select! {
                biased;
                changed = self.readiness.ready.changed() => if changed.is_err() {
                    // Nobody watches the broker any more: the host is stopping.
                    let _ = self.want.changed().await;
                    return false;
                },
                _ = self.want.changed() => {
                    self.want.mark_changed();
                    return false;
                }
            }
        }
    }

    /// Deals out a consumer's deliveries until it ends or is no longer wanted.
    async fn feed(
        &mut self,
        mut consumer: Box<dyn Consumer>,
        counts: &mut Counts,
    ) -> Result<(), BrokerError> {
        loop {
            let next = tokio::select! {
                biased;
                changed = self.want.changed() => {
                    if changed.is_err() || *self.want.borrow() != Want::Run {
                        self.want.mark_changed();
                        return self.wind_down(consumer, counts.consumers).await;
                    }
                    continue;
                }
                next = consumer.next() => next,
            };
            match next {
                Ok(delivery) => self.deal(delivery, counts).await,
                Err(error) => {
                    self.forget(counts.consumers).await;
                    return Err(error);
                }
            }
        }
    }

    async fn deal(&self, delivery: Delivery, counts: &mut Counts) {
        self.metrics.received(delivery.redelivered);
        self.in_flight.entered(&self.metrics);
        if headers::are_forged(&delivery.message) {
            self.metrics.forged_headers();
        }
        let sequence = counts.deliveries;
        counts.deliveries += 1;
        let arrival = Arrival { delivery, consumer: counts.consumers, sequence };
        let job = self.reading.prepare(arrival);
        let partition = match &job.key {
            Some(key) => partition(key),
            // Messages without a key may go anywhere; one that comes again, to its identity.
            None => match &job.identity {
                Some(identity) => usize::from(identity.id[0]) % PARTITIONS,
                None => usize::try_from(sequence).unwrap_or(0) % PARTITIONS,
            },
        };
        let shard = &self.shards[partition % self.shards.len()];
        if shard.send(Event::Arrived(self.lane, Box::new(job))).await.is_err() {
            // The shard is gone, and its receipt was released with the event.
            self.in_flight.left(1, &self.metrics);
        }
    }

    /// Tells every shard to forget what consumers up to this one handed out.
    async fn forget(&self, consumer: u64) {
        for shard in &self.shards {
            // A shard that is gone has nothing to forget.
            let _ = shard.send(Event::Lost(self.lane, consumer)).await;
        }
    }

    /// Ends a consumer in order: no more deliveries, what is in hand finished, or released where time
    /// is up, every settlement written.
    async fn wind_down(
        &self,
        mut consumer: Box<dyn Consumer>,
        number: u64,
    ) -> Result<(), BrokerError> {
        self.enter(State::Draining);
        let cancelled = consumer.cancel().await;
        if cancelled.is_err() {
            self.forget(number).await;
            return cancelled;
        }
        tokio::select! {
            biased;
            () = self.in_flight.empty() => {}
            () = self.abandon.cancelled() => {
                self.forget(number).await;
                let released = tokio::time::timeout(RELEASE_TIMEOUT, self.in_flight.empty()).await;
                if released.is_err() {
                    tracing::warn!(held = self.in_flight.held(), "left for the broker to take back");
                }
            }
        }
        consumer.close().await
    }
}

/// The partition of a key: never changes, on no host.
fn partition(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % PARTITIONS as u64).unwrap_or(0)
}
