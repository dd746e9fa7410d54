//! From a config to running pipelines.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Pipelines;
use super::address::{Addresses, OutputTarget};
use super::breaker::Breaker;
use super::crash::CrashJournal;
use super::flight::InFlight;
use super::intake::{Pace, Readiness};
use super::journal::Journal;
use super::judge::{Policy, Terminal};
use super::keeping::Commits;
use super::observe::Observers;
use super::prepare::Reading;
use super::publishing::Target;
use super::ramp::Ramp;
use super::rate::Bucket;
use super::scale::Scale;
use super::shape::Shape;
use super::shard::{Event, Shard};
use super::slot::PluginSlot;
use super::spread::{CurrentSpread, Spread};
use super::stages::Stage;
use crate::broker::{Broker, ConsumeRequest, Declaration};
use crate::config::{Config, DeadLetter, KeySource, Pipeline, Queue, Retry, RetryOrder};
use crate::limits::SHARD_EVENTS;
use crate::reference::Tables;
use crate::state::{Place, Remembered, StoreError};
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
    /// Tables of reference data.
    pub tables: &'s Tables,
    /// Who looks on while they are called.
    pub observers: Observers,
    /// Where state is kept.
    pub commits: &'s Commits,
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
    /// What was kept before can't be read.
    #[error(transparent)]
    State(#[from] StoreError),
    /// The system has no thread to give.
    #[error("can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A pipeline that can be started: whatever it names is there.
pub struct Prepared {
    pub(super) shape: Arc<Shape>,
    /// The brokers that it publishes to, as its addresses number them.
    pub(super) targets: Arc<[Target]>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) readiness: Readiness,
    pub(super) request: ConsumeRequest,
    pub(super) reading: Reading,
    pub(super) pace: Pace,
    /// Messages that were settled by hosts before this one.
    pub(super) remembered: Vec<Remembered>,
}

impl Prepared {
    /// The pipeline's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shape.name
    }
}

impl Pipelines {
    /// Starts every pipeline of the config; each consumes as soon as its broker is ready.
    ///
    /// # Errors
    /// When the config doesn't hold together, or there are no threads to be had.
    pub async fn start(setup: &Setup<'_>) -> Result<Self, StartError> {
        Self::start_on(setup, Shard::start).await
    }

    /// The same on shards that are made by `start_shard`.
    pub(crate) async fn start_on(
        setup: &Setup<'_>,
        mut start_shard: impl FnMut(usize, Channel) -> std::io::Result<Shard>,
    ) -> Result<Self, StartError> {
        let config = setup.config;
        let journal = Arc::new(Journal::new(&config.service.state_dir));
        let crashes =
            Arc::new(CrashJournal::open(&config.service.state_dir, setup.telemetry.clock()));
        let threads = (0..shard_count(config))
            .map(|number| start_shard(number, mpsc::channel(SHARD_EVENTS)))
            .collect::<Result<Vec<_>, _>>()?;
        let pipelines = Self {
            running: Mutex::default(),
            lanes: AtomicUsize::new(0),
            shards: threads.iter().map(|shard| shard.events().clone()).collect(),
            threads: Mutex::new(Some(threads)),
            abandon: CancellationToken::new(),
            journals: (journal, crashes),
            commits: setup.commits.clone(),
        };
        for prepared in pipelines.prepare(setup, &config.pipelines)? {
            pipelines.add(prepared, None).await;
        }
        Ok(pipelines)
    }
}

/// What a pipeline is made of, in that place among all.
pub(super) fn prepare(
    setup: &Setup<'_>,
    pipeline: &Pipeline,
    index: u16,
    journals: &(Arc<Journal>, Arc<CrashJournal>),
) -> Result<Prepared, StartError> {
    let (brokers, targets) = targets(setup, pipeline)?;
    let shape = Arc::new(shape(setup, index, pipeline, (&brokers, journals))?);
    consume(setup, pipeline, shape, targets)
}

/// The brokers that a pipeline publishes to, by name, and what it needs of each.
fn targets<'c>(
    setup: &Setup<'c>,
    pipeline: &'c Pipeline,
) -> Result<(Vec<&'c str>, Arc<[Target]>), StartError> {
    let outputs = pipeline.outputs.values().map(|output| output.broker.as_str());
    let own = [pipeline.broker.as_str(), setup.config.home_of(pipeline)];
    let names: BTreeSet<&str> = outputs.chain(own).collect();
    let target = |name: &&str| {
        let broker = setup.brokers.get(*name);
        let broker = broker.ok_or_else(|| missing(pipeline, format!("broker '{name}'")))?;
        let watched = setup.readiness.get(*name).map(|readiness| readiness.doubt.clone());
        // Nobody listens for doubts about a broker that nobody watches.
        let doubt = watched.unwrap_or_else(|| mpsc::channel(1).0);
        let ready = setup.readiness.get(*name).map(|readiness| readiness.ready.clone());
        Ok::<Target, StartError>(Target { broker: Arc::clone(broker), doubt, ready })
    };
    let targets = names.iter().map(target).collect::<Result<_, StartError>>()?;
    Ok((names.into_iter().collect(), targets))
}

fn shard_count(config: &Config) -> usize {
    match config.service.shards {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        shards => shards,
    }
}

