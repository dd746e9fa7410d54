//! Intake: consumes a pipeline's queue and deals its messages to the shards, for as long as it is wanted.
//!
//! A consumer that ends is replaced after a pause; before its successor's first delivery enters,
//! every shard forgets what the old one had handed out, for the broker delivers it again. While the
//! pipeline is paused, its breaker open or its broker not ready, nothing is consumed and nothing held.

mod leaving;
mod trying;
mod widening;

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::breaker::Phase;
use super::headers;
use super::job::Job;
use super::prepare::{Arrival, Reading};
use super::ramp::Ramp;
use super::rate::{self, Bucket};
use super::scale::Scale;
use super::shape::Shape;
use super::shard::{Event, partition};
use super::spread::Spread;
use crate::broker::{Broker, BrokerError, ConsumeRequest, Consumer, Delivery};
use crate::limits::{
    DEALT_TOGETHER, PARTITIONS, PLUGIN_PROBE_PAUSE_MAX, PLUGIN_PROBE_PAUSE_MIN, PLUGIN_PROBE_TIME,
    PROBE_MESSAGES, PROBE_QUIET,
};
use crate::state::StateStore;

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

/// How much a pipeline takes.
#[derive(Clone, Debug)]
pub struct Pace {
    /// How many it asks for.
    pub ramp: Ramp,
    /// How fast it takes them, where that is limited; full at the start.
    pub bucket: Option<Bucket>,
    /// On how many shards, where that varies.
    pub scale: Option<Scale>,
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
    /// What its lanes have in common.
    pub shape: Arc<Shape>,
    /// How much it takes, how fast, on how many shards.
    pub pace: Pace,
    /// Where state is kept, if this pipeline keeps any.
    pub store: Option<Arc<dyn StateStore>>,
    /// What it should do.
    pub want: watch::Receiver<Want>,
    /// On how many shards, where somebody said so.
    pub width: watch::Receiver<Option<usize>>,
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
    /// Probes of a broken plugin, since things last went well.
    probes: u32,
    /// The shards that the pipeline is to use from its next consumer on.
    width: Option<usize>,
}

impl Intake {
    /// Consumes until it is told to stop.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut standing_by =
            [Backoff::default(), Backoff::between(PLUGIN_PROBE_PAUSE_MIN, PLUGIN_PROBE_PAUSE_MAX)];
        let mut counts = Counts::default();
        self.tell_flow(false).await;
        loop {
            let want = *self.want.borrow_and_update();
            match (want, self.shape.breaker.phase()) {
                (Want::Stop, _) => break,
                (_, Phase::Tripped(why) | Phase::Open(why)) => {
                    let pauses = &mut standing_by[usize::from(self.plugin_broken())];
                    self.stand_by(why, pauses).await;
                    continue;
                }
                (Want::Pause, _) => {
                    self.enter(State::Paused);
                    tokio::select! {
                        biased;
                        changed = self.want.changed() => {
                            if changed.is_err() {
                                break;
                            }
                            self.want.mark_changed();
                        }
                        why = self.shape.breaker.tripped() => self.shape.breaker.open(&why),
                    }
                    continue;
                }
                (Want::Run, Phase::Closed) => {
                    standing_by.iter_mut().for_each(Backoff::reset);
                    counts.probes = 0;
                }
                (Want::Run, Phase::Probing(_)) => {}
            }
            if !self.broker_ready().await {
                continue;
            }
            self.widen(&mut counts).await;
            let probing = matches!(self.shape.breaker.phase(), Phase::Probing(_));
            let prefetch = self.prefetch(probing, &mut counts);
            let request = ConsumeRequest { prefetch, ..self.request.clone() };
            let error = match self.broker.consume(request).await {
                Ok(consumer) => {
                    backoff.reset();
                    counts.consumers += 1;
                    self.tell_flow(!probing).await;
                    let fed = self.feed(consumer, &mut counts, probing).await;
                    self.tell_flow(false).await;
                    match fed {
                        Ok(()) => continue,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            self.pace.ramp.reset();
            self.enter(State::Waiting(error.to_string()));
            tracing::warn!(queue = self.request.queue, %error, "not consuming; trying again");
            // One doubt that waits is as good as two.
            let _ = self.readiness.doubt.try_send(());
            tokio::select! {
                biased;
                _ = self.want.changed() => self.want.mark_changed(),
                () = backoff.wait() => {}
            }
        }
        self.enter(State::Stopped);
    }

    /// Holds nothing for a while; then things may be tried, if the journals can be written.
    async fn stand_by(&mut self, why: String, backoff: &mut Backoff) {
        self.shape.breaker.open(&why);
        self.pace.ramp.reset();
        self.shape.metrics.paused(Some(&why));
        let paused = *self.want.borrow() == Want::Pause;
        self.enter(if paused { State::Paused } else { State::Waiting(why) });
        tokio::select! {
            biased;
            _ = self.want.changed() => {
                self.want.mark_changed();
                return;
            }
            () = backoff.wait() => {}
            () = self.shape.breaker.hurried() => {}
        }
        match self.can_write() {
            Ok(()) => self.shape.breaker.probe(),
            Err(why) => self.shape.breaker.open(&why),
        }
    }

    /// Whether all can be written that must be before anything is acknowledged.
    fn can_write(&self) -> Result<(), String> {
        let journals = self.shape.journal.check().and_then(|()| self.shape.crashes.check());
        journals.map_err(|error| format!("the state folder can't be written: {error}"))?;
        self.store.as_ref().map_or(Ok(()), |store| store.check().map_err(|why| why.to_string()))
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
                why = self.shape.breaker.tripped() => {
                    self.shape.breaker.open(&why);
                    return false;
                }
            }
        }
    }

