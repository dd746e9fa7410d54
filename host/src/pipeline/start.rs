//! From a config to running pipelines.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::address::{Addresses, OutputTarget};
use super::alarm::Alarm;
use super::crash::CrashJournal;
use super::flight::InFlight;
use super::intake::{Intake, Readiness, State, Want};
use super::journal::Journal;
use super::judge::{Policy, Terminal};
use super::lane::Lane;
use super::observe::Observers;
use super::prepare::Reading;
use super::publishing::{Publishing, Target};
use super::ramp::Ramp;
use super::shape::Shape;
use super::shard::{Event, Shard};
use super::slot::PluginSlot;
use super::stages::Stage;
use super::{Handle, Pipelines, Tasks};
use crate::broker::{Broker, ConsumeRequest, Declaration};
use crate::config::{Config, DeadLetter, KeySource, Pipeline, Queue, Retry, RetryOrder};
use crate::limits::SHARD_EVENTS;
use crate::telemetry::Telemetry;
use crate::topology::{self, Plan};

/// All that pipelines are made of.
pub struct Setup<'s> {
    /// The config.
    pub config: &'s Config,
    /// Brokers by name.
    pub brokers: &'s BTreeMap<String, Arc<dyn Broker>>,
    /// Whether each is ready.
    pub readiness: &'s BTreeMap<String, Readiness>,
    /// What each needs.
    pub plans: &'s BTreeMap<String, Plan>,
    /// Plugins by name.
    pub plugins: &'s BTreeMap<String, Arc<PluginSlot>>,
    /// Who looks on while they are called.
    pub observers: Observers,
    /// Where everything is counted.
    pub telemetry: &'s Telemetry,
}

/// Both ends of what a shard is told through.
pub(crate) type Channel = (mpsc::Sender<Event>, mpsc::Receiver<Event>);

/// Why pipelines can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The config names something that isn't there; a checked config doesn't.
    #[error("pipeline '{pipeline}' names {what}, which the config doesn't have")]
    Missing {
        /// The pipeline.
        pipeline: String,
        /// `plugin 'x'`
        what: String,
    },
    /// The system has no thread to give.
    #[error("can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

impl Pipelines {
    /// Starts every pipeline of the config; each consumes as soon as its broker is ready.
    ///
    /// # Errors
    /// When the config doesn't hold together, or there are no threads to be had.
    pub fn start(setup: &Setup<'_>) -> Result<Self, StartError> {
        Self::start_on(setup, Shard::start)
    }

    /// The same on shards that are made by `start_shard`.
    pub(crate) fn start_on(
        setup: &Setup<'_>,
        mut start_shard: impl FnMut(usize, Vec<Lane>, Channel) -> std::io::Result<Shard>,
    ) -> Result<Self, StartError> {
        let config = setup.config;
        let abandon = CancellationToken::new();
        let targets: Arc<[Target]> = targets(setup);
        // One for all pipelines: its bound is the file's.
        let journal = Arc::new(Journal::new(&config.service.state_dir));
        let crashes = Arc::new(CrashJournal::open(&config.service.state_dir));
        let shapes = config
            .pipelines
            .iter()
            .enumerate()
            .map(|(index, pipeline)| {
                shape(setup, index, pipeline, (&journal, &crashes)).map(Arc::new)
            })
            .collect::<Result<Vec<_>, _>>()?;

        let prefetch: usize = config.pipelines.iter().map(|p| usize::from(p.prefetch)).sum();
        let mut shards = Vec::new();
        let mut publishing = Vec::new();
        for number in 0..shard_count(config) {
            let (events, inbox) = mpsc::channel(prefetch + SHARD_EVENTS);
            let lanes = shapes.iter().enumerate().map(|(lane, shape)| {
                let (groups, requests) = mpsc::channel(1);
                let (breaker, metrics) = (Arc::clone(&shape.breaker), shape.metrics.clone());
                let task = Publishing::new(Arc::clone(&targets), metrics, breaker, abandon.clone());
                publishing.push(tokio::spawn(task.run(lane, requests, events.clone())));
                let new = Lane::new(Arc::clone(shape), groups);
                match shape.policy.retry.order {
                    RetryOrder::Key => new.with_alarm(Alarm::start(lane, events.clone())),
                    RetryOrder::Free => new,
                }
            });
            let lanes = lanes.collect();
            shards.push(start_shard(number, lanes, (events, inbox))?);
        }
        let inboxes: Vec<mpsc::Sender<Event>> =
            shards.iter().map(|shard| shard.events().clone()).collect();
        let mut lanes = Vec::new();
        let mut intakes = Vec::new();
        for (lane, (pipeline, shape)) in config.pipelines.iter().zip(&shapes).enumerate() {
            let (handle, intake) = consume(setup, (lane, pipeline), shape, &inboxes, &abandon)?;
            lanes.push(handle);
            intakes.push(intake);
        }
        let intakes = intakes.into_iter().map(|intake| tokio::spawn(intake.run())).collect();
        let tasks = Mutex::new(Tasks { intakes, shards, publishing });
        Ok(Self { lanes, shards: inboxes, abandon, crashes, tasks })
    }
}

