//! Both ends of the pipelines, on connections of their own straight to the broker: publishers that
//! repeat what wasn't confirmed, collectors that tell the oracle what comes out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::oracle::{Oracle, Sighting, digest};
use super::plan::Plan;
use super::workload::{Input, KEYS, PIPELINES, Supply, TARGETS, object};

/// How often a publisher publishes a group.
const TICK: Duration = Duration::from_millis(50);
/// Messages in a group, at most; fewer than there are keys, so that a group that is repeated leaves
/// each key in order.
const GROUP: usize = 16;
const _: () = assert!((GROUP as u64) < KEYS);
/// Inputs of a pipeline whose fate is still to come, beyond which its publisher waits.
const OPEN_MAX: usize = 500;
/// How long a broker may take for anything before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(20);
const COLLECTOR_PREFETCH: u16 = 200;

/// What publishers, collectors and faults share.
pub(super) struct Books {
    oracle: Mutex<Oracle>,
    started: Instant,
    url: String,
}

/// What goes on at both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Doing {
    /// Nothing more is published but what isn't confirmed yet.
    pub(super) ending: bool,
    /// Nothing is collected of that target.
    pub(super) uncollected: Option<usize>,
}

/// What is collected.
#[derive(Clone, Copy, Debug)]
enum Source {
    Target(usize),
    Letters,
    Reports,
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A tick that doesn't catch up.
pub(super) fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

// === impl Books ===

impl Books {
    pub(super) fn new(url: String) -> Arc<Self> {
        let oracle = Mutex::new(Oracle::new(PIPELINES.len()));
        Arc::new(Self { oracle, started: Instant::now(), url })
    }

    /// Since the trial's start.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the oracle; for its verdict, which takes it.
    pub(super) fn close(&self) -> Oracle {
        std::mem::replace(&mut *self.oracle(), Oracle::new(PIPELINES.len()))
    }

    /// Starts all publishers, which end when all is confirmed after it is `ending`, and all collectors.
    pub(super) fn run(
        self: &Arc<Self>,
        plan: &Plan,
        doing: &watch::Receiver<Doing>,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        let targets = (0..TARGETS.len()).map(Source::Target);
        for source in targets.chain([Source::Letters, Source::Reports]) {
            tokio::spawn(Arc::clone(self).collect(source, doing.clone()));
        }
        let two_consumers = plan.faults.iter().any(|fault| fault.leaves_a_consumer());
        let publish = |pipeline| {
            let supply = Supply::new(pipeline, plan.seed, two_consumers);
            tokio::spawn(Arc::clone(self).publish(pipeline, supply, doing.clone()))
        };
        (0..PIPELINES.len()).map(publish).collect()
    }

    async fn publish(
        self: Arc<Self>,
        pipeline: usize,
        mut supply: Supply,
        doing: watch::Receiver<Doing>,
    ) {
        let queue = object(PIPELINES[pipeline]);
        let mut ticks = ticks(TICK);
        let mut link = None;
        while !doing.borrow().ending {
            ticks.tick().await;
            if self.oracle().open(pipeline) > OPEN_MAX {
                continue;
            }
            let group: Vec<Input> = std::iter::repeat_with(|| supply.next()).take(GROUP).collect();
            while let Err(_unknown) = self.publish_group(&mut link, &queue, &group).await {
                link = None;
                ticks.tick().await;
            }
            for input in &group {
                self.oracle().acknowledged(&input.planned.id);
            }
        }
    }

    /// All of them, confirmed, or nobody knows.
    async fn publish_group(
        &self,
        link: &mut Option<(Connection, Channel)>,
        queue: &str,
        group: &[Input],
    ) -> Result<(), Failed> {
        if link.is_none() {
            let (connection, channel) = self.connect().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            *link = Some((connection, channel));
        }
        let Some((_, channel)) = link else { return Err("no connection".into()) };
        for input in group {
            self.oracle().attempted(&input.planned, self.now());
        }
        let all = async {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let mut confirms = Vec::new();
            for input in group {
                let sent = channel.basic_publish(
                    "".into(),
                    queue.into(),
                    options,
                    &input.body,
                    input.properties(),
                );
                confirms.push(sent.await?);
            }
            let mut taken = true;
            for confirm in confirms {
                taken &= matches!(confirm.await?, Confirmation::Ack(None));
            }
            if taken { Ok(()) } else { Err(Failed::from("refused, or without a queue")) }
        };
        timeout(PATIENCE, all).await?
    }

    async fn connect(&self) -> Result<(Connection, Channel), Failed> {
        let connect = async {
            let connection =
                Connection::connect(&self.url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            Ok((connection, channel))
        };
        timeout(PATIENCE, connect).await?
    }

    /// Collects until the runtime ends, whatever happens to the connection.
    async fn collect(self: Arc<Self>, source: Source, mut doing: watch::Receiver<Doing>) {
        let mut ticks = ticks(TICK);
        loop {
            ticks.tick().await;
            let paused = |now: &Doing| matches!((source, now.uncollected), (Source::Target(it), Some(one)) if it == one);
            if doing.wait_for(|now| !paused(now)).await.is_err() {
                return;
            }
            tokio::select! {
                _lost = self.collect_some(source) => {}
                _paused = async { doing.clone().wait_for(paused).await.is_ok() } => {}
            }
        }
    }

    async fn collect_some(&self, source: Source) -> Result<(), Failed> {
        let queue = match source {
            Source::Target(target) => object(TARGETS[target]),
            Source::Letters => object("dead"),
            Source::Reports => object("failures"),
        };
        let (_connection, channel) = self.connect().await?;
        channel.basic_qos(COLLECTOR_PREFETCH, BasicQosOptions::default()).await?;
        // Alone: what a collector before it still held would come behind what this one is given.
        let alone = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let consuming =
            channel.basic_consume(queue.into(), "collector".into(), alone, FieldTable::default());
        let mut deliveries = timeout(PATIENCE, consuming).await??;
        // A consumer that nothing comes to for so long may be one that the broker forgot as it started.
        while let Some(delivery) = timeout(PATIENCE, deliveries.next()).await? {
            let delivery = delivery?;
            self.record(source, &delivery);
            if !delivery.acker.ack(BasicAckOptions::default()).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn record(&self, source: Source, delivery: &Delivery) {
        let text = |text: &Option<lapin::types::ShortString>| {
            text.as_ref().map(|text| text.to_string()).unwrap_or_default()
        };
        let id = text(delivery.properties.message_id());
        let correlation = text(delivery.properties.correlation_id());
        let input = if matches!(source, Source::Target(_)) { &correlation } else { &id };
        let sighting = Sighting {
            input,
            id: &id,
            body: digest(&delivery.data),
            redelivered: delivery.redelivered,
        };
        let mut oracle = self.oracle();
        match source {
            Source::Target(target) => oracle.output(target, sighting),
            Source::Letters => oracle.letter(sighting),
            Source::Reports => {
                let report: Value = serde_json::from_slice(&delivery.data).unwrap_or_default();
                let field = |name: &str| report[name].as_str().unwrap_or_default();
                oracle.report(field("message_id"), field("class"));
            }
        }
    }
}