    /// Deals out a consumer's deliveries until it ends, is no longer wanted, or another one is due.
    /// While `probing` it is tried, one at a time, whether things go on.
    async fn feed(
        &mut self,
        mut consumer: Box<dyn Consumer>,
        counts: &mut Counts,
        probing: bool,
    ) -> Result<(), BrokerError> {
        if !probing {
            self.shape.metrics.paused(None);
            self.enter(State::Running);
        }
        let (before, trying_plugin) = (counts.deliveries, probing && self.plugin_broken());
        let mut tried = pin!(tokio::time::sleep(PLUGIN_PROBE_TIME));
        let (mut looks, scales) = (Scale::looks(), !probing && self.pace.scale.is_some());
        let held = loop {
            let quiet = async {
                self.shape.in_flight.empty().await;
                tokio::time::sleep(PROBE_QUIET).await;
            };
            let next = tokio::select! {
                biased;
                changed = self.want.changed() => {
                    if changed.is_err() || *self.want.borrow() != Want::Run {
                        self.want.mark_changed();
                        self.pace.ramp.reset();
                        self.enter(State::Draining);
                        break trying_plugin;
                    }
                    continue;
                }
                _ = self.shape.breaker.tripped() => break trying_plugin,
                () = self.shape.breaker.closed(), if probing => break false,
                () = &mut tried, if trying_plugin => {
                    self.plugin_tried();
                    continue;
                }
                Ok(()) = self.width.changed() => {
                    self.width.mark_changed();
                    break false;
                }
                _ = looks.tick(), if scales => match self.look() {
                    Some(width) => {
                        counts.width = Some(width);
                        break false;
                    }
                    None => continue,
                },
                next = rate::next(&mut self.pace.bucket, &mut *consumer, &self.shape.metrics) => next,
                () = quiet, if probing && !trying_plugin => {
                    self.shape.breaker.passed();
                    continue;
                }
            };
            let wider = match next {
                Ok(delivery) => self.deal(delivery, &mut *consumer, counts, !probing).await,
                Err(error) => {
                    self.forget(counts.consumers).await;
                    return Err(error);
                }
            };
            if probing {
                if !trying_plugin && counts.deliveries - before >= PROBE_MESSAGES {
                    self.shape.breaker.passed();
                }
            } else if wider {
                self.pace.ramp.widen();
                break false;
            }
        };
        self.wind_down(consumer, counts.consumers, held).await
    }

    /// Deals out a delivery, and with it those that are here already, up to a bound. Whether a wider
    /// window is due.
    async fn deal(
        &mut self,
        first: Delivery,
        consumer: &mut dyn Consumer,
        counts: &mut Counts,
        ramps: bool,
    ) -> bool {
        let most = if self.pace.bucket.is_some() { 1 } else { DEALT_TOGETHER };
        let mut dealt: Vec<Vec<Job>> = self.shards.iter().map(|_| Vec::new()).collect();
        let (mut taken, mut redelivered, mut wider) = (0, 0, false);
        let (received, spread) = (Instant::now(), self.shape.spread.now());
        let mut next = Some(first);
        while let Some(delivery) = next {
            taken += 1;
            redelivered += usize::from(delivery.redelivered);
            wider |= ramps && self.pace.ramp.dealt();
            let (shard, job) = self.job((delivery, received), spread, counts);
            let jobs = &mut dealt[shard];
            if jobs.capacity() == 0 {
                jobs.reserve(most);
            }
            jobs.push(job);
            next = if taken < most { consumer.at_hand() } else { None };
        }
        self.shape.metrics.received(taken, redelivered);
        self.shape.in_flight.entered(taken, &self.shape.metrics);
        for (shard, jobs) in self.shards.iter().zip(dealt) {
            let dealt = jobs.len();
            if dealt > 0 && shard.send(Event::Arrived(self.lane, jobs)).await.is_err() {
                // The shard is gone, and their receipts were released with the event.
                self.shape.in_flight.left(dealt, &self.shape.metrics);
            }
        }
        wider
    }

    /// A delivery as a job, and the shard that it is for.
    fn job(
        &self,
        (delivery, received): (Delivery, Instant),
        spread: Spread,
        counts: &mut Counts,
    ) -> (usize, Job) {
        if headers::are_forged(&delivery.message) {
            self.shape.metrics.forged_headers();
        }
        let sequence = counts.deliveries;
        counts.deliveries += 1;
        let arrival = Arrival { delivery, received, consumer: counts.consumers, sequence };
        let mut job = self.reading.prepare(arrival);
        let partition = match &job.key {
            Some(key) => partition(key),
            // Messages without a key may go anywhere; one that comes again, to its identity.
            None => match &job.identity {
                Some(identity) => usize::from(identity.whole[0]) % PARTITIONS,
                None => usize::try_from(sequence).unwrap_or(0) % PARTITIONS,
            },
        };
        job.partition = u8::try_from(partition).unwrap_or(0);
        (spread.shard(partition), job)
    }
}