fn targets(setup: &Setup<'_>) -> Arc<[Target]> {
    let target = |(name, broker): (&String, &Arc<dyn Broker>)| {
        let watched = setup.readiness.get(name).map(|readiness| readiness.doubt.clone());
        // Nobody listens for doubts about a broker that nobody watches.
        let doubt = watched.unwrap_or_else(|| mpsc::channel(1).0);
        let ready = setup.readiness.get(name).map(|readiness| readiness.ready.clone());
        Target { broker: Arc::clone(broker), doubt, ready }
    };
    setup.brokers.iter().map(target).collect()
}

fn shard_count(config: &Config) -> usize {
    match config.service.shards {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        shards => shards,
    }
}

fn shape(
    setup: &Setup<'_>,
    index: usize,
    pipeline: &Pipeline,
    (journal, crashes): (&Arc<Journal>, &Arc<CrashJournal>),
) -> Result<Shape, StartError> {
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    let queue = queue(setup, pipeline)?;
    let mut plugins = Vec::new();
    let mut stages = Vec::new();
    for (at, stage) in pipeline.stages.iter().enumerate() {
        let Some(slot) = setup.plugins.get(&stage.plugin) else {
            return Err(missing(pipeline, format!("plugin '{}'", stage.plugin)));
        };
        plugins.push(Arc::clone(slot));
        stages.push(Stage::new(stage, &slot.current(), (index, at)));
    }
    Ok(Shape {
        index,
        name: pipeline.name.clone(),
        stages,
        plugins,
        observers: Arc::clone(&setup.observers),
        policy: policy(pipeline, queue),
        addresses: addresses(setup, pipeline)?,
        batch: pipeline.batch,
        id_window: pipeline.id_window,
        in_flight: Arc::new(InFlight::default()),
        metrics: setup.telemetry.pipeline(&pipeline.name).of_queue(&queue.name),
        journal: Arc::clone(journal),
        breaker: Arc::default(),
        crashes: Arc::clone(crashes),
    })
}

fn policy(pipeline: &Pipeline, queue: &Queue) -> Policy {
    let terminal = match &queue.dead_letter {
        DeadLetter::To(target) if !target.nack => Terminal::Annotate {
            exchange: target.exchange.clone(),
            routing_key: target.routing_key.clone(),
        },
        DeadLetter::Discard => Terminal::Discard,
        DeadLetter::To(_) | DeadLetter::Policy | DeadLetter::Unset => Terminal::Nack,
    };
    let retry = if topology::is_private(queue) { Retry::never() } else { pipeline.retry.clone() };
    Policy { retry, terminal }
}