fn shape(
    setup: &Setup<'_>,
    index: u16,
    pipeline: &Pipeline,
    (brokers, (journal, crashes)): (&[&str], &(Arc<Journal>, Arc<CrashJournal>)),
) -> Result<Shape, StartError> {
    let queue = queue(setup, pipeline)?;
    let mut plugins = Vec::new();
    let mut stages = Vec::new();
    for (at, stage) in pipeline.stages.iter().enumerate() {
        let Some(slot) = setup.plugins.get(&stage.plugin) else {
            return Err(missing(pipeline, format!("plugin '{}'", stage.plugin)));
        };
        if let Some(settings) = setup.config.plugins.get(&stage.plugin) {
            slot.guard().configure(slot.name(), settings.breaker.clone());
        }
        plugins.push(Arc::clone(slot));
        let table = |name: &String| {
            let table = setup.tables.get(name).cloned();
            table.ok_or_else(|| missing(pipeline, format!("table '{name}'")))
        };
        let tables = stage.tables.iter().map(table).collect::<Result<_, _>>()?;
        stages.push(Stage::new(stage, (index, at), tables));
    }
    let plugins_of_stages = pipeline.stages.iter().map(|stage| stage.plugin.as_str());
    let state = &setup.config.state;
    let breaker = Arc::new(Breaker::default());
    plugins.iter().for_each(|slot: &Arc<PluginSlot>| slot.guard().stop_with(&breaker));
    let all = Spread::over(shard_count(setup.config));
    let (spread, widest) = match pipeline.shards {
        None => (all, all.width()),
        Some(it) => {
            let place = usize::from(index);
            (all.part(place, it.least), all.part(place, it.most).width())
        }
    };
    let metrics = setup.telemetry.pipeline(&pipeline.name).of_queue(&queue.name);
    metrics.shards(spread.width());
    Ok(Shape {
        spread: Arc::new(CurrentSpread::new(spread)),
        widest,
        clock: setup.telemetry.clock().clone(),
        places: Place::of_stages(&pipeline.name, plugins_of_stages),
        state_keys: state.keys,
        timer_keys: state.timers.div_ceil(spread.width()),
        state_cache: state.cache_bytes / shard_count(setup.config),
        state_ttl: pipeline.state_ttl,
        index,
        name: pipeline.name.clone(),
        stages,
        plugins,
        observers: Arc::clone(&setup.observers),
        policy: policy(pipeline, queue),
        addresses: addresses(setup, pipeline, brokers)?,
        batch: pipeline.batch,
        id_window: pipeline.id_window,
        in_flight: Arc::new(InFlight::default()),
        metrics,
        journal: Arc::clone(journal),
        breaker,
        crashes: Arc::clone(crashes),
    })
}

fn policy(pipeline: &Pipeline, queue: &Queue) -> Policy {
    let terminal = match &queue.dead_letter {
        DeadLetter::To(target) if !target.nack || queue.session.is_some() => Terminal::Annotate {
            exchange: target.exchange.clone(),
            routing_key: target.routing_key.clone(),
        },
        DeadLetter::Discard => Terminal::Discard,
        DeadLetter::To(_) | DeadLetter::Policy | DeadLetter::Unset => Terminal::Nack,
    };
    let retry = pipeline.retry.clone();
    match (&queue.session, retry.order) {
        // There is nowhere else to wait, so all that is held may: the prefetch bounds that.
        (Some(_), RetryOrder::Key) => {
            let retry = Retry { park: pipeline.prefetch.into(), ..retry };
            Policy { retry, delays: false, terminal }
        }
        _ if topology::is_private(queue) => {
            Policy { retry: Retry::never(), delays: false, terminal }
        }
        _ => Policy { retry, delays: true, terminal },
    }
}

fn addresses(
    setup: &Setup<'_>,
    pipeline: &Pipeline,
    brokers: &[&str],
) -> Result<Addresses, StartError> {
    let place = |broker: &str| {
        brokers
            .iter()
            .position(|name| *name == broker)
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
        broker: place(setup.config.home_of(pipeline))?,
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
    pipeline: &Pipeline,
    shape: Arc<Shape>,
    targets: Arc<[Target]>,
) -> Result<Prepared, StartError> {
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
    let stateful = shape.plugins.iter().any(|slot| slot.current().stateful());
    let prefetch = match pipeline.rate {
        Some(rate) => Bucket::window(rate, pipeline.prefetch, shape.policy.retry.parked()),
        None => pipeline.prefetch,
    };
    let request = ConsumeRequest {
        queue: pipeline.queue.clone(),
        declare: own,
        prefetch,
        exclusive: pipeline.exclusive || (stateful && !queue.single_active_consumer),
        tag: format!("sluicegate.{}.{}", shape.addresses.host, pipeline.name),
    };
    let reading = Reading {
        salt: Reading::salt(&pipeline.name),
        key: pipeline.key.clone(),
        key_required: pipeline.key_required,
        content_type: pipeline.content_type.clone(),
        kind: pipeline.kind.clone(),
        separator: setup.config.separator_of(&pipeline.broker),
        id: pipeline.id.clone(),
        nonce: u128::to_le_bytes(fastrand::u128(..)),
    };
    let store = setup.commits.store();
    let remembered = if stateful { store.remembered(&pipeline.name)? } else { Vec::new() };
    Ok(Prepared {
        remembered,
        targets,
        broker: Arc::clone(broker),
        readiness: readiness.clone(),
        request,
        reading,
        pace: Pace {
            ramp: Ramp::new(prefetch, cancels),
            bucket: pipeline.rate.map(Bucket::new),
            scale: pipeline.shards.and_then(|it| Scale::new(it, shard_count(setup.config))),
        },
        shape,
    })
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
