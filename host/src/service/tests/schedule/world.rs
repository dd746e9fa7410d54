//! A schedule's world: an embedded broker that outlives the hosts on it, the host that runs now, and
//! what came out of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use super::book::{Book, Line, RUNG};
use super::host::{Host, config};
use super::plan::{Action, Alteration, KEYS, Letters, Plan, Settings, Spec, What};
use super::wire::{Wire, id_of};
use crate::broker::embedded::Embedded;
use crate::broker::{Broker, Outgoing};
use crate::clock::Clock;
use crate::limits::JOURNAL_FILE;
use crate::message::Properties;
use crate::pipeline::Want;
use crate::state::{MemoryStore, Place, StateStore as _};
use crate::telemetry::Telemetry;

/// Simulated time within which everything must end once nothing is wrong any more.
const LIVENESS: Duration = Duration::from_secs(20 * 60);
/// When every schedule begins, microseconds since 1970.
const EPOCH_US: u64 = 1_800_000_000_000_000;
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Everything there is.
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) book: Arc<Book>,
    broker: Arc<Embedded>,
    /// Goes with the paused clock, so that a seed repeats to the microsecond.
    clock: Clock,
    wire: Arc<Wire>,
    folder: TempDir,
    /// What hosts keep beyond their lives.
    pub(super) store: Arc<MemoryStore>,
    host: Option<Host>,
    unreachable: bool,
    /// What arrived at the targets, by queue.
    pub(super) outputs: Vec<(&'static str, String, Line)>,
    /// The same of timers, under the ids of the messages that set them.
    pub(super) rung: Vec<(&'static str, String, Line)>,
    pub(super) dead: Vec<u32>,
    pub(super) reports: Vec<Value>,
}

impl World {
    pub(super) fn new(plan: &Plan) -> Self {
        let book = Arc::new(Book::new(&plan.settings));
        let broker = Embedded::new();
        let wire = Arc::new(Wire::new(Arc::clone(&broker), Arc::clone(&book), plan.seed));
        Self {
            settings: plan.settings.clone(),
            book,
            broker,
            clock: Clock::of_runtime(EPOCH_US),
            wire,
            folder: tempfile::tempdir().unwrap(),
            store: MemoryStore::new(),
            host: None,
            unreachable: false,
            outputs: Vec::new(),
            rung: Vec::new(),
            dead: Vec::new(),
            reports: Vec::new(),
        }
    }

    async fn start(&mut self) {
        let life = {
            let mut facts = self.book.facts();
            facts.life += 1;
            facts.life
        };
        let wire = Arc::clone(&self.wire) as Arc<dyn Broker>;
        let store = Arc::clone(&self.store);
        let telemetry = Telemetry::on(self.clock.clone());
        let config = config(&self.settings, self.folder.path());
        self.host = Some(Host::start(config, wire, store, (&self.book, life), telemetry).await);
    }

    /// Drains the host within that time; what it holds then is given back. Whether all was finished.
    async fn stop(&mut self, grace: Duration) -> bool {
        let Some(host) = self.host.take() else { return true };
        let finished = host.drain(grace).await;
        self.broker.close().await;
        let open: usize = {
            let facts = self.book.facts();
            facts.open.values().map(|(open, _)| *open).sum()
        };
        if open > 0 {
            self.book.violation(format!("held: {open} receipts after a drain"));
        }
        self.conserve();
        finished
    }

    async fn kill(&mut self) {
        let Some(host) = self.host.take() else { return };
        {
            let mut facts = self.book.facts();
            let life = facts.life;
            facts.killed.insert(life);
            facts.open.clear();
        }
        self.wire.faults().breaks.fetch_add(1, Ordering::Relaxed);
        self.broker.drop_connections();
        host.kill();
        // Aborted tasks go when they are next looked at.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        self.conserve();
    }

    /// Runs the schedule, then lets everything come to rest.
    pub(super) async fn run(&mut self, plan: &Plan) {
        self.start().await;
        sleep(Duration::from_secs(1)).await;
        for (number, action) in plan.actions.iter().enumerate() {
            self.book.trace(&format!("--- {number}: {action:?}"));
            self.act(action).await;
            self.collect();
            if !self.book.facts().violations.is_empty() {
                return self.give_up().await;
            }
        }
        self.book.trace("--- nothing is wrong any more");
        self.heal();
        self.want(Want::Run);
        self.rest().await;
        let first = self.book.facts().specs.keys().next_back().map_or(0, |id| id + 1);
        let probes = (0..KEYS).map(|key| Spec {
            id: first + u32::from(key),
            key: Some(format!("k{key}")),
            priority: None,
            named: true,
            copies: 1,
            what: What::Pass,
            at: 0,
        });
        self.publish(&probes.collect::<Vec<_>>()).await;
        self.rest().await;
        self.await_timers().await;
        if !self.stop(Duration::from_secs(60)).await {
            self.book.violation("not live: a drain with nothing to do was forced".to_owned());
        }
        self.collect();
        let journal = std::fs::read_to_string(self.folder.path().join(JOURNAL_FILE));
        let journal = journal.unwrap_or_default();
        self.reports.extend(journal.lines().map(|line| serde_json::from_str(line).unwrap()));
        self.judge();
    }

    /// A run that went wrong isn't finished.
    async fn give_up(&mut self) {
        let violations = self.book.facts().violations.clone();
        self.kill().await;
        self.book.facts().violations = violations;
    }

    async fn act(&mut self, action: &Action) {
        let faults = self.wire.faults();
        match action {
            Action::Publish(specs) => self.publish(specs).await,
            Action::Wait(ms) => {
                sleep(Duration::from_millis(*ms)).await;
                self.check_held();
            }
            Action::Yield(times) => {
                for _ in 0..*times {
                    tokio::task::yield_now().await;
                }
            }
            Action::DropConnections => {
                faults.breaks.fetch_add(1, Ordering::Relaxed);
                self.broker.drop_connections();
            }
            Action::CancelConsumers => faults.cancels.notify_waiters(),
            Action::Refuse => faults.refuse.store(true, Ordering::Relaxed),
            Action::LoseConfirms => faults.lose.store(true, Ordering::Relaxed),
            Action::Unreachable => {
                faults.breaks.fetch_add(1, Ordering::Relaxed);
                self.broker.set_unreachable(true);
                self.unreachable = true;
            }
            Action::Heal => self.heal(),
            Action::DeleteExchange(name) => drop(self.broker.delete_exchange(name)),
            Action::Pause => self.want(Want::Pause),
            Action::Resume => self.want(Want::Run),
            Action::Restart(grace_ms) => {
                self.stop(Duration::from_millis(*grace_ms)).await;
                self.start().await;
            }
            Action::Kill => {
                self.kill().await;
                self.start().await;
            }
            Action::Scale(shards) => self.host.as_ref().expect("a host runs").scale(*shards),
            Action::Alter(alteration) => self.alter(*alteration).await,
            Action::Swap => self.book.facts().version += 1,
        }
    }

    /// Alters the pipeline as a config does that is read again.
    async fn alter(&mut self, Alteration { prefetch, batch, grace_ms }: Alteration) {
        (self.settings.prefetch, self.settings.batch) = (prefetch, batch);
        let config = config(&self.settings, self.folder.path());
        let host = self.host.as_mut().expect("a host runs");
        host.alter(config, Duration::from_millis(grace_ms)).await;
    }

    fn heal(&mut self) {
        self.wire.faults().refuse.store(false, Ordering::Relaxed);
        self.wire.faults().lose.store(false, Ordering::Relaxed);
        self.broker.set_unreachable(false);
        self.unreachable = false;
    }

    fn want(&self, want: Want) {
        self.host.as_ref().expect("a host runs").want(want);
    }

    /// Publishes as a producer does that can't reach a broker that is away.
    async fn publish(&self, specs: &[Spec]) {
        if self.unreachable {
            return;
        }
        for spec in specs {
            self.book.facts().specs.insert(spec.id, spec.clone());
        }
        let again = specs.iter().filter(|spec| spec.copies > 1);
        let group: Vec<Outgoing> = specs.iter().chain(again).map(outgoing).collect();
        let mut publisher = self.broker.publisher().await.unwrap();
        publisher.publish(&group).await;
    }

    /// Takes what arrived.
    fn collect(&mut self) {
        for queue in ["sink", "mirror", "aside"] {
            while let Some(message) = self.broker.get(queue) {
                let id = message.properties.message_id.clone().unwrap_or_default();
                match Line::parse(&message.body) {
                    Some(line) if line.id >= RUNG => {
                        self.rung.push((queue, id, Line { id: line.id - RUNG, ..line }));
                    }
                    Some(line) => self.outputs.push((queue, id, line)),
                    None => self.book.violation(format!("body: {:?} in {queue}", message.body)),
                }
            }
        }
        while let Some(message) = self.broker.get("dead") {
            self.dead.push(id_of(&message.body).unwrap_or(u32::MAX));
        }
        while let Some(message) = self.broker.get("sluicegate.failures") {
            self.reports.push(serde_json::from_slice(&message.body).unwrap());
        }
    }

    /// Waits until nothing is left to do.
    async fn rest(&mut self) {
        let mut waited = Duration::ZERO;
        loop {
            sleep(LOOK).await;
            waited += LOOK;
            self.collect();
            self.check_held();
            let waiting = self.broker.waiting();
            let held = self.host.as_ref().map_or(0, Host::held);
            if waiting.is_empty() && self.broker.queue_depth("work") == (0, 0) && held == 0 {
                return;
            }
            if waited > LIVENESS {
                let depth = self.broker.queue_depth("work");
                let text = format!("not live: held {held}, work {depth:?}, waiting {waiting:?}");
                return self.book.violation(text);
            }
        }
    }

    /// Waits until no timer is to come any more.
    async fn await_timers(&mut self) {
        let places = Place::of_stages("main", ["first", "first"]);
        let mut waited = Duration::ZERO;
        let waits = |world: &Self| {
            let due = |place| world.store.due(place, u64::MAX, 1).unwrap();
            places.iter().find_map(|place| due(place).pop())
        };
        while let Some((due_us, key)) = waits(self) {
            if waited > LIVENESS {
                let now_us = self.clock.now_us();
                let text = format!("not live: a timer of key {key} due {due_us}, now {now_us}");
                return self.book.violation(text);
            }
            sleep(LOOK).await;
            waited += LOOK;
        }
        self.rest().await;
    }

    /// Deliveries of consumers that are gone are let go, but those in publication.
    fn check_held(&self) {
        let stale: usize = {
            let facts = self.book.facts();
            facts.open.values().filter(|(_, gone)| *gone).map(|(open, _)| *open).sum()
        };
        let most = self.settings.shards * self.settings.prefetch;
        if stale > most {
            let text =
                format!("held: {stale} deliveries of consumers that are gone, {most} at most");
            self.book.violation(text);
        }
    }

    /// With no host on the broker, every message is at its end or in a queue.
    fn conserve(&mut self) {
        self.collect();
        let queued: Vec<u32> = self.broker.waiting().iter().filter_map(|(_, b)| id_of(b)).collect();
        let lost: Vec<u32> = {
            let facts = self.book.facts();
            let specs = facts.specs.values();
            let ended = |spec: &Spec| match spec.end(facts.attempts) {
                Ok(()) => self.is_out(spec),
                Err(_) if facts.letters_mode == Letters::Discard => true,
                Err(_) => self.dead.contains(&spec.id),
            };
            let lost = specs.filter(|spec| !queued.contains(&spec.id) && !ended(spec));
            lost.map(|spec| spec.id).collect()
        };
        for id in lost {
            self.book.violation(format!("lost: {id} is neither at its end nor in a queue"));
        }
    }

    /// Whether every output of a message has arrived on every target.
    pub(super) fn is_out(&self, spec: &Spec) -> bool {
        let arrived = |queue: &str, stage: usize, index: usize| {
            self.outputs.iter().any(|(at, _, line)| {
                *at == queue && (line.id, line.stage, line.index) == (spec.id, stage, index)
            })
        };
        spec.outputs().into_iter().all(|(exchange, stage, index)| match exchange {
            "out" => arrived("sink", stage, index) && arrived("mirror", stage, index),
            _ => arrived("aside", stage, index),
        })
    }
}

fn outgoing(spec: &Spec) -> Outgoing {
    let headers = spec.key.iter().map(|key| ("key", key.as_str()));
    Outgoing {
        exchange: "in".to_owned(),
        routing_key: format!("order.{}", spec.key.as_deref().unwrap_or("none")),
        properties: Properties {
            message_id: spec.named.then(|| format!("m{}", spec.id)),
            priority: spec.priority,
            headers: headers.collect(),
            ..Properties::default()
        },
        body: spec.body(),
    }
}