fn addresses(setup: &Setup<'_>, pipeline: &Pipeline) -> Result<Addresses, StartError> {
    let place = |broker: &str| {
        setup
            .brokers
            .keys()
            .position(|name| name == broker)
            .ok_or_else(|| missing(pipeline, format!("broker '{broker}'")))
    };
    let target = |(name, output): (&String, &crate::config::Output)| {
        place(&output.broker).map(|broker| OutputTarget {
            name: name.clone(),
            broker,
            output: output.clone(),
        })
    };
    Ok(Addresses {
        pipeline: pipeline.name.clone(),
        queue: pipeline.queue.clone(),
        broker: place(&pipeline.broker)?,
        outputs: pipeline.outputs.iter().map(target).collect::<Result<_, _>>()?,
        key_header: match &pipeline.key {
            Some(KeySource::Header(name)) => Some(name.clone()),
            _ => None,
        },
        failures: setup.config.failures.exchange.clone(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    })
}

fn consume(
    setup: &Setup<'_>,
    (lane, pipeline): (usize, &Pipeline),
    shape: &Arc<Shape>,
    shards: &[mpsc::Sender<Event>],
    abandon: &CancellationToken,
) -> Result<(Handle, Intake), StartError> {
    let queue = queue(setup, pipeline)?;
    let (Some(broker), Some(readiness)) =
        (setup.brokers.get(&pipeline.broker), setup.readiness.get(&pipeline.broker))
    else {
        return Err(missing(pipeline, format!("broker '{}'", pipeline.broker)));
    };
    let own: Vec<Declaration> = setup
        .plans
        .get(&pipeline.broker)
        .and_then(|plan| plan.connection.get(&pipeline.queue))
        .cloned()
        .unwrap_or_default();
    // Of the others a cancelled consumer loses its place, or its queue.
    let cancels = !queue.single_active_consumer && !queue.auto_delete && own.is_empty();
    let stateful = shape.stages.iter().any(|stage| stage.stateful);
    let request = ConsumeRequest {
        queue: pipeline.queue.clone(),
        declare: own,
        prefetch: pipeline.prefetch,
        exclusive: pipeline.exclusive || (stateful && !queue.single_active_consumer),
        tag: format!("sluicegate.{}.{}", shape.addresses.host, pipeline.name),
    };
    let reading = Reading {
        pipeline: pipeline.name.clone(),
        key: pipeline.key.clone(),
        key_required: pipeline.key_required,
        id: pipeline.id.clone(),
        nonce: u128::to_le_bytes(fastrand::u128(..)),
    };
    let (want, wanted) = watch::channel(Want::Run);
    let state = Arc::new(Mutex::new(State::Waiting("starting".to_owned())));
    let intake = Intake {
        lane,
        broker: Arc::clone(broker),
        readiness: readiness.clone(),
        request,
        reading,
        shards: shards.to_vec(),
        in_flight: Arc::clone(&shape.in_flight),
        ramp: Ramp::new(pipeline.prefetch, cancels),
        breaker: Arc::clone(&shape.breaker),
        journals: (Arc::clone(&shape.journal), Arc::clone(&shape.crashes)),
        metrics: shape.metrics.clone(),
        want: wanted,
        state: Arc::clone(&state),
        abandon: abandon.clone(),
    };
    let (name, queue) = (pipeline.name.clone(), pipeline.queue.clone());
    Ok((Handle { name, queue, want, state }, intake))
}

fn queue<'s>(setup: &Setup<'s>, pipeline: &Pipeline) -> Result<&'s Queue, StartError> {
    let found = setup
        .config
        .queues
        .iter()
        .find(|queue| queue.name == pipeline.queue && queue.broker == pipeline.broker);
    found.ok_or_else(|| missing(pipeline, format!("queue '{}'", pipeline.queue)))
}

fn missing(pipeline: &Pipeline, what: String) -> StartError {
    StartError::Missing { pipeline: pipeline.name.clone(), what }
}
